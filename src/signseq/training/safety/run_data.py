"""What a run was trained on, so that it doesn't go on with something else unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signseq.data.mixing import MixedStore
from signseq.data.store import PoseStore
from signseq.errors import CheckpointError

__all__ = ["FACTS", "check_data", "describe_data", "save_data_facts", "saved_processes"]

FACTS = "data.json"  # in each checkpoint
PROCESSES = "processes"
WORDS = {
    "clips": "the number of clips",
    "uids": "the clips, or their order",
    "frames": "the lengths of clips",
    "texts": "the texts",
    "poses": "the poses (their mean and spread)",
    "mix": "the corpora that are mixed, or their prompt or target_language (data.mix)",
}


def describe_data(store: PoseStore) -> dict[str, Any]:
    """What tells one training set from another, wherever it lies and whenever it was packed.

    Args:
        store: The training clips.
    """
    uids, texts = hashlib.sha256(), hashlib.sha256()
    for number in range(len(store)):
        uids.update(f"{store.details(number)['uid']}\n".encode())
    for text in store.texts():
        texts.update(f"{text}\n".encode())
    facts: dict[str, Any] = {
        "clips": len(store),
        "uids": uids.hexdigest(),
        "frames": _digest(store.frames.tobytes()),
        "texts": texts.hexdigest(),
        "poses": _digest(store.mean.tobytes() + store.spread.tobytes()),
    }
    if isinstance(store, MixedStore):
        told = zip(store.stores, store.labels, strict=True)
        facts["mix"] = [[len(own), labels.target_language, labels.prompt] for own, labels in told]
    return facts


def save_data_facts(checkpoint: Path, facts: Mapping[str, Any], *, processes: int) -> None:
    """Note in a checkpoint what it was trained on, and by how many processes."""
    content = json.dumps({**facts, PROCESSES: processes}, indent=2)
    (checkpoint / FACTS).write_text(content + "\n", encoding="utf-8")


def saved_processes(checkpoint: Path) -> int | None:
    """How many processes wrote a checkpoint; None where that was not noted."""
    path = checkpoint / FACTS
    facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return int(facts[PROCESSES]) if PROCESSES in facts else None


def check_data(checkpoint: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with other data; a checkpoint that knows nothing of its data is believed.

    Raises:
        CheckpointError: If anything differs; all that does is named.
    """
    path = checkpoint / FACTS
    if not path.exists():
        return
    was = json.loads(path.read_text(encoding="utf-8"))
    differs = [name for name in WORDS if was.get(name) != facts.get(name)]
    if differs:
        counts = f" ({was.get('clips')} -> {facts['clips']})" if "clips" in differs else ""
        raise CheckpointError(
            f"{checkpoint}: was trained on other data than data.train_path, data.store and data.mix give now. "
            "What differs:\n"
            + "\n".join(f"  - {WORDS[name]}{counts if name == 'clips' else ''}" for name in differs)
            + "\nBring the data back; or start anew with --overwrite, or in another training.checkpoint_dir."
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
