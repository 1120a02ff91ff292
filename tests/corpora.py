"""Reading a table in a test's own folder, as a corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from signseq.config import DataConfig
from signseq.data.examples import Example, read_examples

ReadCorpus = Callable[..., list[Example]]


def data_config(folder: Path, corpus: str, **settings: Any) -> DataConfig:
    """A data section of which every split has the same table, `table`; the poses are in `poses`."""
    paths = {f"{split}_path": str(folder / "table") for split in ("train", "val", "test")}
    places = {"pose_dir": str(folder / "poses"), "store": str(folder / "store")}
    return DataConfig.model_validate({"corpus": corpus, **paths, **places, **settings})


def read_corpus_in(
    folder: Path,
    corpus: str,
    content: str | bytes | None = None,
    *,
    split: str = "train",
    **settings: Any,
) -> list[Example]:
    """Write a table as it is given, and read a split of it."""
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "table").write_bytes(raw)
    return list(read_examples(data_config(folder, corpus, **settings), split))
