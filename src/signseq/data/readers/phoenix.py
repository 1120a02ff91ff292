"""RWTH-PHOENIX-Weather 2014 T: German Sign Language to German."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import row_rate
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import read_rows
from signseq.errors import DataError

__all__ = ["read_phoenix"]

COLUMNS = ("name", "start", "end", "speaker", "translation")


def read_phoenix(data: DataConfig, split: str) -> Iterator[Example]:
    """`PHOENIX-2014-T.<split>.corpus.csv`, separated by `|`, and `<name>.pose`; `dev` is our `val`."""
    place = build_place(data)
    path = data.split_paths[split]
    for row in read_rows(path, delimiter="|", required=COLUMNS, key="name", has_quoting=False):
        name = row.values["name"].strip()
        times = (row.values["start"].strip(), row.values["end"].strip())
        if times != ("-1", "-1"):
            raise DataError(
                f"{row.where}: start and end are {' and '.join(times)}; expected -1, the whole clip, as in the corpus."
            )
        yield place.example(
            name,
            file=f"{name}{place.suffix}",
            text=row.values["translation"],
            split=split,
            fps=row_rate(row.values, row.where),
            signer=row.values["speaker"].strip() or None,
            source_language="gsg",
        )
