"""SubRip (.srt) and WebVTT (.vtt): what players show.

WebVTT: https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from signseq.subtitling.cues import Cue, Subtitles, to_ms
from signseq.subtitling.wrapping import width_of, wrap

__all__ = ["format_srt", "format_vtt"]

WIDTH, LINES = 42, 2  # columns and lines that are read at a glance, as broadcasters have them
UNTRANSLATED = "[signing]"
# Players take these for styles in SubRip, which has no way to escape them.
STYLE_LIKE = re.compile(r"<(?=[A-Za-z/])|\{(?=\\)")
UNSEEN_SPACE = "\u200b"
VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def format_srt(subtitles: Subtitles) -> str:
    """Subtitles as SubRip.

    A text that would be taken for a style gets a space of no width behind its bracket, and an arrow
    becomes one letter.
    """
    blocks = []
    for number, (start, end, lines, _) in enumerate(_screens(subtitles), start=1):
        shown = STYLE_LIKE.sub(lambda found: found[0] + UNSEEN_SPACE, "\n".join(lines))
        shown = shown.replace("-->", "\u2192")
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{shown}\n")
    return "\n".join(blocks)


def format_vtt(subtitles: Subtitles) -> str:
    """Subtitles as WebVTT; the confidence stands in a note before each cue, which players skip."""
    blocks = ["WEBVTT\n"]
    for start, end, lines, cue in _screens(subtitles):
        if cue.confidence is not None:
            blocks.append(f"NOTE confidence {cue.confidence:.3f}\n")
        shown = "\n".join(lines).translate(VTT_ESCAPES)
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{shown}\n")
    return "\n".join(blocks)


def _screens(subtitles: Subtitles) -> Iterator[tuple[int, int, list[str], Cue]]:
    """Start and end in milliseconds, lines and cue of what is shown at once; long texts come in parts."""
    for cue in subtitles.cues:
        text = UNTRANSLATED if cue.text is None else cue.text
        screens = wrap(text, width=WIDTH, lines=LINES)
        start, end = to_ms(cue.start), max(to_ms(cue.end), to_ms(cue.start) + 1)
        sizes = [sum(max(width_of(line), 1) for line in lines) for lines in screens]
        for number, lines in enumerate(screens):
            first = start + (end - start) * sum(sizes[:number]) // sum(sizes)
            last = start + (end - start) * sum(sizes[: number + 1]) // sum(sizes)
            yield first, max(last, first + 1), lines, cue


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
