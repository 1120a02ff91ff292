"""Our own columns as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import COLUMNS, REQUIRED, build_example, columns_of
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import unreadable
from signseq.errors import DataError

__all__ = ["read_jsonl"]


def read_jsonl(data: DataConfig, split: str) -> Iterator[Example]:
    """A JSON object a line, in UTF-8, with `uid` and `text`, and optionally Example's other fields."""
    place, columns = build_place(data), columns_of(data)
    names = {name: columns.get(name, name) for name in COLUMNS}
    path = data.split_paths[split]
    try:
        with path.open("rb") as file:
            for line, content in enumerate(file, start=1):
                if not content.strip():
                    continue
                where = f"{path}, line {line}"
                try:
                    row = json.loads(content.decode("utf-8-sig" if line == 1 else "utf-8"))
                except UnicodeDecodeError as fault:
                    byte = fault.object[fault.start]
                    raise DataError(
                        f"{where}: not UTF-8 (byte {byte:#04x}). Save it as UTF-8."
                    ) from fault
                except (ValueError, RecursionError) as fault:
                    raise DataError(f"{where}: no JSON ({fault}).") from fault
                if not isinstance(row, dict):
                    raise DataError(f"{where}: a {type(row).__name__}; expected an object.")
                missing = [names[name] for name in REQUIRED if names[name] not in row]
                if missing:
                    raise DataError(
                        f"{where}: no {missing[0]!r} (has: {', '.join(row) or 'nothing'}). Expected uid and text; "
                        "data.columns says what you call them."
                    )
                yield build_example(
                    {ours: row.get(theirs) for ours, theirs in names.items()},
                    where=where,
                    place=place,
                    split=split,
                    time_unit=data.time_unit or "seconds",
                )
    except OSError as fault:
        raise unreadable(path, fault) from fault
