"""Hugging Face's Seq2SeqTrainer, told where batches come from and how to evaluate."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    Seq2SeqTrainer,
    TrainerCallback,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from signseq.config import Config, save_config
from signseq.data.batching import (
    BucketBatchSampler,
    Clip,
    ClipDataset,
    TokenTexts,
    collate,
    plan_batches,
)
from signseq.data.store import PoseStore
from signseq.errors import ConfigError
from signseq.evaluation import translate_store
from signseq.metrics import has_ngrams, score
from signseq.model.adapters import without_adapters
from signseq.model.feeding import NO_LABEL
from signseq.model.self_check import leaves_parameters_unused
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.targets import TargetEncoder
from signseq.training.arguments import build_arguments
from signseq.training.callbacks import DivergenceCallback, EpochCallback, ReportCallback

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["SignTrainer", "build_trainer"]


class SignTrainer(Seq2SeqTrainer):
    """Trains on the batches of a `BucketBatchSampler`, and scores whole translations.

    Args:
        sampler: This process's batches.
        val_store: Clips to score during training; None scores nothing.
        targets: Turns their texts into labels.
        config: The experiment.
        **kwargs: What Seq2SeqTrainer takes.
    """

    def __init__(
        self,
        *,
        sampler: BucketBatchSampler,
        val_store: PoseStore | None,
        targets: TargetEncoder,
        config: Config,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sampler = sampler
        self.val_store = val_store
        self.targets = targets
        self.experiment = config

    def get_train_dataloader(self) -> DataLoader[Clip]:
        """Our own batches: the sampler has divided them among the processes already."""
        workers = self.args.dataloader_num_workers
        return DataLoader(
            cast(ClipDataset, self.train_dataset),
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,  # they need not be started anew in every epoch
        )

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
        **settings: Any,
    ) -> dict[str, float]:
        """Loss and scores on the validation clips; each is translated once, whatever the number of processes."""
        if self.val_store is None:
            return {}
        start = time.monotonic()
        model = self._translation_model()
        model.train(False)
        with self.autocast_smart_context_manager():
            loss = self._mean_loss(model)
            scores = self._translate_and_score(model)
        values = {name: value for name, value in scores.items() if isinstance(value, float)}
        metrics = {
            f"{metric_key_prefix}_{name}": value for name, value in {"loss": loss, **values}.items()
        }
        metrics[f"{metric_key_prefix}_seconds"] = time.monotonic() - start
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: the Trainer's estimate walks through all modules at every step."""
        return 0

    def _translation_model(self) -> SignTranslationModel:
        return without_adapters(self.model)

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return cast(PreTrainedTokenizerBase, self.processing_class)

    def _shares(self) -> list[np.ndarray[Any, Any]]:
        """Which validation clips each process takes."""
        assert self.val_store is not None
        return [
            np.arange(rank, len(self.val_store), self.args.world_size)
            for rank in range(self.args.world_size)
        ]

    def _translate_and_score(self, model: SignTranslationModel) -> dict[str, Any]:
        assert self.val_store is not None
        training = self.experiment.training
        shares = self._shares()
        settings = self.experiment.generation.model_copy(update={"num_beams": training.eval_beams})
        texts = translate_store(
            model,
            self._tokenizer(),
            self.val_store,
            settings=settings,
            batch_size=training.eval_batch_size,
            clips=shares[self.args.process_index],
        )
        gathered: list[Any] = [texts]
        if self.args.world_size > 1:
            gathered = [None] * self.args.world_size
            dist.all_gather_object(gathered, texts)
        hypotheses = [""] * len(self.val_store)
        for share, found in zip(shares, gathered, strict=True):
            for number, text in zip(share, found, strict=True):
                hypotheses[number] = text
        return score(hypotheses, list(self.val_store.texts())).as_dict()

    @torch.no_grad()
    def _mean_loss(self, model: SignTranslationModel) -> float:
        """Mean loss per token over the validation clips of all processes."""
        assert self.val_store is not None
        data = self.experiment.data
        labels = TokenTexts(self.val_store.targets(), self.targets)
        dataset = ClipDataset(
            self.val_store, labels, step_frames=data.step_frames, max_frames=data.max_frames
        )
        share = self._shares()[self.args.process_index]
        total = torch.zeros(2, dtype=torch.float64)
        batches = (
            plan_batches(dataset.lengths[share], batch_size=self.args.eval_batch_size)
            if len(share)
            else []
        )
        for places in batches:
            batch = collate([dataset[0, int(share[place])] for place in places])
            moved = {name: tensor.to(model.device) for name, tensor in batch.items()}  # type: ignore[attr-defined]
            count = int(moved["labels"].ne(NO_LABEL).sum())
            total += torch.tensor([float(model(**moved).loss) * count, count], dtype=torch.float64)
        if self.args.world_size > 1:
            total = total.to(self.args.device)
            dist.all_reduce(total)
        return float(total[0] / total[1])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save weights or adapters, tokenizer and `config.yaml`: all that translating needs, nothing pickled."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            (folder / "training_args.bin").unlink(missing_ok=True)
            model = self._translation_model()
            if model is not self.model:  # peft saves no config.json with its adapters
                model.config.save_pretrained(folder)
            save_config(self.experiment, folder / "config.yaml")


def build_trainer(
    config: Config,
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dataset: ClipDataset,
    sampler: BucketBatchSampler,
    val_store: PoseStore | None,
    targets: TargetEncoder,
    adapters: PeftModel | None = None,
) -> SignTrainer:
    """Put a trainer together.

    Args:
        config: The experiment.
        model: What is trained.
        tokenizer: The text model's.
        dataset: The training clips.
        sampler: This process's batches of them.
        val_store: Clips to score during training; None scores nothing.
        targets: Turns texts into labels.
        adapters: What `add_lora` made of the model: trained and saved in its place.

    Raises:
        ConfigError: See `build_arguments`.
        DataError: See `build_arguments`.
    """
    training = config.training
    if (
        training.best_metric == "bleu4"
        and val_store is not None
        and not has_ngrams(val_store.texts(), 4)
    ):
        raise ConfigError(
            "training.best_metric is bleu4, which is 0 by definition on these validation texts: none has four words. "
            "Set it to cer, chrf or loss."
        )
    steps = len(sampler) // training.gradient_accumulation_steps
    callbacks: list[TrainerCallback] = [
        EpochCallback(sampler, accumulation=training.gradient_accumulation_steps),
        ReportCallback(training.checkpoint_dir),
        DivergenceCallback(),
    ]
    if training.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(training.early_stopping_patience))
    if training.use_wandb:
        os.environ.setdefault("WANDB_PROJECT", training.project_name)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    trainer = SignTrainer(
        sampler=sampler,
        val_store=val_store,
        targets=targets,
        config=config,
        model=model if adapters is None else adapters,
        args=build_arguments(
            config,
            steps_per_epoch=steps,
            find_unused=None if alone else leaves_parameters_unused(model),
        ),
        train_dataset=dataset,
        eval_dataset=val_store,
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer
