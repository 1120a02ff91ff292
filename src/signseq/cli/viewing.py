"""The verb view: pose files to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signseq.cli.app import app

__all__ = ["view"]


@app.command()
def view(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help=".pose and .pose.zst files, folders of them, or globs."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where the page goes; without, it opens in the browser."),
    ] = None,
    gif: Annotated[
        Path | None,
        typer.Option(help="A GIF, or a folder for one per file; needs the extra view."),
    ] = None,
    mp4: Annotated[
        Path | None,
        typer.Option(
            help="An MP4, or a folder for one per file; needs the extra view, and ffmpeg."
        ),
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Where to begin, in seconds.")] = 0.0,
    seconds: Annotated[float, typer.Option(help="How much of each file to show.")] = 60.0,
    limit: Annotated[int, typer.Option(min=1, help="How many files to show.")] = 200,
) -> None:
    """Look at pose files: one page that plays their skeletons, or a GIF or MP4 of each.

    What can't be read is said, with exit code 1; the rest is shown.
    """
    from signseq.viewing.run import view

    report = view(files, out=out, gif=gif, mp4=mp4, start=start, seconds=seconds, limit=limit)
    for path in report.files:
        typer.echo(str(path))
    if report.faults:
        typer.echo(
            f"error: {len(report.faults)} of the files could not be shown; the reasons stand above.",
            err=True,
        )
        raise typer.Exit(1)
