"""Loading checkpoint folders: whole models, and adapters with the text model that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from signseq.config import ModelConfig, load_config
from signseq.errors import CheckpointError, ConfigError, ModelError
from signseq.model.adapters import base_digest, load_lora, merge_lora, without_adapters
from signseq.model.checkpoint import check_folder, has_own_code, holds_adapters
from signseq.model.quantization import load_base
from signseq.model.quiet import errors_only, no_progress_bars
from signseq.model.sign_config import SignTranslationConfig
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import load_text_config, text_model_from_config

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = [
    "check_base",
    "load_adapters",
    "load_checkpoint_tokenizer",
    "load_model",
    "load_whole",
]


def load_model(folder: str | Path, *, trust_remote_code: bool = False) -> SignTranslationModel:
    """Load a checkpoint folder of either kind, ready to translate.

    Args:
        folder: A full checkpoint, or one of adapters; for the latter, the text model is loaded from
            where its `config.yaml` says.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind; or if the text model
            that adapters belong to can't be loaded, or is another one now.
        MissingExtraError: If the text model was quantized and bitsandbytes is not installed.
    """
    folder = Path(folder)
    check_folder(folder)
    if holds_adapters(folder):
        model = without_adapters(load_adapters(folder, trust_remote_code=trust_remote_code))
    elif has_own_code(folder):
        model = _load_own_code(folder, trust_remote_code=trust_remote_code)
    else:
        model = SignTranslationModel.from_pretrained(folder)
    model.train(False)
    return model


def load_whole(folder: str | Path, *, trust_remote_code: bool = False) -> SignTranslationModel:
    """Load a checkpoint folder of either kind in full precision, adapters merged into the weights.

    Args:
        folder: As for `load_model`.
        trust_remote_code: As for `load_model`.

    Raises:
        CheckpointError: See `load_model`.
    """
    folder = Path(folder)
    check_folder(folder)
    if not holds_adapters(folder):
        return load_model(folder, trust_remote_code=trust_remote_code)
    adapted = load_adapters(folder, quantized=False, trust_remote_code=trust_remote_code)
    return merge_lora(adapted)


def _check_trust(folder: Path, settings: ModelConfig, *, trust_remote_code: bool) -> None:
    if settings.trust_remote_code and not trust_remote_code:
        raise CheckpointError(
            f"{folder}: its text model {settings.name!r} was trained with model.trust_remote_code, and code isn't run "
            "because a checkpoint says so. If you trust it: --trust-remote-code (in Python, trust_remote_code=True)."
        )


@no_progress_bars()
def _load_own_code(folder: Path, *, trust_remote_code: bool) -> SignTranslationModel:
    """Load a full checkpoint whose text model's code is no part of transformers."""
    settings = _model_settings(folder)
    _check_trust(folder, settings, trust_remote_code=trust_remote_code)
    config = SignTranslationConfig.from_pretrained(str(folder))
    try:
        text_config = type(load_text_config(settings)).from_dict(config.text_model or {})
        text_model = text_model_from_config(text_config, trust_remote_code=True)
    except ModelError as fault:
        raise CheckpointError(
            f"{folder}: the code of its text model {settings.name!r} can't be loaded. {fault}"
        ) from fault
    text_model.generation_config = GenerationConfig(**(config.generation or {}))
    model = SignTranslationModel(config, text_model=text_model)
    weights: dict[str, Tensor] = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            weights |= load_file(path)
        model.load_state_dict(weights, strict=False)
    except Exception as fault:  # safetensors' own type, and torch's where sizes differ
        raise CheckpointError(f"{folder}: the weights can't be loaded ({fault}).") from fault
    wanted = model.state_dict()
    filled = {wanted[name].data_ptr() for name in weights if name in wanted}  # tied: saved once
    if missing := [name for name, weight in wanted.items() if weight.data_ptr() not in filled]:
        raise CheckpointError(
            f"{folder}: the weights lack {len(missing)} tensors, {missing[0]!r} among them; half-written, perhaps."
        )
    return model


@no_progress_bars()
def load_adapters(
    folder: Path, *, quantized: bool = True, trust_remote_code: bool = False
) -> PeftModel:
    """Load a checkpoint of adapters, and the text model that they belong to.

    Args:
        folder: What training with `model.use_lora` wrote.
        quantized: Whether the text model is quantized as in training; False loads it in float32.
        trust_remote_code: See `load_model`.

    Raises:
        CheckpointError: See `load_model`.
        MissingExtraError: See `load_model`.
    """
    settings = _model_settings(folder)
    _check_trust(folder, settings, trust_remote_code=trust_remote_code)
    tokenizer = load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code)
    try:
        config = SignTranslationConfig.from_pretrained(str(folder))
        text_model = _load_base(folder, settings, tokenizer, quantized=quantized)
        check_base(folder, base_digest(text_model), name=settings.name)
        text_model.generation_config = GenerationConfig(**(config.generation or {}))
        model = SignTranslationModel(config, text_model=text_model)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as fault:
        raise CheckpointError(f"{folder}: the checkpoint can't be loaded ({fault}).") from fault
    return load_lora(model, folder)


def check_base(folder: Path, digest: str | None, *, name: str) -> None:
    """Make sure that the adapters in a folder were trained on this text model.

    Args:
        folder: A checkpoint of adapters.
        digest: The text model's `base_digest`.
        name: `model.name`, for the message.

    Raises:
        CheckpointError: If it was another one.
    """
    if SignTranslationConfig.from_pretrained(str(folder)).base_digest != digest:
        raise CheckpointError(
            f"{folder}: its adapters were trained on other weights of {name} than are there now. Put those back, or "
            "train anew."
        )


def load_checkpoint_tokenizer(
    folder: Path, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load a checkpoint's tokenizer.

    Args:
        folder: A checkpoint of either kind.
        trust_remote_code: See `load_model`.

    Raises:
        CheckpointError: If it isn't there or damaged.
    """
    try:
        with errors_only():  # it doesn't know the type of our config, and needn't
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                str(folder),
                trust_remote_code=trust_remote_code,  # None would ask on the terminal
            )
    except Exception as fault:  # transformers raises whatever its parts raise
        raise CheckpointError(f"{folder}: the tokenizer can't be loaded ({fault}).") from fault
    return tokenizer


def _model_settings(folder: Path) -> ModelConfig:
    try:
        return load_config(folder / "config.yaml").model
    except ConfigError as fault:
        raise CheckpointError(
            f"{folder}: which text model its adapters belong to can't be read: {fault}"
        ) from fault


def _load_base(
    folder: Path, settings: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, quantized: bool
) -> PreTrainedModel:
    if not quantized:
        settings = settings.model_copy(update={"load_in_4bit": False, "load_in_8bit": False})
    try:
        text_model = load_base(settings, tokenizer)
    except ModelError as fault:
        raise CheckpointError(
            f"{folder}: holds adapters only; the text model {settings.name!r}, which they belong to, can't be loaded. "
            f"{fault} Or write a full checkpoint where it was trained, with: signseq merge {folder} OUT"
        ) from fault
    if settings.init_from is None:
        return text_model
    if not settings.init_from.is_dir():
        raise CheckpointError(
            f"{folder}: its adapters were trained on the weights of {settings.init_from} (model.init_from), which is "
            f"not there. Put it back, or write a full checkpoint where it is, with: signseq merge {folder} OUT"
        )
    origin = load_whole(settings.init_from, trust_remote_code=settings.trust_remote_code)
    text_model.load_state_dict(origin.text_model.state_dict())
    return text_model
