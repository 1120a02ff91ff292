"""FSDP2: each process keeps a share of every weight, its gradient and its optimizer state.

Checkpoints are whole, and the same as without it: weights and optimizer state are put together when
they are saved and divided when they are loaded, so a run can go on with another number of
processes, or without sharding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from signseq.config import Config
from signseq.errors import ConfigError

__all__ = [
    "check_sharding",
    "divide_optimizer_state",
    "gathered",
    "is_sharded",
    "shard",
    "whole_optimizer_state",
    "whole_tensor",
    "whole_weights",
]


def check_sharding(config: Config) -> None:
    """Find what doesn't go together with sharded weights.

    Raises:
        ConfigError: If the config asks for it.
    """
    if not config.training.fsdp:
        return
    others = {
        "model.load_in_4bit": config.model.load_in_4bit,
        "model.load_in_8bit": config.model.load_in_8bit,
        "training.compile": config.training.compile,
        "training.auto_batch": config.training.auto_batch,
        "training.optimizer: adamw_8bit": config.training.optimizer == "adamw_8bit",
        "training.optimizer: adafactor": config.training.optimizer == "adafactor",
    }
    if found := [name for name, is_set in others.items() if is_set]:
        raise ConfigError(
            f"training.fsdp doesn't go together with {' or '.join(found)}. Leave out the one or the other."
        )


def shard(model: nn.Module, *, device_type: str, processes: int, low_precision: bool) -> None:
    """Divide a model's weights among the processes, layer by layer; changed in place.

    A layer is put together just before it is used, and divided again after.

    Args:
        model: The same on every process.
        device_type: `cuda` or `cpu`.
        processes: How many there are.
        low_precision: Compute and send weights in bfloat16; they are kept, and gradients added up,
            in float32.
    """
    policy = (
        MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        if low_precision
        else MixedPrecisionPolicy()
    )
    mesh = init_device_mesh(device_type, (processes,))
    for layer in find_layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    # What is given to the whole model, poses above all, is not rounded: autocast casts where it may.
    fully_shard(model, mesh=mesh, mp_policy=replace(policy, cast_forward_inputs=False))


def find_layers(model: nn.Module) -> list[nn.Module]:
    """The members of the outermost lists of layers, in which almost all weights are.

    A layer that shares a weight with the rest of the model is left out: it belongs to the whole.
    """
    found: list[nn.Module] = []
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not name.startswith(inside or ("\0",)):
            inside = (*inside, f"{name}.")
            found += list(module)
    owners: dict[int, set[int]] = {}
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            owners.setdefault(id(weight), set()).add(id(module))
    layers = []
    for layer in dict.fromkeys(found):
        own = {id(module) for module in layer.modules()}
        weights = list(layer.parameters())
        if weights and all(owners[id(weight)] <= own for weight in weights):
            layers.append(layer)
    return layers


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has divided this model."""
    return isinstance(model, FSDPModule)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Keep all weights together for a while, on every process.

    To translate, each process goes its own number of steps, so none may wait for another's share.
    It takes the memory of the weights, but none of gradients or optimizer state.
    """
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def whole_tensor(value: Any) -> Any:
    """A share of a tensor as the whole one, and anything else as it is; all processes must call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_weights(model: nn.Module, *, keep: bool) -> dict[str, Tensor]:
    """All weights, put together on the CPU; what is tied stays so.

    Args:
        model: A sharded one; all processes must call this.
        keep: Whether this process wants them; the others get nothing.
    """
    weights: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in known:
            whole = whole_tensor(value.detach())
            known[id(value)] = whole.cpu() if keep else whole.new_empty(0)
        weights[name] = known[id(value)]
    return weights if keep else {}


def whole_optimizer_state(optimizer: Any, *, keep: bool) -> dict[str, Any]:
    """An optimizer's state as one process alone would have it; see `whole_weights`."""
    state = optimizer.state_dict()
    whole: dict[int, dict[str, Any]] = {}
    for number, values in state["state"].items():
        found = {name: whole_tensor(value) for name, value in values.items()}
        if keep:
            whole[number] = {
                name: value.cpu() if isinstance(value, Tensor) else value
                for name, value in found.items()
            }
    return {**state, "state": whole}


def divide_optimizer_state(state: dict[str, Any], parameters: list[Tensor]) -> dict[str, Any]:
    """This process's share of what `whole_optimizer_state` gave, for the optimizer's parameters in order."""
    divided = {
        number: {
            name: _share_like(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": divided}


def _share_like(value: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor):
        return value.to(like.device)
    # every process has the whole tensor, so nothing needs to be sent
    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
