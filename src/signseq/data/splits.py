"""Splits that don't leak: what belongs together stays on one side; and which texts stand on both.

Clips of one video share the signer, the topic and often the sentence; a random split over clips
scores what a model remembers.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from signseq.errors import DataError

__all__ = ["Repeat", "assign_groups", "find_repeats", "group_rows", "normalize_text", "video_of"]

Row = Mapping[str, str]
UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # Thai to Chinese


def video_of(uid: str) -> str:
    """The video that a clip is from: its uid without the last `-number`, by iSign's rule.

    Ids of videos may hold hyphens and digits themselves: `8GOiooYQskQ--12` is of `8GOiooYQskQ-`.
    """
    return re.sub(r"-\d+$", "", uid)


def normalize_text(text: str) -> str:
    """What two texts must share to count as one: words alone, without case, marks and spacing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(map(_spaced, folded)).split())


@lru_cache(maxsize=10_000)
def _spaced(character: str) -> str:
    """Letters, marks and digits as they are; a character that is a word by itself, set apart."""
    if UNSPACED.match(character):
        return f" {character} "
    return character if unicodedata.category(character)[0] in "LMN" else " "


def group_rows(rows: Sequence[Row], by: Sequence[str]) -> list[int]:
    """Number the groups that must stay on one side.

    Args:
        rows: With `uid` and `text`, and the columns that `by` names.
        by: `video`, `text`, or columns such as `signer`; rows that share any of them, directly or
            through others, are one group. An empty value groups nothing.

    Returns:
        For each row the number of its group, counted from 0 in order of appearance.

    Raises:
        DataError: If there is no such column.
    """
    parents = list(range(len(rows)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for name in by:
        first: dict[str, int] = {}
        for number, row in enumerate(rows):
            value = _value(row, name)
            if value:
                parents[root(number)] = root(first.setdefault(value, number))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(number), len(numbers)) for number in range(len(rows))]


def _value(row: Row, name: str) -> str:
    if name == "video":
        return video_of(row["uid"])
    if name == "text":
        return normalize_text(row["text"])
    if name not in row:
        raise DataError(
            f"No column {name!r} to split by; there are video, text and the table's own: {', '.join(row)}."
        )
    return (row[name] or "").strip()


def assign_groups(groups: Sequence[int], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """Give each group to a split, so that the splits have their shares of the rows.

    Large groups are placed first, where most is missing; the order among equals is random.

    Args:
        groups: The group of each row.
        shares: Of each split, summing to 1; those named later get the small groups.
        seed: Decides what is random.

    Returns:
        The split of each row.

    Raises:
        DataError: If the shares don't sum to 1, or there are fewer groups than splits.
    """
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6) or min(shares.values()) <= 0:
        raise DataError(
            f"The shares {', '.join(f'{share:g}' for share in shares.values())} are to be positive and sum to 1."
        )
    sizes = Counter(groups)
    if len(sizes) < len(shares):
        raise DataError(
            f"{len(sizes)} groups can't be divided among {len(shares)} splits; group by something finer."
        )
    order = np.random.default_rng(seed).permutation(sorted(sizes))
    missing = {split: share * len(groups) for split, share in shares.items()}
    chosen: dict[int, str] = {}
    for place, group in enumerate(order.tolist()):
        empty = (
            [split for split in shares if split not in chosen.values()]
            if place >= len(order) - len(shares)
            else []
        )
        split = _place(missing, empty, left=len(order) - place)
        chosen[group] = split
        missing[split] -= sizes[group]
    return [chosen[group] for group in groups]


def _place(missing: Mapping[str, float], empty: Sequence[str], *, left: int) -> str:
    """Where most is missing, measured in rows; at the end a split that has nothing yet."""
    if empty and left <= len(empty):
        return empty[0]
    return max(missing, key=lambda split: missing[split])


@dataclass(frozen=True)
class Repeat:
    """A text that stands on both sides.

    Attributes:
        number: The row on this side.
        other: A row on the other side.
        similarity: Shared words over all words of both (Jaccard); 1 where both have the same words.
    """

    number: int
    other: int
    similarity: float


def find_repeats(
    texts: Sequence[str], others: Sequence[str], *, least: float = 0.8
) -> list[Repeat]:
    """Find texts that stand on the other side too, or nearly so; of each the most similar one.

    Two texts that share enough words share one of their rarest, so only those are looked at
    (prefix filtering; Chaudhuri et al., ICDE 2006).

    Args:
        texts: Of the side that is asked about, e.g. test.
        others: Of the other side, e.g. train.
        least: Similarity from which on texts count as near duplicates.
    """
    words = [frozenset(normalize_text(text).split()) for text in others]
    asked = [frozenset(normalize_text(text).split()) for text in texts]
    counts = Counter(word for each in (*words, *asked) for word in each)

    def rarest(each: Iterable[str]) -> list[str]:
        ordered = sorted(each, key=lambda word: (counts[word], word))
        return ordered[: len(ordered) - math.ceil(least * len(ordered)) + 1]

    owners: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(words):
        for word in rarest(each):
            owners[word].append(number)
    found = []
    for number, each in enumerate(asked):
        candidates = {other for word in rarest(each) for other in owners.get(word, ())}
        best = max(
            ((_jaccard(each, words[other]), -other) for other in candidates), default=(0.0, 0)
        )
        if best[0] >= least:
            found.append(Repeat(number, -best[1], best[0]))
    return found


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0
