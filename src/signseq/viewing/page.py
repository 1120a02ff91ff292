"""Moving skeletons on one HTML page that needs nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from signseq.playing.pages import player_script, write_whole
from signseq.playing.skeletons import PACKED_ABSENT, PACKED_SIDE, pack_poses
from signseq.viewing.clips import ViewedClip

__all__ = ["to_html", "write_page"]

MOST_CHARACTERS = 20_000_000  # of the skeletons; more clips have fewer frames a second


def write_page(clips: Sequence[ViewedClip], path: Path, *, notes: Sequence[str] = ()) -> None:
    """Write the page.

    Args:
        clips: What is shown.
        path: Where it goes.
        notes: What is said above, as of files that can't be read.

    Raises:
        DataError: If it can't be written.
    """
    write_whole(to_html(clips, notes=notes), path)


def to_html(clips: Sequence[ViewedClip], *, notes: Sequence[str] = ()) -> str:
    """The page, without any reference to another file."""
    template = files("signseq.viewing").joinpath("view.html").read_text(encoding="utf-8")
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    page = Template(template).safe_substitute(
        player=player_script(),
        title=escape(clips[0].path.name if len(clips) == 1 else f"{len(clips)} clips"),
        notes=f'<ul class="notes">{listed}</ul>' if listed else "",
    )
    data = json.dumps(_data(clips), ensure_ascii=False, separators=(",", ":"))
    return page.replace("<!-- data -->", data.replace("<", "\\u003c"))


def _data(clips: Sequence[ViewedClip]) -> dict[str, Any]:
    """What the page's script reads; skeletons are written once for all clips that share one."""
    packed = pack_poses([clip.pose for clip in clips], budget=MOST_CHARACTERS)
    shared = os.path.commonpath([clip.path.absolute().parent for clip in clips])
    skeletons: dict[tuple[Any, ...], int] = {}
    shown = []
    for clip, pose in zip(clips, packed, strict=True):
        skeleton = (clip.pose.points.shape[1], clip.pose.edges, clip.pose.hands)
        shown.append(
            {
                "name": str(clip.path.absolute().relative_to(shared)),
                "facts": clip.facts,
                "notes": clip.notes,
                "skeleton": skeletons.setdefault(skeleton, len(skeletons)),
                "pose": {"data": pose.data, "frames": pose.frames, "seconds": pose.seconds},
            }
        )
    return {
        "side": PACKED_SIDE,
        "absent": PACKED_ABSENT,
        "skeletons": [
            {"points": points, "edges": edges, "hands": hands} for points, edges, hands in skeletons
        ],
        "clips": shown,
    }
