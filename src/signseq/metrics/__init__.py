"""Scores of texts. The only package that knows the metric libraries.

texts             what metrics read; normalization: what is done to it before; tokenization: words
bleu, chrf, ter, rouge, rates, learned  a metric each: what each text adds, and the score of sums
ngrams, alignment, shifts  what takes their time, for whole corpora at once
scores            two lists of strings in, Scores out
resampling, significance  confidence intervals, and paired tests between systems
"""

from __future__ import annotations

from collections.abc import Iterable

from signseq.metrics.normalization import NORMALIZERS, find_normalizer
from signseq.metrics.scores import ERRORS, METRICS, PLAIN, Scores, find_metrics, measure, score
from signseq.metrics.texts import Texts, gather_texts
from signseq.metrics.tokenization import TOKENIZERS, choose_tokenizer, load_tokenizer, words_of

__all__ = [
    "ERRORS",
    "METRICS",
    "NORMALIZERS",
    "PLAIN",
    "TOKENIZERS",
    "Scores",
    "Texts",
    "choose_tokenizer",
    "find_metrics",
    "gather_texts",
    "has_ngrams",
    "load_tokenizer",
    "measure",
    "score",
]


def has_ngrams(
    texts: Iterable[str],
    order: int,
    *,
    normalize: str = "none",
    tokenize: str = "auto",
    language: str | None = None,
) -> bool:
    """Whether any text has `order` words, as BLEU's tokenizer counts them; see `score` for the settings."""
    known = list(map(find_normalizer(normalize), texts))
    cut = words_of(choose_tokenizer(tokenize, known, language=language))
    return any(len(cut(text)) >= order for text in known)
