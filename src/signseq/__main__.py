"""The command line: each verb parses, calls one library function, and prints.

Heavy imports stand inside the verbs, so that `signseq --help` answers at once.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signseq.console import run_command_line, speaks
from signseq.errors import DataError, SignSeqError
from signseq.progress import track

if TYPE_CHECKING:
    from signseq.translation import Translation

__all__ = ["main"]

app = typer.Typer(
    help="signseq: from signed language to text, through any Hugging Face sequence-to-sequence model.",
    epilog="Start with: signseq demo. Any setting of a config can be given as key=value after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings that replace the config's, e.g. training.learning_rate=1e-4.",
    ),
]
Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="The folder that training wrote.")
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run code of the text model's author, as training did."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-j", min=1, help="Processes; default: one per core.")
]


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
def corpus(
    kind: Annotated[str, typer.Argument(metavar="sentences|words", help="Which embedded corpus.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it.")],
    workers: Workers = None,
) -> None:
    """Write an embedded corpus: .pose files and tables, as you would bring your own."""
    from signseq.data.fingerspelling import write_corpus

    write_corpus(kind, folder, workers=workers or os.cpu_count() or 1)


@app.command()
def prepare(config: ConfigArgument, overrides: Overrides = None, workers: Workers = None) -> None:
    """Pack the poses of a corpus into a store; goes on where it was, and is instant when done."""
    from signseq.config import load_config
    from signseq.preparation import prepare

    prepare(load_config(config, overrides or ()), workers=workers)


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
    from signseq.training import checks, run

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
            typer.echo(
                f"The best checkpoint is in {folder}. Score it with: signseq evaluate {folder}"
            )


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="test, val, or a name of data.other_paths.")] = "test",
    blind: Annotated[
        bool,
        typer.Option("--blind/--no-blind", help="Score the baselines that can't see the poses."),
    ] = True,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Score a checkpoint beside blind baselines; writes predictions.tsv and scores.json into its folder."""
    from signseq import evaluation

    result = evaluation.evaluate(
        checkpoint,
        split=split,
        overrides=overrides or (),
        blind=blind,
        trust_remote_code=trust_remote_code,
    )
    typer.echo(evaluation.format_scores(result))


@app.command()
def translate(
    checkpoint: Checkpoint,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help=".pose files, folders of them, or globs.")
    ],
    n_best: Annotated[int, typer.Option(min=1, help="Sentences per clip.")] = 1,
    num_beams: Annotated[
        int | None, typer.Option(min=1, help="Beams to search with; default: the run's.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips in a batch.")] = 32,
    target_language: Annotated[
        str | None,
        typer.Option(help="What a multilingual model is to write, e.g. en; default: the run's."),
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Print log probabilities per token.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Translate .pose files to text; one line each, in the order given."""
    paths = list(_pose_files(files))
    from signseq.translation import Translator

    translator = Translator.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
    results = translator.stream(
        paths,
        n_best=n_best,
        num_beams=num_beams,
        batch_size=batch_size,
        keep_errors=True,
        target_language=target_language,
    )
    failed = 0
    shown = track(results, total=len(paths), label="Translating", unit="clip")
    for path, result in zip(paths, shown, strict=True):
        failed += result.error is not None
        if as_json:
            typer.echo(json.dumps(_facts(path, result, n_best=n_best), ensure_ascii=False))
        elif result.error:
            typer.echo(f"error: {result.error}", err=True)
        else:
            for text, score in result.alternatives:
                name = [str(path)] if len(paths) > 1 else []
                typer.echo("\t".join([*name, *([f"{score:.3f}"] if scores else []), text]))
    if failed and len(paths) > 1:
        typer.echo(
            f"error: {failed} of {len(paths)} files could not be translated; the reasons stand above.",
            err=True,
        )
    if failed:
        raise typer.Exit(1)


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


def _facts(path: Path, result: Translation, *, n_best: int) -> dict[str, Any]:
    """A translation as it is printed in JSON."""
    if result.error:
        return {"file": str(path), "error": result.error}
    facts: dict[str, Any] = {
        "file": str(path),
        "text": result.text,
        "score": result.score,
        "seconds": round(result.seconds, 3),
    }
    if n_best > 1:
        facts["n_best"] = [{"text": text, "score": score} for text, score in result.alternatives]
    return facts


def _pose_files(names: list[str]) -> Iterator[Path]:
    """The .pose files that names, folders and globs stand for."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(path.rglob("*.pose"))
        elif path.exists():  # first, as a name may hold the brackets of a glob
            found = [path]
        else:
            found = sorted(map(Path, glob.glob(name, recursive=True)))
        if not found and (path.is_dir() or glob.has_magic(name)):
            raise DataError(f"{name}: no .pose files there.")
        yield from found or [path]


def main() -> None:
    """Run the command line; mistakes end with one message and exit code 1, Ctrl-C with 130."""
    run_command_line(app)


if __name__ == "__main__":
    main()
