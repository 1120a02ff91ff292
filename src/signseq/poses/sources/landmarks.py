"""Landmarks as programs send them: as JSON, or as numbers behind a small header (`SGQ1`).

JSON: `{"fps": 25, "keypoints": [K names], "frames": [[[x, y, z, confidence], ...K], ...T]}`, with
`"times": [seconds, ...T]` instead of `fps` where frames come when they can, and maybe `"estimator"`.

Compact: the bytes `SGQ1`; the length of a JSON header as uint32; that header, which is the JSON above with
the number of frames as `"frames"` and with `"times": true` where there are any; then for each frame, as
float32, its time if there are any, and K x (x, y, z, confidence). All numbers are little-endian.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.estimation.rates import RATES, time_frames
from signseq.poses.sequence import PoseSequence
from signseq.poses.skeletons import SKELETONS, recognize
from signseq.poses.sources.landmark_json import (
    LONGEST_HEADER,
    describe,
    parse_frames,
    parse_header,
)

__all__ = [
    "MAGIC",
    "Landmarks",
    "check_keypoints",
    "dump_compact",
    "dump_json",
    "parse_compact",
    "parse_json",
]

MAGIC = b"SGQ1"
NUMBERS = 4  # of a point: x, y, z, confidence
LONGEST_NAME = 100  # characters


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Landmarks as they were sent.

    Attributes:
        points: x, y, z and confidence, float32 of shape (T, K, 4).
        keypoints: K names of the form `COMPONENT.POINT`.
        fps: Frames per second, where it is said.
        times: When each frame was seen, in seconds, ascending (T,); None where they are `fps` apart.
        estimator: The family of pose estimators, where it is said or the names tell it.
    """

    points: NDArray[np.float32]
    keypoints: tuple[str, ...]
    fps: float | None = None
    times: NDArray[np.float64] | None = None
    estimator: str | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def seconds(self) -> float:
        """How long they last."""
        if self.times is not None:
            return float(self.times[-1] - self.times[0]) if len(self.times) else 0.0
        return len(self) / self.fps if self.fps else 0.0

    def as_pose(self, *, name: str) -> PoseSequence:
        """The same at a constant rate: where times vary, each pose is the frame nearest to its time.

        Args:
            name: What to call them in messages.

        Raises:
            PoseError: If there is no frame, no rate, or times that no camera has.
        """
        names, guessed = recognize(self.keypoints)
        points, fps = self.points, self.fps
        if not len(self):
            raise PoseError(f"{name}: no frames. Send at least two.")
        if self.times is not None and len(self) > 1:
            try:
                timing = time_frames(self.times, declared=self.fps, name=name)
            except PoseError as fault:
                raise PoseError(
                    f"{name}: {len(self)} frames over {self.seconds:.3g} s; expected {RATES[0]:g} to {RATES[1]:g} "
                    "frames a second, without long pauses between them. Send every frame with its own time."
                ) from fault
            points, fps = points[timing.frames], timing.fps
        if fps is None:
            raise PoseError(f"{name}: a single frame with a time has no rate. Send two at least.")
        # A program may say which model of a family it runs; poses and checkpoints name the family.
        known = SKELETONS.get(self.estimator or "")
        estimator = known.estimator if known else self.estimator or guessed
        return PoseSequence(points[..., :3], points[..., 3], fps, names, estimator)


def parse_json(content: bytes, *, name: str) -> Landmarks:
    """Landmarks of JSON; `null` is a number that isn't known.

    Args:
        content: The JSON, UTF-8.
        name: What to call it in messages.

    Raises:
        PoseError: If it is no JSON, or not of this form.
    """
    facts = parse_header(content, name=name)
    keypoints = check_keypoints(facts.get("keypoints"), name=name)
    if facts.get("frames") != []:  # without what is in it
        found = describe(facts.get("frames"))
        raise PoseError(f'{name}: "frames" is {found}, expected one list of frames.')
    rows = bytearray()
    for what, frame in parse_frames(content, name=name):
        numbers = _numbers(frame, (len(keypoints), NUMBERS), what)
        with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite: not seen
            rows += numbers.astype(np.float32).data
    points = np.frombuffer(rows, np.float32).reshape(-1, len(keypoints), NUMBERS)
    times = facts.get("times")
    if times is not None:
        if not isinstance(times, list):
            raise PoseError(f'{name}: "times" is {describe(times)}, expected a list of seconds.')
        times = _numbers(times, (len(points),), f'{name}: "times"')
    return _checked(points, keypoints, facts, times, name)


