"""Verbs about data: corpus, split, prepare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from signseq.cli.app import ConfigArgument, Overrides, Workers, app

__all__ = ["corpus", "prepare", "split"]


@app.command()
def corpus(
    kind: Annotated[str, typer.Argument(metavar="sentences|words", help="Which embedded corpus.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it.")],
    workers: Workers = None,
) -> None:
    """Write an embedded corpus: .pose files and tables, as you would bring your own."""
    from signseq.data.fingerspelling import write_corpus

    write_corpus(kind, folder, workers=workers or os.cpu_count() or 1)


@app.command()
def split(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A csv or tsv with uid and text.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder for train, val and test.")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="What stays on one side: video (a uid without its last -number; default), text, or a column "
            "such as signer. May be given several times."
        ),
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Of the rows, in percent: train,val,test.")
    ] = "90,5,5",
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same splits.")] = 42,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Divide a table into train, val and test so that nothing leaks; list the texts that both sides have."""
    from signseq.splitting import parse_shares, split

    report = split(
        table,
        out,
        by=by or ("video",),
        shares=parse_shares(shares),
        seed=seed,
        overwrite=overwrite,
    )
    typer.echo(report.describe())


@app.command()
def prepare(config: ConfigArgument, overrides: Overrides = None, workers: Workers = None) -> None:
    """Pack the poses of a corpus into a store; goes on where it was, and is instant when done."""
    from signseq.config import load_config
    from signseq.preparation import prepare

    prepare(load_config(config, overrides or ()), workers=workers)
