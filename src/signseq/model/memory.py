"""How much memory training takes, found without taking any.

One training step of the true size runs among fake tensors, which have shapes but no numbers, and what
is alive at every moment is added up. In bytes, on each GPU:

    weights           4 per parameter, as they are kept in float32. QLoRA's quantized ones: 4 bits each,
                      8 bits for the scale of each 64, 32 bits for that of each 256 of these scales
                      (arXiv:2305.14314), which is 0.516 per parameter.
    optimizer         8 per parameter that trains: AdamW's two averages in float32.
    step              What is alive at most on the way forward and back: activations in bfloat16 or
                      float32 as autocast has them, bfloat16 copies of weights, logits and their
                      gradients in float32, and 4 per parameter that trains for its gradient.

Not counted is what the GPU's driver and libraries take for themselves (about 1 GiB), the gaps that the
allocator leaves, and translating the validation clips with many beams.
"""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import PreTrainedConfig, PreTrainedModel

from signseq.model.architectures import vocabulary_size
from signseq.model.encoders import count_inputs
from signseq.model.outline import QuantizedLinear, add_adapters, outline, sign_outline
from signseq.model.recomputation import recompute_activations
from signseq.model.sign_translation import SignTranslationModel

__all__ = [
    *("GIB", "MemoryEstimate", "Method", "StepSize"),
    *("estimate_memory", "step_by_formula"),
]

logger = logging.getLogger(__name__)

Method = Literal["full", "lora", "qlora"]
GIB = 2**30
FLOAT32, BFLOAT16, ADAMW = 4, 2, 8  # bytes; AdamW's are of two averages
QUANTIZED = 1 / 2 + 1 / 64 + 4 / (64 * 256)
# Of one layer, per position and unit of width, in half precision (arXiv:2205.05198, section 4.1);
# twice that, as the sums between layers are float32 here.
PER_LAYER, PER_CROSS_ATTENTION = 2 * 34, 2 * 13


@dataclass(frozen=True)
class StepSize:
    """One batch, padded to its longest clip and text; `prompt` are the tokens told beside each clip."""

    batch_size: int
    frames: int
    tokens: int
    prompt: int = 0


@dataclass(frozen=True)
class MemoryEstimate:
    """What training takes, in bytes; see the module's docstring.

    Attributes:
        method: `full`, `lora` or `qlora`.
        weights: Of the whole model.
        optimizer: AdamW's averages.
        step: Activations and gradients, at the moment when there are most.
        trainable: Parameters that train.
        by_formula: The step could not be run among fake tensors, so a formula took its place.
    """

    method: Method
    weights: int
    optimizer: int
    step: int
    trainable: int
    by_formula: bool = False

    @property
    def total(self) -> int:
        """At most at one moment."""
        return self.weights + self.optimizer + self.step


def estimate_memory(
    config: PreTrainedConfig,
    method: Method,
    *,
    size: StepSize,
    encoder: Mapping[str, Any],
    keypoints: Sequence[str],
    dimensions: int = 2,
    label_smoothing: float = 0.1,
    rank: int = 16,
    targets: list[str] | str | None = None,
    in_full: Sequence[str] = (),
    gradient_checkpointing: bool = False,
    has_own_head: bool = False,
) -> MemoryEstimate:
    """Estimate what training a text model on poses takes on one GPU.

    Args:
        config: The text model's.
        method: Train everything, or adapters only, with the other weights as they are or quantized.
        size: Of a batch.
        encoder: The pose encoder's settings, as for `build_model`.
        keypoints: The K names.
        dimensions: C.
        label_smoothing: In training.
        rank: Of the adapters.
        targets: As for `find_targets`.
        in_full: Modules of the text model that train in full beside the adapters.
        gradient_checkpointing: Whether activations are computed again on the way back.
        has_own_head: As for `outline`.

    Raises:
        ModelError: If `targets` match nothing, or the model can't do gradient checkpointing.
    """
    with torch.device("meta"):
        text_model = outline(config, has_own_head=has_own_head)
        if method != "full":
            add_adapters(
                text_model,
                rank=rank,
                targets=targets,
                quantize=method == "qlora",
                in_full=in_full,
            )
        model = sign_outline(
            text_model,
            encoder=encoder,
            keypoints=keypoints,
            dimensions=dimensions,
            label_smoothing=label_smoothing,
        )
    if gradient_checkpointing:
        recompute_activations(model)
    model.train()
    weights = _weight_bytes(model)
    positions = (count_inputs(encoder, size.frames) + size.prompt, size.tokens)
    step, trainable = step_by_formula(model, size.batch_size, positions)
    by_formula = True
    try:
        with FakeTensorMode():
            shape = (size.batch_size, size.frames, len(keypoints), dimensions + 1)
            whole = method == "full" or gradient_checkpointing
            step, trainable = _run_step(
                model, shape, tokens=size.tokens, prompt=size.prompt, whole=whole
            )
        by_formula = False
    except Exception as fault:  # whatever an architecture does that needs numbers
        logger.debug("%s among fake tensors: %s", config.model_type, fault)
    return MemoryEstimate(method, weights, ADAMW * trainable, step, trainable, by_formula)


