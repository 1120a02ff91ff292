"""Examples, and one reader per corpus: from tables and folders as they were downloaded to `Example`s."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signseq.config import DataConfig
from signseq.errors import DataError

__all__ = ["READERS", "Example", "Reader", "read_examples", "read_table", "row_bytes"]

LONGEST = 1e7  # seconds; four months of video
csv.field_size_limit(2**24)  # one quote left open must not end in csv's own, wordless error


@dataclass(frozen=True, slots=True)
class Example:
    """One clip and its sentence.

    Attributes:
        id: Unique over all splits.
        pose_path: The .pose file.
        start: First second of the clip in the file.
        end: Last second; None means the end of the file.
        text: The sentence in Unicode's form NFC, white space collapsed; empty where the corpus has none.
        split: `train`, `val`, `test` or another name.
        signer: Who signs, where known.
        source_language: The signed language, where known (ISO 639-3, e.g. `ins`, `ase`).
        target_language: The language of the text, where known.
    """

    id: str
    pose_path: str
    start: float
    end: float | None
    text: str
    split: str
    signer: str | None = None
    source_language: str | None = None
    target_language: str | None = None


def read_table(path: Path, *, pose_dir: Path, split: str, delimiter: str) -> Iterator[Example]:
    """Read a table with the columns `uid` and `text`, and optionally Example's other fields.

    The poses are `<pose_dir>/<uid>.pose`, or what the column `pose_path` says (relative to
    `pose_dir`). Columns that are not Example's are ignored. Texts are normalised to Unicode's form
    NFC, as tokenizers do it: an accent that stands alone in a reference would never be hit.

    Args:
        path: A table in UTF-8, with or without a byte order mark, Unix or Windows line ends.
        pose_dir: Where the .pose files are.
        split: The split that the table stands for.
        delimiter: What stands between columns.

    Yields:
        One Example a row.

    Raises:
        DataError: If the table can't be read, lacks a column, or a row is malformed.
    """
    with _open_text(path) as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        with _faults_named(path, reader):
            columns = list(reader.fieldnames or [])
        expected = f"Expected a header with uid and text, separated by {delimiter!r}."
        if reader.fieldnames is None:
            raise DataError(f"{path}: the table is empty. {expected}")
        missing = [name for name in ("uid", "text") if name not in columns]
        if missing:
            raise DataError(
                f"{path}: no column {' and no column '.join(map(repr, missing))} "
                f"(has: {', '.join(columns) or 'nothing'}). {expected}"
            )
        for line, row in _rows(path, reader):
            uid = (row["uid"] or "").strip()
            if not uid:
                raise DataError(f"{path}, line {line}: the uid is empty.")
            where = f"{path}, line {line} (uid {uid!r})"
            if None in row or None in row.values():
                raise DataError(
                    f"{where}: {len(columns)} columns expected; is a separator or a quote missing?"
                )
            if any("\0" in value for value in row.values()):
                raise DataError(f"{where}: holds a zero byte. Save the table as UTF-8 text.")
            end = row.get("end", "").strip()
            start = _seconds(row.get("start", "").strip() or "0", where=where)
            yield Example(
                id=uid,
                pose_path=str(pose_dir / (row.get("pose_path") or f"{uid}.pose")),
                start=start,
                end=_seconds(end, where=where) if end else None,
                text=" ".join(unicodedata.normalize("NFC", row["text"]).split()),
                split=split,
                signer=row.get("signer") or None,
                source_language=row.get("source_language") or None,
                target_language=row.get("target_language") or None,
            )


def row_bytes(example: Example, *, pose_dir: Path) -> bytes:
    """What a table says of an example, for a digest; the same wherever `pose_dir` is."""
    path = example.pose_path.removeprefix(os.path.join(pose_dir, ""))
    facts = (example.start, example.end, example.text, example.signer)
    languages = (example.source_language, example.target_language)
    return f"{json.dumps((example.id, path, *facts, *languages))}\n".encode()


def _unreadable(path: Path, fault: OSError) -> DataError:
    place = (
        ""
        if path.is_absolute()
        else f" The path is relative to the folder that the command runs in, {Path.cwd()}."
    )
    return DataError(f"{path}: the table can't be read ({fault.strerror}).{place}")


def _open_text(path: Path) -> io.TextIOWrapper:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, str]]]:
    with _faults_named(path, reader):
        for row in reader:
            yield reader.line_num, row


@contextmanager
def _faults_named(path: Path, reader: csv.DictReader[str]) -> Iterator[None]:
    """Say where a table can't be read."""
    try:
        yield
    except csv.Error as fault:
        raise DataError(
            f"{path}, after line {reader.line_num}: not a valid table ({fault}); is a quote left open?"
        ) from fault
    except UnicodeDecodeError as fault:
        byte = fault.object[fault.start]
        raise DataError(
            f"{path}, line {_first_line_not_utf8(path)}: not UTF-8 (byte {byte:#04x}). "
            "Save the table as UTF-8."
        ) from fault
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _first_line_not_utf8(path: Path) -> int:
    """The number of the line; the reader itself only knows which 8 KB it decoded last."""
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return 0


def _seconds(value: str, *, where: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not abs(seconds) < LONGEST:
        raise DataError(f"{where}: {value!r} is no time in seconds.")
    return seconds


Reader = Callable[[DataConfig, str], Iterator[Example]]


def read_csv(data: DataConfig, split: str) -> Iterator[Example]:
    """A comma-separated table with `uid` and `text`: our own form, and iSign's."""
    return read_table(data.split_paths[split], pose_dir=data.pose_dir, split=split, delimiter=",")


def read_tsv(data: DataConfig, split: str) -> Iterator[Example]:
    """The same, separated by tabs."""
    return read_table(data.split_paths[split], pose_dir=data.pose_dir, split=split, delimiter="\t")


READERS: dict[str, Reader] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "isign": read_csv,
    "sentences": read_csv,  # the embedded corpora are written in the form in which users bring theirs
    "words": read_csv,
}


def read_examples(data: DataConfig, split: str) -> Iterator[Example]:
    """Read one split of the corpus that the config names.

    Raises:
        DataError: If the config names no table for the split, or the table can't be read.
    """
    if split not in data.split_paths:
        raise DataError(
            f"No split {split!r}: the config names {', '.join(data.split_paths) or 'none'}. "
            f"Set data.{split}_path, or data.other_paths for further splits."
        )
    return READERS[data.corpus](data, split)
