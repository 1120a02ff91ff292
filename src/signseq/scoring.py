"""`signseq score`: the metrics on files, so that anybody's outputs can be scored without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from signseq.errors import DataError
from signseq.metrics import METRICS, PLAIN, Scores, score
from signseq.predictions import DELIMITERS, read_predictions, read_table, read_texts

__all__ = ["format_report", "score_files"]

HYPOTHESIS = "hypothesis"
REFERENCES = ("reference", "text")  # a table of references may be a corpus's own


def score_files(
    hypotheses: Path,
    references: Sequence[Path] = (),
    *,
    hypothesis_column: str | None = None,
    reference_columns: Sequence[str] = (),
    metrics: Sequence[str] = PLAIN,
    normalize: str = "none",
    tokenize: str = "auto",
    language: str | None = None,
    resamples: int = 0,
    models: Mapping[str, str] | None = None,
) -> Scores:
    """Score a file of hypotheses against files of references, line by line.

    Args:
        hypotheses: A text a line, or a .tsv or .csv table; a table, or a run folder, may hold the
            references too.
        references: As many files of them as there are references to each hypothesis.
        hypothesis_column: Of a table; default: hypothesis.
        reference_columns: Of a table, one or several; default: reference, or text.
        metrics: See `signseq.metrics.score`, also for the others.
        normalize: What is done to both before.
        tokenize: BLEU's tokenizer.
        language: Of the texts.
        resamples: For confidence intervals.
        models: Of BLEURT and COMET.

    Raises:
        ConfigError: If a metric, normalisation or tokenizer is unknown.
        DataError: If a file can't be read, or the files have different lengths.
    """
    if references:
        own = read_texts(hypotheses, [hypothesis_column or HYPOTHESIS])
        columns = list(reference_columns) or list(REFERENCES)
        streams = [read_texts(path, columns) for path in references]
        for path, stream in zip(references, streams, strict=True):
            _check_lengths(hypotheses, own, path, stream)
        places = list(references)
    elif hypotheses.is_dir():
        found = read_predictions(hypotheses)
        own, streams, places = found.hypotheses, [found.references], [hypotheses]
    elif hypotheses.suffix.lower() in DELIMITERS:
        columns = list(reference_columns) or [REFERENCES[0]]
        column = hypothesis_column or HYPOTHESIS
        rows = read_table(hypotheses, (column, *columns))
        own = [row.values[column] for row in rows]
        streams, places = [[row.values[name] for row in rows] for name in columns], [hypotheses]
    else:
        raise DataError(
            f"{hypotheses}: no references. Name a file of them after it; or a table (.tsv, .csv) or run folder that "
            "holds both."
        )
    _check_references(places, streams)
    return score(
        own,
        streams,
        metrics=metrics,
        normalize=normalize,
        tokenize=tokenize,
        language=language,
        resamples=resamples,
        models=models,
    )


def _check_lengths(own_path: Path, own: Sequence[str], path: Path, texts: Sequence[str]) -> None:
    if len(own) == len(texts):
        return
    longer, shorter = (own_path, path) if len(own) > len(texts) else (path, own_path)
    more = own if longer == own_path else texts
    first = min(len(own), len(texts))
    hint = " Those that are over are empty lines." if not any(map(str.strip, more[first:])) else ""
    raise DataError(
        f"{own_path} has {len(own)} texts, {path} has {len(texts)}: from text {first + 1} of {longer} "
        f"({more[first][:40]!r}) on, {shorter} has nothing.{hint} Each hypothesis needs its reference in the same line."
    )


def _check_references(places: Sequence[Path], streams: Sequence[Sequence[str]]) -> None:
    lacking = [
        number
        for number, texts in enumerate(zip(*streams, strict=True), start=1)
        if not any(map(str.strip, texts))
    ]
    if lacking:
        names = " and ".join(map(str, places))
        more = f", the first of {len(lacking)}" if len(lacking) > 1 else ""
        raise DataError(
            f"{names}: text {lacking[0]} has an empty reference{more}. What has no reference can't be scored: leave it "
            "out of all files."
        )


def format_report(scores: Scores) -> str:
    """Every score with its interval and signature, a line each, and what was done to the texts."""
    values = scores.values()
    lines = []
    for name, value in values.items():
        shown = "n/a" if value is None else f"{value:.2f}"
        ends = scores.intervals.get(name)
        span = f"[{ends[0]:.2f}, {ends[1]:.2f}]" if ends else ""
        lines.append(
            f"{METRICS[name]:<8}{shown:>8}  "
            + (f"{span:<17}" if scores.intervals else "")
            + scores.signatures[name]
        )
    noun = "text" if scores.count == 1 else "texts"
    lines.append(
        f"{scores.count} {noun}, normalize: {scores.normalize}, tokenize: {scores.tokenize}"
    )
    if scores.intervals:
        lines.append(f"[...]: 95% confidence intervals of {scores.resamples:,} bootstrap resamples")
        if scores.count == 1:
            lines.append("One text gives no interval: every resample of it is the same.")
    if None in values.values():
        lines.append("n/a: no reference has that many words, so this BLEU is 0 by definition.")
    return "\n".join(lines)
