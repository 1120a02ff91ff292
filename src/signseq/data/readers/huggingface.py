"""Tables of Hugging Face's `datasets`: a folder that `save_to_disk` wrote, or a name of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import build_example, columns_of, names_there
from signseq.data.readers.places import build_place, is_split
from signseq.errors import DataError, MissingExtraError

__all__ = ["read_huggingface"]

ROWS = 1024  # read at once


def read_huggingface(data: DataConfig, split: str) -> Iterator[Example]:
    """A data set with `uid` and `text`, or what `data.columns` calls them; the poses are files.

    The split's path is a folder of `save_to_disk`, or a name of the hub, `owner/name`; of several
    splits in it the one of this name is taken, where `validation`, `valid` and `dev` are `val`.
    """
    place, columns = build_place(data), columns_of(data)
    path = data.split_paths[split]
    table = _load(path, split)
    names = names_there(table.column_names, columns, str(path))
    number = 0
    for batch in table.select_columns([*dict.fromkeys(names.values())]).iter(ROWS):
        for row in zip(*(batch[theirs] for theirs in names.values()), strict=True):
            yield build_example(
                dict(zip(names, row, strict=True)),
                where=f"{path}, row {number}",
                place=place,
                split=split,
                time_unit=data.time_unit or "seconds",
            )
            number += 1


def _load(path: Path, split: str) -> Any:
    """The table of one split."""
    try:
        import datasets
    except ImportError as fault:
        raise MissingExtraError(
            package="datasets", extra="datasets", purpose="data.corpus: huggingface"
        ) from fault
    try:
        if path.exists():
            found = datasets.load_from_disk(str(path))
        else:
            found = _Hub(str(path), datasets.get_dataset_split_names(str(path)))
        if isinstance(found, datasets.Dataset):
            return found
        named = [name for name in found if is_split(name, split)]
        if len(named) == 1:
            return found[named[0]]
    except Exception as fault:  # the library raises whatever its readers and the network do
        raise DataError(
            f"{path}: no folder that datasets' save_to_disk wrote, and no data set of the hub that can be had "
            f"({type(fault).__name__}: {fault})."
        ) from fault
    raise DataError(
        f"{path}: {'several splits' if named else 'no split'} for {split!r}; it has: {', '.join(found)}."
    )


class _Hub:
    """The splits of a data set of the hub, each loaded when it is asked for."""

    def __init__(self, name: str, splits: list[str]) -> None:
        self._name, self._splits = name, splits

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __getitem__(self, split: str) -> Any:
        import datasets

        return datasets.load_dataset(self._name, split=split)