# ------------------------------------------------------------------------------ a step that is run


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory of all tensors that are made, from when they are made until they are gone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        kept = [*model.parameters(), *model.buffers()]
        self.sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in kept}
        self.live = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self.sizes:  # a view of what is there
            return
        self.sizes[key] = storage.nbytes()
        self.live += self.sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self.live -= self.sizes.pop(key)


def _run_step(
    model: SignTranslationModel, shape: tuple[int, ...], *, tokens: int, prompt: int, whole: bool
) -> tuple[int, int]:
    """Bytes that are alive at most, and the number of parameters that train.

    Where only adapters train, the way back starts with the gradients of the logits, and from there
    on frees more than it makes; so it needn't be run.

    Args:
        model: On the meta device; its tensors are replaced by fake ones.
        shape: Of the poses, (B, T, K, C + 1).
        tokens: L.
        prompt: P, tokens beside each clip.
        whole: Run the way back too.
    """
    _make_fake(model)
    tracker = _LiveBytes(model)
    ids = torch.ones(shape[0], tokens, dtype=torch.long)
    poses, mask = torch.empty(shape), torch.ones(shape[:2], dtype=torch.long)
    told = torch.ones(shape[0], prompt, dtype=torch.long) if prompt else None
    with tracker:
        with torch.autocast("cpu", torch.bfloat16):
            output = model(poses, mask, labels=ids, decoder_input_ids=ids, prompts=told)
        loss, logits = output.loss, output.logits.numel()
        assert loss is not None
        del output
        on_the_way_back = tracker.live + 2 * FLOAT32 * logits
        if whole:
            loss.backward()
    if whole:
        trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
        return tracker.peak, _numbers(trained)
    return max(tracker.peak, on_the_way_back), _numbers(_trainable(model))


def _make_fake(model: nn.Module) -> None:
    """Among fake tensors modules can be used, but not all can be made."""
    made: dict[int, Tensor] = {}
    owners: list[Any] = [
        kept for module in model.modules() for kept in (module._parameters, module._buffers)
    ]
    for tensors in owners:
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            if id(tensor) not in made:
                fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                is_parameter = isinstance(tensor, nn.Parameter)
                made[id(tensor)] = (
                    nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
                )
            tensors[name] = made[id(tensor)]  # shared ones stay shared


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _numbers(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _weight_bytes(model: nn.Module) -> int:
    quantized = {
        id(module.weight) for module in model.modules() if isinstance(module, QuantizedLinear)
    }
    sizes = [
        tensor.numel() * (QUANTIZED if id(tensor) in quantized else tensor.element_size())
        for tensor in [*model.parameters(), *model.buffers()]
    ]
    return round(sum(sizes))


# ---------------------------------------------------------------------------- a step by formula


def step_by_formula(
    model: SignTranslationModel, batch_size: int, positions: tuple[int, int]
) -> tuple[int, int]:
    """The same as `_run_step`, at once but roughly: layers, copies of the weights, logits, gradients.

    Args:
        model: On any device.
        batch_size: B.
        positions: T' in the encoder, L in the decoder.
    """
    text_model: Any = model.text_model
    inputs, tokens = positions
    windows = text_model.config.to_dict().get("attention_window") or [1]  # LED's, which it fills up
    inputs = -(-inputs // max(windows)) * max(windows)
    width = text_model.get_input_embeddings().embedding_dim
    encoder, decoder = _layers(text_model)
    per_width = encoder * PER_LAYER * inputs + decoder * (PER_LAYER + PER_CROSS_ATTENTION) * tokens
    logits = 12 * batch_size * tokens * vocabulary_size(text_model.config)
    copies = BFLOAT16 * _numbers(list(text_model.parameters()))
    trainable = _numbers(_trainable(model))
    return per_width * batch_size * width + copies + logits + FLOAT32 * trainable, trainable


def _layers(text_model: PreTrainedModel) -> tuple[int, int]:
    """How many the encoder and the decoder have."""
    names = [name for name, _ in text_model.named_parameters()]
    stacks = {match[0] for name in names if (match := re.match(r".*?\.\d+\.", name))}
    encoder = sum("encoder" in stack for stack in stacks)
    return encoder, len(stacks) - encoder
