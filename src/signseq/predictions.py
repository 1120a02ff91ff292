"""Reads what was translated: run folders, tables with references and hypotheses, files of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signseq.data.readers.tables import Row, read_rows
from signseq.errors import DataError

__all__ = ["Predictions", "read_predictions", "read_table", "read_texts"]

DELIMITERS = {".tsv": "\t", ".csv": ","}


@dataclass(frozen=True)
class Predictions:
    """A system's outputs beside what they should have been.

    Attributes:
        name: For tables and messages.
        uids: N names of clips; their numbers where the table has none.
        references: N texts.
        hypotheses: N texts.
    """

    name: str
    uids: list[str] = field(repr=False)
    references: list[str] = field(repr=False)
    hypotheses: list[str] = field(repr=False)


def read_predictions(place: Path, *, split: str = "test") -> Predictions:
    """Read a run folder's predictions of a split, or a table with reference and hypothesis.

    Raises:
        DataError: If there are none, or the table is malformed or names a clip twice.
    """
    path = place
    if place.is_dir():
        path = place / ("predictions.tsv" if split == "test" else f"predictions_{split}.tsv")
        if not path.exists():
            option = "" if split == "test" else f" --split {split}"
            raise DataError(
                f"{place}: holds no {path.name}. Make it with: signseq evaluate {place}{option}"
            )
    rows = read_table(path, ("reference", "hypothesis"))
    uids = [row.values.get("uid", str(row.number + 1)) for row in rows]
    twice = (
        next((uid for uid in uids if uids.count(uid) > 1), None)
        if len(set(uids)) < len(uids)
        else None
    )
    if twice is not None:
        raise DataError(
            f"{path}: the uid {twice!r} stands there {uids.count(twice)} times; expected once."
        )
    return Predictions(
        name=str(place),
        uids=uids,
        references=[row.values["reference"] for row in rows],
        hypotheses=[row.values["hypothesis"] for row in rows],
    )


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a .tsv or .csv file that has the columns.

    Raises:
        DataError: If it can't be read, has other columns, or no rows.
    """
    if path.suffix.lower() not in DELIMITERS:
        raise DataError(
            f"{path}: expected a run folder, or a table that ends in .tsv or .csv with {' and '.join(columns)}."
        )
    rows = list(
        read_rows(path, delimiter=DELIMITERS[path.suffix.lower()], required=columns, key=None)
    )
    if not rows:
        raise DataError(f"{path}: the table has a header but no rows.")
    return rows


def read_texts(path: Path, columns: Sequence[str]) -> list[str]:
    """A text a line; of a .tsv or .csv file the first of `columns` that it has.

    Lines end at a line feed, with a carriage return before it or not; a byte order mark is left out.

    Raises:
        DataError: If the file can't be read, isn't UTF-8, or is empty.
    """
    if path.suffix.lower() in DELIMITERS:
        return _column(path, columns)
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise DataError(f"{path}: can't be read ({fault.strerror}).") from fault
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file is empty; expected a text a line.")
    return [_decode(line, path, number) for number, line in enumerate(lines, start=1)]


def _column(path: Path, names: Sequence[str]) -> list[str]:
    """The first of the columns that the table has; where it has none, the message is about the first."""
    first: DataError | None = None
    for name in names:
        try:
            return [row.values[name] for row in read_table(path, (name,))]
        except DataError as fault:
            first = first or fault
    raise first or DataError(f"{path}: no column was named.")


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as fault:
        raise DataError(
            f"{path}, line {number}: not UTF-8 (byte {line[fault.start]:#04x}). Save the file as UTF-8."
        ) from fault
