"""The verb translate: from poses or videos to text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from signseq.cli.app import Checkpoint, TrustRemoteCode, app
from signseq.errors import DataError

if TYPE_CHECKING:
    from signseq.poses.sources.source import PoseFormat

__all__ = ["translate"]

SIZE = "WIDTHxHEIGHT"
TABLES = (".csv", ".tsv", ".jsonl")  # as in `listing`, which is slow to import


@app.command()
def translate(
    checkpoint: Checkpoint,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Poses, videos, folders of them, globs, zips of poses, tables (.csv, .tsv, .jsonl); - is a .pose on "
            "standard input.",
        ),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(
            help="A list of further files, one a line; - is standard input, line by line."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A table with a column uid or path; optionally start and end, seconds."),
    ] = None,
    pose_dir: Annotated[
        Path | None, typer.Option(help="Where a table's poses are; default: beside it.")
    ] = None,
    pose_format: Annotated[
        Literal["pose", "pose.zst", "openpose", "npy", "h5", "wholebody_pkl"] | None,
        typer.Option(help="How poses are stored; default: told by the look of each file."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Frames per second, where files don't say it.")
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Of npy and h5: which points, e.g. youtube_asl_104.")
    ] = None,
    channels: Annotated[
        Literal["xy", "xyz", "xyc", "xyzc"] | None, typer.Option(help="Of npy and h5.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar=SIZE, help="By which coordinates were divided, if they were."),
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pickles: data only, no code.")
    ] = False,
    n_best: Annotated[int, typer.Option(min=1, help="Sentences per clip.")] = 1,
    scores: Annotated[
        bool, typer.Option("--scores", help="Print log probabilities per token.")
    ] = False,
    num_beams: Annotated[
        int | None, typer.Option(min=1, help="Beams to search with; default: the run's.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Above 1 favours longer texts; default: the run's.")
    ] = None,
    no_repeat_ngram_size: Annotated[
        int | None, typer.Option(min=0, help="No so many tokens twice; default: the run's.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest text; default: the run's.")
    ] = None,
    target_language: Annotated[
        str | None,
        typer.Option(help="What a multilingual model is to write, e.g. en; default: the run's."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the model is told; default: the run's data.prompt.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips in a batch.")] = 32,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        typer.Option(help="Numbers of the weights; int8 on a CPU only."),
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if any.")] = "auto",
    output: Annotated[
        Literal["text", "tsv", "jsonl"], typer.Option("--format", help="Of the results.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file; until it is whole, to FILE.part.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what --out holds of the same command.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out holds.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Translate poses and videos to text, in the order given; what can't be used is said, with exit code 1.

    Videos need: pip install 'signseq[video]'
    """
    names = list(files or ())
    _check_arguments(names, files_from, table, out=out, resume=resume, overwrite=overwrite)
    if as_json and output == "tsv":
        raise typer.BadParameter("--json is --format jsonl; leave out one of the two.")
    from signseq.translation.command import STANDARD_INPUT, find_clips, translate_clips_to
    from signseq.translation.output import ResultFile
    from signseq.translation.translator import Translator

    form: Literal["text", "tsv", "jsonl"] = "jsonl" if as_json else output
    if out is not None:
        ResultFile(out, form).check(resume=resume, overwrite=overwrite)
    clips = (
        [sys.stdin.buffer.read()]
        if names == [STANDARD_INPUT]
        else find_clips(
            names,
            files_from=files_from,
            table=table,
            pose_dir=pose_dir,
            pose_format=_format(
                pose_format, fps, skeleton, channels=channels, size=size, allow_pickle=allow_pickle
            ),
        )
    )
    translator = Translator.from_pretrained(
        checkpoint, dtype=dtype, device=device, trust_remote_code=trust_remote_code
    )
    tally = translate_clips_to(
        translator,
        clips,
        write=typer.echo,
        complain=lambda line: typer.echo(line, err=True),
        form=form,
        scores=scores,
        out=out,
        resume=resume,
        batch_size=batch_size,
        n_best=n_best,
        num_beams=num_beams,
        length_penalty=length_penalty,
        no_repeat_ngram_size=no_repeat_ngram_size,
        max_new_tokens=max_new_tokens,
        target_language=target_language,
        prompt=prompt,
    )
    if tally.failed and tally.clips > 1:
        typer.echo(
            f"error: {tally.failed} of {tally.clips} files could not be translated; the reasons stand above.",
            err=True,
        )
    if out is not None:
        kept = f", {tally.kept} of them before," if tally.kept else ""
        count = tally.clips - tally.failed + tally.kept
        are = "translation is" if count == 1 else f"translations{kept} are"
        typer.echo(f"{count} {are} in {out}.")
    if tally.failed:
        raise typer.Exit(1)


def _check_arguments(
    names: list[str],
    files_from: str | None,
    table: Path | None,
    *,
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    if not names and files_from is None and table is None:
        raise typer.BadParameter("nothing to translate: give FILE, --files-from or --table.")
    if "-" in names and (len(names) > 1 or files_from or table):
        raise typer.BadParameter("- stands for one .pose on standard input, alone.")
    if table is not None and table.suffix.lower() not in TABLES:
        raise typer.BadParameter(f"--table {table}: expected a {', '.join(TABLES)} file.")
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what --overwrite replaces; leave out one of them.")
    if (resume or overwrite) and out is None:
        name = "--resume goes on with" if resume else "--overwrite replaces"
        raise typer.BadParameter(f"{name} a file: give --out.")
    for name in names:
        if "=" in name and not Path(name).exists():
            raise DataError(
                f"{name}: no such file. A checkpoint's settings can't be changed here; see signseq translate --help "
                "for what can (--num-beams, --target-language, ...)."
            )


def _format(
    name: str | None,
    fps: float | None,
    skeleton: str | None,
    *,
    channels: Literal["xy", "xyz", "xyc", "xyzc"] | None,
    size: str | None,
    allow_pickle: bool,
) -> PoseFormat | None:
    """How poses are stored; None where that is to be told by their look."""
    from signseq.poses.sources.source import PoseFormat

    if name is None:
        if fps or skeleton or channels or size or allow_pickle:
            raise typer.BadParameter(
                "--fps, --skeleton, --channels, --size and --allow-pickle need --pose-format."
            )
        return None
    width, cross, height = (size or "").partition("x")
    if size and not (cross and width.isdigit() and height.isdigit()):
        raise typer.BadParameter(f"--size {size}: expected {SIZE}, such as 1280x720.")
    return PoseFormat(
        name,  # type: ignore[arg-type]  # one that typer has let through
        skeleton=skeleton,
        channels=channels,
        fps=fps,
        size=(int(width), int(height)) if size else None,
        allow_pickle=allow_pickle,
    )
