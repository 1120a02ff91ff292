"""Scores: two lists of strings in, `Scores` out. The only module that knows the metric libraries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import jiwer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from signseq.errors import DataError

__all__ = ["Scores", "has_ngrams", "score"]

ORDERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Scores:
    """How well hypotheses match references; all but the counts are percentages.

    Attributes:
        bleu1: Cumulative corpus BLEU up to 1-grams, by sacreBLEU; None where no reference is that
            long, as BLEU is 0 there by definition, even for perfect hypotheses.
        bleu2: Up to 2-grams.
        bleu3: Up to 3-grams.
        bleu4: Up to 4-grams: what papers call BLEU.
        chrf: chrF2, by sacreBLEU.
        rouge_l: Mean F1 of the longest common subsequence, by rouge-score.
        wer: Word error rate, by jiwer; may exceed 100.
        cer: Character error rate, likewise.
        exact_match: Share of hypotheses equal to their reference.
        count: How many pairs were scored.
        signatures: How each was computed, so that it can be computed again.
    """

    bleu1: float | None
    bleu2: float | None
    bleu3: float | None
    bleu4: float | None
    chrf: float
    rouge_l: float
    wer: float
    cer: float
    exact_match: float
    count: int
    signatures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The scores as plain values, for JSON."""
        return asdict(self)


def score(hypotheses: Sequence[str], references: Sequence[str]) -> Scores:
    """Score hypotheses against one reference each; neither is changed in any way.

    Args:
        hypotheses: N texts; may be empty strings.
        references: N texts, none of them empty.

    Raises:
        DataError: If the numbers differ, there are none, or a reference is empty.
    """
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} hypotheses for {len(references)} references; each needs one."
        )
    if not references:
        raise DataError("There is nothing to score: no references.")
    empty = next((i for i, text in enumerate(references) if not text.strip()), None)
    if empty is not None:
        raise DataError(f"Reference {empty + 1} is empty; a clip without a text can't be scored.")
    signatures: dict[str, str] = {}
    bleus: dict[str, float | None] = {}
    for order in ORDERS:
        bleu = BLEU(max_ngram_order=order)
        result = bleu.corpus_score(hypotheses, [references])
        bleus[f"bleu{order}"] = result.score if has_ngrams(references, order) else None
        signatures[f"bleu{order}"] = f"{bleu.get_signature()}" + (
            f"|maxngram:{order}" if order != 4 else ""
        )
    chrf = CHRF()
    chrf_score = chrf.corpus_score(hypotheses, [references]).score
    rouge_l, signatures["rouge_l"] = _rouge_l(hypotheses, references)
    signatures["chrf"] = str(chrf.get_signature())
    signatures["wer"] = signatures["cer"] = f"jiwer|version:{version('jiwer')}"
    return Scores(
        bleu1=bleus["bleu1"],
        bleu2=bleus["bleu2"],
        bleu3=bleus["bleu3"],
        bleu4=bleus["bleu4"],
        chrf=chrf_score,
        rouge_l=rouge_l,
        wer=100 * float(jiwer.wer(list(references), list(hypotheses))),
        cer=100 * float(jiwer.cer(list(references), list(hypotheses))),
        exact_match=100 * sum(map(str.__eq__, hypotheses, references)) / len(references),
        count=len(references),
        signatures=signatures,
    )


def has_ngrams(texts: Iterable[str], order: int) -> bool:
    """Whether any text has `order` words, as sacreBLEU's default tokenizer counts them."""
    tokenize = BLEU().tokenizer
    return any(len(tokenize(text).split()) >= order for text in texts)


class _WhiteSpace:
    """For scripts that rouge-score's own tokenizer drops: it keeps a to z and digits only."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


def _rouge_l(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    default = DefaultTokenizer()
    readable = all(
        default.tokenize(text) for text in references if any(char.isalnum() for char in text)
    )
    tokenizer, name = (default, "default") if readable else (_WhiteSpace(), "whitespace")
    scorer = RougeScorer(["rougeL"], tokenizer=tokenizer)
    total = sum(
        scorer.score(reference, hypothesis)["rougeL"].fmeasure
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    )
    signature = f"rouge-score|rougeL|f1|tok:{name}|stem:no|version:{version('rouge-score')}"
    return 100 * float(total) / len(references), signature
