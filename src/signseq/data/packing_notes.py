"""What packing a split says in the end."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

from signseq.data.shard_reports import ShardReport
from signseq.errors import DataError

__all__ = ["SkippedError", "check_skipped", "describe_total"]

logger = logging.getLogger(__name__)


class SkippedError(DataError):
    """Too many clips of one split can't be used; those of the other splits may be."""


def check_skipped(total: ShardReport, *, most: float, place: str, pose_dir: Path) -> None:
    """Say what was skipped.

    Args:
        total: What became of all clips.
        most: The share that the user allows.
        place: Where they are listed.
        pose_dir: Where the poses should be.

    Raises:
        SkippedError: If it is more than that, or all.
    """
    if not total.skipped:
        return
    said = _describe_skipped(total, place=place, pose_dir=pose_dir)
    if not total.clips:
        raise SkippedError(f"{said}\nNothing is left to put into a store.")
    if len(total.skipped) > most * (total.clips + len(total.skipped)):
        raise SkippedError(
            f"{said}\nAt most {100 * most:g}% may be skipped. Mend them, or raise data.max_skipped; "
            "what is packed is kept."
        )
    logger.warning("%s", said)


def _describe_skipped(total: ShardReport, *, place: str, pose_dir: Path) -> str:
    """How many clips can't be used, and why most of them can't."""
    count, every = len(total.skipped), total.clips + len(total.skipped)
    reasons = Counter(reason.removeprefix(f"{file}: ") for _, file, reason in total.skipped)
    common = "; ".join(f"{number} x {reason}" for reason, number in reasons.most_common(3))
    share = 100 * count / every
    said = f"{count} of {every} clips can't be used ({share:.2f}%), all listed in {place}. Most often: {common}"
    missing = [
        file
        for _, file, reason in total.skipped
        if reason.endswith((": no such file.", ": no such folder."))
    ]
    if 2 * len(missing) > count:
        said += f"\nThere is no {os.path.abspath(missing[0])}, for example; is data.pose_dir = {pose_dir} right?"
    return said


def describe_total(total: ShardReport) -> str:
    """How much was packed, and what is odd about it."""
    notes = [f"{total.clips} clips, {total.seconds / 3600:.2f} hours, {total.frames} frames"]
    if total.skipped:
        notes.append(f"{len(total.skipped)} skipped")
    if total.several_people:
        notes.append(f"{total.several_people} with several people (the most visible one was taken)")
    if total.missing_frames:
        notes.append(f"{total.missing_frames} frames without a file, treated as showing nobody")
    if total.ends_outside:
        notes.append(f"{total.ends_outside} that the table ends after their file's end")
    if total.without_hands:
        notes.append(f"{total.without_hands} without any hand")
    if total.unusable_points:
        notes.append(
            f"{total.unusable_points} points with NaN or infinite coordinates, treated as missing"
        )
    return "; ".join(notes)
