"""Tiny pose files of every format, as their corpora come; random, seeded."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conftest import make_pose
from signseq.poses.sequence import write_pose

OPENPOSE_PARTS = {
    "pose_keypoints_2d": 25,
    "face_keypoints_2d": 70,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
}


def random_points(frames: int, points: int, *, channels: int = 3, seed: int = 0) -> NDArray[Any]:
    """Points in a picture of 500 x 500 pixels, the last channel in (0, 1): (T, K, channels)."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 500, size=(frames, points, channels)).astype(np.float32)
    values[..., -1] = rng.uniform(0.2, 1, size=(frames, points))
    return values


def openpose_person(values: NDArray[Any]) -> dict[str, list[float]]:
    """One of `people` in OpenPose's JSON, of (137, 3) numbers."""
    person, start = {"person_id": [-1]}, 0
    for part, points in OPENPOSE_PARTS.items():
        numbers = values[start : start + points].ravel().tolist()
        person[part] = [round(number, 3) for number in numbers]  # about as OpenPose writes them
        start += points
    return person


def write_openpose(folder: Path, frames: Sequence[Sequence[NDArray[Any]] | None]) -> Path:
    """A folder with a JSON file per frame, of everybody in it; None writes no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(frames):
        if people is not None:
            content = {"version": 1.3, "people": [openpose_person(values) for values in people]}
            path = folder / f"{folder.name}_{number:012d}_keypoints.json"
            path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_wholebody(path: Path, values: NDArray[Any], **facts: Any) -> Path:
    """A pickle of COCO-WholeBody keypoints, one person, of (T, 133, 3) numbers."""
    content = {
        "keypoints": [frame[None, :, :2] for frame in values],
        "scores": [frame[None, :, 2] for frame in values],
        **facts,
    }
    path.write_bytes(pickle.dumps(content))
    return path


def pose_bytes(folder: Path, *, frames: int = 12, seed: int = 0, fps: float = 25.0) -> bytes:
    """The content of a .pose file."""
    path = folder / f".{seed}.pose"
    write_pose(path, make_pose(frames=frames, seed=seed, fps=fps), size=(500, 500))
    content = path.read_bytes()
    path.unlink()
    return content


def write_zip(
    path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED
) -> Path:
    """A zip of these members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def split_file(path: Path, *, parts: int) -> list[Path]:
    """Split a file as `split -b` does, into equal parts and a rest; the file itself goes."""
    content = path.read_bytes()
    size = -(-len(content) // parts)
    written = []
    for number in range(parts):
        part = path.with_name(f"{path.stem}_part_a{'abcdefgh'[number]}")
        part.write_bytes(content[number * size : (number + 1) * size])
        written.append(part)
    path.unlink()
    return written
