"""Tables of delimited text, row by row; whatever is wrong with one is said with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signseq.errors import DataError

__all__ = ["Row", "parse_number", "read_rows", "unreadable"]

LONGEST = 1e7  # seconds; four months of video
QUOTED = re.compile(r'"(?:[^"]|"")*"', re.DOTALL)
csv.field_size_limit(2**24)  # one quote left open must not end in csv's own, wordless error


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        where: File, line and id, for messages.
        number: Its place among the rows, from 0.
        values: Its values by column.
    """

    where: str
    number: int
    values: Mapping[str, str]


def read_rows(
    path: Path,
    *,
    delimiter: str,
    required: Sequence[str],
    key: str | None,
    has_quoting: bool = True,
) -> Iterator[Row]:
    """Read a table with a header.

    Args:
        path: A table in UTF-8, with or without a byte order mark, Unix or Windows line ends.
        delimiter: What stands between columns.
        required: Columns that must be there; others may be.
        key: The column that names a row, never empty; None where there is none.
        has_quoting: Whether quotes can hold delimiters and line breaks. Without it a row is a line,
            and a value that stands in quotes as a whole loses them.

    Yields:
        The rows in order; blank lines are left out.

    Raises:
        DataError: If the table can't be read, lacks a column, or a row is malformed.
    """
    with _open_text(path) as file:
        reader = csv.DictReader(
            file,
            delimiter=delimiter,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if has_quoting else csv.QUOTE_NONE,
        )
        with _faults_named(path, reader):
            columns = list(reader.fieldnames or [])
        names = " and ".join([", ".join(required[:-1])] * bool(required[:-1]) + [required[-1]])
        expected = f"Expected a header with {names}, separated by {delimiter!r}."
        if reader.fieldnames is None:
            raise DataError(f"{path}: the table is empty. {expected}")
        missing = [name for name in required if name not in columns]
        if missing:
            raise DataError(
                f"{path}: no column {' and no column '.join(map(repr, missing))} "
                f"(has: {', '.join(columns) or 'nothing'}). {expected}"
            )
        twice = [name for name in required if columns.count(name) > 1]
        if twice:
            raise DataError(
                f"{path}: the column {twice[0]!r} stands in the header twice. {expected}"
            )
        for number, (line, row) in enumerate(_numbered(path, reader)):
            where = f"{path}, line {line}"
            if key is not None:
                name = (row[key] or "").strip()
                if not name:
                    raise DataError(f"{where}: the {key} is empty.")
                where += f" ({key} {name!r})"
            if None in row or None in row.values():
                raise DataError(
                    f"{where}: {len(columns)} columns expected; is a separator or a quote missing?"
                )
            if any("\0" in value for value in row.values()):
                raise DataError(f"{where}: holds a zero byte. Save the table as UTF-8 text.")
            yield Row(where, number, row if has_quoting else _unquoted(row))


def parse_number(value: str, *, where: str, unit: str = "seconds") -> float:
    """A time in the given unit.

    Raises:
        DataError: If it is none.
    """
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not abs(number) < LONGEST * {"milliseconds": 1e3, "frames": 1e3}.get(unit, 1):
        raise DataError(f"{where}: {value!r} is no time in {unit}.")
    return number


def unreadable(path: Path, fault: OSError) -> DataError:
    """What to say of a table that can't be opened."""
    place = (
        ""
        if path.is_absolute()
        else f" The path is relative to the folder that the command runs in, {Path.cwd()}."
    )
    return DataError(f"{path}: the table can't be read ({fault.strerror}).{place}")


def _unquoted(row: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value[1:-1].replace('""', '"') if QUOTED.fullmatch(value) else value
        for name, value in row.items()
    }


def _open_text(path: Path) -> io.TextIOWrapper:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as fault:
        raise unreadable(path, fault) from fault


def _numbered(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, str]]]:
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
        raise unreadable(path, fault) from fault


def _first_line_not_utf8(path: Path) -> int:
    """The number of the line; the reader itself only knows which 8 KB it decoded last."""
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return 0
