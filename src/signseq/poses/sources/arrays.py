"""Landmarks in plain arrays: `.npy` files, and what HDF5 and pickles hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.reading import unreadable
from signseq.poses.sequence import PoseFile
from signseq.poses.skeletons import SKELETONS, Skeleton
from signseq.poses.sources.source import Channels, PoseFormat, PoseSource, make_file

__all__ = ["open_array", "open_npy", "skeleton_of"]

MAGIC = b"\x93NUMPY"
# What an array holds of each point where nobody says it, by the number of its channels.
MEDIAPIPE_CHANNELS: dict[int, Channels] = {2: "xy", 3: "xyz", 4: "xyzc"}
OTHER_CHANNELS: dict[int, Channels] = {2: "xy", 3: "xyc", 4: "xyzc"}


def skeleton_of(pose_format: PoseFormat, *, default: str | None = None) -> Skeleton:
    """The skeleton that a format names.

    Raises:
        PoseError: If it names none, or one that there isn't.
    """
    name = pose_format.skeleton or default
    if name is None:
        raise PoseError(
            f"Which points do the {pose_format.name} files hold? Set data.pose_files.skeleton to one of: "
            f"{', '.join(SKELETONS)}."
        )
    if name not in SKELETONS:
        raise PoseError(f"No skeleton {name!r}; there are: {', '.join(SKELETONS)}.")
    return SKELETONS[name]


def open_npy(content: str | bytes, pose_format: PoseFormat, *, name: str) -> PoseSource:
    """Open an array of landmarks; a file is mapped, so that a clip of a long video costs what it holds.

    Args:
        content: The path of a `.npy` file, or its bytes.
        pose_format: Which points it holds, and at which rate.
        name: What to call it in messages.

    Raises:
        PoseError: If it can't be read, holds Python objects, or doesn't fit the skeleton.
    """
    try:
        if isinstance(content, bytes):
            array = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            array = np.load(content, mmap_mode="r", allow_pickle=False)
    except OSError as fault:
        raise unreadable(name, fault) from fault
    except (ValueError, EOFError, SyntaxError, MemoryError, OverflowError) as fault:
        if not _starts_like_npy(content):  # numpy would take it for a pickle
            raise PoseError(f"{name}: no whole .npy file. Fetch or save it again.") from fault
        if "object" in str(fault).lower():
            raise PoseError(
                f"{name}: holds Python objects, whose reading can run code; it is not read. Save it as an "
                "array of numbers (frames, points, coordinates)."
            ) from fault
        raise PoseError(f"{name}: no whole .npy file ({fault}). Fetch or save it again.") from fault
    if not isinstance(array, np.ndarray):
        raise PoseError(f"{name}: an archive of several arrays (.npz); expected one array (.npy).")
    return open_array(array, array.shape, pose_format, skeleton_of(pose_format), name=name)


def _starts_like_npy(content: str | bytes) -> bool:
    if isinstance(content, str):
        with open(content, "rb") as file:
            content = file.read(len(MAGIC))
    return content.startswith(MAGIC)


def open_array(
    array: Any,
    shape: tuple[int, ...],
    pose_format: PoseFormat,
    skeleton: Skeleton,
    *,
    name: str,
    read: Callable[[int, int], NDArray[Any]] | None = None,
) -> PoseSource:
    """Make a source of an array of shape (T, K, C), (T, P, K, C) or (T, K * C).

    Where the array has no confidence, a point is missing if it is not a number or exactly at the
    origin, and a component is missing in a frame where all its points are at one spot: so write
    those who fill what wasn't found with a constant.

    Args:
        array: Anything that can be sliced by frames.
        shape: Its shape.
        pose_format: Its channels and frame rate.
        skeleton: Its points.
        name: What to call it in messages.
        read: Reads some frames, where `array` can't be sliced as it is.

    Raises:
        PoseError: If the shape doesn't fit the skeleton.
    """
    points = len(skeleton.names)
    channels = _channels(shape, pose_format, skeleton, name)
    people = shape[1] if len(shape) == 4 else 1
    fps = pose_format.rate(name)

    def decode(first: int, last: int) -> PoseFile:
        frames = read(first, last) if read else array[first:last]
        if frames.dtype.kind not in "fiu":
            raise PoseError(f"{name}: holds {frames.dtype}, expected numbers.")
        values = np.asarray(frames).reshape(last - first, people, points, len(channels))
        data = values[..., : len(channels.removesuffix("c"))].astype(np.float32)
        has_confidence = channels.endswith("c")
        confidence = values[..., -1] if has_confidence else _find_seen(data, skeleton.names)
        return make_file(
            data,
            confidence,
            fps=fps,
            skeleton=skeleton,
            size=pose_format.size,
            name=name,
        )

    return PoseSource(name, fps, shape[0], skeleton.names, decode)


def _channels(
    shape: tuple[int, ...], pose_format: PoseFormat, skeleton: Skeleton, name: str
) -> Channels:
    """What the array holds of each point."""
    points = len(skeleton.names)
    usual = MEDIAPIPE_CHANNELS if skeleton.estimator == "mediapipe" else OTHER_CHANNELS
    given = pose_format.channels
    allowed = [len(given)] if given else list(usual)
    expected = {
        count: (points * count,) if len(shape) == 2 else (points, count) for count in allowed
    }
    ends = shape[2:] if len(shape) == 4 else shape[1:]
    for count, end in expected.items():
        if ends == end:
            return given or usual[count]
    forms = " or ".join(str(("T", *end)).replace("'", "") for end in expected.values())
    raise PoseError(
        f"{name}: an array of shape {shape} doesn't fit the {points} points of {skeleton.name!r}; expected "
        f"{forms}, T frames. Is data.pose_files.skeleton right?"
    )


def _find_seen(data: NDArray[np.float32], keypoints: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which points (T, P, K) an array without confidences says anything about."""
    channels = [data[..., channel] for channel in range(data.shape[3])]
    with np.errstate(invalid="ignore"):
        seen: NDArray[np.bool_] = np.isfinite(reduce(np.add, channels))  # faster than one by one
    seen &= reduce(np.logical_or, (channel != 0 for channel in channels))
    for component in _components(keypoints):
        part = data[:, :, component]
        ends_meet = (part[:, :, 0] == part[:, :, -1]).all(axis=2)  # rarely, and all must
        if ends_meet.any():
            at_one_spot = (part[ends_meet] == part[ends_meet][:, :1]).all(axis=(1, 2))
            seen[:, :, component][ends_meet] &= ~at_one_spot[:, None]
    return seen


@lru_cache(maxsize=32)
def _components(keypoints: tuple[str, ...]) -> tuple[slice, ...]:
    """Where each component of more than one point stands."""
    names = [name.split(".")[0] for name in keypoints]
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ranges = zip(starts, [*starts[1:], len(names)], strict=True)
    return tuple(slice(start, end) for start, end in ranges if end - start > 1)
