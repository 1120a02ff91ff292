"""Scores: hypotheses and references in, `Scores` out."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from signseq.data.processes import run_tasks
from signseq.errors import ConfigError
from signseq.metrics.bleu import measure_bleu
from signseq.metrics.chrf import measure_chrf
from signseq.metrics.learned import measure_bleurt, measure_comet
from signseq.metrics.measured import Measured
from signseq.metrics.naming import nearest
from signseq.metrics.rates import measure_cer, measure_exact, measure_wer
from signseq.metrics.resampling import SEED
from signseq.metrics.rouge import measure_rouge
from signseq.metrics.significance import mean_intervals
from signseq.metrics.ter import measure_ter
from signseq.metrics.texts import Texts, gather_texts
from signseq.metrics.tokenization import choose_tokenizer, splitter

__all__ = ["ERRORS", "METRICS", "PLAIN", "Scores", "find_metrics", "measure", "score"]

# By the names that files have, what tables call them
METRICS = {
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "chrf": "chrF",
    "chrf_pp": "chrF++",
    "ter": "TER",
    "rouge_l": "ROUGE-L",
    "rouge_l_lcs": "R-L lcs",
    "rouge_l_beta": "R-L 1.2",
    "wer": "WER",
    "cer": "CER",
    "exact_match": "exact",
    "bleurt": "BLEURT",
    "comet": "COMET",
}
LEARNED = ("bleurt", "comet")  # computed where a model is named for them
ERRORS = frozenset({"ter", "wer", "cer"})  # less is better
PLAIN = tuple(name for name in METRICS if name not in LEARNED)
FAMILIES = {  # the slowest first: two processes share them
    "ter": {"ter"},
    "chrf": {"chrf", "chrf_pp"},
    "rouge": {"rouge_l", "rouge_l_lcs", "rouge_l_beta"},
    "bleu": {"bleu1", "bleu2", "bleu3", "bleu4"},
    "rates": {"wer", "cer", "exact_match"},
}
MANY = 20_000  # texts from which on two processes are faster than one
SPOKEN = {
    "bleu": "bleu4",
    "chrf++": "chrf_pp",
    "chrf2": "chrf",
    "chrf2++": "chrf_pp",
    "exact": "exact_match",
}


@dataclass(frozen=True)
class Scores:
    """How well hypotheses match references; all but the counts are percentages, None what wasn't computed.

    Attributes:
        bleu1: Cumulative corpus BLEU up to 1-grams, by sacreBLEU's rules; None where no reference
            is that long, as BLEU is 0 there by definition, even for perfect hypotheses.
        bleu2: Up to 2-grams.
        bleu3: Up to 3-grams.
        bleu4: Up to 4-grams: what papers call BLEU.
        chrf: chrF2, by sacreBLEU's rules.
        chrf_pp: chrF2++, likewise.
        ter: Translation edit rate, likewise; may exceed 100.
        rouge_l: Mean F1 of the longest common subsequence, by rouge-score's rules.
        rouge_l_lcs: The same of words between spaces.
        rouge_l_beta: With beta 1.2, as most sign language papers report it.
        wer: Word error rate, by jiwer's rules; may exceed 100.
        cer: Character error rate, likewise.
        exact_match: Share of hypotheses equal to their reference.
        bleurt: Mean of BLEURT, times 100.
        comet: Mean of COMET, times 100.
        count: How many pairs were scored.
        signatures: How each was computed, so that it can be computed again.
        normalize: What was done to hypotheses and references before.
        tokenize: BLEU's tokenizer.
        intervals: 95% confidence intervals; empty where none were asked for.
        resamples: How many bootstrap resamples they come from.
    """

    bleu1: float | None = None
    bleu2: float | None = None
    bleu3: float | None = None
    bleu4: float | None = None
    chrf: float | None = None
    chrf_pp: float | None = None
    ter: float | None = None
    rouge_l: float | None = None
    rouge_l_lcs: float | None = None
    rouge_l_beta: float | None = None
    wer: float | None = None
    cer: float | None = None
    exact_match: float | None = None
    bleurt: float | None = None
    comet: float | None = None
    count: int = 0
    signatures: dict[str, str] = field(default_factory=dict)
    normalize: str = "none"
    tokenize: str = "13a"
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    resamples: int = 0

    def as_dict(self) -> dict[str, Any]:
        """What was computed, as plain values, for JSON."""
        return {
            **{name: getattr(self, name) for name in METRICS if name in self.signatures},
            "count": self.count,
            "normalize": self.normalize,
            "tokenize": self.tokenize,
            "signatures": self.signatures,
            **(
                {
                    "intervals": {name: list(ends) for name, ends in self.intervals.items()},
                    "confidence": {"level": 95, "resamples": self.resamples, "seed": SEED},
                }
                if self.intervals
                else {}
            ),
        }

    def values(self) -> dict[str, float | None]:
        """What was computed, by metric."""
        return {name: getattr(self, name) for name in METRICS if name in self.signatures}


def find_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Names as people write them (`BLEU`, `chrF++`, `rouge-l`), as METRICS has them.

    Raises:
        ConfigError: If one is unknown.
    """
    found = []
    for name in names:
        plain = name.strip().lower().replace("-", "_")
        plain = SPOKEN.get(plain, plain)
        if plain not in METRICS:
            raise ConfigError(f"metric {name!r}: unknown; {nearest(plain, METRICS)}")
        found.append(plain)
    return tuple(name for name in METRICS if name in found)


