"""Verbs about models: models, train, sweep, merge, average."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signseq.cli.app import Checkpoint, ConfigArgument, Overrides, TrustRemoteCode, app
from signseq.console import speaks
from signseq.errors import SignSeqError

__all__ = ["average", "merge", "models", "sweep", "train"]


@app.command()
def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FOLDER]...", help="Text models; without: the known ones."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="For this experiment; without a name, its own model.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the config's.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Of a clip, after step_frames.")] = 60,
    tokens: Annotated[int, typer.Option(min=1, help="Of a text.")] = 25,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List text models; or say of some what they are, and the memory that training them takes."""
    from signseq import model_table

    if config is None and not names:
        typer.echo(model_table.list_families(as_json=as_json))
        return
    from signseq import description
    from signseq.config import load_config

    given, failed = load_config(config) if config else None, False
    for found in description.describe_models(
        names or (), given, batch_size=batch_size, frames=frames, tokens=tokens
    ):
        if isinstance(found, SignSeqError):
            failed = True
            typer.echo(f"error: {found}", err=True)
        else:
            typer.echo(model_table.to_json(found) if as_json else model_table.describe(found))
    if failed:
        raise typer.Exit(1)


@app.command()
def train(
    config: ConfigArgument,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew; deletes the run's checkpoints.")
    ] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Load, do a few steps, say what a run takes; writes nothing."
        ),
    ] = False,
    one_batch: Annotated[
        bool, typer.Option("--overfit", help="Train on one batch to zero loss; writes nothing.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", hidden=True)] = False,  # train_multi_gpu.sh asks
) -> None:
    """Train a model; the best checkpoint is left in training.checkpoint_dir."""
    flags = {"--resume": resume, "--overwrite": overwrite, "--dry-run": dry, "--overfit": one_batch}
    given = [flag for flag, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other; give one of them.")
    from signseq.config import load_config
    from signseq.training import checks, run, run_folder

    settings = load_config(config, overrides or ())
    if dry:
        typer.echo(checks.dry_run(settings).describe())
    elif one_batch:
        loss = checks.overfit(settings)
        passed = loss < checks.OVERFIT_LOSS
        verdict = "the model can learn." if passed else "not learned; something is wrong."
        typer.echo(f"Loss on one batch: {loss:.4f}: {verdict}")
        raise typer.Exit(0 if passed else 1)
    elif check:
        run.check_run(settings, resume=resume, overwrite=overwrite)
    else:
        folder = run.train(settings, resume=resume, overwrite=overwrite)
        if speaks():
            held = run_folder.describe_result(folder)
            typer.echo(f"{folder} holds {held}. Score it with: signseq evaluate {folder}")


@app.command()
def sweep(
    config: ConfigArgument,
    overrides: Overrides = None,
    workers: Annotated[
        int,
        typer.Option("--workers", "-j", min=1, help="Trials at once, each on a GPU of its own."),
    ] = 1,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be tried; writes nothing.")
    ] = False,
) -> None:
    """Try the settings of the config's section `sweep`; the same command goes on."""
    from signseq.config import load_config
    from signseq.sweeping import run

    settings = load_config(config, overrides or ())
    if dry:
        typer.echo(run.describe_sweep(settings))
    else:
        typer.echo(run.sweep(settings, workers=workers).describe())


@app.command()
def merge(
    checkpoint: Checkpoint,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where to write; a folder that isn't there yet.")
    ],
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Make a full checkpoint of one that holds LoRA adapters; it needs nothing else any more."""
    from signseq.merging import merge

    folder = merge(checkpoint, out, trust_remote_code=trust_remote_code)
    typer.echo(f"The full checkpoint is in {folder}. Score it with: signseq evaluate {folder}")


@app.command()
def average(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT...", help="Two or more of one run.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that isn't there yet.")],
) -> None:
    """Write a checkpoint whose weights are the mean of several of one run."""
    from signseq.averaging import average

    folder = average(checkpoints, out)
    typer.echo(f"The averaged checkpoint is in {folder}. Score it with: signseq evaluate {folder}")
