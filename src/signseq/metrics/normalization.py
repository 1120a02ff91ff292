"""What may be done to texts before they are scored: to hypotheses and references alike."""

from __future__ import annotations

import string
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from signseq.errors import ConfigError
from signseq.metrics.naming import nearest
from signseq.sections.scoring import UNPUBLISHED

__all__ = ["NORMALIZERS", "Normalizer", "find_normalizer"]


@dataclass(frozen=True)
class Normalizer:
    """A change of texts, and what it does in words."""

    change: Callable[[str], str]
    about: str


@cache
def _punctuation() -> dict[int, None]:
    """Unicode's punctuation (categories P), and the ASCII signs that it calls symbols."""
    marks = {
        point
        for point in range(sys.maxunicode + 1)
        if unicodedata.category(chr(point)).startswith("P")
    }
    return dict.fromkeys(marks | set(map(ord, string.punctuation)))


def _without_punctuation(text: str) -> str:
    return " ".join(text.translate(_punctuation()).split())


NORMALIZERS = {
    "none": Normalizer(str, "texts as they are"),
    "lower": Normalizer(str.lower, "lower case"),
    "no_punct": Normalizer(
        _without_punctuation, "punctuation taken out, white space to single spaces"
    ),
    "lower_no_punct": Normalizer(
        lambda text: _without_punctuation(text.lower()),
        "lower case, punctuation taken out, white space to single spaces",
    ),
}


def find_normalizer(name: str) -> Callable[[str], str]:
    """The change of that name.

    Raises:
        ConfigError: If there is none.
    """
    if name in UNPUBLISHED:
        raise ConfigError(f"normalize = {name!r}: {UNPUBLISHED[name]}.")
    if name not in NORMALIZERS:
        raise ConfigError(
            f"normalize = {name!r}: unknown normalisation; {nearest(name, NORMALIZERS)}"
        )
    return NORMALIZERS[name].change
