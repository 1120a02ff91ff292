"""Finished stores that a run finds: when they stay as they are, and when they may not be replaced."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from signseq.data.packing import lock_store
from signseq.data.shards import faults_named
from signseq.data.storage import StoreFolder
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe

__all__ = ["check_originals", "is_made_of", "keep_rows"]

logger = logging.getLogger(__name__)


def keep_rows(
    folder: StoreFolder, facts: Mapping[str, Any], *, rows: str, table: str | None
) -> None:
    """Let a store that is up to date know its table, where it knows another one that says the same.

    Args:
        folder: The split's folder in the store.
        facts: What its `store.json` says.
        rows: Identifies the rows of the table.
        table: Identifies the table's files, where that alone tells the rows.

    Raises:
        DataError: If the store can't be written, and does not open without.
    """
    if (facts["rows"], facts.get("table")) == (rows, table):
        return
    try:
        with lock_store(folder), faults_named(folder):
            folder.write("store.json", json.dumps({**facts, "rows": rows, "table": table}).encode())
    except DataError:
        if facts["rows"] != rows:
            raise
        logger.debug("%s: doesn't know its table, so its rows are read each time.", folder)


def is_made_of(facts: Mapping[str, Any], recipe: PoseRecipe, *, rows: str) -> bool:
    """Whether a store is of these rows, with these settings; its poses aren't looked at."""
    return (
        facts["rows"] == rows
        and facts["keypoints"] == list(recipe.names)
        and PoseRecipe(**facts["recipe"]) == recipe
    )


def check_originals(
    folder: StoreFolder, paths: Sequence[str], *, most: float, damage: str | None
) -> None:
    """Refuse to replace a finished store by one of poses that are not there any more.

    Args:
        folder: The split's folder in the store.
        paths: Of the poses of all clips.
        most: The share of clips that may be skipped.
        damage: The store's file that is missing or damaged.

    Raises:
        DataError: If more than that are gone.
    """
    gone = [path for path in paths if not os.path.exists(path)]
    if len(gone) <= most * len(paths):
        return
    state = (
        f"holds a store in which {damage} is missing or damaged"
        if damage
        else "holds a finished store, made with other settings, rows or files"
    )
    raise DataError(
        f"{folder}: {state}, but {len(gone)} of the {len(paths)} pose files are gone ({gone[0]}, ...). The store "
        "is left as it is. Put the files back, set data.pose_dir to where they are, or choose another `data.store`."
    )
