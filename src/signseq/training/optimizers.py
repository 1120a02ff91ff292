"""Optimizers and schedules by our names, and which parameters learn how fast."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from signseq.config import TrainingConfig
from signseq.model.quantization import need_bitsandbytes

__all__ = [
    "Rate",
    "check_optimizer",
    "choose_rates",
    "make_optimizer",
    "optimizer_fields",
    "split_groups",
]

logger = logging.getLogger(__name__)

# The Trainer's names. Its Adafactor is T5's recipe: a learning rate from outside, no relative steps.
# Fused AdamW is the same arithmetic in one kernel: on a CPU 4 to 7 times faster than torch's others.
OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adafactor": "adafactor",
    "adamw_8bit": "adamw_bnb_8bit",
}
SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "inverse_sqrt": "inverse_sqrt",
    "constant": "constant_with_warmup",
}
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "base_model.model.")


def check_optimizer(training: TrainingConfig) -> None:
    """Find out whether the optimizer is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    if training.optimizer == "adamw_8bit":
        need_bitsandbytes("training.optimizer: adamw_8bit")


def optimizer_fields(training: TrainingConfig) -> dict[str, Any]:
    """Optimizer and schedule, in the Trainer's own fields."""
    return {
        "optim": OPTIMIZERS[training.optimizer],
        "lr_scheduler_type": SCHEDULES[training.schedule],
    }


def make_optimizer(arguments: Seq2SeqTrainingArguments, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that a run would have, for steps outside of a Trainer; one rate for all.

    Args:
        arguments: See `build_arguments`.
        model: Its parameters that train are what is optimized.
    """
    kind, settings = Seq2SeqTrainer.get_optimizer_cls_and_kwargs(arguments)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer = kind(trainable, **settings)
    return optimizer


@dataclass(frozen=True)
class Rate:
    """How fast some parameters learn, and what they are called in logs."""

    group: str
    learning_rate: float


def choose_rates(
    names: Iterable[str], training: TrainingConfig, *, depths: Mapping[str, int] | None = None
) -> dict[str, Rate]:
    """The learning rate of each parameter.

    Args:
        names: Of the parameters.
        training: The config's section.
        depths: Of the text model's parameters, by name: how many layers stand above; see `layers_above`.
            What is not named has the full rate.
    """
    base = training.learning_rate
    decay = training.layerwise_decay
    depths = {plain_name(name): above for name, above in (depths or {}).items()}
    rates = {}
    for name in names:
        plain = plain_name(name)
        if plain.startswith("pose_encoder."):
            rates[name] = Rate("pose_encoder", training.encoder_learning_rate or base)
        elif decay is not None and depths.get(plain):
            above = depths[plain]
            rates[name] = Rate(f"text_model_{above}_below_top", base * decay**above)
        else:
            rates[name] = Rate("text_model", base)
    return rates


def plain_name(name: str) -> str:
    """A parameter's name in the model itself, without what wraps it: DDP, FSDP, peft, torch.compile."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def split_groups(
    groups: Sequence[Mapping[str, Any]], rates: Mapping[int, Rate]
) -> list[dict[str, Any]]:
    """Divide an optimizer's groups further, by learning rate.

    Args:
        groups: As an optimizer has them; each keeps its other settings, weight decay among them.
        rates: By the `id` of each parameter.

    Returns:
        Groups with a `name`; those of the full learning rate come first, as the Trainer logs the
        rate of the first group.
    """
    divided: dict[tuple[int, Rate], dict[str, Any]] = {}
    for number, group in enumerate(groups):
        for parameter in group["params"]:
            rate = rates[id(parameter)]
            found = divided.setdefault(
                (number, rate),
                {**group, "params": [], "lr": rate.learning_rate, "name": rate.group},
            )
            found["params"].append(parameter)
    order = sorted(divided.values(), key=lambda group: group["name"] != "text_model")
    return order
