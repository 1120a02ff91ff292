"""Verbs about data: corpus, split, stitch, pose, inspect, prepare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from signseq.cli.app import ConfigArgument, Overrides, Workers, app

__all__ = ["corpus", "inspect", "pose", "prepare", "split", "stitch"]


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
def stitch(
    lexicon: Annotated[
        Path, typer.Argument(metavar="LEXICON", help="A folder with index.csv, or of <gloss>.pose.")
    ],
    texts: Annotated[
        Path,
        typer.Argument(
            metavar="TEXTS",
            help="A csv or tsv with uid, text and perhaps glosses; or a sentence a line.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where poses/ and table.csv go.")],
    glosses: Annotated[
        Path | None, typer.Option(help="The glosses of a file of sentences, line by line.")
    ] = None,
    missing: Annotated[
        Literal["skip", "drop", "spell"],
        typer.Option(
            help="Sentences with a word that isn't there: skip them, drop the word, or spell it."
        ),
    ] = "skip",
    letters: Annotated[
        Path | None, typer.Option(help="A lexicon to spell with; default: the letters of LEXICON.")
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="Of several clips the one of best priority; else any.")
    ] = False,
    spoken_language: Annotated[str | None, typer.Option(help="Where LEXICON has several.")] = None,
    signed_language: Annotated[str | None, typer.Option(help="Where LEXICON has several.")] = None,
    fps: Annotated[float, typer.Option(help="Frames per second of the sentences.")] = 25.0,
    transition_seconds: Annotated[float, typer.Option(help="From one clip to the next.")] = 0.12,
    sign_seconds: Annotated[
        float, typer.Option(help="Longer signs are played faster; 0: as they are.")
    ] = 0.8,
    letter_seconds: Annotated[float, typer.Option(help="The same for letters.")] = 0.3,
    keypoints: Annotated[
        str | None, typer.Option(help="A keypoint set, e.g. upper_body_hands_face; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same files.")] = 42,
    workers: Workers = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what other settings stitched there.")
    ] = False,
) -> None:
    """Compose sentences of a lexicon's clips, to pretrain on; goes on where it was."""
    from signseq.stitching import Joining, stitch

    report = stitch(
        lexicon,
        texts,
        out,
        glosses=glosses,
        letters=letters,
        missing=missing,
        takes_first=first,
        joining=Joining(
            fps=fps,
            transition_seconds=transition_seconds,
            sign_seconds=sign_seconds,
            letter_seconds=letter_seconds,
            keypoints=keypoints,
        ),
        spoken_language=spoken_language,
        signed_language=signed_language,
        seed=seed,
        workers=workers or os.cpu_count() or 1,
        overwrite=overwrite,
    )
    typer.echo(report.describe())


@app.command()
def pose(
    source: Annotated[
        Path, typer.Argument(metavar="VIDEO|FOLDER", help="A video, or a folder of videos.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The folder for NAME.pose; folders inside as in FOLDER."
        ),
    ],
    people: Annotated[
        Literal["largest", "all"],
        typer.Option(
            help="Of several who are in view together: the largest, or all; the others go to NAME.person2.pose, ..."
        ),
    ] = "largest",
    max_people: Annotated[
        int | None, typer.Option(min=1, help="With --people all, how many at most.")
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="What finds the poses: mediapipe_holistic.")
    ] = "mediapipe_holistic",
    max_skipped: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the videos that may be unusable; with more, the exit code is 1.",
        ),
    ] = 0.01,
    workers: Workers = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do all anew, also .pose files that were not made here."),
    ] = False,
) -> None:
    """Find the poses of the people in videos, as .pose files; goes on where it was.

    Reads mp4, mov, m4v, mkv, webm, avi, mpg, mpeg, wmv and gif. The frame rate is kept; a variable one becomes a
    constant one. OUT/skipped.csv lists what can't be used and why. Needs: pip install 'signseq[video]'
    """
    from signseq.extraction.run import extract_poses

    report = extract_poses(
        source,
        out,
        people=people,
        max_people=max_people,
        estimator=estimator,
        max_skipped=max_skipped,
        workers=workers,
        overwrite=overwrite,
    )
    typer.echo(report.describe())


@app.command()
def inspect(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|FOLDER",
            help="The experiment's YAML file; or a folder with train, val and test as .csv or .tsv, and poses/.",
        ),
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the report as one HTML file too, with a few clips to watch."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with code 1 if something would spoil training.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look a corpus over before training: what is in it, what is wrong, which settings fit."""
    from signseq.config import load_config
    from signseq.inspection import config_of_folder, inspect
    from signseq.inspection_report import write_html

    load = config_of_folder if config.is_dir() else load_config
    found = inspect(load(config, overrides or ()))
    typer.echo(found.to_json() if as_json else found.describe())
    if out is not None:
        write_html(found, out, title=config.stem)
        if not as_json:
            typer.echo(f"\nThe report is in {out}.")
    if strict and found.spoils_training:
        raise typer.Exit(1)


@app.command()
def prepare(
    config: ConfigArgument,
    overrides: Overrides = None,
    workers: Workers = None,
    engine: Annotated[
        Literal["processes", "ray"],
        typer.Option(
            help="Where it is done: by processes of this machine, or on a Ray cluster (RAY_ADDRESS, or one that "
            "was started on this machine, or a new one)."
        ),
    ] = "processes",
) -> None:
    """Pack the poses of a corpus into a store; goes on where it was, and is instant when done."""
    from signseq.config import load_config
    from signseq.preparation import prepare

    prepare(load_config(config, overrides or ()), workers=workers, engine=engine)
