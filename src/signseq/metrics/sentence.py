"""Scores of single sentences."""

from __future__ import annotations

from sacrebleu.metrics.chrf import CHRF

__all__ = ["sentence_chrf"]


def sentence_chrf(hypothesis: str, reference: str) -> float:
    """chrF2 of one sentence in percent, by sacreBLEU."""
    return float(CHRF().sentence_score(hypothesis, [reference]).score)
