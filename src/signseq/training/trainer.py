"""Hugging Face's Seq2SeqTrainer, told where batches come from and how to evaluate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from signseq.config import Config, save_config
from signseq.data.batching import Batch, BucketBatchSampler, ClipDataset, collate
from signseq.data.planning import draw_windows, plan_batches
from signseq.data.store import PoseStore
from signseq.data.token_texts import TokenTexts
from signseq.evaluation import translate_store
from signseq.metrics import score
from signseq.model.adapters import without_adapters
from signseq.model.feeding import NO_LABEL
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.targets import TargetEncoder
from signseq.training.batch_loader import build_loader, close_loader
from signseq.training.fast_trainer import FastTrainer
from signseq.training.mean_of_last import try_mean
from signseq.training.run_folder import save_windows
from signseq.training.safety.safe_trainer import SafeTrainer
from signseq.training.safety.step_watch import Outcome
from signseq.training.safety.stopping import EvaluationStoppedError
from signseq.training.tracking.reporting import TrackingCallback

__all__ = ["SignTrainer"]


class SignTrainer(SafeTrainer, FastTrainer):
    """Trains on the batches of a `BucketBatchSampler`, and scores whole translations.

    Args:
        sampler: This process's batches.
        val_store: Clips to score during training; None scores nothing.
        targets: Turns their texts into labels.
        config: The experiment.
        tracking: Where values and example translations go.
        **kwargs: What Seq2SeqTrainer takes.
    """

    def __init__(
        self,
        *,
        sampler: BucketBatchSampler,
        val_store: PoseStore | None,
        targets: TargetEncoder,
        config: Config,
        tracking: TrackingCallback,
        **kwargs: Any,
    ) -> None:
        super().__init__(sampler=sampler, config=config, settings=config.training, **kwargs)
        self.tracking = tracking
        self.add_callback(tracking)
        self.val_store = val_store
        self.targets = targets
        self._loader: DataLoader[Batch] | None = None

    def run(self, start: Path | None) -> None:
        """As its parent's, and try the mean of the last checkpoints; see `try_mean`."""
        super().run(start)
        self.mean = try_mean(self)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's; checks and probes before it are no part of what is logged."""
        self._translation_model().ctc_meter.forget()
        try:
            return super().train(*args, **kwargs)
        finally:
            if self._loader is not None:
                close_loader(self._loader)

    def get_train_dataloader(self) -> DataLoader[Batch]:
        """Our own batches: the sampler has divided them among the processes already."""
        dataset = cast(ClipDataset, self.train_dataset)
        self._loader = build_loader(self.experiment, dataset, self.sampler)
        return self._loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The batches of an optimizer step; how long they are waited for is measured."""
        timed = self.tracking.meter.timed(epoch_iterator)
        return super().get_batch_samples(timed, num_batches, device)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
        **settings: Any,
    ) -> dict[str, float]:
        """Loss and scores on the validation clips; each is translated once, whatever the number of processes.

        Raises:
            EvaluationStoppedError: On every process, if one of them was told to stop meanwhile.
        """
        if self.val_store is None:
            return {}
        metrics, hypotheses = self.measure(metric_key_prefix)
        self.tracking.show_translations(hypotheses, step=self.state.global_step)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def measure(self, prefix: str) -> tuple[dict[str, float], list[str]]:
        """Loss and scores, named `prefix_loss` and so on, and the texts of all validation clips; none is logged.

        Raises:
            EvaluationStoppedError: See `evaluate`.
        """
        self.tracking.meter.stop()
        start = time.monotonic()
        model = self._translation_model()
        model.train(False)
        with self.accelerator.autocast():
            found = self._score_share(model)
        loss, hypotheses = self._gather(found)
        scores = self._score(hypotheses)
        values = {name: value for name, value in scores.items() if isinstance(value, float)}
        metrics = {f"{prefix}_{name}": value for name, value in {"loss": loss, **values}.items()}
        metrics[f"{prefix}_seconds"] = time.monotonic() - start
        return metrics, hypotheses

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the auxiliary loss by itself beside the sum that is trained on; and how fast that goes."""
        logs.pop("total_flos", None)  # always 0: see `floating_point_ops`
        if "loss" in logs:
            logs |= self._translation_model().ctc_meter.take(self._add_up)
            logs |= self.tracking.rates
            logs |= self.tracking.meter.read(
                device=self.args.device, world_size=self.args.world_size
            )
        super().log(logs, *args, **kwargs)

    def _add_up(self, sums: Tensor) -> Tensor:
        """Over all processes."""
        if self.args.world_size > 1:
            dist.all_reduce(sums)
        return sums

    def _leave_out(self, outcome: Outcome) -> None:
        super()._leave_out(outcome)
        self._translation_model().ctc_meter.forget(len(outcome.losses))

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

    def _score_share(self, model: SignTranslationModel) -> tuple[list[float], list[str]] | None:
        """Sum of losses, tokens, and the texts of this process's clips; None if it was told to stop."""
        assert self.val_store is not None
        training = self.experiment.training
        settings = self.experiment.generation.model_copy(update={"num_beams": training.eval_beams})
        try:
            sums = self._sum_losses(model)
            texts = translate_store(
                model,
                self._tokenizer(),
                self.val_store,
                settings=settings,
                batch_size=training.eval_batch_size,
                clips=self._shares()[self.args.process_index],
                before_batch=self.may_evaluate,
            )
        except EvaluationStoppedError:
            return None
        return sums, texts

    def _gather(self, found: tuple[list[float], list[str]] | None) -> tuple[float, list[str]]:
        """The mean loss per token and all texts, of what each process found.

        Raises:
            EvaluationStoppedError: If one of them didn't finish.
        """
        assert self.val_store is not None
        gathered = [found]
        if self.args.world_size > 1:
            gathered = [None] * self.args.world_size
            dist.all_gather_object(gathered, found)
        total, tokens, hypotheses = 0.0, 0.0, [""] * len(self.val_store)
        for share, part in zip(self._shares(), gathered, strict=True):
            if part is None:
                raise EvaluationStoppedError
            total, tokens = total + part[0][0], tokens + part[0][1]
            for number, text in zip(share, part[1], strict=True):
                hypotheses[number] = text
        return total / tokens, hypotheses

    def _score(self, hypotheses: list[str]) -> dict[str, Any]:
        """Compute the scores in the first process, and tell them the others."""
        assert self.val_store is not None
        wanted = self.experiment.evaluation
        scores: list[Any] = [None]
        if self.args.process_index == 0:
            scores[0] = score(
                hypotheses,
                list(self.val_store.texts()),
                normalize=wanted.normalize,
                tokenize=wanted.tokenize,
                language=self.experiment.data.target_language,
            ).as_dict()
        if self.args.world_size > 1:
            dist.broadcast_object_list(scores)
        found: dict[str, Any] = scores[0]
        return found

    @torch.no_grad()
    def _sum_losses(self, model: SignTranslationModel) -> list[float]:
        """Sum of the losses, and number of tokens, of this process's validation clips."""
        assert self.val_store is not None
        data = self.experiment.data
        labels = TokenTexts(self.val_store.targets(), self.targets)
        dataset = ClipDataset(
            self.val_store, labels, step_frames=data.step_frames, max_frames=data.max_frames
        )
        share = self._shares()[self.args.process_index]
        total = torch.zeros(2, dtype=torch.float64)
        batches = (
            plan_batches(
                dataset.lengths[share],
                batch_size=self.args.eval_batch_size,
                windows=draw_windows(self.val_store, share),
            )
            if len(share)
            else []
        )
        for places in batches:
            self.may_evaluate()
            batch = collate([dataset[0, int(share[place])] for place in places])
            moved = {name: tensor.to(model.device) for name, tensor in batch.items()}  # type: ignore[attr-defined]
            count = int(moved["labels"].ne(NO_LABEL).sum())
            total += torch.tensor([float(model(**moved).loss) * count, count], dtype=torch.float64)
        return total.tolist()

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
            if _internal_call and self.sampler.windows:
                save_windows(folder, self.sampler.windows.count)
