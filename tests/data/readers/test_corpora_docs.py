"""docs/corpora.md: its configs are valid, and none is missing."""

from __future__ import annotations

import re
from pathlib import Path

from signseq.config import parse_config
from signseq.data.examples import READERS
from signseq.data.readers.own_tables import columns_of
from signseq.data.readers.places import build_place
from signseq.poses.sources.source import FormatName
from signseq.settings import parse_yaml

DOCS = Path(__file__).parents[3] / "docs" / "corpora.md"
DEFAULTS: dict[str, FormatName] = {
    "how2sign": "openpose",
    "youtube_asl_h5": "h5",
    "wholebody_pkl": "wholebody_pkl",
}


def test_every_config_of_the_docs_is_valid_and_every_corpus_has_one() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    found = set()
    for block in blocks:
        settings = parse_yaml(block, place="docs/corpora.md")
        others = {"model": {"name": "t5-small"}, "training": {"checkpoint_dir": "run"}}
        data = parse_config(settings | others).data
        build_place(data, default=DEFAULTS.get(data.corpus, "pose"))
        columns_of(data)
        found.add(data.corpus)
    forms = {"tsv", "jsonl", "parquet", "huggingface"}  # named beside csv
    assert found | forms == set(READERS) - {"sentences", "words"}
