"""Loading a checkpoint folder, ready to translate: where, and in which numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from signseq.config import load_config
from signseq.errors import ConfigError
from signseq.model.checkpoint import check_folder, holds_adapters
from signseq.model.dtypes import Dtype, check_dtype, convert_model
from signseq.model.loading import load_checkpoint_tokenizer, load_model, load_whole
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["choose_device", "load_checkpoint"]

logger = logging.getLogger(__name__)


def load_checkpoint(
    folder: str | Path,
    *,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> tuple[SignTranslationModel, PreTrainedTokenizerBase]:
    """Load a checkpoint folder's model and tokenizer, ready to translate.

    Args:
        folder: What training wrote.
        dtype: The weights' numbers: `float32`, `bfloat16`, `float16` or `int8`. `auto` is bfloat16 on a GPU that
            has it, if the run was trained in mixed precision; else as they were saved.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the GPU, if there is one.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind.
        ConfigError: If there is no such dtype or device.
        ModelError: If the model can't run in these numbers.
        MissingExtraError: If it needs a package that is not installed.
    """
    folder, wanted, place = Path(folder), check_dtype(dtype), choose_device(device)
    check_folder(folder)
    # Adapters are merged first, as they would lose the most; in 4 or 8 bits they stay as they were trained.
    merges = wanted != "auto" and holds_adapters(folder)
    load = load_whole if merges else load_model
    model = load(folder, trust_remote_code=trust_remote_code)
    model.train(False)
    tokenizer = load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code)
    if wanted == "float16" and place.type == "cpu":
        logger.warning(
            "dtype = float16: a CPU computes in it several times more slowly than in float32; take bfloat16 or int8."
        )
    model.to(place)  # type: ignore[arg-type]
    convert_model(model, _usual(folder, place) if wanted == "auto" else wanted)
    return model, tokenizer


def choose_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        ConfigError: If it isn't there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        raise ConfigError(
            f"device = {name!r}: not there, or not usable ({str(fault).splitlines()[0]}). Expected cpu, or cuda where "
            "there is a GPU."
        ) from fault
    return device


def _usual(folder: Path, device: torch.device) -> Dtype:
    """Numbers as in training, where it was trained on such a device."""
    config = folder / "config.yaml"
    if device.type != "cuda" or not config.exists() or holds_adapters(folder):
        return "auto"
    trained_so = load_config(config).training.mixed_precision
    can = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if trained_so and can else "auto"
