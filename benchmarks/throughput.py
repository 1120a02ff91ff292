"""How fast text models train on clips as long as iSign's, and where the time goes.

    python benchmarks/throughput.py --models t5-small t5-base t5-large      on a GPU: the whole table
    python benchmarks/throughput.py --tiny                                  anywhere, in a minute

Models have their true sizes and random weights; clips are noise, of iSign's lengths (median 150
frames, mean 210, at most 1,291, every 5th taken), texts 25 tokens in the mean. Each row is
`signseq train`'s own loop: sampler, store, collation, Trainer.

    samples/s, frames/s   in training, after a warm-up
    wait, padding         shares: of the time for data, of the frames that are padding
    FLOPs/clip, MFU       counted by torch's FlopCounterMode in forward and backward, beside the peak of
                          the device (dense, from its maker's data sheet; --peak for another)
    epoch                 seconds for 118,000 clips
    eval                  seconds to translate 3,000 clips with 5 beams, 25 tokens each, and its share
                          of an epoch
    run                   hours for 30 epochs, each with an evaluation, on one device; and its price

Variants (--variants): bf16 is mixed precision with what transformers takes for attention; fp32, eager,
compile, checkpointing each change one thing of it.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthetic_store import CLIPS, write_store
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSeq2SeqLM, TrainerCallback, set_seed

from signseq.config import Config, parse_config
from signseq.data.batching import BucketBatchSampler, ClipDataset, collate
from signseq.data.store import PoseStore
from signseq.evaluation import translate_store
from signseq.model.attention import set_attention
from signseq.model.building import build_model, build_text_side
from signseq.model.recomputation import recompute_activations
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.vocabulary import train_tokenizer
from signseq.preparation import build_recipe
from signseq.training.arguments import build_arguments
from signseq.training.building import build_trainer
from signseq.training.compilation import round_up
from signseq.training.fitting.auto_batch import BudgetSearch, find_budget
from signseq.training.fitting.step_probe import StepProbe
from signseq.training.precision import choose_precision
from signseq.training.trainer import SignTrainer

SIZES = {
    "tiny": {"d_model": 64, "d_ff": 128, "num_layers": 1, "num_heads": 2, "d_kv": 32},
    "t5-small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "t5-base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "t5-large": {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
}
VARIANTS = {
    "bf16": [],
    "fp32": ["training.mixed_precision=false"],
    "eager": ["model.attention=eager"],
    "compile": ["training.compile=true"],
    "checkpointing": ["training.gradient_checkpointing=true"],
}
# Dense bfloat16, in TFLOP/s: NVIDIA's data sheets of H100 SXM, H200, A100, L40S, L4.
PEAKS = {"H100": 989.4, "H200": 989.4, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
EVALUATED, BEAMS, TOKENS, EPOCHS = 3000, 5, 25, 30
VOCABULARY = 32_128
WARM_UP = 10


@dataclass(frozen=True)
class Row:
    """What was measured of one model in one variant."""

    model: str
    variant: str
    frames_per_batch: int
    samples: float
    frames: float
    wait: float
    padding: float
    flops: float
    evaluation: float
    memory: float

    @property
    def epoch(self) -> float:
        return CLIPS / self.samples


class Clock(TrainerCallback):
    """Forgets what was measured in the warm-up, and reads what comes after."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.trainer: SignTrainer | None = None
        self.found: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.trainer is not None
        if state.global_step in (self.warm_up, state.max_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.found = self.trainer.tracking.meter.read(device=args.device)
            self.trainer.tracking.meter.begin_epoch()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["t5-base"], choices=list(SIZES))
    parser.add_argument(
        "--variants", nargs="+", default=["bf16", "compile"], choices=list(VARIANTS)
    )
    parser.add_argument("--frames-per-batch", type=int, help="none: found, as auto_batch does")
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--evaluated", type=int, default=300, help="clips; scaled to 3,000")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device")
    parser.add_argument("--price", type=float, default=0.0, help="of an hour on the device")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    options = parser.parse_args()
    if options.tiny:
        options.models, options.clips, options.steps, options.workers = ["tiny"], 300, 14, 0
        options.evaluated, options.variants = 8, ["fp32", "eager"]
        options.frames_per_batch = options.frames_per_batch or 600
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    known = next((peak for name, peak in PEAKS.items() if name in device), None)
    peak = options.peak or known
    print(f"{device}, torch {torch.__version__}; peak {peak or 'not known'} TFLOP/s\n")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        store = None
        for model in options.models:
            for variant in options.variants:
                config = make_config(Path(folder), variant, options)
                store = store or write_store(
                    Path(folder) / "store" / "train",
                    clips=options.clips,
                    recipe=build_recipe(config.data),
                )
                print(line(measure(config, store, model, variant, options), peak, options.price))
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()


