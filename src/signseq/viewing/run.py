"""`signseq view`: pose files as skeletons that play, on one page, as GIFs or as MP4s."""

from __future__ import annotations

import logging
import math
import tempfile
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.errors import DataError, PoseError
from signseq.poses.drawing import DrawnPose
from signseq.progress import track
from signseq.viewing.clips import ViewedClip, find_files, view_clip
from signseq.viewing.movies import check_ffmpeg, check_pillow, write_gif, write_mp4
from signseq.viewing.page import write_page

__all__ = ["ViewReport", "view"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewReport:
    """What was written.

    Attributes:
        files: The page, GIFs and MP4s.
        faults: Why other files can't be shown.
    """

    files: tuple[Path, ...]
    faults: tuple[str, ...] = ()


def view(
    files: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    gif: str | Path | None = None,
    mp4: str | Path | None = None,
    start: float = 0.0,
    seconds: float = 60.0,
    limit: int = 200,
) -> ViewReport:
    """Write one HTML page that plays pose files, or a GIF or MP4 of each.

    Without `out`, `gif` and `mp4` the page is written to a temporary file and opened in the browser.

    Args:
        files: .pose and .pose.zst files, folders of them, or globs.
        out: Where the page goes.
        gif: A GIF's name, or a folder for one of each file.
        mp4: An MP4's name, or a folder for one of each file; needs ffmpeg.
        start: Where to begin, in seconds.
        seconds: How much of each file to show.
        limit: How many files to show at most.

    Raises:
        DataError: If there is no such file, none can be read, or something can't be written.
        MissingExtraError: If Pillow is needed and isn't installed.
    """
    paths = find_files(files)
    if not (0 < seconds < math.inf and 0 <= start < math.inf) or limit < 1:
        raise DataError(
            f"start {start:g}, seconds {seconds:g}, limit {limit}: expected 0 or more, more than 0, and 1 or more."
        )
    movies: list[tuple[Path, str, Callable[[DrawnPose, Path], None]]] = []
    if gif is not None or mp4 is not None:
        check_pillow()
    if gif is not None:
        movies.append((Path(gif), ".gif", write_gif))
    if mp4 is not None:
        check_ffmpeg()
        movies.append((Path(mp4), ".mp4", write_mp4))
    notes = []
    if len(paths) > limit:
        notes.append(f"The first {limit} of {len(paths)} files; --limit shows more.")
        paths = paths[:limit]
    for target, suffix, _ in movies:
        _movie_names(paths, target, suffix)  # what is wrong with them is said before any is drawn
    clips, faults = _read(paths, start=start, seconds=seconds)
    for note in notes + faults:
        logger.warning("%s", note)
    written = []
    for target, suffix, write in movies:
        names = _movie_names([clip.path for clip in clips], target, suffix)
        pairs = list(zip(clips, names, strict=True))
        for clip, name in track(pairs, total=len(pairs), label=f"Drawing {suffix}", unit="file"):
            write(clip.pose, name)
            written.append(name)
    if out is not None or not movies:
        page = (
            Path(out) if out is not None else Path(tempfile.mkdtemp("", "signseq-")) / "view.html"
        )
        write_page(clips, page, notes=notes + faults)
        written.append(page)
        if out is None and not webbrowser.open(page.resolve().as_uri()):
            logger.warning("No browser could be opened; the page is in %s.", page)
    return ViewReport(tuple(written), tuple(faults))


def _read(
    paths: Sequence[Path], *, start: float, seconds: float
) -> tuple[list[ViewedClip], list[str]]:
    """The clips, and why others can't be shown."""
    clips, faults = [], []
    for path in track(paths, total=len(paths), label="Reading", unit="file"):
        try:
            clips.append(view_clip(path, start=start, seconds=seconds))
        except PoseError as fault:
            faults.append(str(fault))
    if not clips:
        raise DataError("\n".join(faults))
    return clips, faults


def _movie_names(paths: Sequence[Path], target: Path, suffix: str) -> list[Path]:
    """Where the movie of each file goes.

    Raises:
        DataError: If two would go to one place, or the place is named like another kind of file.
    """
    if target.suffix.lower() == suffix and not target.is_dir():
        if len(paths) > 1:
            raise DataError(
                f"{target}: is one file, and {len(paths)} are to be drawn. Name a folder instead."
            )
        return [target]
    if target.suffix and not target.is_dir():
        raise DataError(
            f"{target}: neither a name that ends in {suffix} nor a folder that is there. Name a file NAME{suffix}, or "
            "make the folder."
        )
    names = [
        target / f"{path.name.removesuffix('.zst').removesuffix('.pose')}{suffix}" for path in paths
    ]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{twice}: two files of this name are to be drawn. Draw them one by one.")
    return names
