"""The verb about long recordings: subtitle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from signseq.cli.app import TrustRemoteCode, app

__all__ = ["subtitle"]


@app.command()
def subtitle(
    names: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT VIDEO|POSE",
            help="The folder that training wrote, and a video or a .pose file; with --segments-only the latter alone.",
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="What to write: NAME.srt, .vtt, .eaf, .TextGrid or .json; may be given several times. "
            "Default: NAME.srt beside the recording."
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="srt, vtt, eaf, textgrid or json; default: by the suffix."),
    ] = None,
    segmenter: Annotated[
        Literal["rules", "pose_to_segments"],
        typer.Option(
            help="What finds the sentences: our rules, or pose_to_segments, a learned program that you have installed."
        ),
    ] = "rules",
    segments: Annotated[
        Path | None,
        typer.Option(help="An .eaf or .json file that says where the sentences are."),
    ] = None,
    segments_only: Annotated[
        bool,
        typer.Option("--segments-only", help="Find the sentences and translate none of them."),
    ] = False,
    context: Annotated[
        float, typer.Option(min=0, help="Seconds before and after a sentence to translate with it.")
    ] = 0.1,
    pause: Annotated[
        float | None,
        typer.Option(
            min=0, help="Of the rules: seconds that raised hands are still between sentences; 0.6."
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            min=1, help="Of the rules: longer sentences are cut where the hands are slowest; 15."
        ),
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(help="Keep a video's poses in this .pose file; they are read if it is there."),
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="What finds the poses: mediapipe_holistic.")
    ] = "mediapipe_holistic",
    n_best: Annotated[int, typer.Option(min=1, help="Translations per sentence, in json.")] = 1,
    num_beams: Annotated[
        int | None, typer.Option(min=1, help="Beams to search with; default: the run's.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences in a batch.")] = 16,
    target_language: Annotated[
        str | None,
        typer.Option(help="What a multilingual model is to write, e.g. en; default: the run's."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Subtitle a long recording: find where signing is, and translate each sentence of it.

    Memory doesn't grow with the recording's length. Videos need: pip install 'signseq[video]'
    """
    checkpoint, recording = _take_apart(names, segments_only=segments_only)
    from signseq.poses.segmentation import SegmenterOptions
    from signseq.subtitling.run import subtitle
    from signseq.subtitling.writing import FORMATS

    changed = {"pause_seconds": pause, "max_seconds": max_seconds}
    options = {name: value for name, value in changed.items() if value is not None}
    suffix = FORMATS.get(kind or "srt", "")  # a wrong format is told by `subtitle`
    report = subtitle(
        checkpoint,
        recording,
        out or [recording.with_suffix(suffix)],
        kind=kind,
        segmenter=segmenter,
        options=SegmenterOptions(**options) if options else None,
        segments=segments,
        context=context,
        poses=poses,
        estimator=estimator,
        n_best=n_best,
        num_beams=num_beams,
        batch_size=batch_size,
        target_language=target_language,
        trust_remote_code=trust_remote_code,
        overwrite=overwrite,
    )
    typer.echo(report.describe())
    if report.failed or report.fault:
        raise typer.Exit(1)


def _take_apart(names: list[Path], *, segments_only: bool) -> tuple[Path | None, Path]:
    """The checkpoint, where one is used, and the recording."""
    if segments_only and len(names) in (1, 2):
        return None, names[-1]
    if len(names) != 2:
        raise typer.BadParameter(
            f"expected a checkpoint and a video or .pose file, got: {' '.join(map(str, names))}."
        )
    return names[0], names[1]
