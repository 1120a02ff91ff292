"""Our own columns as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import build_example, columns_of, names_there
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import unreadable
from signseq.errors import DataError, MissingExtraError

__all__ = ["read_parquet"]

ROWS = 1024  # read at once


def read_parquet(data: DataConfig, split: str) -> Iterator[Example]:
    """A Parquet file with the columns `uid` and `text`, and optionally Example's other fields.

    Other columns, which may be large, are not read.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as fault:
        raise MissingExtraError(
            package="pyarrow", extra="parquet", purpose="data.corpus: parquet"
        ) from fault
    place, path = build_place(data), data.split_paths[split]
    try:
        with path.open("rb") as content, parquet.ParquetFile(content) as file:
            names = names_there(file.schema_arrow.names, columns_of(data), str(path))
            number = 0
            for batch in file.iter_batches(ROWS, columns=[*names.values()]):
                for row in batch.to_pylist():
                    yield build_example(
                        {ours: row[theirs] for ours, theirs in names.items()},
                        where=f"{path}, row {number}",
                        place=place,
                        split=split,
                        time_unit=data.time_unit or "seconds",
                    )
                    number += 1
    except pyarrow.ArrowException as fault:
        raise DataError(f"{path}: no whole Parquet file ({fault}). Fetch it anew.") from fault
    except OSError as fault:
        if fault.strerror is None:  # Arrow's own, about what the file holds
            raise DataError(f"{path}: no whole Parquet file ({fault}). Fetch it anew.") from fault
        raise unreadable(path, fault) from fault
