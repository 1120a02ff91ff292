"""What identifies a split's table without reading its rows, which takes a second for a hundred thousand."""

from __future__ import annotations

import hashlib
import json

from signseq.config import DataConfig
from signseq.data.readers.csl_daily import SPLIT_FILE

__all__ = ["BESIDE", "MORE_THAN_FILES", "digest_table"]

# By corpus, the files beside the table that its rows come from too; nothing else may tell them.
BESIDE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("csv", "tsv", "jsonl", "parquet", "isign", "how2sign", "phoenix", "openasl"), ()
    ),
    # Of the list in `pose_dir` a row has nothing: it says where poses are.
    **dict.fromkeys(("youtube_asl_h5", "wholebody_pkl", "mmhugs_tsv", "sentences", "words"), ()),
    "csl_daily": (SPLIT_FILE,),
}
MORE_THAN_FILES = {"huggingface"}  # folders of many files, and the hub: their rows are read


def digest_table(data: DataConfig, split: str) -> str | None:
    """Identify the files of a split's table, and how they are read; the same wherever they are.

    None where that doesn't tell the rows, or a file can't be read. Where two digests are the same, so are the
    rows; where they differ, the rows may still be.
    """
    if data.corpus not in BESIDE:
        return None
    settings = data.model_dump(
        mode="json", include={"corpus", "columns", "time_unit", "pose_files", "allow_pickle"}
    )
    digest = hashlib.sha256(json.dumps([split, settings], sort_keys=True).encode())
    path = data.split_paths[split]
    try:
        for file in (path, *(path.with_name(name) for name in BESIDE[data.corpus])):
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    except OSError:
        return None
    return digest.hexdigest()
