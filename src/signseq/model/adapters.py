"""LoRA and QLoRA: small adapters in a frozen, perhaps quantized, text model.

The only module that knows peft, which is imported when it is first needed.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_type_hints

import torch
from torch import Tensor
from transformers import PreTrainedModel

from signseq.config import LoraSettings
from signseq.errors import CheckpointError, ConfigError, ModelError
from signseq.model.checkpoint import ADAPTER_WEIGHTS
from signseq.model.lora_settings import UNSUPPORTED, check_expressions, check_fields
from signseq.model.lora_targets import find_modules, find_targets
from signseq.model.sign_translation import SignTranslationModel

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

__all__ = [
    "add_lora",
    "base_digest",
    "check_lora_settings",
    "load_lora",
    "merge_lora",
    "without_adapters",
]

POSE_ENCODER = "pose_encoder"


def check_lora_settings(settings: LoraSettings) -> None:
    """Find what can't work in the settings of adapters, before anything is loaded.

    Raises:
        ConfigError: If a field is one that peft doesn't know, or that can't be set here.
    """
    _peft_config(settings)


def add_lora(
    model: SignTranslationModel, settings: LoraSettings, *, in_full: Sequence[str] = ()
) -> PeftModel:
    """Freeze the text model and add adapters to it; the pose encoder goes on training in full.

    Args:
        model: Changed in place: it is the model inside of what is returned.
        settings: `target_modules`, and whatever else adapters have.
        in_full: Names of the text model's modules that train in full too, and are saved with the
            adapters, besides those of `modules_to_save`.

    Returns:
        peft's wrapper, which saves the adapters and the pose encoder, and nothing else.

    Raises:
        ConfigError: See `check_lora_settings`.
        ModelError: If no layer can take an adapter, or not each one that is asked for.
    """
    from peft import get_peft_model

    text_model = model.text_model
    extra = settings.model_extra or {}
    found = find_targets(text_model, settings.target_modules, exclude=extra.get("exclude_modules"))
    in_full = find_modules(text_model, [*in_full, *(extra.get("modules_to_save") or ())])
    found = [name for name in found if not name.startswith(tuple(f"{part}." for part in in_full))]
    config = _peft_config(settings)
    config.target_modules = _in_layers(config, [f"text_model.{name}" for name in found])
    config.layers_to_transform = config.layers_pattern = None
    config.modules_to_save = [POSE_ENCODER, *(f"text_model.{name}" for name in in_full)]
    model.config.base_digest = base_digest(text_model)
    try:
        with _expected_warnings():
            adapted = get_peft_model(model, config)
    except Exception as fault:  # whatever peft's parts raise
        raise ModelError(
            f"model.lora_config: adapters can't be added to this {text_model.config.model_type} model: {fault}"
        ) from fault
    return _without_card(adapted)


def load_lora(model: SignTranslationModel, folder: Path) -> PeftModel:
    """Add the adapters of a checkpoint folder to a model, and load its pose encoder.

    Args:
        model: A new one, with the text model that the adapters were trained on; changed in place.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        CheckpointError: If the adapters are damaged or don't fit the model.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    config = _read_config(folder)
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            saved = set(file.keys())
        with _expected_warnings():
            adapted = PeftModel.from_pretrained(
                model, str(folder), config=config, torch_device="cpu"
            )
        needed = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    except KeyError as fault:  # of a module that was trained in full
        needed, saved = {str(fault.args[0])}, set()
    except Exception as fault:  # safetensors' own type, and whatever peft's parts raise
        raise CheckpointError(f"{folder}: the adapters can't be loaded ({fault}).") from fault
    if missing := sorted(needed - saved):
        raise CheckpointError(
            f"{folder}: the adapters lack {missing[0]!r} and perhaps more; half-written, perhaps."
        )
    return _without_card(adapted)


def merge_lora(adapted: PeftModel) -> SignTranslationModel:
    """Add the adapters to the weights that they adapt; `adapted` can't be used any more."""
    tuner: Any = adapted
    return cast(SignTranslationModel, tuner.merge_and_unload())


def without_adapters(model: Any) -> SignTranslationModel:
    """The model itself, its adapters in place, where peft's wrapper is around it."""
    inside = model if isinstance(model, SignTranslationModel) else model.get_base_model()
    return cast(SignTranslationModel, inside)


@torch.no_grad()
def base_digest(text_model: PreTrainedModel) -> str:
    """A fingerprint of a text model's weights: of some rows of its embeddings, which are never quantized.

    They are rounded to bfloat16, so that it doesn't depend on the precision that they were loaded in.
    """
    digest = hashlib.sha256()
    for module in (text_model.get_input_embeddings(), text_model.get_output_embeddings()):
        if module is None:
            continue
        weight: Tensor = next(module.parameters())
        rows = torch.linspace(0, len(weight) - 1, min(64, len(weight)), device=weight.device)
        sample = weight[rows.long()].to("cpu", torch.bfloat16).contiguous()
        digest.update(f"{tuple(weight.shape)}".encode())
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------- peft's config


def _peft_config(settings: LoraSettings) -> LoraConfig:
    """Peft's own settings; the modules are named later.

    Raises:
        ConfigError: If a field is unknown, or has a value that can't be used.
    """
    from peft import LoraConfig

    extra = settings.model_extra or {}
    check_fields(extra, known=get_type_hints(LoraConfig))
    check_expressions(settings.target_modules, extra.get("exclude_modules"))
    fields = settings.model_dump(exclude={"target_modules", "exclude_modules", "modules_to_save"})
    try:
        return LoraConfig(**fields, target_modules=["q"])
    except (ValueError, TypeError) as fault:
        raise ConfigError(f"model.lora_config: peft refuses these settings: {fault}") from fault


def _in_layers(config: LoraConfig, names: list[str]) -> list[str]:
    """Those of the targets that are in `layers_to_transform`, where it is given."""
    from peft.tuners.tuners_utils import check_target_module_exists

    if config.layers_to_transform is None:
        return names
    probe = copy.copy(config)
    probe.target_modules = [name.rpartition(".")[2] for name in names]
    kept = [name for name in names if check_target_module_exists(probe, name)]
    if not kept:
        raise ModelError(
            f"model.lora_config.layers_to_transform = {config.layers_to_transform}: no layer with such a number has "
            f"a target; one is called {names[-1]}."
        )
    return kept


def _read_config(folder: Path) -> LoraConfig:
    """The settings that adapters were trained with; nothing that could load code is taken from a file."""
    from peft import LoraConfig

    path = folder / "adapter_config.json"
    defaults = vars(LoraConfig())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fields that only a newer peft knows
            config = LoraConfig.from_pretrained(str(folder))
        strange = [name for name in UNSUPPORTED if vars(config).get(name) != defaults.get(name)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as fault:
        raise CheckpointError(f"{path}: can't be read ({fault}); half-written, perhaps.") from fault
    if not isinstance(config, LoraConfig) or strange:
        what = ", ".join(strange) or f"adapters of kind {config.peft_type}"
        raise CheckpointError(f"{path}: has {what}, which signseq doesn't write.")
    return config


# -------------------------------------------------------------------------------------- quirks


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Hide what nobody can act on: what peft mends itself, and that it asks transformers by an old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")  # GPT-2's Conv1D
        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # an error of ours
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _without_card(adapted: Any) -> PeftModel:
    """Let peft write no README.md into checkpoint folders: one that is there is the user's."""
    adapted.create_or_update_model_card = lambda output_dir: None
    return cast("PeftModel", adapted)
