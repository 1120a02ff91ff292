"""What a checkpoint folder must hold before anything is loaded from it."""

from __future__ import annotations

import json
from pathlib import Path

from signseq.errors import CheckpointError

__all__ = ["MODEL_TYPE", "check_folder"]

MODEL_TYPE = "signseq"


def check_folder(folder: Path) -> None:
    """Make sure that a folder holds a whole checkpoint of ours.

    Raises:
        CheckpointError: If it is missing, incomplete or of another kind.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such checkpoint folder. Train one with: signseq train CONFIG"
        )
    config, weights = folder / "config.json", list(folder.glob("*.safetensors"))
    if not config.is_file() or not weights:
        inside = sorted(path.name for path in folder.glob("checkpoint-*"))
        hint = (
            f" It holds {', '.join(inside)}: name one of them, or go on with --resume."
            if inside
            else ""
        )
        raise CheckpointError(
            f"{folder}: not a whole checkpoint ({'no weights' if config.is_file() else 'no config.json'}).{hint}"
        )
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise CheckpointError(f"{config}: not valid JSON; half-written, perhaps.") from fault
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind != MODEL_TYPE:
        raise CheckpointError(
            f"{folder}: a checkpoint of kind {kind!r}, not of signseq. "
            "To train on it, name it as model.name in a config."
        )
