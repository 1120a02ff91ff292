"""Lines of subtitles: short enough to be read at a glance, alike in length."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["width_of", "wrap"]


def width_of(text: str) -> int:
    """How many columns a text takes: two for each Chinese, Japanese or Korean letter, none for an accent."""
    return sum(
        0
        if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def wrap(text: str, *, width: int, lines: int) -> list[list[str]]:
    """Break a text into screens of lines that are about equally long.

    Words stay whole where they fit; scripts without spaces are broken between letters.

    Args:
        text: One line.
        width: Columns of a line, at most.
        lines: Of a screen, at most.
    """
    words = [part for word in text.split() for part in _parts(word, width)]
    if not words:
        return []
    fewest = len(_fill(words, width))
    screens = -(-fewest // lines)
    # The narrowest lines that need no more of them are the most alike.
    low, high = max(width_of(word) for word, _ in words), width
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_fill(words, middle)) <= fewest else (middle + 1, high)
    filled = _fill(words, low)
    size = -(-len(filled) // screens)
    return [filled[first : first + size] for first in range(0, len(filled), size)]


def _parts(word: str, width: int) -> list[tuple[str, bool]]:
    """A word in parts between which a line may break, and whether a space stands before each."""
    is_wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in word)
    if not is_wide and width_of(word) <= width:
        return [(word, True)]
    clusters: list[str] = []
    for letter in word:
        # Accents stay with their letter, and points and commas with what they end.
        joins = width_of(letter) == 0 or unicodedata.category(letter) in ("Mc", "Pe", "Pf", "Po")
        if clusters and joins:
            clusters[-1] += letter
        else:
            clusters.append(letter)
    return [(cluster, number == 0) for number, cluster in enumerate(clusters)]


def _fill(words: Sequence[tuple[str, bool]], width: int) -> list[str]:
    lines: list[str] = []
    for word, has_space in words:
        longer = f"{lines[-1]}{' ' if has_space else ''}{word}" if lines else ""
        if lines and width_of(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