def measure(
    texts: Texts,
    *,
    tokenize: str,
    metrics: Sequence[str] = PLAIN,
    models: Mapping[str, str] | None = None,
) -> dict[str, Measured]:
    """Each metric's statistics for every text; see `score` for the arguments.

    Args:
        texts: Hypotheses and references.
        tokenize: BLEU's tokenizer; not `auto`.
        metrics: Names of METRICS.
        models: Of `bleurt` and `comet`, which are measured too then.

    Raises:
        ConfigError: If a metric needs a model and none is named.
    """
    learned = dict(models or {})
    wanted = {*metrics, *learned}
    for name in LEARNED:
        if name in metrics and name not in learned:
            raise ConfigError(
                f"metric {name!r} needs a model: name it in evaluation.{name}, or with --{name} MODEL."
            )
    families = [family for family in FAMILIES if not wanted.isdisjoint(FAMILIES[family])]
    work = partial(_measure_family, texts=texts, tokenize=tokenize)
    found: dict[str, Measured] = {}
    with _paused_collector():
        if len(texts) < MANY or len(families) < 2 or multiprocessing.get_start_method() != "fork":
            for family in families:
                found |= work(family)
        else:
            for _, measured in run_tasks(work, families, workers=2):
                found |= measured
    for name, model in learned.items():
        found[name] = {"bleurt": measure_bleurt, "comet": measure_comet}[name](texts, model)
    return {name: found[name] for name in METRICS if name in wanted}


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Python's search for cycles took a quarter of the time: there are many lists, and no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _measure_family(family: str, *, texts: Texts, tokenize: str) -> dict[str, Measured]:
    """The metrics that are measured together."""
    if family == "bleu":
        return measure_bleu(texts, tokenize)
    if family == "chrf":
        return measure_chrf(texts)
    words, cut = splitter(tokenize, texts.references[0])
    if family == "ter":
        return {"ter": measure_ter(texts, words)}
    if family == "rouge":
        return measure_rouge(texts, words, cut)
    return {
        "wer": measure_wer(texts, words, cut),
        "cer": measure_cer(texts),
        "exact_match": measure_exact(texts),
    }


def score(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = PLAIN,
    normalize: str = "none",
    tokenize: str = "auto",
    language: str | None = None,
    resamples: int = 0,
    models: Mapping[str, str] | None = None,
) -> Scores:
    """Score hypotheses against references.

    Args:
        hypotheses: N texts; may be empty strings.
        references: N texts, none of them empty; or R lists of N texts each, of which some may be
            empty where others aren't.
        metrics: Which; names of METRICS, those of `models` besides.
        normalize: What is done to both before; a name of `NORMALIZERS`.
        tokenize: BLEU's tokenizer; `auto` fits it to the language.
        language: The code of the texts' language; None lets the script decide.
        resamples: Of the bootstrap, for confidence intervals; 0 computes none.
        models: Of `bleurt` and `comet`, which are computed where a model is named.

    Raises:
        ConfigError: If a name is unknown.
        DataError: If the numbers differ, there are none, or a reference is empty.
        MissingExtraError: If the tokenizer needs a package that isn't there.
        ModelError: If a model can't be loaded.
    """
    streams = [references] if not references or isinstance(references[0], str) else references
    texts = gather_texts(hypotheses, cast(Sequence[Sequence[str]], streams), normalize=normalize)
    tokenizer = choose_tokenizer(tokenize, texts.references[0], language=language)
    measured = measure(texts, tokenize=tokenizer, metrics=find_metrics(metrics), models=models)
    return Scores(
        **{name: found.total if found.is_defined else None for name, found in measured.items()},
        count=len(texts),
        signatures={name: found.signature for name, found in measured.items()},
        normalize=normalize,
        tokenize=tokenizer,
        intervals=mean_intervals([measured], resamples=resamples) if resamples else {},
        resamples=resamples,
    )
