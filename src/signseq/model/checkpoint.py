"""What a checkpoint folder must hold before anything is loaded from it.

There are two kinds. A full checkpoint holds the whole model. An adapter checkpoint, which a run with
`model.use_lora` leaves, holds adapters and pose encoder; the text model that they were trained on is
loaded from where `config.yaml` says.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from signseq.errors import CheckpointError

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "MODEL_TYPE",
    "check_folder",
    "has_own_code",
    "holds_adapters",
    "read_settings",
    "written_aside",
]

MODEL_TYPE = "signseq"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def check_folder(folder: Path) -> None:
    """Make sure that a folder holds a whole checkpoint of ours, of either kind.

    Raises:
        CheckpointError: If it is missing, incomplete or no checkpoint of ours.
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
    settings = read_settings(config)
    kind = settings.get("model_type")
    if kind != MODEL_TYPE:
        raise CheckpointError(
            f"{folder}: a checkpoint of kind {kind!r}, not of signseq. "
            "To train on it, name it as model.name in a config."
        )
    if _is_of_adapters(settings):
        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG, "config.yaml"):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder}: not a whole checkpoint of adapters (no {name}).")


def holds_adapters(folder: Path) -> bool:
    """Whether a checkpoint folder, which `check_folder` accepts, holds adapters and not a whole model."""
    return _is_of_adapters(read_settings(folder / "config.json"))


def has_own_code(folder: Path) -> bool:
    """Whether the text model of a full checkpoint is of a kind that transformers itself doesn't have."""
    text_model = read_settings(folder / "config.json").get("text_model") or {}
    kind = text_model.get("model_type")
    return bool(text_model.get("auto_map")) and kind not in CONFIG_MAPPING


@contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """A folder to write a checkpoint into, which gets its name `out` once all is written.

    Raises:
        CheckpointError: If something is at `out` already, or it can't be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CheckpointError(f"{out}: is there already. Name a folder that is not, or is empty.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as fault:
        raise CheckpointError(f"{out}: can't be written ({fault.strerror}).") from fault
    try:
        yield aside
        aside.chmod(0o777 & ~_umask())  # it was made for one user only
        aside.replace(out)
    except OSError as fault:
        raise CheckpointError(f"{out}: can't be written ({fault}).") from fault
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_of_adapters(settings: dict[str, Any]) -> bool:
    return settings.get("base_digest") is not None


def read_settings(path: Path) -> dict[str, Any]:
    """What a checkpoint's `config.json` holds.

    Raises:
        CheckpointError: If it is damaged.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise CheckpointError(f"{path}: not valid JSON; half-written, perhaps.") from fault
    return settings if isinstance(settings, dict) else {}
