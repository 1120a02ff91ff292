"""Tables with our own columns: csv and tsv, and what the other forms of them share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.places import PosePlace, build_place
from signseq.data.readers.tables import parse_number, read_rows
from signseq.errors import ConfigError, DataError

__all__ = [
    "COLUMNS",
    "REQUIRED",
    "build_example",
    "columns_of",
    "names_there",
    "read_csv",
    "read_table",
    "read_tsv",
    "row_rate",
]

REQUIRED = ("uid", "text")
COLUMNS = (
    *REQUIRED,
    *("start", "end", "pose_path", "fps", "signer", "source_language", "target_language"),
)


def read_csv(data: DataConfig, split: str) -> Iterator[Example]:
    """A comma-separated table with `uid` and `text`."""
    return _read(data, split, delimiter=",")


def read_tsv(data: DataConfig, split: str) -> Iterator[Example]:
    """The same, separated by tabs."""
    return _read(data, split, delimiter="\t")


def read_table(
    path: Path,
    *,
    place: PosePlace,
    split: str,
    delimiter: str,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "seconds",
) -> Iterator[Example]:
    """Read a table with the columns `uid` and `text`, and optionally Example's other fields.

    The poses are `<folder>/<uid>.pose`, or what the column `pose_path` says (relative to the
    folder). Columns that are not Example's are ignored. Texts are normalised to Unicode's form
    NFC, as tokenizers do it: an accent that stands alone in a reference would never be hit.

    Args:
        path: A table in UTF-8, with or without a byte order mark, Unix or Windows line ends.
        place: Where the poses are.
        split: The split that the table stands for.
        delimiter: What stands between columns.
        columns: What the table calls our columns, where it differs.
        time_unit: What `start` and `end` are: seconds, milliseconds or frames.

    Yields:
        One Example a row.

    Raises:
        DataError: If the table can't be read, lacks a column, or a row is malformed.
    """
    names = {name: name for name in COLUMNS} | dict(columns or {})
    required = list(dict.fromkeys([*(names[name] for name in REQUIRED), *(columns or {}).values()]))
    rows = read_rows(path, delimiter=delimiter, required=required, key=names["uid"])
    for row in rows:
        values = row.values
        if columns:
            values = {ours: values[theirs] for ours, theirs in names.items() if theirs in values}
        yield build_example(values, where=row.where, place=place, split=split, time_unit=time_unit)


def build_example(
    row: Mapping[str, Any], *, where: str, place: PosePlace, split: str, time_unit: str = "seconds"
) -> Example:
    """An example of a row's values by our names; None and empty mean not known.

    Raises:
        DataError: If a value is none of its kind.
    """
    uid = _text(row, "uid", where)
    if not uid:
        raise DataError(f"{where}: the uid is empty.")
    start = _time(row, "start", where=where, unit=time_unit)
    return place.example(
        uid,
        file=_text(row, "pose_path", where) or f"{uid}{place.suffix}",
        text=_text(row, "text", where),
        split=split,
        start=0.0 if start is None else start,
        end=_time(row, "end", where=where, unit=time_unit),
        time_unit="frames" if time_unit == "frames" else "seconds",
        fps=None if place.pose_format.is_dot_pose else row_rate(row, where),
        signer=_text(row, "signer", where) or None,
        source_language=_text(row, "source_language", where) or None,
        target_language=_text(row, "target_language", where) or None,
    )


def columns_of(data: DataConfig) -> dict[str, str]:
    """What a table calls our columns.

    Raises:
        ConfigError: If the config maps a column that we don't have.
    """
    unknown = [name for name in data.columns if name not in COLUMNS]
    if unknown:
        raise ConfigError(
            f"data.columns.{unknown[0]}: no column of ours. Its keys are {', '.join(COLUMNS)}; its values, the "
            "names in your table."
        )
    return dict(data.columns)


def names_there(there: Sequence[str], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Our columns that a table has, and what it calls them.

    Raises:
        DataError: If it lacks `uid`, `text` or one that `columns` names.
    """
    missing = [
        columns.get(name, name)
        for name in COLUMNS
        if (name in REQUIRED or name in columns) and columns.get(name, name) not in there
    ]
    if missing:
        raise DataError(
            f"{where}: no column {' and no column '.join(map(repr, missing))} (has: {', '.join(there) or 'nothing'}). "
            "Expected uid and text; data.columns says what your table calls them."
        )
    names = {name: columns.get(name, name) for name in COLUMNS}
    return {ours: theirs for ours, theirs in names.items() if theirs in there}


def _read(data: DataConfig, split: str, *, delimiter: str) -> Iterator[Example]:
    return read_table(
        data.split_paths[split],
        place=build_place(data),
        split=split,
        delimiter=delimiter,
        columns=columns_of(data),
        time_unit=data.time_unit or "seconds",
    )


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip() if name == "uid" else value
    if name == "uid" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: {name} is {value!r}, a {type(value).__name__}; expected a text.")


def _time(row: Mapping[str, Any], name: str, *, where: str, unit: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = value.strip() if isinstance(value, str) else str(value)
    number = parse_number(text, where=where, unit=unit)
    return number / 1000 if unit == "milliseconds" else number


def row_rate(row: Mapping[str, Any], where: str) -> float | None:
    """The frame rate in a row's column `fps`, where it has one; .pose files say theirs themselves.

    Raises:
        DataError: If it is none.
    """
    value = row.get("fps")
    if value is None or value == "":
        return None
    try:
        fps = float(value)
    except (TypeError, ValueError):
        fps = 0.0
    if not 0.1 <= fps <= 10_000:
        raise DataError(f"{where}: fps is {value!r}; expected frames per second, such as 25.")
    return fps
