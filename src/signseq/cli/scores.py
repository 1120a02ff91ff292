"""Verbs about texts that are there already: score, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from signseq.cli.app import app

__all__ = ["compare", "score"]

Metrics = Annotated[
    str | None,
    typer.Option(
        help="Which, separated by commas: bleu4,chrf,... Default: all that need no model."
    ),
]
Normalize = Annotated[
    str, typer.Option(help="Done to both sides before: none, lower, no_punct, lower_no_punct.")
]
Tokenize = Annotated[
    str, typer.Option(help="BLEU's tokenizer: 13a, zh, ja-mecab, char, ...; auto fits the texts.")
]
Language = Annotated[
    str | None, typer.Option(help="Of the texts, e.g. en; default: their script tells.")
]


@app.command()
def score(
    hypotheses: Annotated[
        Path,
        typer.Argument(
            metavar="HYP",
            help="A text a line; a .tsv or .csv table; or a run folder with predictions.",
        ),
    ],
    references: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[REF]...", help="Files of references; none where HYP holds them."),
    ] = None,
    hyp_column: Annotated[str | None, typer.Option(help="Of a table; default: hypothesis.")] = None,
    ref_column: Annotated[
        list[str] | None,
        typer.Option(help="Of a table; default: reference, or text. May be given several times."),
    ] = None,
    metrics: Metrics = None,
    normalize: Normalize = "none",
    tokenize: Tokenize = "auto",
    language: Language = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="95% intervals of 1,000 bootstrap resamples.")
    ] = False,
    bleurt: Annotated[
        str | None, typer.Option(help="A BLEURT checkpoint, e.g. Elron/bleurt-base-512.")
    ] = None,
    comet: Annotated[
        str | None, typer.Option(help="A COMET model, for the program comet-score.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score texts against references, with the signature of every figure; needs no model."""
    from signseq import scoring
    from signseq.metrics import PLAIN
    from signseq.metrics.resampling import RESAMPLES

    models = {name: model for name, model in (("bleurt", bleurt), ("comet", comet)) if model}
    found = scoring.score_files(
        hypotheses,
        references or (),
        hypothesis_column=hyp_column,
        reference_columns=ref_column or (),
        metrics=metrics.split(",") if metrics else PLAIN,
        normalize=normalize,
        tokenize=tokenize,
        language=language,
        resamples=RESAMPLES if confidence else 0,
        models=models,
    )
    typer.echo(
        json.dumps(found.as_dict(), ensure_ascii=False) if as_json else scoring.format_report(found)
    )


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders or tables of predictions, the baseline first. Runs that differ by seed alone are one "
            "system; NAME=RUN,RUN,... puts others together.",
        ),
    ],
    split: Annotated[str, typer.Option(help="Whose predictions, of run folders.")] = "test",
    by: Annotated[
        str | None,
        typer.Option(help="Groups to compare in: length, rare, names, or a column of --table."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="A .csv or .tsv with uid and the column of --by.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            help="The training table with a column text, for --by rare and names; default: the run's own."
        ),
    ] = None,
    metrics: Metrics = None,
    normalize: Normalize = "none",
    tokenize: Tokenize = "auto",
    language: Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether systems differ by more than chance: differences, p-values and a verdict in words."""
    from signseq import comparison, comparison_table, systems
    from signseq.grouping import find_groups

    chosen = systems.parse_systems(runs)
    found_runs = systems.read_systems(chosen, split=split)
    first = next(iter(found_runs.values()))[0]
    training: list[str] = []
    if by in ("rare", "names") and train is None:
        from signseq.controls import find_training_texts

        training = find_training_texts(next(iter(chosen.values()))[0])
    found = comparison.compare(
        found_runs,
        metrics=metrics.split(",") if metrics else comparison.DEFAULT_METRICS,
        normalize=normalize,
        tokenize=tokenize,
        language=language,
        groups=find_groups(by, first, table=table, train=train, training=training) if by else None,
    )
    typer.echo(
        json.dumps(found.as_dict(), ensure_ascii=False)
        if as_json
        else comparison_table.format_comparison(found)
    )
