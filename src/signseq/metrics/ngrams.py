"""Counts n-grams that hypotheses and references have in common: a whole corpus at once, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matches", "Tokens", "count_matches", "encode_characters", "encode_words"]

CHUNK = 512  # texts at a time: what is sorted stays in the cache
KEY_BITS = 62
NO_GRAM = np.int64(1) << KEY_BITS  # what rows are filled up with; sorts last

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Texts as numbers: equal tokens, equal numbers.

    Attributes:
        ids: Of all tokens, text after text.
        lengths: Tokens of each text, (N,).
    """

    ids: Integers
    lengths: Integers


@dataclass(frozen=True)
class Matches:
    """What N hypotheses have in common with R references each.

    Attributes:
        single: n-grams in common with each reference, (N, R, orders).
        best: In common with the reference that has most of each n-gram, (N, orders).
    """

    single: Integers
    best: Integers


class _Numbers(dict[str, int]):
    """Numbers tokens in the order of their coming."""

    def __missing__(self, token: str) -> int:
        self[token] = number = len(self)
        return number


def encode_words(streams: Sequence[Iterable[Sequence[str]]]) -> list[Tokens]:
    """Number the tokens of several streams of tokenized texts in common."""
    numbers = _Numbers()
    found = []
    for stream in streams:
        texts = list(stream)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        words = map(numbers.__getitem__, chain.from_iterable(texts))
        found.append(Tokens(np.fromiter(words, np.int64, int(lengths.sum())), lengths))
    return found


def encode_characters(streams: Sequence[Sequence[str]]) -> list[Tokens]:
    """Number the characters of several streams of texts in common."""
    points = [
        np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        for texts in streams
    ]
    numbers = np.zeros(1 + max((int(part.max()) for part in points if len(part)), default=0), bool)
    for part in points:
        numbers[part] = True
    dense = np.cumsum(numbers, dtype=np.int64) - 1
    return [
        Tokens(dense[part], np.fromiter(map(len, texts), np.int64, len(texts)))
        for part, texts in zip(points, streams, strict=True)
    ]


def count_matches(hypotheses: Tokens, references: Sequence[Tokens], *, orders: int) -> Matches:
    """Count the n-grams of orders 1 to `orders` that each hypothesis shares with its references.

    An n-gram that occurs several times counts as often as it does on both sides.
    """
    streams = [hypotheses, *references]
    starts = [np.cumsum(stream.lengths) - stream.lengths for stream in streams]
    texts = len(hypotheses.lengths)
    single = np.zeros((texts, len(references), orders), np.int64)
    best = np.zeros((texts, orders), np.int64)
    by_length = np.argsort(np.sum([stream.lengths for stream in streams], axis=0), kind="stable")
    for first in range(0, texts, CHUNK):
        part = by_length[first : first + CHUNK]
        rows = [
            _pad(stream.ids, start[part], stream.lengths[part])
            for stream, start in zip(streams, starts, strict=True)
        ]
        lengths = [stream.lengths[part] for stream in streams]
        for order, tagged, sides in _sorted_grams(rows, lengths, orders=orders):
            single[part, :, order], best[part, order] = _tally(tagged, sides, len(references))
    return Matches(single, best)


def _pad(ids: Integers, starts: Integers, lengths: Integers) -> Integers:
    """The tokens of some texts as rows, (texts, longest); what stands behind a text means nothing."""
    places = starts[:, None] + np.arange(max(1, int(lengths.max())))
    if not len(ids):
        return np.zeros(places.shape, np.int64)
    padded: Integers = ids[np.minimum(places, len(ids) - 1)]
    return padded


def _sorted_grams(
    rows: Sequence[Integers], lengths: Sequence[Integers], *, orders: int
) -> Iterator[tuple[int, Integers, int]]:
    """Yield each order's n-grams, a row a text, sorted; each has its side in its lowest bits.

    Sorting many short rows is ten times as fast as sorting all n-grams of a corpus.
    """
    sides = max(1, (len(rows) - 1).bit_length())
    width = max(1, max(int(row.max()) for row in rows).bit_length())
    if width * orders + sides > KEY_BITS:
        distinct, rows = _renumber(rows)
        width = max(1, (distinct - 1).bit_length())
    keys, bits = rows, width
    for order in range(orders):
        if order:
            if bits + width + sides > KEY_BITS:
                distinct, keys = _renumber(keys)
                bits = max(1, (distinct - 1).bit_length())
            keys = [
                (key[:, :-1] << width) | row[:, order:] for key, row in zip(keys, rows, strict=True)
            ]
            bits += width
        tagged = [
            np.where(
                np.arange(key.shape[1]) + order < count[:, None], (key << sides) | side, NO_GRAM
            )
            for side, (key, count) in enumerate(zip(keys, lengths, strict=True))
        ]
        grams = np.concatenate([*tagged, np.full((len(rows[0]), 1), NO_GRAM)], axis=1)
        grams.sort(axis=1)
        yield order, grams, sides


def _renumber(rows: Sequence[Integers]) -> tuple[int, list[Integers]]:
    """Give what there is numbers from 0; says how many."""
    found, places = np.unique(np.concatenate([row.ravel() for row in rows]), return_inverse=True)
    ends = np.cumsum([row.size for row in rows])[:-1]
    parts = np.split(places.astype(np.int64), ends)
    return len(found), [part.reshape(row.shape) for part, row in zip(parts, rows, strict=True)]


def _tally(grams: Integers, sides: int, references: int) -> tuple[Integers, Integers]:
    """What the first side shares with each other one, (texts, R), and with the best, (texts,)."""
    flat = grams.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1])  # of runs of the same n-gram on the same side
    found, counts = flat[ends], np.diff(ends, prepend=-1)
    rows = ends // grams.shape[1]
    shared = np.zeros((len(ends), references), np.int64)
    own = (found & ((1 << sides) - 1) == 0) & (found < NO_GRAM)
    for ahead in range(1, references + 1):  # the runs of the others stand right behind
        same = (found[:-ahead] >> sides == found[ahead:] >> sides) & (rows[:-ahead] == rows[ahead:])
        first = np.flatnonzero(own[:-ahead] & same)
        side = found[first + ahead] & ((1 << sides) - 1)
        shared[first, side - 1] = np.minimum(counts[first], counts[first + ahead])
    some = np.flatnonzero(shared.any(axis=1))
    sums = [
        np.bincount(rows[some], weights=values, minlength=len(grams)).astype(np.int64)
        for values in (*shared[some].T, shared[some].max(axis=1))
    ]
    return np.stack(sums[:-1], axis=1), sums[-1]
