"""Pose files as pictures that move: which files, and what is worth knowing of each."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signseq.errors import DataError, PoseError
from signseq.poses.drawing import DrawnPose, draw_pose
from signseq.poses.keypoints import find_parts
from signseq.poses.sequence import PoseSequence
from signseq.poses.skeletons import WORLD
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource
from signseq.poses.transforms import mask_unusable

__all__ = ["ViewedClip", "find_files", "view_clip"]

SUFFIXES = (".pose", ".pose.zst")
MOST_POINTS = 220  # that are drawn of a frame; of a face with more, every so-manieth


@dataclass(frozen=True, eq=False)
class ViewedClip:
    """A file, or a part of it, that is shown.

    Attributes:
        path: The file.
        pose: Its picture.
        facts: What is worth knowing: name and value.
        notes: What is not as the file has it.
    """

    path: Path
    pose: DrawnPose
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def find_files(names: Sequence[str | Path]) -> list[Path]:
    """The pose files that names, folders and globs stand for, each once, in this order.

    Raises:
        DataError: If one isn't there, or there is no pose file in it.
    """
    found = dict.fromkeys(path for name in names for path in _expand(str(name)))
    return list(found)


def _expand(name: str) -> Iterator[Path]:
    path = Path(name)
    if not name:
        raise DataError(
            "An empty name. Give a file, a folder or a glob; . is the folder you are in."
        )
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if _is_shown(each.relative_to(path)))
    elif path.exists():  # first, as a name may hold the brackets of a glob
        files = [path]
    else:
        files = sorted(map(Path, glob.glob(name, recursive=True)))
    if not files and (path.is_dir() or glob.has_magic(name)):
        raise DataError(f"{name}: no {' or '.join(SUFFIXES)} files there.")
    if not files:
        raise DataError(f"{name}: no such file or folder.")
    for each in files:
        if not each.name.endswith(SUFFIXES):
            raise DataError(
                f"{each}: is no .pose or .pose.zst file. Of a video, signseq pose makes one."
            )
    yield from files


def _is_shown(path: Path) -> bool:
    """Whether a file of a folder is one of poses, and not hidden there."""
    return path.name.endswith(SUFFIXES) and not any(part.startswith(".") for part in path.parts)


def view_clip(path: Path, *, start: float = 0.0, seconds: float = 60.0) -> ViewedClip:
    """Read and draw a file, or a part of it; nothing else of it is read.

    Args:
        path: A .pose or .pose.zst file.
        start: Where to begin, in seconds.
        seconds: How much to show at most.

    Raises:
        PoseError: If it can't be read, shows nothing, or is shorter than `start`.
    """
    kind = PoseFormat("pose.zst") if path.name.endswith(".zst") else PoseFormat()
    source = open_poses(str(path), pose_format=kind)
    whole = source.frames / source.fps
    if start >= whole:
        raise PoseError(
            f"{path}: lasts {whole:.1f} s, and {start:g} s was asked for as the start. Begin earlier."
        )
    first, last = source.frame_range(start, start + seconds)
    pose = mask_unusable(source.decode(first, last).read())
    columns = [i for i, name in enumerate(pose.keypoints) if not name.startswith(f"{WORLD}.")]
    names = tuple(pose.keypoints[i] for i in columns)
    if not (pose.confidence[:, columns] > 0).any():
        raise PoseError(f"{path}: no point is seen in any frame from {start:g} s on.")
    packed = np.concatenate([pose.data[:, columns, :2], pose.confidence[:, columns, None]], axis=2)
    drawn = draw_pose(
        packed,
        names,
        normalize="none",
        fps=pose.fps,
        max_frames=len(packed),
        max_points=MOST_POINTS,
    )
    shown = (last - first) / source.fps
    notes = (f"{shown:.1f} s from {start:g} s on are shown, of {whole:.1f} s.",)
    return ViewedClip(path, drawn, _facts(source, pose), notes if shown < whole else ())


def _facts(source: PoseSource, pose: PoseSequence) -> tuple[tuple[str, str], ...]:
    parts = find_parts(pose.keypoints)
    shares = [
        (f"{side} hand seen", f"{(pose.confidence[:, list(points)] > 0).any(axis=1).mean():.0%}")
        for side, points in (("left", parts.left_hand), ("right", parts.right_hand))
        if points
    ]
    return (
        ("seconds", f"{source.frames / source.fps:.1f}"),
        ("frames", f"{source.frames:,} at {source.fps:g} fps"),
        ("points", f"{len(pose.keypoints)}, {pose.estimator or 'unknown estimator'}"),
        *shares,
    )
