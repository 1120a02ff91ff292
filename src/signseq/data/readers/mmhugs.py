"""The manifest of multimodalhugs, as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import row_rate
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import parse_number, read_rows

__all__ = ["read_mmhugs"]

logger = logging.getLogger(__name__)
COLUMNS = ("signal", "signal_start", "signal_end", "encoder_prompt", "decoder_prompt", "output")


def read_mmhugs(data: DataConfig, split: str) -> Iterator[Example]:
    """A table `signal signal_start signal_end encoder_prompt decoder_prompt output`, separated by tabs.

    Signals are paths, relative to `pose_dir`. Start and end are milliseconds, or what
    `data.time_unit` says; 0 and 0 are the whole file. A row's id is its file's name and its number.
    Prompts are one setting here, `data.prompt`, and languages another, `data.target_language`:
    those of the table are not used, which is said once.
    """
    place = build_place(data)
    unit = data.time_unit or "milliseconds"
    path = data.split_paths[split]
    for row in read_rows(path, delimiter="\t", required=COLUMNS, key="signal"):
        signal = row.values["signal"].strip()
        start, end = (
            parse_number(row.values[name].strip() or "0", where=row.where, unit=unit)
            / (1000 if unit == "milliseconds" else 1)
            for name in ("signal_start", "signal_end")
        )
        for column in ("encoder_prompt", "decoder_prompt"):
            if row.values[column].strip():
                _say_unused(path, column)
        yield place.example(
            f"{Path(signal).stem}:{split}-{row.number}",
            file=signal,
            text=row.values["output"],
            split=split,
            start=start,
            end=None if start == end == 0 else end,
            time_unit="frames" if unit == "frames" else "seconds",
            fps=row_rate(row.values, row.where),
        )


@lru_cache(maxsize=64)
def _say_unused(path: Path, column: str) -> None:
    logger.warning(
        "%s: the column %s is not used. Set data.prompt, or data.target_language, instead.",
        path,
        column,
    )
