"""Hugging Face's Seq2SeqTrainer with the learning rates, the compilation and the copies of ours."""

from __future__ import annotations

from typing import Any, cast

import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn
from transformers import Seq2SeqTrainer

from signseq.config import TrainingConfig
from signseq.model.parameter_groups import layers_above
from signseq.training.compilation import CompilationCallback, CompiledModel
from signseq.training.optimizers import choose_rates, split_groups

__all__ = ["FastTrainer"]


class FastTrainer(Seq2SeqTrainer):
    """Knows nothing of what is trained; see `SignTrainer`.

    Args:
        settings: The config's training section.
        **kwargs: What Seq2SeqTrainer takes.
    """

    def __init__(self, *, settings: TrainingConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.compiled = CompiledModel() if settings.compile else None
        if self.compiled is not None:
            self.add_callback(CompilationCallback(self.compiled))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's; its groups divided by learning rate, where there are several."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if self.settings.encoder_learning_rate is None and self.settings.layerwise_decay is None:
            return optimizer
        trained: Any = self.model if model is None else model
        named = list(trained.named_parameters())
        depths = layers_above(cast(nn.Module, self.model)) if self.settings.layerwise_decay else {}
        rates = choose_rates((name for name, _ in named), self.settings, depths=depths)
        by_parameter = {id(parameter): rates[name] for name, parameter in named}
        optimizer.param_groups[:] = split_groups(optimizer.param_groups, by_parameter)
        return optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        """As the Trainer's; where there is nothing to bring together, not by way of accelerate's search for it."""
        is_alone = self.accelerator.distributed_type == DistributedType.NO
        if not is_alone or self.accelerator.scaler is not None:
            return cast(Any, super())._clip_grad_norm(model)
        return nn.utils.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)

    def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """In training alone, which is why scoring and saving meet the model uncompiled."""
        used = model if self.compiled is None else self.compiled(model)
        return super().compute_loss(used, *args, **kwargs)

    def _prepare_input(self, data: Any) -> Any:
        """Copy without waiting for the copy, which memory that is pinned allows."""
        if isinstance(data, Tensor):
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)
