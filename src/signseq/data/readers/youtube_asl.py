"""YouTube-ASL with its ready keypoints in HDF5 shards: American Sign Language to English."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import unreadable
from signseq.errors import ConfigError, DataError

__all__ = ["read_youtube_asl"]

ORDER = "clip_order"


def read_youtube_asl(data: DataConfig, split: str) -> Iterator[Example]:
    """`YouTubeASL.annotation.<split>.json`, and in `pose_dir` the shards and their list.

    The list, `YouTubeASL.keypoints.<split>.json`, gives the shard of each video; the shard 0 is
    `YouTubeASL.keypoints.<split>.0.h5`, and holds `<video>/<clip>`. Clips of videos that the list
    lacks are listed as skipped.
    """
    place = build_place(data, default="h5")
    if place.pose_format.name != "h5":
        raise ConfigError("data.pose_files.format: youtube_asl_h5 is read from HDF5 (h5) only.")
    path = data.split_paths[split]
    annotation = _read_json(path)
    shard_list = _find_list(path, data.pose_dir)
    # A store outlives its poses: without the list the clips are read all the same, and have no file.
    is_there = shard_list.exists()
    shards = _read_json(shard_list) if is_there else {}
    for video, clips in annotation.items():
        shard = shards.get(video, "unlisted")
        file = f"{shard_list.stem}.{shard}.h5" if is_there else shard_list.name
        for clip, text in _clips(clips, f"{path}, video {video!r}"):
            example = place.example(
                clip if clip.startswith(video) else f"{video}/{clip}",
                file=file,
                text=text,
                split=split,
                source_language="ase",
            )
            yield replace(example, pose_member=f"{video}/{clip}")


def _clips(clips: Any, where: str) -> Iterator[tuple[str, str]]:
    """The clips of a video in their order, and their sentences."""
    try:
        for clip in clips[ORDER]:
            text = clips[clip]["translation"]
            if not isinstance(text, str):
                raise TypeError(f"{text!r} is no sentence")
            yield clip, text
    except (KeyError, TypeError) as fault:
        raise DataError(
            f"{where}: {fault!r}; expected {{'clip_order': [clip, ...], clip: {{'translation': ...}}, ...}}."
        ) from fault


def _find_list(annotation: Path, folder: Path) -> Path:
    """The list of shards that belongs to an annotation: `annotation` in its name is `keypoints` there."""
    return folder / re.sub(r"annotations?", "keypoints", annotation.name)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as fault:
        raise unreadable(path, fault) from fault
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{path}: no whole JSON file ({fault}). Fetch it anew.") from fault
    if not isinstance(content, dict):
        raise DataError(f"{path}: a {type(content).__name__}; expected a JSON object of videos.")
    return content
