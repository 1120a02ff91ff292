"""Ordinary English words, for the corpus of fingerspelled words.

They are the three word lists of the Electronic Frontier Foundation (CC BY 3.0 US), made for
passphrases: known words, nothing offensive. The package xkcdpass (BSD) ships them as text files.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Mapping
from pathlib import Path

from signseq.errors import DataError, MissingExtraError

__all__ = ["draw_words", "english_words"]

WORD_LISTS = ("eff-long", "eff-short", "eff-special")
SPELLABLE = re.compile(r"[a-z]{3,9}")


def english_words() -> tuple[str, ...]:
    """Some 8,300 words of 3 to 9 letters a to z, in alphabetical order.

    Raises:
        MissingExtraError: If the package that ships them is not installed.
        DataError: If the installed package has no such lists.
    """
    spec = importlib.util.find_spec("xkcdpass")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package="xkcdpass", extra="demo", purpose="The corpus of words")
    folder = Path(next(iter(spec.submodule_search_locations)), "static")
    try:
        text = "\n".join((folder / name).read_text(encoding="utf-8") for name in WORD_LISTS)
    except OSError as fault:
        raise DataError(
            f"{folder}: the installed xkcdpass ships no list {Path(fault.filename).name!r}. "
            f"Install the version that belongs to this one: pip install 'signseq[demo]'"
        ) from fault
    return tuple(sorted({word for word in text.split() if SPELLABLE.fullmatch(word)}))


def draw_words(sizes: Mapping[str, int], *, seed: int) -> dict[str, list[str]]:
    """Draw words for each split; none occurs in two splits.

    Outside training all are different; training repeats words once it has had all that are left.

    Args:
        sizes: How many words each split has.
        seed: The same seed draws the same words.

    Raises:
        DataError: If there are not so many words.
    """
    words = list(english_words())
    held_out = sum(size for split, size in sizes.items() if split != "train")
    if held_out >= len(words):
        raise DataError(
            f"{held_out} words were asked for outside training, of {len(words)} that there are."
        )
    random.Random(f"words {seed}").shuffle(words)
    drawn = {}
    for split in sorted(sizes, key="train".__eq__):  # train last: it takes the words that are left
        size = sizes[split]
        pool, words = (words, []) if split == "train" else (words[:size], words[size:])
        drawn[split] = [pool[number % len(pool)] for number in range(size)]
    return {split: drawn[split] for split in sizes}
