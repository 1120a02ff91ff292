"""In which precision a model trains: what the device has, and what the text model bears."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from signseq.model.architectures import is_safe_in_float16, nested_settings

__all__ = [
    "FULL_PRECISION",
    "DeviceFacts",
    "Precision",
    "choose_precision",
    "device_facts",
    "keep_in_float32",
]

# The T5 family leaves float16's range in the output of its feed-forward layers alone, which
# transformers keeps in float32 too (`_keep_in_fp32_modules = ["wo"]` of its T5, mT5 and UMT5).
FEED_FORWARD_OUTPUT = "wo"
OVERFLOWS_THERE_ONLY = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}


@dataclass(frozen=True)
class DeviceFacts:
    """What training needs to know of a device.

    Attributes:
        kind: torch's name for it: `cuda`, `cpu`.
        name: As its maker calls it.
        has_bfloat16: Whether it computes in bfloat16 itself; older GPUs imitate it, slowly.
        memory: Bytes in all.
    """

    kind: str
    name: str
    has_bfloat16: bool
    memory: int


@dataclass(frozen=True)
class Precision:
    """How a model is computed; its weights stay in float32 throughout.

    Attributes:
        dtype: Of the large multiplications.
        in_float32: Names of modules that are computed in float32 all the same.
        reason: Why, for the log; empty where there is nothing to say.
    """

    dtype: Literal["float32", "bfloat16", "float16"]
    in_float32: tuple[str, ...] = ()
    reason: str = ""

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """What autocast is told; None where nothing is cast."""
        return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.dtype)


FULL_PRECISION = Precision("float32")


def device_facts() -> DeviceFacts:
    """Look at the device that this process trains on."""
    if not torch.cuda.is_available():
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return DeviceFacts("cpu", platform.processor() or "CPU", has_bfloat16=False, memory=memory)
    index = int(os.environ.get("LOCAL_RANK", "0"))
    found = torch.cuda.get_device_properties(index)
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return DeviceFacts("cuda", found.name, has_bfloat16=has_bfloat16, memory=found.total_memory)


def choose_precision(
    config: PreTrainedConfig, *, wanted: bool = True, facts: DeviceFacts | None = None
) -> Precision:
    """Choose bfloat16 where the device has it, else float16 where the text model bears it.

    Args:
        config: The text model's.
        wanted: `training.mixed_precision`.
        facts: Of the device; None looks at it.
    """
    facts = facts or device_facts()
    if not wanted or facts.kind != "cuda":
        return FULL_PRECISION
    if facts.has_bfloat16:
        return Precision("bfloat16")
    without = f"{facts.name} has no bfloat16"
    unsafe = [kind for kind, safe in _parts(config) if not safe]
    if any(kind not in OVERFLOWS_THERE_ONLY for kind in unsafe):
        return Precision(
            "float32",
            reason=f"{without}, and {config.model_type} models leave the range of float16: training in float32. "
            "A text model of the BART family would train in float16 here.",
        )
    if unsafe:
        return Precision(
            "float16",
            (FEED_FORWARD_OUTPUT,),
            reason=f"{without}: training in float16, with the output of {config.model_type}'s feed-forward layers in "
            "float32, as it leaves the range of float16.",
        )
    return Precision("float16", reason=f"{without}: training in float16.")


def _parts(config: PreTrainedConfig) -> list[tuple[str, bool]]:
    """The model type, and those of a composite's sides: each with whether it is safe in float16."""
    sides: list[Any] = [config]
    sides += [getattr(config, key) for key in nested_settings(config.to_dict())]
    return [
        (side.model_type, is_safe_in_float16(side))
        for side in sides
        if isinstance(side, PreTrainedConfig)
    ]


def keep_in_float32(model: nn.Module, names: Sequence[str]) -> int:
    """Compute the modules of these names in float32, whatever is cast around them.

    Autocast looks at the operation, not at the weights, so float32 weights alone don't do it.

    Args:
        model: Changed in place; what it saves stays the same.
        names: Last parts of the modules' names.

    Returns:
        How many there are.
    """
    chosen = [module for name, module in model.named_modules() if name.split(".")[-1] in names]
    for module in chosen:
        module.forward = _in_float32(module.forward)
    return len(chosen)


def _in_float32(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return forward(hidden.float())

    return run
