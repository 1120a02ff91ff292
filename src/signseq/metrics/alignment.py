"""Edit distances with their alignments, of many pairs at once, as TER's first step needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEAM", "Alignment", "align"]

BEAM = 25  # of tercom: cells looked at on each side of the diagonal
FAR = 10**6
SUBSTITUTION, DELETION, INSERTION = 0, 1, 2
CELLS = 2_000_000  # of all distance tables of a batch


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a hypothesis becomes its reference.

    Attributes:
        distance: Edits.
        places: For each word of the reference the one of the hypothesis it stands at or behind; -1
            before all.
        reference_errors: Whether each word of the reference was an edit.
        hypothesis_errors: The same of the hypothesis.
    """

    distance: int
    places: list[int]
    reference_errors: list[bool]
    hypothesis_errors: list[bool]


def align(pairs: Sequence[tuple[str, str]]) -> list[Alignment]:
    """Align hypotheses and references whose words are single characters; none is empty.

    Of ways with equally many edits, tercom's: a substitution before a deletion before an insertion.
    """
    order = sorted(range(len(pairs)), key=lambda number: tuple(map(len, pairs[number])))
    found: list[Alignment] = [Alignment(0, [], [], [])] * len(pairs)
    batch: list[int] = []
    longest = 0
    for number in order:
        own, other = map(len, pairs[number])
        longest = max(longest, other)
        if batch and (own + 1) * (longest + 1) * (len(batch) + 1) > CELLS:
            _align_batch(pairs, batch, found)
            batch, longest = [], other
        batch.append(number)
    if batch:
        _align_batch(pairs, batch, found)
    return found


def _rows(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    lengths = np.array([len(text) for text in texts])
    width = int(lengths.max())
    filled = "".join(text.ljust(width, "\0") for text in texts)
    return np.frombuffer(filled.encode("utf-32-le"), np.int32).reshape(len(texts), width), lengths


def _align_batch(
    pairs: Sequence[tuple[str, str]], batch: Sequence[int], found: list[Alignment]
) -> None:
    own, own_lengths = _rows([pairs[number][0] for number in batch])
    other, other_lengths = _rows([pairs[number][1] for number in batch])
    distances, steps = _fill(own, other, own_lengths, other_lengths)
    places = np.zeros(other.shape, np.int64)
    other_errors, own_errors = np.zeros(other.shape, bool), np.zeros(own.shape, bool)
    texts, i, j = np.arange(len(batch)), own_lengths.copy(), other_lengths.copy()
    while True:  # from the end of all pairs back to their beginnings
        going = np.flatnonzero((i > 0) | (j > 0))
        if not len(going):
            break
        texts_left, own_place, other_place = texts[going], i[going], j[going]
        step = steps[own_place, other_place, texts_left]
        back_own, back_other = step != INSERTION, step != DELETION
        differs = step != SUBSTITUTION
        both = np.flatnonzero(~differs)
        differs[both] = (
            own[texts_left[both], own_place[both] - 1]
            != other[texts_left[both], other_place[both] - 1]
        )
        at = np.flatnonzero(back_other)
        places[texts_left[at], other_place[at] - 1] = own_place[at] - 1
        other_errors[texts_left[at], other_place[at] - 1] = differs[at]
        at = np.flatnonzero(back_own)
        own_errors[texts_left[at], own_place[at] - 1] = differs[at]
        i[going] -= back_own
        j[going] -= back_other
    ends = distances[own_lengths, other_lengths, texts]
    for place, number in enumerate(batch):
        own_length, other_length = own_lengths[place], other_lengths[place]
        found[number] = Alignment(
            int(ends[place]),
            places[place, :other_length].tolist(),
            other_errors[place, :other_length].tolist(),
            own_errors[place, :own_length].tolist(),
        )


def _fill(
    own: NDArray[np.int32],
    other: NDArray[np.int32],
    own_lengths: NDArray[np.int64],
    other_lengths: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Distance tables of B pairs and the last step to each cell: (I + 1, J + 1, B) each."""
    texts = len(own)
    width, height = own.shape[1], other.shape[1]
    distances = np.full((width + 1, height + 1, texts), FAR, np.int32)
    steps = np.full(distances.shape, INSERTION, np.int8)
    distances[0] = np.arange(height + 1)[:, None]
    ratios = other_lengths / own_lengths
    beams = np.where(ratios / 2 > BEAM, np.ceil(ratios / 2 + BEAM), BEAM).astype(np.int64)
    for i in range(1, width + 1):
        diagonal = np.floor(i * ratios).astype(np.int64)
        first = np.maximum(0, diagonal - beams)
        last = np.where(
            i == own_lengths, other_lengths + 1, np.minimum(other_lengths + 1, diagonal + beams)
        )
        row, above, step = distances[i], distances[i - 1], steps[i]
        row[0] = np.where(first == 0, above[0] + 1, FAR)
        step[0] = DELETION
        # all cells at once but for insertions, which follow from the cell before
        best = above[:-1] + (own[:, i - 1] != other.T)
        by_deletion = above[1:] + 1 < best
        best = np.where(by_deletion, above[1:] + 1, best)
        step[1:] = np.where(by_deletion, DELETION, SUBSTITUTION)
        columns = np.arange(1, height + 1)[:, None]
        is_seen = (columns >= first) & (columns < last)
        for j in range(1, height + 1):
            by_insertion = row[j - 1] + 1 < best[j - 1]
            row[j] = np.where(
                is_seen[j - 1], np.where(by_insertion, row[j - 1] + 1, best[j - 1]), FAR
            )
            step[j][by_insertion] = INSERTION
    return distances, steps
