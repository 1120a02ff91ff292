"""Praat's TextGrid, in its long form.

Format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

from collections.abc import Sequence

from signseq.subtitling.cues import Subtitles, to_ms

__all__ = ["format_textgrid"]


def format_textgrid(subtitles: Subtitles) -> str:
    """Subtitles as a TextGrid: a tier of translations and one of confidence; intervals without text between."""
    end = max(to_ms(subtitles.seconds), *(to_ms(cue.end) for cue in subtitles.cues), 1)
    tiers = {"translation": [cue.text or "" for cue in subtitles.cues]}
    if any(cue.confidence is not None for cue in subtitles.cues):
        tiers["confidence"] = [
            "" if cue.confidence is None else f"{cue.confidence:.3f}" for cue in subtitles.cues
        ]
    spans = [(to_ms(cue.start), to_ms(cue.end)) for cue in subtitles.cues]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        *_range(0, end, indent=0),
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for number, (name, texts) in enumerate(tiers.items(), start=1):
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier" ',
            f'        name = "{name}" ',
        ]
        lines += _range(0, end, indent=8)
        intervals = _filled(spans, texts, end=end)
        lines.append(f"        intervals: size = {len(intervals)} ")
        for place, (first, last, text) in enumerate(intervals, start=1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", *_range(first, last, indent=12)]
            lines.append(f'            text = "{quoted}" ')
    return "\n".join(lines) + "\n"


def _filled(
    spans: Sequence[tuple[int, int]], texts: Sequence[str], *, end: int
) -> list[tuple[int, int, str]]:
    """All intervals of a tier, in milliseconds; those between the spans are empty."""
    intervals, before = [], 0
    for (first, last), text in zip(spans, texts, strict=True):
        if first > before:
            intervals.append((before, first, ""))
        intervals.append((first, last, text))
        before = last
    if before < end:
        intervals.append((before, end, ""))
    return intervals


def _range(first: int, last: int, *, indent: int) -> list[str]:
    space = " " * indent
    return [f"{space}xmin = {first / 1000:.3f} ", f"{space}xmax = {last / 1000:.3f} "]
