"""Which formats subtitles can have, and writing them."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from signseq.errors import DataError
from signseq.subtitling.captions import format_srt, format_vtt
from signseq.subtitling.cues import Cue, Subtitles
from signseq.subtitling.elan import format_eaf
from signseq.subtitling.textgrid import format_textgrid

__all__ = ["FORMATS", "check_outputs", "format_of", "write_subtitles"]

FORMATS = {"srt": ".srt", "vtt": ".vtt", "eaf": ".eaf", "textgrid": ".TextGrid", "json": ".json"}


def format_of(path: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        DataError: If it names none; says the nearest one.
    """
    names = {suffix.lower(): name for name, suffix in FORMATS.items()}
    suffix = path.suffix.lower()
    if suffix not in names:
        near = difflib.get_close_matches(suffix, names, n=1)
        hint = f" Did you mean {FORMATS[names[near[0]]]}?" if near else ""
        raise DataError(
            f"{path}: subtitles can't be written with the suffix {path.suffix!r}; expected "
            f"{', '.join(FORMATS.values())}.{hint} Or name a format with --format."
        )
    return names[suffix]


def check_outputs(paths: Sequence[Path], *, overwrite: bool) -> None:
    """See that the files can be written, before the work is done.

    Raises:
        DataError: If a folder is missing, something is there already, or one file is named twice.
    """
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise DataError(f"{path}: named twice. Give each format a file of its own.")
        if not path.parent.is_dir():
            raise DataError(f"{path}: no folder {path.parent}. Make it, or write somewhere else.")
        if path.is_dir():
            raise DataError(f"{path}: is a folder. Name a file in it.")
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: isn't an ordinary file. Write somewhere else with --out.")
        if path.exists() and not overwrite:
            raise DataError(f"{path}: is there already. Write it anew with --overwrite.")
        if not os.access(path.parent, os.W_OK):
            raise DataError(
                f"{path}: can't be written in {path.parent}. Write somewhere else with --out."
            )


def write_subtitles(path: Path, subtitles: Subtitles, *, kind: str) -> None:
    """Write subtitles in one of the formats; a killed write leaves no half file.

    Args:
        path: Where to write.
        subtitles: What to write.
        kind: A key of `FORMATS`.

    Raises:
        DataError: If it can't be written.
    """
    if kind == "eaf":
        content = format_eaf(subtitles, folder=path.parent)
    else:
        makers = {"srt": format_srt, "vtt": format_vtt, "textgrid": format_textgrid}
        content = makers.get(kind, _format_json)(subtitles)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(content, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as fault:
        raise DataError(f"{path}: can't be written ({fault.strerror}).") from fault
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _format_json(subtitles: Subtitles) -> str:
    facts = {
        "recording": subtitles.recording,
        "seconds": round(subtitles.seconds, 3),
        "fps": subtitles.fps,
        "checkpoint": subtitles.checkpoint,
        "language": subtitles.language,
        "segments": [_facts(cue) for cue in subtitles.cues],
    }
    return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"


def _facts(cue: Cue) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "start": round(cue.start, 3),
        "end": round(cue.end, 3),
        "text": cue.text,
    }
    if cue.error is not None:
        return facts | {"error": cue.error}
    if cue.confidence is not None:
        facts |= {"confidence": round(cue.confidence, 4), "score": cue.score}
    if cue.warnings:
        facts["warnings"] = list(cue.warnings)
    if len(cue.alternatives) > 1:
        facts["n_best"] = [{"text": text, "score": score} for text, score in cue.alternatives]
    return facts
