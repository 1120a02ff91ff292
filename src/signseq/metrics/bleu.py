"""BLEU-1 to BLEU-4 as sacreBLEU computes them (cumulative, exponential smoothing), for a whole corpus at once."""

from __future__ import annotations

from functools import partial

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from signseq.metrics.measured import Floats, Measured
from signseq.metrics.ngrams import count_matches, encode_words
from signseq.metrics.texts import Texts
from signseq.metrics.tokenization import texts_as_words

__all__ = ["ORDERS", "bleu_of_sums", "measure_bleu"]

ORDERS = (1, 2, 3, 4)


def measure_bleu(texts: Texts, tokenizer: str) -> dict[str, Measured]:
    """Statistics of BLEU-1 to 4, one array for all: lengths of hypothesis and reference, matches, totals.

    Source: sacreBLEU's `BLEU`; the tests hold the two equal.
    """
    hypotheses, *references = encode_words(texts_as_words(tokenizer, texts.streams()))
    matches = count_matches(hypotheses, references, orders=max(ORDERS)).best
    lengths = np.stack([reference.lengths for reference in references])
    lengths = np.where(texts.is_there, lengths, np.iinfo(np.int64).max // 2)
    # of two as close, sacreBLEU takes the shorter
    order = np.argsort(lengths, axis=0, kind="stable")
    sorted_lengths = np.take_along_axis(lengths, order, axis=0)
    closest = np.abs(sorted_lengths - hypotheses.lengths).argmin(axis=0)
    reference_lengths = np.take_along_axis(sorted_lengths, closest[None], axis=0)[0]
    totals = np.maximum(hypotheses.lengths[:, None] - np.arange(max(ORDERS)), 0)
    statistics = np.column_stack((hypotheses.lengths, reference_lengths, matches, totals)).astype(
        np.float64
    )
    longest = max(
        (
            int(tokens.lengths[there].max())
            for tokens, there in zip(references, texts.is_there, strict=True)
            if there.any()
        ),
        default=0,
    )
    return {
        f"bleu{order}": Measured(
            statistics,
            partial(bleu_of_sums, order=order),
            _signature(texts, tokenizer, order),
            is_defined=longest >= order,
        )
        for order in ORDERS
    }


def _signature(texts: Texts, tokenizer: str, order: int) -> str:
    metric = BLEU(tokenize=tokenizer, max_ngram_order=order)
    metric.num_refs = texts.reference_count or -1
    return f"{metric.get_signature()}" + (f"|maxngram:{order}" if order != max(ORDERS) else "")


def bleu_of_sums(sums: Floats, *, order: int = 4) -> Floats:
    """BLEU up to `order` of summed statistics, (M, 10) to (M,)."""
    own, other = sums[:, 0], sums[:, 1]
    correct, total = sums[:, 2 : 2 + order], sums[:, 6 : 6 + order]
    # each order without a match counts half of the one before, as in mteval-v13a
    halvings = np.cumsum(correct == 0, axis=1)
    smoothed = np.where(correct > 0, correct, 0.5**halvings)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(total > 0, 100 * smoothed / total, 0.0))
        penalty = np.where(own < other, np.where(own > 0, np.exp(1 - other / own), 0.0), 1.0)
        scores = penalty * np.exp(logs.mean(axis=1))
    return np.where(correct.any(axis=1) & (total > 0).all(axis=1), scores, 0.0)
