"""Verbs about what a model does: evaluate, report; and demo, everything in a row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from signseq.cli.app import Checkpoint, Overrides, TrustRemoteCode, Workers, app

__all__ = ["demo", "evaluate", "report"]


@app.command()
def demo(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG]", help="configs/demo.yaml (default) or configs/fingerspelling.yaml."
        ),
    ] = None,
    overrides: Overrides = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke run of about a minute; learns little.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Go the whole way on real poses: corpus, prepare, train, evaluate, translate."""
    from signseq.demo import run_demo

    given = list(overrides or ())
    if config is not None and "=" in str(config):  # overrides may come without a config
        given, config = [str(config), *given], None
    run_demo(config, given, quick=quick, workers=workers or os.cpu_count() or 1)


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="test, val, or a name of data.other_paths.")] = "test",
    blind: Annotated[
        bool,
        typer.Option("--blind/--no-blind", help="Score the controls; without, the model alone."),
    ] = True,
    controls: Annotated[
        str,
        typer.Option(
            help="quick, blind, all or none; or some of zeroed, shuffled, frequent, typical, reversed, hands, body, "
            "face, separated by commas."
        ),
    ] = "quick",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Score a checkpoint beside controls that hide poses; writes predictions.tsv and scores.json into its folder."""
    from signseq import evaluation

    result = evaluation.evaluate(
        checkpoint,
        split=split,
        overrides=overrides or (),
        blind=blind,
        controls=controls,
        trust_remote_code=trust_remote_code,
    )
    typer.echo(evaluation.format_scores(result))


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders that were evaluated, or tables of predictions; the first is the baseline.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    split: Annotated[str, typer.Option(help="Whose predictions, of run folders.")] = "test",
    clips: Annotated[
        int, typer.Option(min=1, help="How many to show: the best, the worst, some between.")
    ] = 500,
    n_best: Annotated[
        int,
        typer.Option(min=0, help="Outputs of each clip, and attention; 0 loads no checkpoint."),
    ] = 3,
    plots: Annotated[
        Path | None,
        typer.Option(help="A folder for plots as PNG and SVG; needs the extra plots."),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Write one HTML page to look at: scores, controls, curves, and each clip with its skeleton."""
    from signseq.reporting.run import report

    page = report(
        runs,
        out=out,
        split=split,
        clips=clips,
        n_best=n_best,
        plots=plots,
        trust_remote_code=trust_remote_code,
    )
    typer.echo(f"The report is in {page}.")
    if plots is not None:
        typer.echo(f"The plots are in {plots}.")