def parse_compact(content: bytes, *, name: str) -> Landmarks:
    """Landmarks of the compact form.

    Args:
        content: All of it, from `SGQ1` on.
        name: What to call it in messages.

    Raises:
        PoseError: If it is not of this form, cut off, or followed by something else.
    """
    start = len(MAGIC) + 4
    if len(content) < start or not content.startswith(MAGIC):
        raise PoseError(f"{name}: cut off; expected SGQ1 and the length of a header.")
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    if length > min(LONGEST_HEADER, len(content) - start):
        raise PoseError(
            f"{name}: a header of {length} bytes; {len(content) - start} bytes follow, and at most {LONGEST_HEADER} "
            "are read. Send the length as uint32, little-endian."
        )
    facts = parse_header(bytes(content[start : start + length]), name=name)
    keypoints = check_keypoints(facts.get("keypoints"), name=name)
    frames, has_times = facts.get("frames"), facts.get("times", False)
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 0:
        raise PoseError(f'{name}: "frames" is {describe(frames)}, expected how many frames follow.')
    if has_times not in (True, False, None):
        raise PoseError(f'{name}: "times" is {describe(has_times)}, expected true or false.')
    width = NUMBERS * len(keypoints) + bool(has_times)
    rest = len(content) - start - length
    if rest != 4 * width * frames:
        raise PoseError(
            f"{name}: {rest} bytes behind the header, expected {4 * width * frames}: {frames} frames of {width} "
            "float32 numbers."
        )
    rows = np.frombuffer(content, "<f4", width * frames, start + length).reshape(frames, width)
    points = rows[:, bool(has_times) :].reshape(frames, len(keypoints), NUMBERS)
    times = rows[:, 0].astype(np.float64) if has_times else None
    return _checked(points.astype(np.float32), keypoints, facts, times, name)


def dump_json(pose: PoseSequence) -> bytes:
    """A pose with three coordinates as JSON that `parse_json` reads."""
    points = _points_of(pose)
    known = points.astype(object)
    known[~np.isfinite(points)] = None  # JSON has no NaN
    return json.dumps(_facts_of(pose) | {"frames": known.tolist()}).encode()


def dump_compact(pose: PoseSequence) -> bytes:
    """A pose with three coordinates in the compact form."""
    header = json.dumps(_facts_of(pose) | {"frames": len(pose)}).encode()
    numbers = _points_of(pose).astype("<f4").tobytes()
    return MAGIC + struct.pack("<I", len(header)) + header + numbers


def _points_of(pose: PoseSequence) -> NDArray[np.float32]:
    return np.concatenate([pose.data, pose.confidence[..., None]], axis=2)


def _facts_of(pose: PoseSequence) -> dict[str, Any]:
    said = {"estimator": pose.estimator} if pose.estimator else {}
    return {"fps": pose.fps, "keypoints": pose.keypoints, **said}


def check_keypoints(names: Any, *, name: str) -> tuple[str, ...]:
    """Names of keypoints as they were sent.

    Raises:
        PoseError: If they are no list of different, short names.
    """
    if not isinstance(names, list) or not names:
        raise PoseError(
            f'{name}: "keypoints" is {describe(names)}, expected a list of names such as POSE_LANDMARKS.NOSE.'
        )
    for each in names:
        if not isinstance(each, str) or not 0 < len(each) <= LONGEST_NAME:
            raise PoseError(
                f'{name}: one of "keypoints" is {describe(each)}, expected a name of 1 to {LONGEST_NAME} characters.'
            )
    if len(set(names)) < len(names):
        raise PoseError(f'{name}: "keypoints" holds a name twice; expected each one once.')
    return tuple(names)


def _checked(
    points: NDArray[np.float32],
    keypoints: tuple[str, ...],
    facts: dict[str, Any],
    times: NDArray[Any] | None,
    name: str,
) -> Landmarks:
    fps, estimator = facts.get("fps"), facts.get("estimator")
    if fps is not None and (
        isinstance(fps, bool) or not isinstance(fps, int | float) or not RATES[0] <= fps <= RATES[1]
    ):
        raise PoseError(f'{name}: "fps" is {describe(fps)}, expected {RATES[0]:g} to {RATES[1]:g}.')
    if fps is None and times is None:
        raise PoseError(f'{name}: neither "fps" nor "times". Say how fast the frames follow.')
    if times is not None:
        times = times.astype(np.float64)
        if not (np.isfinite(times).all() and (times >= 0).all() and (np.diff(times) > 0).all()):
            raise PoseError(
                f'{name}: "times" must be seconds, none below 0, each one later than the one before it.'
            )
    if estimator is not None and (
        not isinstance(estimator, str) or not 0 < len(estimator) <= LONGEST_NAME
    ):
        raise PoseError(f'{name}: "estimator" is {describe(estimator)}, expected a short name.')
    return Landmarks(points, keypoints, None if fps is None else float(fps), times, estimator)


def _numbers(values: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """A list of numbers, or of lists of them; numpy alone would take strings for numbers, too."""
    rows = values if len(shape) == 2 else [values]
    size = " x ".join(map(str, shape))
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise PoseError(
            f"{what} is {describe(values)} without numbers in lists; expected {size} numbers."
        )
    lengths = {len(row) for row in rows}
    if len(rows) != (shape[0] if len(shape) == 2 else 1) or lengths - {shape[-1]}:
        found = " or ".join(map(str, sorted(lengths)[:3])) or "no"
        points = f"{len(rows)} lists of " if len(shape) == 2 else ""
        raise PoseError(f"{what} has {points}{found} numbers; expected {size}.")
    if not set(map(type, chain.from_iterable(rows))) <= {int, float, NoneType}:
        raise PoseError(f"{what} holds something else than numbers; expected {size} of them.")
    try:
        return np.array(values, np.float64)  # None becomes NaN
    except OverflowError as fault:
        raise PoseError(f"{what} holds a number that is too large; expected pixels.") from fault
