"""Verbs about what a model does: evaluate, report, translate; and demo, everything in a row."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signseq.cli.app import Checkpoint, Overrides, TrustRemoteCode, Workers, app
from signseq.errors import DataError
from signseq.progress import track

if TYPE_CHECKING:
    from signseq.translation import Translation

__all__ = ["demo", "evaluate", "report", "translate"]


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
        if "=" in name and not path.exists():
            raise DataError(
                f"{name}: no such file. A checkpoint's settings can't be changed here; see signseq translate --help "
                "for what can (--num-beams, --target-language, ...)."
            )
        if path.is_dir():
            found = sorted(path.rglob("*.pose"))
        elif path.exists():  # first, as a name may hold the brackets of a glob
            found = [path]
        else:
            found = sorted(map(Path, glob.glob(name, recursive=True)))
        if not found and (path.is_dir() or glob.has_magic(name)):
            raise DataError(f"{name}: no .pose files there.")
        yield from found or [path]
