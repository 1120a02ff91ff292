"""The corpora that can be read: from what was downloaded to `Example`s."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.csl_daily import read_csl_daily
from signseq.data.readers.example import Example, Reader, row_bytes
from signseq.data.readers.how2sign import read_how2sign
from signseq.data.readers.huggingface import read_huggingface
from signseq.data.readers.isign import read_isign
from signseq.data.readers.json_lines import read_jsonl
from signseq.data.readers.mmhugs import read_mmhugs
from signseq.data.readers.openasl import read_openasl
from signseq.data.readers.own_tables import read_csv, read_table, read_tsv
from signseq.data.readers.parquet import read_parquet
from signseq.data.readers.phoenix import read_phoenix
from signseq.data.readers.wholebody import read_wholebody
from signseq.data.readers.youtube_asl import read_youtube_asl
from signseq.errors import ConfigError, DataError

__all__ = ["READERS", "Example", "Reader", "read_examples", "read_table", "row_bytes"]

READERS: dict[str, Reader] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "huggingface": read_huggingface,
    "isign": read_isign,
    "how2sign": read_how2sign,
    "phoenix": read_phoenix,
    "csl_daily": read_csl_daily,
    "openasl": read_openasl,
    "youtube_asl_h5": read_youtube_asl,
    "wholebody_pkl": read_wholebody,
    "mmhugs_tsv": read_mmhugs,
    "sentences": read_csv,  # the embedded corpora are written in the form in which users bring theirs
    "words": read_csv,
}
OWN_COLUMNS = {"csv", "tsv", "jsonl", "parquet", "huggingface", "wholebody_pkl"}
# Settings that only some readers heed; elsewhere they would be dropped in silence.
HEEDED_BY = {
    "columns": OWN_COLUMNS,
    "time_unit": OWN_COLUMNS | {"mmhugs_tsv"},
    "pose_files.per": {"how2sign", "openasl"},
}


def read_examples(data: DataConfig, split: str) -> Iterator[Example]:
    """Read one split of the corpus that the config names.

    Raises:
        ConfigError: If settings don't fit the corpus.
        DataError: If the config names no table for the split, or the table can't be read.
    """
    if split not in data.split_paths:
        raise DataError(
            f"No split {split!r}: the config names {', '.join(data.split_paths) or 'none'}. "
            f"Set data.{split}_path, or data.other_paths for further splits."
        )
    given = {
        "columns": data.columns,
        "time_unit": data.time_unit,
        "pose_files.per": data.pose_files.per,
    }
    for name, corpora in HEEDED_BY.items():
        if given[name] and data.corpus not in corpora:
            raise ConfigError(
                f"data.{name} is given, but data.corpus: {data.corpus} doesn't heed it; only "
                f"{', '.join(sorted(corpora))} do. Drop it."
            )
    return READERS[data.corpus](data, split)
