"""Word and character error rate as jiwer computes them, and exact matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import jiwer
import numpy as np
from rapidfuzz.distance import Levenshtein

from signseq.metrics.measured import Floats, Measured, mean, ratio
from signseq.metrics.texts import Texts
from signseq.metrics.tokenization import Tokenizer

__all__ = ["measure_cer", "measure_exact", "measure_wer"]


def measure_wer(texts: Texts, tokenizer: str, tokenize: Tokenizer) -> Measured:
    """Edits and words; words are jiwer's where they stand between spaces, else the tokenizer's."""
    if tokenizer == "whitespace":
        streams: list[list[list[str]]] = [jiwer.wer_default(stream) for stream in texts.streams()]
    else:
        streams = [list(map(tokenize, stream)) for stream in texts.streams()]
    return Measured(_least_edits(texts, streams), ratio, _signature(texts, tokenizer))


def measure_cer(texts: Texts) -> Measured:
    """Edits and characters, those at the ends that are white space left out, as by jiwer."""
    streams = [[text.strip() for text in stream] for stream in texts.streams()]
    return Measured(_least_edits(texts, streams), ratio, _signature(texts, "characters"))


def measure_exact(texts: Texts) -> Measured:
    """Whether a hypothesis equals a reference, to the letter."""
    hits = [
        any(there and hypothesis == reference for there, reference in zip(exists, own, strict=True))
        for hypothesis, exists, own in zip(
            texts.hypotheses, texts.is_there.T, zip(*texts.references, strict=True), strict=True
        )
    ]
    statistics = np.column_stack((np.array(hits, np.float64), np.ones(len(hits))))
    return Measured(statistics, mean, f"nrefs:{texts.reference_count or 'var'}|case:mixed")


def _signature(texts: Texts, tokenizer: str) -> str:
    several = "" if texts.reference_count == 1 else "|refs:lowest rate"
    return f"jiwer|nrefs:{texts.reference_count or 'var'}|tok:{tokenizer}{several}|version:{version('jiwer')}"


def _least_edits(texts: Texts, streams: Sequence[Sequence[Sequence[Any]]]) -> Floats:
    """Edits and length of each text's reference; of several, of the one with the lowest rate."""
    hypotheses, *references = streams
    distance: Callable[..., int] = Levenshtein.distance
    edits = np.array([list(map(distance, hypotheses, stream)) for stream in references], np.float64)
    lengths = np.array([list(map(len, stream)) for stream in references], np.float64)
    rates = np.where(texts.is_there, edits / np.maximum(lengths, 1), np.inf)
    best = rates.argmin(axis=0)[None]
    chosen = [np.take_along_axis(values, best, axis=0)[0] for values in (edits, lengths)]
    return np.column_stack(chosen)
