"""From a long video to the poses of one person in it, frame after frame: memory doesn't grow with its length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.poses.estimation.clips import look_every
from signseq.poses.estimation.estimator import Estimator, Region
from signseq.poses.estimation.people import find_people
from signseq.poses.estimation.rates import at_rate, time_frames
from signseq.poses.estimation.video import read_facts, read_frames
from signseq.poses.sequence import PoseSequence

__all__ = ["Following", "follow"]

LOOK_SECONDS = 10.0  # at the start of a video, that say who is in it and how fast its frames come
MOST_LOOKED = 600  # frames at the start, whatever their times say
PIECE = 50  # frames


@dataclass(frozen=True, eq=False)
class Following:
    """A person who is followed through a video.

    Attributes:
        fps: Frames per second of the poses.
        size: Width and height of the picture.
        people: How many people are in view at the start.
        expected_frames: How many frames there should be, where that can be known.
        pieces: The poses, at a constant rate; they are found when they are asked for.
    """

    fps: float
    size: tuple[int, int]
    people: int
    expected_frames: int | None
    pieces: Iterator[PoseSequence]


def follow(path: Path, estimator: Estimator) -> Following:
    """Follow the largest person in a video from its first frame to its last one.

    Who is the largest, where several are in view together, and where in the picture to look for them
    is decided by the first ten seconds; a person who then leaves that part of the picture is lost.

    Args:
        path: The video.
        estimator: Finds faces and keypoints.

    Raises:
        PoseError: If the video can't be read; at its end also if it is cut off.
        MissingExtraError: If a package for videos isn't installed.
    """
    facts = read_facts(path)
    times, looks, size = _look(path, estimator, declared=facts.fps)
    fps = time_frames(np.array(times), declared=facts.fps, name=str(path)).fps
    people = find_people(looks, size=size, slack=0)
    region = people[0].region if people else None
    pieces = _pieces(path, estimator, region, fps=fps)
    return Following(fps, size, max(len(people), 1), facts.expected_frames, pieces)


def _look(
    path: Path, estimator: Estimator, *, declared: float | None
) -> tuple[list[float], list[tuple[int, NDArray[np.float32]]], tuple[int, int]]:
    """When the first frames are shown, the faces in some of them, and the picture's size."""
    every = look_every(declared)
    times = list[float]()
    looks = list[tuple[int, NDArray[np.float32]]]()
    size = (1, 1)
    with closing(read_frames(path)) as frames:
        for number, frame in enumerate(islice(frames, MOST_LOOKED)):
            times.append(frame.time)
            if number % every == 0:
                image = frame.image()
                size = (image.shape[1], image.shape[0])
                looks.append((number, estimator.find_faces(image)))
            if frame.time - times[0] >= LOOK_SECONDS:
                break
    return times, looks, size


def _pieces(
    path: Path, estimator: Estimator, region: Region | None, *, fps: float
) -> Iterator[PoseSequence]:
    with closing(read_frames(path)) as frames, closing(estimator.new_tracker()) as tracker:
        found = ((frame.time, tracker.follow(frame.image(), region)) for frame in frames)
        steady = at_rate(found, fps=fps, name=str(path))
        while piece := list(islice(steady, PIECE)):
            points = np.stack(piece)
            yield PoseSequence(points[..., :3], points[..., 3], fps, estimator.keypoints)
