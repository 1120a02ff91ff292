"""signseq: from signed language to text, through any Hugging Face sequence-to-sequence model.

Importing the package imports no heavy library; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signseq.config import Config, load_config
    from signseq.errors import SignSeqError
    from signseq.evaluation import evaluate
    from signseq.inspection import inspect
    from signseq.merging import merge
    from signseq.metrics import Scores
    from signseq.poses.sequence import PoseSequence, read_pose, write_pose
    from signseq.preparation import prepare
    from signseq.splitting import split
    from signseq.stitching import stitch
    from signseq.training.run import train
    from signseq.translation import Translation, Translator

__all__ = [
    "Config",
    "PoseSequence",
    "Scores",
    "SignSeqError",
    "Translation",
    "Translator",
    "evaluate",
    "inspect",
    "load_config",
    "merge",
    "prepare",
    "read_pose",
    "split",
    "stitch",
    "train",
    "write_pose",
]
__version__ = "0.1.0"

_HOMES = {
    "Config": "config",
    "PoseSequence": "poses.sequence",
    "Scores": "metrics",
    "SignSeqError": "errors",
    "Translation": "translation",
    "Translator": "translation",
    "evaluate": "evaluation",
    "inspect": "inspection",
    "load_config": "config",
    "merge": "merging",
    "prepare": "preparation",
    "read_pose": "poses.sequence",
    "split": "splitting",
    "stitch": "stitching",
    "train": "training.run",
    "write_pose": "poses.sequence",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'signseq' has no attribute {name!r}")
    return getattr(import_module(f"signseq.{_HOMES[name]}"), name)
