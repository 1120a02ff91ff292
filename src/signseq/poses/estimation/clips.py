"""From one video to the poses of the people in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.estimation.estimator import Estimator
from signseq.poses.estimation.people import Person, find_people
from signseq.poses.estimation.rates import Timing, time_frames
from signseq.poses.estimation.video import read_facts, read_frames
from signseq.poses.keypoints import NOSE
from signseq.poses.sequence import PoseSequence

__all__ = ["Extraction", "People", "extract", "look_every"]

People = Literal["largest", "all"]
LOOKS_PER_SECOND = 5  # for faces, to see how many people there are
MOST_LOOKED = 60.0  # frames per second; higher rates may be a header's fancy
SLACK_SECONDS = 1.0  # a person counts so long before the first and after the last sight of the face
LEAST_SEEN = 0.01  # share of the frames with a body; in a video with fewer there is nobody


@dataclass(frozen=True, eq=False)
class Extraction:
    """What was found in a video.

    Attributes:
        poses: A pose for each person that was asked for, the largest first; all equally long.
        size: Width and height of the picture.
        people: How many people there are.
        frames: How many frames were decoded.
        is_variable: Whether the frame rate varies, so that frames were repeated or left out.
    """

    poses: tuple[PoseSequence, ...]
    size: tuple[int, int]
    people: int
    frames: int
    is_variable: bool


def extract(
    path: Path,
    estimator: Estimator,
    *,
    people: People = "largest",
    max_people: int | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Extraction:
    """Find the poses of the largest person in a video, or of everybody.

    The video is decoded twice: once to see whether several people are in view together, once to follow them.

    Args:
        path: The video.
        estimator: Finds faces and keypoints.
        people: Whose poses: `largest`, who takes most of the picture for most of the time, or `all`.
        max_people: With `all`, how many at most, the largest first.
        advance: Called for every frame that is done.

    Raises:
        PoseError: If the video can't be read, is cut off, or shows nobody.
        MissingExtraError: If a package for videos isn't installed.
    """
    survey = _survey(path, estimator)
    wanted: Sequence[Person | None] = [None]  # alone, and so found in the whole picture
    if survey.people:
        wanted = survey.people[: max_people if people == "all" else 1]
    points = _follow(path, estimator, wanted, count=survey.frames, advance=advance)
    found = [_as_pose(each, survey.timing, estimator.keypoints) for each in points]
    poses = tuple(pose for pose in found if _shows_somebody(pose))
    if not poses:
        raise PoseError(f"{path}: nobody is in view.")
    return Extraction(
        poses, survey.size, max(len(survey.people), 1), survey.frames, survey.timing.is_variable
    )


@dataclass(frozen=True, eq=False)
class _Survey:
    """What a first look at a video shows."""

    timing: Timing
    people: list[Person]
    size: tuple[int, int]
    frames: int


def _survey(path: Path, estimator: Estimator) -> _Survey:
    """Find out when the frames are shown, and who is in view together."""
    declared = read_facts(path).fps
    every = look_every(declared)
    times, looks, size = [], [], (1, 1)
    for number, frame in enumerate(read_frames(path)):
        times.append(frame.time)
        if number % every == 0:
            image = frame.image()
            size = (image.shape[1], image.shape[0])
            looks.append((number, estimator.find_faces(image)))
    timing = time_frames(np.array(times), declared=declared, name=str(path))
    people = find_people(looks, size=size, slack=round(SLACK_SECONDS * timing.fps))
    return _Survey(timing, people, size, len(times))


def look_every(declared: float | None) -> int:
    """In every which frame faces are looked for, of a video with this frame rate in its header."""
    rate = min(declared or MOST_LOOKED, MOST_LOOKED)
    return max(1, round(rate / LOOKS_PER_SECOND))


def _follow(
    path: Path,
    estimator: Estimator,
    people: Sequence[Person | None],
    *,
    count: int,
    advance: Callable[[], object],
) -> NDArray[np.float32]:
    """The keypoints of each person in each of `count` frames, (P, T, K, 4)."""
    nose = estimator.keypoints.index(NOSE)
    points = np.zeros((len(people), count, len(estimator.keypoints), 4), np.float32)
    number = -1
    with ExitStack() as stack:
        trackers = [stack.enter_context(closing(estimator.new_tracker())) for _ in people]
        for number, frame in enumerate(islice(read_frames(path), count)):
            image = frame.image()
            for person, tracker, found in zip(people, trackers, points, strict=True):
                if person is None:
                    found[number] = tracker.follow(image)
                elif person.may_be_in(number):
                    here = tracker.follow(image, person.region)
                    if person.has_nose(number, here[nose, :2]):
                        found[number] = here
            advance()
    if number + 1 != count:
        raise PoseError(f"{path}: was changed while it was read. Run the same command again.")
    return points


def _as_pose(
    points: NDArray[np.float32], timing: Timing, keypoints: tuple[str, ...]
) -> PoseSequence:
    """The keypoints (T, K, 4) of a video's frames at a constant rate."""
    chosen = points[timing.frames] if timing.is_variable else points
    return PoseSequence(chosen[..., :3], chosen[..., 3], timing.fps, keypoints)


def _shows_somebody(pose: PoseSequence) -> bool:
    nose = pose.confidence[:, pose.keypoints.index(NOSE)]
    return bool((nose > 0).mean() >= LEAST_SEEN)
