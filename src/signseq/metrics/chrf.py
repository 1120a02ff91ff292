"""chrF and chrF++ as sacreBLEU computes them, for a whole corpus at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.chrf import CHRF

from signseq.metrics.measured import Floats, Measured
from signseq.metrics.ngrams import Tokens, count_matches, encode_characters, encode_words
from signseq.metrics.texts import Texts

__all__ = ["chrf_of_sums", "measure_chrf"]

CHARACTER_ORDERS = 6
WORD_ORDERS = 2  # of chrF++
PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")  # chrF's own


def measure_chrf(texts: Texts) -> dict[str, Measured]:
    """Statistics of chrF and chrF++: n-grams of hypothesis and reference, and matches, per order.

    Source: sacreBLEU's `CHRF`; the tests hold the two equal.
    """
    bare = [["".join(text.split()) for text in stream] for stream in texts.streams()]
    characters = _count(encode_characters(bare), CHARACTER_ORDERS)
    words = _count(encode_words(list(map(_words, texts.streams()))), WORD_ORDERS)
    return {
        "chrf": _choose(texts, characters, word_orders=0),
        "chrf_pp": _choose(texts, np.concatenate((characters, words), axis=2), word_orders=2),
    }


def _words(texts: Sequence[str]) -> list[list[str]]:
    """Words, with one punctuation mark cut off at their end or else at their beginning."""
    known: dict[str, tuple[str, ...]] = {}

    def cut(word: str) -> tuple[str, ...]:
        if word not in known:
            if len(word) == 1 or not ({word[0], word[-1]} & PUNCTUATION):
                known[word] = (word,)
            elif word[-1] in PUNCTUATION:
                known[word] = (word[:-1], word[-1])
            else:
                known[word] = (word[0], word[1:])
        return known[word]

    return [list(chain.from_iterable(map(cut, text.split()))) for text in texts]


def _count(streams: Sequence[Tokens], orders: int) -> NDArray[np.int64]:
    """n-grams of hypotheses and references, and matches: (N, R, orders, 3)."""
    hypotheses, *references = streams
    matches = count_matches(hypotheses, references, orders=orders).single
    before = np.arange(orders)
    own = np.maximum(hypotheses.lengths[:, None] - before, 0)[:, None]
    others = np.stack([reference.lengths for reference in references], axis=1)
    other = np.maximum(others[:, :, None] - before, 0)
    own = np.where(other > 0, own, 0)  # sacreBLEU: no reference of that length, no count
    return np.stack((own, other, matches), axis=-1)


def _choose(texts: Texts, counts: NDArray[np.int64], *, word_orders: int) -> Measured:
    """Of several references, the one that scores best."""
    flat = counts.reshape(*counts.shape[:2], -1).astype(np.float64)
    scores = np.stack([chrf_of_sums(flat[:, number]) for number in range(flat.shape[1])])
    best = np.where(texts.is_there, scores, -1.0).argmax(axis=0)
    metric = CHRF(word_order=word_orders)
    metric.num_refs = texts.reference_count or -1
    statistics = np.take_along_axis(flat, best[:, None, None], axis=1)[:, 0]
    return Measured(statistics, chrf_of_sums, str(metric.get_signature()))


def chrf_of_sums(sums: Floats) -> Floats:
    """ChrF2 of summed statistics, (M, 3 * orders) to (M,): mean precision and recall, recall twice as important."""
    own, other, matches = sums.reshape(len(sums), -1, 3).transpose(2, 0, 1)
    counts = (own > 0) & (other > 0)  # orders that occur on both sides
    effective = np.maximum(counts.sum(axis=1), 1)
    zeros = np.zeros_like(own)
    precision = np.divide(matches, own, out=zeros.copy(), where=counts).sum(axis=1) / effective
    recall = np.divide(matches, other, out=zeros.copy(), where=counts).sum(axis=1) / effective
    weight = CHRF.BETA**2
    below = weight * precision + recall
    product = (1 + weight) * precision * recall
    scores: Floats = np.divide(product, below, out=np.zeros_like(below), where=below > 0)
    return 100 * scores