def make_config(folder: Path, variant: str, options: argparse.Namespace) -> Config:
    settings = {
        "data": {
            "pose_dir": "none",
            "store": str(folder / "store"),
            "train_path": "none.csv",
            "step_frames": 5,
            "max_frames": 300,
            "max_length": 64,
        },
        "model": {"name": "t5", "from_scratch": True, "tokenizer": "train"},
        "training": {
            "checkpoint_dir": str(folder / "run"),
            "max_steps": options.steps,
            "frames_per_batch": options.frames_per_batch or 1000,
            "num_workers": options.workers,
            "best_metric": "loss",
            "hf": {"logging_strategy": "no"},
        },
    }
    return parse_config(settings, VARIANTS[variant])


def measure(
    config: Config, store: PoseStore, name: str, variant: str, options: argparse.Namespace
) -> Row:
    set_seed(0)
    tokenizer = train_tokenizer(["a text of noise"] * 2)
    model = make_model(config, store, name, tokenizer)
    labels = draw_labels(len(store))
    dataset = ClipDataset(
        store, labels, step_frames=config.data.step_frames, max_frames=config.data.max_frames
    )
    lengths = (
        round_up(dataset.lengths, limit=config.data.max_frames)
        if config.training.compile
        else dataset.lengths
    )
    budget = options.frames_per_batch or search_budget(config, model, lengths, labels)
    sampler = BucketBatchSampler(lengths, frames_per_batch=budget)
    clock = Clock(min(WARM_UP, options.steps // 2))
    trainer = build_trainer(
        config,
        model,
        tokenizer,
        dataset=dataset,
        sampler=sampler,
        val_store=None,
        targets=build_text_side(model.text_model, tokenizer, max_length=64).targets,
        observers=[clock],
    )
    trainer.args.save_strategy = "no"
    clock.trainer = trainer
    Path(config.training.checkpoint_dir).mkdir(exist_ok=True)
    trainer.train()
    found = clock.found
    flops = count_flops(model, dataset, sampler)
    evaluation = time_evaluation(config, trainer, store, options.evaluated)
    if options.profile:
        print(profile_step(trainer, dataset, sampler))
    return Row(
        name,
        variant,
        budget,
        samples=found["samples_per_second"],
        frames=found["frames_per_second"],
        wait=found["data_wait_share"],
        padding=found["padding_share"],
        flops=flops,
        evaluation=evaluation,
        memory=found["memory_mib"] / 1024,
    )


def make_model(config: Config, store: PoseStore, name: str, tokenizer: Any) -> SignTranslationModel:
    """Of the true size, with the vocabulary of T5; its tokenizer would have to be downloaded."""
    text_config = AutoConfig.for_model("t5", vocab_size=VOCABULARY, **SIZES[name])
    text_config.decoder_start_token_id = text_config.pad_token_id
    text_model = AutoModelForSeq2SeqLM.from_config(text_config)
    set_attention(text_model, config.model.attention)
    model = build_model(
        text_model,
        encoder=config.model.encoder.arguments(dropout=0.1),
        recipe=asdict(build_recipe(config.data)),
        keypoints=store.recipe.names,
        mean=torch.from_numpy(store.mean),
        spread=torch.from_numpy(store.spread),
        step_frames=config.data.step_frames,
        max_frames=config.data.max_frames,
        label_smoothing=config.training.label_smoothing,
    )
    if config.training.gradient_checkpointing:
        recompute_activations(model)
    return model


def draw_labels(clips: int) -> list[np.ndarray]:
    """Random tokens, 25 in the mean."""
    rng = np.random.default_rng(0)
    lengths = rng.poisson(TOKENS - 3, clips).clip(0, 60) + 3
    return [rng.integers(3, VOCABULARY - 100, length).astype(np.int32) for length in lengths]


def search_budget(
    config: Config, model: SignTranslationModel, lengths: np.ndarray, labels: list[np.ndarray]
) -> int:
    """What `training.auto_batch` would find, not kept."""
    precision = choose_precision(model.text_model.config, wanted=config.training.mixed_precision)
    arguments = build_arguments(config, steps_per_epoch=1, precision=precision)
    search = BudgetSearch(
        lambda budget: BucketBatchSampler(lengths, frames_per_batch=budget),
        np.array([len(ids) for ids in labels]),
        fits=StepProbe(model, model, arguments=arguments, precision=precision).fits,
    )
    return find_budget(search, lengths, guess=int(32 * np.median(lengths)))


def count_flops(
    model: SignTranslationModel, dataset: ClipDataset, sampler: BucketBatchSampler, batches: int = 4
) -> float:
    """Of a clip in the mean, padding included, there and back."""
    model.train()
    total = clips = 0
    for keys in list(sampler)[:batches]:
        batch = collate([dataset[key] for key in keys[:16]])
        moved = {name: tensor.to(model.device) for name, tensor in batch.items()}
        with FlopCounterMode(display=False) as counter:
            model(**moved).loss.backward()
        total, clips = total + counter.get_total_flops(), clips + len(keys[:16])
        model.zero_grad()
    return total / clips


def time_evaluation(config: Config, trainer: SignTrainer, store: PoseStore, clips: int) -> float:
    """Seconds for 3,000 clips; random weights rarely end a text, so each takes all of its tokens."""
    settings = config.generation.model_copy(update={"num_beams": BEAMS, "max_new_tokens": TOKENS})
    numbers = np.random.default_rng(0).choice(len(store), clips, replace=False)
    begun = time.perf_counter()
    with trainer.accelerator.autocast():
        translate_store(
            trainer.model,
            trainer.processing_class,
            store,
            settings=settings,
            batch_size=256,
            clips=numbers,
        )
    return (time.perf_counter() - begun) * EVALUATED / clips


def profile_step(trainer: SignTrainer, dataset: ClipDataset, sampler: BucketBatchSampler) -> str:
    """The operations that take most of a step."""
    keys = max(sampler, key=len)
    batch = collate([dataset[key] for key in keys])
    kinds = [torch.profiler.ProfilerActivity.CPU]
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profiler:
        trainer.training_step(trainer.model, dict(batch))
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    return str(profiler.key_averages().table(sort_by=order, row_limit=20))


HEAD = (
    "| model | variant | frames/batch | samples/s | frames/s | wait | padding | GFLOPs/clip | MFU | GiB | epoch, s "
    "| eval, s | of epoch | run, h | price |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row, peak: float | None, price: float) -> str:
    used = row.flops * row.samples / (peak * 1e12) if peak else None
    hours = EPOCHS * (row.epoch + row.evaluation) / 3600
    cells = [
        row.model,
        row.variant,
        f"{row.frames_per_batch:,}",
        f"{row.samples:,.1f}",
        f"{row.frames:,.0f}",
        f"{row.wait:.1%}",
        f"{row.padding:.1%}",
        f"{row.flops / 1e9:,.1f}",
        "-" if used is None else f"{used:.3f}",
        f"{row.memory:.1f}",
        f"{row.epoch:,.0f}",
        f"{row.evaluation:,.0f}",
        f"{row.evaluation / row.epoch:.1%}",
        f"{hours:.2f}",
        f"{hours * price:.2f}" if price else "-",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
