"""How a model is trained, and what a sweep tries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from signseq.sections.base import Count, FilePath, Section, Share

__all__ = ["SweepConfig", "TrainingConfig"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# One name alone is a list of one.
TrackerNames = Annotated[
    list[Literal["wandb", "tensorboard", "trackio", "mlflow"]], BeforeValidator(_as_list)
]


class TrainingConfig(Section):
    """How the model is trained."""

    num_epochs: Annotated[float, Field(gt=0)] = 30.0
    max_steps: Count | None = None  # stops earlier than num_epochs would
    batch_size: Count | None = None  # sequences per device
    frames_per_batch: Count | None = None  # or a budget of padded frames per device
    bucket_texts: bool = False  # batches of clips with similarly long texts, too
    auto_batch: bool = False  # or the largest such budget that fits the device, found by trying
    eval_batch_size: Count = 64
    gradient_accumulation_steps: Count = 1
    optimizer: Literal["adamw", "adafactor", "adamw_8bit"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    encoder_learning_rate: Annotated[float, Field(gt=0)] | None = None  # of the pose encoder
    layerwise_decay: Annotated[float, Field(gt=0, le=1)] | None = (
        None  # the text model's learning rate falls by this factor per layer, from the last one on
    )
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # not of biases and norms
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant"] = "linear"
    warmup_ratio: Share = 0.1
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    label_smoothing: Share = 0.1
    ctc_weight: Annotated[float, Field(ge=0)] = 0.0  # of the auxiliary loss on the pose encoder
    ctc_target: Literal["characters", "tokens"] = "characters"
    gradient_checkpointing: bool = False  # less memory, about a third slower
    mixed_precision: bool = True  # bfloat16, else float16 where safe; full precision on a CPU
    compile: bool = False  # torch.compile: faster steps on a GPU, after minutes at the start
    num_workers: Annotated[int, Field(ge=0)] = 4
    checkpoint_dir: FilePath
    eval_epochs: Count = 1  # score the validation set every so many epochs
    eval_beams: Count = 1  # beams while training: greedy search is several times faster
    best_metric: Literal["bleu4", "chrf", "loss", "cer"] = "bleu4"
    early_stopping_patience: Count | None = None  # evaluations without a better score
    save_total_limit: Count = 2
    save_steps: Count | None = (
        None  # a checkpoint every so many steps, besides those that are scored
    )
    average_last: Annotated[int, Field(ge=2)] | None = (
        None  # at the end try the mean of so many checkpoints, and keep what scores better
    )
    on_nan: Literal["stop", "skip"] = "stop"  # what to do with a step whose loss is no number
    fsdp: bool = False  # several processes: each keeps a share of weights and optimizer state
    report_to: TrackerNames = Field(default_factory=list)  # trackers, beside the run's own files
    use_wandb: bool = False  # the same as wandb in report_to
    project_name: str = "sign-language-translation"
    run_name: str | None = None
    example_clips: Annotated[int, Field(ge=0)] = 4  # validation clips whose translations are shown
    hf: dict[str, Any] = Field(default_factory=dict)  # any other field of Seq2SeqTrainingArguments

    @property
    def trackers(self) -> tuple[str, ...]:
        """Every tracker that is asked for, once."""
        return tuple(dict.fromkeys((*self.report_to, *(["wandb"] if self.use_wandb else []))))


class SweepConfig(Section):
    """What `signseq sweep` tries; everything else ignores it."""

    parameters: dict[str, Any]  # by dotted keys: a list of values, or {low, high[, log][, step]}
    metric: Literal["bleu4", "chrf", "loss", "cer"] | None = None  # null: training.best_metric
    trials: Count | None = None  # null: 20; of a grid all
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "hyperband", "none"] = "median"
    storage: str | None = None  # null: sweep.db in training.checkpoint_dir
    keep: Count = 1  # of the best trials' weights
