"""Translation edit rate as sacreBLEU computes it, several times as fast."""

from __future__ import annotations

import numpy as np
from sacrebleu.metrics.ter import TER

from signseq.metrics.alignment import align
from signseq.metrics.measured import Measured, ratio
from signseq.metrics.shifts import MOST_CANDIDATES, Search, best_shift
from signseq.metrics.texts import Texts

__all__ = ["count_edits", "measure_ter"]

Words = tuple[str, ...]


def measure_ter(texts: Texts, tokenizer: str) -> Measured:
    """Edits, moved phrases among them, and words; of several references the fewest edits and mean length.

    Source: sacreBLEU's `TER`; the tests hold the two equal.

    Args:
        texts: What is scored.
        tokenizer: `whitespace`; for anything else sacreBLEU's support for Asian scripts is on.
    """
    is_asian = tokenizer != "whitespace"
    metric = TER(normalized=is_asian, asian_support=is_asian)
    metric.num_refs = texts.reference_count or -1
    cut = metric.tokenizer
    hypotheses, *references = [
        [tuple(cut(text.rstrip()).split()) for text in stream] for stream in texts.streams()
    ]
    edits = np.array([count_edits(hypotheses, stream) for stream in references], np.float64)
    lengths = np.array([list(map(len, stream)) for stream in references], np.float64)
    fewest = np.where(texts.is_there, edits, np.inf).min(axis=0)
    means = np.where(texts.is_there, lengths, 0).sum(axis=0) / texts.is_there.sum(axis=0)
    return Measured(np.column_stack((fewest, means)), ratio, str(metric.get_signature()))


def count_edits(hypotheses: list[Words], references: list[Words]) -> list[int]:
    """TER's edits of each pair: insertions, deletions, substitutions, and moves of phrases."""
    found = {pair: _without_search(*pair) for pair in set(zip(hypotheses, references, strict=True))}
    searches = {
        pair: Search(*_as_characters(*pair)) for pair, edits in found.items() if edits is None
    }
    while searches:  # all pairs take their next step together
        alignments = align([(s.hypothesis, s.reference) for s in searches.values()])
        moving: dict[tuple[Words, Words], Search] = {}
        for (pair, search), alignment in zip(searches.items(), alignments, strict=True):
            moved = best_shift(search, alignment) if alignment.distance else None
            if moved is None or search.candidates >= MOST_CANDIDATES:
                found[pair] = search.shifts + alignment.distance
            else:
                search.hypothesis = moved
                search.shifts += 1
                moving[pair] = search
        searches = moving
    return [found[pair] or 0 for pair in zip(hypotheses, references, strict=True)]


def _without_search(hypothesis: Words, reference: Words) -> int | None:
    """Edits of pairs that are equal or have no word in common; None of others."""
    if hypothesis == reference:
        return 0
    if not reference or not hypothesis or set(hypothesis).isdisjoint(reference):
        return max(len(hypothesis), len(reference))
    return None


def _as_characters(hypothesis: Words, reference: Words) -> tuple[str, str]:
    """Words as single characters, equal where the words are."""
    numbers = {
        word: chr(number)
        for number, word in enumerate(dict.fromkeys((*hypothesis, *reference)), start=1)
    }
    return "".join(map(numbers.__getitem__, hypothesis)), "".join(
        map(numbers.__getitem__, reference)
    )
