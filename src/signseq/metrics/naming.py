"""The nearest known name to an unknown one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean X? There are: ...`; without the question where nothing is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)

    listing = ", ".join(names)
    return f"did you mean {near[0]}? There are: {listing}." if near else f"there are: {listing}."
