"""CSL-Daily: Chinese Sign Language to Chinese."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.places import build_place, is_split
from signseq.data.readers.tables import read_rows
from signseq.errors import ConfigError, DataError, PoseError
from signseq.poses.sources.pickles import read_pickle

__all__ = ["read_csl_daily"]

SPLIT_FILE = "split_1.txt"
# The split file names a clip that the labels lack, and lacks one of the same sentence that they have.
# So do those who published scores: it is repaired in all public readers.
ABSENT, PRESENT = "S000005_P0004_T00", "S000007_P0003_T00"


def read_csl_daily(data: DataConfig, split: str) -> Iterator[Example]:
    """The labels `csl2020ct_v2.pkl`, with `split_1.txt` beside them, and `<name>.pose`.

    Name the labels for each split. They are a pickle: `data.allow_pickle: true` lets it be read, by
    a reader that knows data only.
    """
    place = build_place(data)
    path = data.split_paths[split]
    if not data.allow_pickle:
        raise ConfigError(
            f"data.allow_pickle is not true, but the labels of CSL-Daily, {path}, are a pickle, which can run code "
            "when it is read. If you trust where yours comes from, set data.allow_pickle: true; even then only "
            "numbers, texts and containers are read."
        )
    try:
        labels = _labels(read_pickle(path, name=str(path), allowed=True), str(path))
    except PoseError as fault:
        raise DataError(str(fault)) from fault
    splits = path.with_name(SPLIT_FILE)
    rows = read_rows(splits, delimiter="|", required=("name", "split"), key="name")
    names = [row.values["name"].strip() for row in rows if is_split(row.values["split"], split)]
    if ABSENT in names and ABSENT not in labels:
        names.remove(ABSENT)
    if is_split("train", split) and PRESENT in labels and PRESENT not in names:
        names.append(PRESENT)
    for name in names:
        if name not in labels:
            raise DataError(f"{splits}: names {name!r}, which {path} doesn't have.")
        yield place.example(
            name,
            file=f"{name}{place.suffix}",
            text=labels[name],
            split=split,
            signer=name.split("_")[1] if name.count("_") == 2 else None,
            source_language="csl",
        )


def _labels(content: Any, path: str) -> dict[str, str]:
    """The sentence of each clip."""
    form = (
        "expected {'info': [{'name': ..., 'label_char': [...], ...}, ...]}, as in csl2020ct_v2.pkl"
    )
    if not isinstance(content, dict) or not isinstance(content.get("info"), list):
        raise DataError(f"{path}: holds something else; {form}.")
    labels = {}
    for number, info in enumerate(content["info"]):
        try:
            name, characters = info["name"], info["label_char"]
            labels[name] = "".join(characters)
        except (KeyError, TypeError) as fault:
            raise DataError(f"{path}, entry {number} of info: {fault!r}; {form}.") from fault
    return labels
