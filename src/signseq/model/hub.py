"""Why a model or tokenizer could not be loaded by its name, in words that help."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path

from signseq.model.architectures import ENCODER_DECODERS
from signseq.model.checkpoint import MODEL_TYPE

__all__ = ["not_found"]

OFFLINE_WAYS = (
    "Without a network: copy the model's folder here and name the folder; or load it once where there is one "
    "(`hf download {name}`) and copy the cache (HF_HOME)."
)
# What transformers and huggingface_hub say when they could not connect, in parts.
UNREACHABLE = (
    *("couldn't connect", "offline mode", "connection error", "max retries", "timed out"),
    *("cannot find the requested files in the disk cache", "localentrynotfound", "resolve host"),
)


def not_found(what: str, name: str, fault: Exception, *, from_scratch: bool = False) -> str:
    """The message for a model or tokenizer that can't be loaded.

    Args:
        what: "model" or "tokenizer".
        name: As the user wrote it.
        fault: What transformers raised.
        from_scratch: Whether an architecture's name would do.
    """
    reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
    start = f"The {what} {name!r} can't be loaded"
    text = f"{fault} {fault.__cause__}".lower()
    if "trust_remote_code" in text:
        return (
            f"{start}: it brings code of its own, which would run on this machine. Read that code; if you trust it, "
            "set model.trust_remote_code: true."
        )
    if _is_checkpoint(Path(name)):
        return (
            f"{start}: it is a checkpoint of signseq, not a text model. To go on with its run, use --resume; to train "
            f"another, name the text model that its config.yaml names."
        )
    if Path(name).is_dir():
        return (
            f"{start} from this folder: {reason} It must hold config.json, the tokenizer's files and weights as "
            "safetensors (pickled weights are not read)."
        )
    if "safetensors" in text and "does not appear to have a file" in text:
        return f"{start}: {reason} Only safetensors are read, as pickled weights can run code."
    if _looks_like_a_path(name):
        return f"{start}: there is no such folder, seen from {Path.cwd()}."
    hint = _near_architecture(name, from_scratch=from_scratch)
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0") and any(
        part in text for part in UNREACHABLE
    ):
        return (
            f"{start}: it is neither a local folder nor in the cache, and HF_HUB_OFFLINE is set. Unset it to ask the "
            f"Hugging Face hub. {OFFLINE_WAYS.format(name=name)}{hint}"
        )
    if any(part in text for part in UNREACHABLE):
        return (
            f"{start}: it is no local folder, and the Hugging Face hub can't be reached. "
            f"{OFFLINE_WAYS.format(name=name)}{hint}"
        )
    return (
        f"{start}: {reason} It must be a local folder with config.json and safetensors weights, or a name on the "
        f"Hugging Face hub, such as google-t5/t5-small.{hint}"
    )


def _is_checkpoint(folder: Path) -> bool:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and settings.get("model_type") == MODEL_TYPE


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")


def _near_architecture(name: str, *, from_scratch: bool) -> str:
    near = difflib.get_close_matches(name, ENCODER_DECODERS, n=1)
    if near and from_scratch:
        return f" Did you mean the architecture {near[0]!r}?"
    if near:
        return f" To train the architecture {near[0]!r} from scratch, set model.from_scratch: true."
    return ""
