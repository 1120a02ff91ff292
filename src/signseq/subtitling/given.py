"""Segments that somebody else found: a person in ELAN, another program, or an earlier run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from signseq.errors import DataError
from signseq.poses.segmentation import Segment
from signseq.poses.sequence import PoseSequence
from signseq.subtitling.elan import TRANSLATION

__all__ = ["SENTENCE", "GivenSegments", "Span", "read_segments"]

Span = tuple[float, float]  # seconds
SENTENCE = "SENTENCE"  # a tier of sign-language-processing/segmentation
TIERS = (TRANSLATION, SENTENCE)
LARGEST_FILE = 100 << 20  # bytes


class GivenSegments:
    """Does what a `Segmenter` does, with segments that are known.

    Args:
        spans: Start and end of each, in seconds.
        fps: Frames per second of the recording.
    """

    def __init__(self, spans: Sequence[Span], *, fps: float) -> None:
        frames = [(round(start * fps), round(end * fps)) for start, end in sorted(spans)]
        self._coming = [Segment(start, max(end, start + 1)) for start, end in frames]
        self._read = 0

    @property
    def earliest_start(self) -> int:
        """No segment that is still to come starts before this frame."""
        return self._coming[0].start if self._coming else self._read

    def feed(self, pose: PoseSequence) -> list[Segment]:
        """Take the frames that follow, and return the segments that end in them."""
        self._read += len(pose)
        return self._take(self._read)

    def finish(self) -> list[Segment]:
        """The segments that the end of the recording cuts off; what begins after it is left out."""
        cut = [Segment(each.start, min(each.end, self._read)) for each in self._coming]
        self._coming = []
        return [each for each in cut if each.start < each.end]

    def _take(self, end: int) -> list[Segment]:
        # In the order of their starts: one that ends early waits for a longer one that began before.
        taken = 0
        while taken < len(self._coming) and self._coming[taken].end <= end:
            taken += 1
        done, self._coming = self._coming[:taken], self._coming[taken:]
        return done


def read_segments(path: str | Path, *, tier: str | None = None) -> list[Span]:
    """Read segments of an .eaf file, or of a .json file that `signseq subtitle` wrote.

    Args:
        path: The file.
        tier: Of an .eaf file, which tier; None takes `translation`, else `SENTENCE`, else the only one with times.

    Returns:
        Start and end of each in seconds, in the order of time.

    Raises:
        DataError: If the file can't be read, or holds no such segments.
    """
    path = Path(path)
    readers: dict[str, Callable[[bytes, str], list[Span]]] = {
        ".eaf": partial(_read_eaf, wanted=tier),
        ".json": _read_json,
    }
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: segments are read of .eaf and .json files.")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(
                f"{path}: larger than {LARGEST_FILE >> 20} MiB; no file of segments is."
            )
        content = path.read_bytes()
    except OSError as fault:
        why = "no such file" if isinstance(fault, FileNotFoundError) else fault.strerror
        raise DataError(f"{path}: can't be read ({why}).") from fault
    spans = readers[path.suffix.lower()](content, str(path))
    for start, end in spans:
        if not 0 <= start < end < math.inf:
            raise DataError(
                f"{path}: a segment goes from {start:g} s to {end:g} s. Correct it there."
            )
    return sorted(spans)


def _read_json(content: bytes, name: str) -> list[Span]:
    try:
        segments = json.loads(content)["segments"]
        return [(float(each["start"]), float(each["end"])) for each in segments]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise DataError(
            f'{name}: expected {{"segments": [{{"start": seconds, "end": seconds}}, ...]}} ({fault}).'
        ) from fault


def _read_eaf(content: bytes, name: str, *, wanted: str | None) -> list[Span]:
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as fault:
        raise DataError(f"{name}: is damaged, or no .eaf file ({fault}).") from fault
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tier = _choose_tier(root, name, wanted)
    spans = []
    for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
        ends = [times.get(annotation.get(f"TIME_SLOT_REF{i}")) for i in (1, 2)]
        try:
            start, end = (int(time or "") / 1000 for time in ends)
        except ValueError as fault:
            raise DataError(
                f"{name}: annotation {annotation.get('ANNOTATION_ID')} has no times. Align it in ELAN."
            ) from fault
        spans.append((start, end))
    return spans


def _choose_tier(root: Element, name: str, wanted: str | None) -> Element:
    tiers = {tier.get("TIER_ID", ""): tier for tier in root.iter("TIER")}
    for each in TIERS if wanted is None else (wanted,):
        if each in tiers:
            return tiers[each]
    if wanted is not None:
        raise DataError(f"{name}: no tier {wanted!r}; it has {', '.join(tiers) or 'none'}.")
    timed = [tier for tier in tiers.values() if tier.find(".//ALIGNABLE_ANNOTATION") is not None]
    if len(timed) != 1:
        raise DataError(
            f"{name}: which tier has the segments? It has {', '.join(tiers) or 'none'}; rename the one to "
            f"{TRANSLATION!r}."
        )
    return timed[0]
