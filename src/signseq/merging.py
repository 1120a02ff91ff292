"""`signseq merge`: adapters and the text model that they belong to become one full checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from signseq.config import load_config, save_config
from signseq.errors import CheckpointError
from signseq.model.adapters import merge_lora, without_adapters
from signseq.model.checkpoint import check_folder, holds_adapters, written_aside
from signseq.model.loading import load_adapters, load_checkpoint_tokenizer
from signseq.model.quiet import no_progress_bars
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["merge"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3  # of the logits' spread; float noise is a hundred times smaller


def merge(checkpoint: str | Path, out: str | Path, *, trust_remote_code: bool = False) -> Path:
    """Write a full checkpoint of one that holds adapters; the text model is in full precision in it.

    The folder is written aside, loaded again and compared before it gets its name, so what stands
    at `out` is whole and right.

    Args:
        checkpoint: What training with `model.use_lora` wrote.
        out: A folder that isn't there yet, or is empty.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Returns:
        `out`.

    Raises:
        CheckpointError: If the checkpoint can't be loaded or holds no adapters, if something is at
            `out` already, or if it can't be written.
    """
    folder, out = Path(checkpoint), Path(out)
    check_folder(folder)
    if not holds_adapters(folder):
        raise CheckpointError(
            f"{folder}: a full checkpoint already; there are no adapters to merge. Use it as it is."
        )
    with written_aside(out) as aside:
        difference = _write_merged(folder, aside, trust_remote_code=trust_remote_code)
    logger.info("%s: written; its logits differ from the adapters' by %.1e.", out, difference)
    settings = load_config(folder / "config.yaml").model
    if settings.load_in_4bit or settings.load_in_8bit:
        logger.info(
            "Both are in full precision here. The quantized model that was trained and scored gives somewhat other "
            "logits, so score the merged one anew."
        )
    return out


@no_progress_bars()
def _write_merged(folder: Path, out: Path, *, trust_remote_code: bool) -> float:
    """Write the full checkpoint, load it again, and return how much its logits differ."""
    config = load_config(folder / "config.yaml")
    # in float32 even where training quantized it: adapters can't be added to packed weights exactly
    adapted = load_adapters(folder, quantized=False, trust_remote_code=trust_remote_code)
    wanted = _logits(without_adapters(adapted))
    model = merge_lora(adapted)
    model.config.text_model = model.text_model.config.to_dict()
    model.config.base_digest = model.config.quantization = None
    try:
        model.save_pretrained(out)
        load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code).save_pretrained(out)
        plain = {"use_lora": False, "load_in_4bit": False, "load_in_8bit": False}
        settings = config.model.model_copy(update=plain)
        save_config(config.model_copy(update={"model": settings}), out / "config.yaml")
    except Exception as fault:
        if type(fault).__name__ != "SafetensorError":
            raise
        raise CheckpointError(f"{out.parent}: the weights can't be written ({fault}).") from fault
    del adapted, model  # or a large one would be in memory twice
    found = _logits(SignTranslationModel.from_pretrained(out))
    difference = float((found - wanted).abs().max())
    if not difference <= TOLERANCE * float(wanted.std()):
        raise CheckpointError(
            f"{folder}: the merged model computes other logits than its adapters (they differ by {difference:.2g}); "
            "nothing was written."
        )
    return difference


@torch.no_grad()
def _logits(model: SignTranslationModel) -> Tensor:
    """What a model says of a random clip, (1, L, V); the same clip each time."""
    model.train(False)
    size = (1, 12, len(model.config.keypoints), model.config.recipe["dimensions"] + 1)
    poses = torch.randn(size, generator=torch.Generator().manual_seed(0))
    mask, labels = torch.ones(1, 12, dtype=torch.long), torch.tensor([[3, 4, 5, 6]])
    logits: Tensor = model(poses, mask, labels=labels).logits
    return logits
