"""What `signseq translate` does: clips by their names, one after another, to standard output or a file."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from signseq.errors import DataError, PoseError
from signseq.poses.sources.source import PoseFormat
from signseq.progress import Progress
from signseq.translation.listing import TABLES, list_clips, names_a_table
from signseq.translation.options import Options
from signseq.translation.output import OutputFormat, ResultFile, format_result, header
from signseq.translation.sources import ClipSource, Source, check_video_support, is_video
from signseq.translation.translator import Translator

__all__ = ["STANDARD_INPUT", "Tally", "find_clips", "translate_clips_to"]

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"


@dataclass
class Tally:
    """How a run went.

    Attributes:
        clips: How many there were.
        failed: How many could not be translated.
        kept: How many an earlier run had translated.
    """

    clips: int = 0
    failed: int = 0
    kept: int = 0


def find_clips(
    names: Sequence[str],
    *,
    files_from: str | None = None,
    table: Path | None = None,
    pose_dir: Path | None = None,
    pose_format: PoseFormat | None = None,
) -> Iterable[ClipSource]:
    """The clips of a command: a list, or an iterator where names come one after another from standard input.

    Args:
        names: Files, folders, globs, zips, tables.
        files_from: A file of names, one a line; `-` is standard input.
        table: A table of clips.
        pose_dir: See `list_clips`, as for `pose_format`.
        pose_format: The same.

    Raises:
        DataError: If there is nothing, or a table or a list is wrong.
        MissingExtraError: If a video is among the clips and a package for videos isn't installed.
    """
    listed = [*names, *([str(table)] if table else [])]
    if files_from is not None and files_from != STANDARD_INPUT:
        try:
            lines = Path(files_from).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            raise DataError(f"{files_from}: can't be read ({fault}).") from fault
        listed += filter(None, lines)
    if pose_dir is not None and files_from != STANDARD_INPUT and not names_a_table(listed):
        raise DataError(
            f"--pose-dir {pose_dir}: says where a table's poses are, and there is no table ({', '.join(TABLES)}). "
            "Leave it out, or give one."
        )
    clips = list(list_clips(listed, pose_format=pose_format, pose_dir=pose_dir))
    if any(clip.pose_format is None and is_video(clip.path) for clip in clips):
        check_video_support()
    if files_from != STANDARD_INPUT:
        return clips
    typed = filter(None, (line.rstrip("\r\n") for line in sys.stdin))
    more = _list_typed(typed, pose_format=pose_format, pose_dir=pose_dir)
    return (clip for part in (clips, more) for clip in part)


def _list_typed(
    names: Iterable[str], *, pose_format: PoseFormat | None, pose_dir: Path | None
) -> Iterator[ClipSource]:
    """The clips of names that come one after another: one that stands for nothing doesn't end the others."""
    for name in names:
        try:
            yield from list_clips([name], pose_format=pose_format, pose_dir=pose_dir)
        except (DataError, PoseError) as fault:
            logger.warning("%s", fault)
            yield ClipSource(name, name)  # fails when it is read, and so is counted


def translate_clips_to(
    translator: Translator,
    clips: Iterable[ClipSource | bytes],
    *,
    write: Callable[[str], None],
    complain: Callable[[str], None],
    form: OutputFormat = "text",
    scores: bool = False,
    out: Path | None = None,
    resume: bool = False,
    batch_size: int = 32,
    **options: Unpack[Options],
) -> Tally:
    """Translate clips, and write each as soon as it and those before it are done.

    Args:
        translator: The model.
        clips: What to translate; bytes are those of a .pose file.
        write: Takes a line of the results, where no file does.
        complain: Takes a line about a clip that can't be used, where the results have none.
        form: How results are written.
        scores: In `text`, whether scores are.
        out: The file that they go to, instead of `write`.
        resume: Whether what that file holds of an earlier run is kept.
        batch_size: Clips in a batch.
        **options: See `Options`.

    Raises:
        DataError: If the file can't be written, or doesn't hold results of this format.
        ConfigError: If an option has a value that it can't have.
        ModelError: If the text model can't do what is asked for.
    """
    known = clips if isinstance(clips, Sequence) else None
    result_file = ResultFile(out, form) if out else None
    kept = result_file.kept() if result_file and resume else {}
    names = deque[str]()  # of the clips that were asked for, in another thread

    def is_kept(name: str) -> bool:
        return result_file is not None and result_file.name_of(name) in kept

    tally = Tally(kept=sum(is_kept(_name_of(clip)) for clip in known or ()))
    named = out is not None or known is None or len(known) > 1
    results = translator.stream(
        _pass_on(clips, names, is_kept), batch_size=batch_size, keep_errors=True, **options
    )
    total = len(known) if known is not None else 0
    progress = Progress(total=total, label="Translating", unit="clip", done=tally.kept)
    with (
        closing(progress),
        closing(results),  # type: ignore[type-var]  # a generator
        result_file.writing(kept) if result_file else nullcontext() as file,
    ):
        if file is None:
            for line in header(form):
                write(line)
        for found in results:
            name = names.popleft()
            tally.clips += 1
            tally.failed += found.error is not None
            lines = format_result(
                name, found, form=form, n_best=options.get("n_best", 1), scores=scores, named=named
            )
            for line in lines:
                write(line) if file is None else print(line, file=file)
            if file is not None:
                file.flush()
            if found.error and (form != "jsonl" or file is not None):
                complain(f"error: {found.error}")
            progress.advance()
    if result_file is not None:
        result_file.finish(None if known is None else [_name_of(clip) for clip in known])
    return tally


def _name_of(clip: ClipSource | bytes) -> str:
    return clip.name if isinstance(clip, ClipSource) else STANDARD_INPUT


def _pass_on(
    clips: Iterable[ClipSource | bytes], names: deque[str], is_kept: Callable[[str], bool]
) -> Iterator[Source]:
    """The clips that are to be translated; notes their names as they are asked for."""
    for clip in clips:
        name = _name_of(clip)
        if not is_kept(name):
            names.append(name)
            yield clip
