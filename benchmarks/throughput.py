"""How fast text models train on clips as long as iSign's, and where the time goes.

    python benchmarks/throughput.py --models t5-small t5-base t5-large      on a GPU: the whole table
    python benchmarks/throughput.py --tiny                                  anywhere, in a minute

Models have their true sizes and random weights; clips are noise, of iSign's lengths (median 150
frames, mean 210, at most 1,291), texts 25 tokens in the mean. All else is that of
configs/t5_base_isign.yaml: keypoints, every 5th frame, augmentation, pose encoder, batches by drawn
lengths and by texts. Each row is `signseq train`'s own loop: sampler, store, augmentation, collation,
Trainer.

    samples/s, frames/s   in training, after a warm-up
    wait, padding         shares: of the time for data, of the frames that are padding
    FLOPs/clip, MFU       counted by torch's FlopCounterMode in forward and backward, padding and what
                          checkpointing computes anew included, in the mean over an epoch; beside the
                          device's peak for bfloat16 (dense, from its maker's data sheet; --peak for another)
    GiB                   the most that the row's training took on the device
    epoch                 seconds for 118,000 clips
    eval                  seconds that the run's own evaluation of 3,000 clips takes (loss, translation
                          with 5 beams, scores), and its share of an epoch. Each batch takes as many tokens
                          as the longest of 3,000 texts has: a trained model ends when its longest text does
    run                   hours for 30 epochs, each with an evaluation, on one device; and its price.
                          Writing checkpoints is left out. Beside it: the claim of 8 hours on four A100s

Variants (--variants): bf16 is mixed precision with what transformers takes for attention, and the largest
batches that fit; fp32, eager, compile, checkpointing each change one thing of it. `recipe` has the batches
of configs/t5_base_isign.yaml, 32 clips twice a step. --profile tells where the time of a step and of an
evaluation goes.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthetic_store import CLIPS, write_store
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSeq2SeqLM, TrainerCallback, set_seed

from signseq.config import Config, load_config
from signseq.data.batching import BucketBatchSampler, ClipDataset, collate
from signseq.data.store import PoseStore
from signseq.model.attention import set_attention
from signseq.model.building import build_model, build_text_side
from signseq.model.recomputation import recompute_activations
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.vocabulary import train_tokenizer
from signseq.poses.augmentation import Augmentation
from signseq.preparation import build_recipe
from signseq.training.arguments import build_arguments
from signseq.training.building import build_trainer
from signseq.training.fitting.auto_batch import BudgetSearch, find_budget, with_budget
from signseq.training.fitting.step_probe import StepProbe
from signseq.training.precision import choose_precision
from signseq.training.sampling import build_sampler
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
    "recipe": [
        "training.batch_size=32",
        "training.frames_per_batch=null",
        "training.gradient_accumulation_steps=2",
    ],
}
# Dense bfloat16, in TFLOP/s, from NVIDIA's data sheets; H100 alone is the SXM.
PEAKS = {
    **{"H100 PCIe": 756.0, "H100 NVL": 835.0, "H100": 989.4, "H200": 989.4},
    **{"A100": 312.0, "L40S": 362.0, "L40": 181.0, "L4": 121.0},
}
EVALUATED, BEAMS, TOKENS, EPOCHS = 3000, 5, 25, 30
VOCABULARY = 32_128
WARM_UP = 10


@dataclass(frozen=True)
class Row:
    """What was measured of one model in one variant."""

    model: str
    variant: str
    batch: str
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
    parser.add_argument(
        "--evaluated", type=int, default=EVALUATED, help="clips; the time is scaled to 3,000"
    )
    parser.add_argument("--eval-batch", type=int, default=256, help="clips translated at a time")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device")
    parser.add_argument("--price", type=float, default=0.0, help="of an hour on the device")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    options = parser.parse_args()
    if options.tiny:
        options.models, options.clips, options.steps, options.workers = ["tiny"], 300, 14, 0
        options.evaluated, options.variants = 8, ["fp32", "eager"]
        options.frames_per_batch = options.frames_per_batch or 600
    if options.frames_per_batch is None and not torch.cuda.is_available():
        parser.error("without a GPU nothing tells which batches fit; give --frames-per-batch")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    peak = options.peak or peak_of(device)
    print(f"{device}, torch {torch.__version__}; peak {peak or 'not known'} TFLOP/s\n")
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = build_recipe(make_config(folder, "bf16", options).data)
        stores = [
            write_store(folder / "store" / split, clips=clips, recipe=recipe, seed=seed)
            for seed, (split, clips) in enumerate(
                {"train": options.clips, "val": options.evaluated}.items()
            )
        ]
        for model in options.models:
            for variant in options.variants:
                config = make_config(folder, variant, options)
                row = measure(config, stores, model, variant, options)
                fits = options.peak or variant != "fp32"
                print(line(row, peak if fits else None, options.price), flush=True)
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
    print("\nBeside it: the claim of 8 hours on four A100s, 32 hours of one.")


def peak_of(device: str) -> float | None:
    """What a device's data sheet promises; None where it isn't known here."""
    words = f" {device} ".replace("-", " ")
    return next((peak for name, peak in PEAKS.items() if f" {name} " in words), None)


def make_config(folder: Path, variant: str, options: argparse.Namespace) -> Config:
    settings = {
        "data.store": folder / "store",
        "data.val_path": "null",
        "data.test_path": "null",
        "model.name": "t5",
        "model.from_scratch": "true",
        "model.tokenizer": "train",
        "training.checkpoint_dir": folder / "run",
        "training.max_steps": options.steps,
        "training.batch_size": "null",
        "training.frames_per_batch": options.frames_per_batch or "null",
        "training.gradient_accumulation_steps": 1,
        "training.num_workers": options.workers,
        "training.early_stopping_patience": "null",
        "training.best_metric": "loss",
        "training.eval_batch_size": options.eval_batch,
        "training.eval_beams": BEAMS,
        "training.hf": "{logging_strategy: 'no'}",
        "generation.max_new_tokens": max(map(len, draw_labels(EVALUATED))),
    }
    overrides = [f"{key}={value}" for key, value in settings.items()]
    return load_config("configs/t5_base_isign.yaml", [*overrides, *VARIANTS[variant]])


def measure(
    config: Config, stores: list[PoseStore], name: str, variant: str, options: argparse.Namespace
) -> Row:
    """What one model does in one variant.

    Args:
        config: Of the variant.
        stores: Training and validation clips.
        name: Of the model's size.
        variant: Its name.
        options: Of the command line.
    """
    set_seed(config.seed)
    store, val_store = stores
    tokenizer = train_tokenizer(["a text of noise"] * 2)
    model = make_model(config, store, name, tokenizer)
    dataset = ClipDataset(
        store,
        draw_labels(len(store)),
        step_frames=config.data.step_frames,
        max_frames=config.data.max_frames,
        augmentation=Augmentation(**config.data.augment.model_dump()),
        seed=config.seed,
    )
    batch = f"{config.training.batch_size} clips twice"
    if config.training.batch_size is None:
        budget = options.frames_per_batch or search_budget(config, model, dataset)
        config, batch = with_budget(config, budget), f"{budget:,} frames"
    sampler = build_sampler(config, dataset)
    clock = Clock(min(WARM_UP, options.steps // 2))
    trainer = build_trainer(
        config,
        model,
        tokenizer,
        dataset=dataset,
        sampler=sampler,
        val_store=None,
        targets=build_text_side(
            model.text_model, tokenizer, max_length=config.data.max_length
        ).targets,
        observers=[clock],
    )
    trainer.args.save_strategy = "no"
    clock.trainer = trainer
    Path(config.training.checkpoint_dir).mkdir(exist_ok=True)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    found = clock.found
    flops = count_flops(model, dataset, sampler)
    evaluation = time_evaluation(trainer, val_store)
    if options.profile:
        largest = collate(dataset.__getitems__(max(sampler, key=len)))
        print(profiled(lambda: trainer.training_step(trainer.model, dict(largest))))
        print(profiled(lambda: trainer.measure("eval")))
    return Row(
        name,
        variant,
        batch,
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
        encoder=config.model.encoder.arguments(dropout=config.model.dropout),
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


def search_budget(config: Config, model: SignTranslationModel, dataset: ClipDataset) -> int:
    """What `training.auto_batch` would find, not kept."""
    assert dataset.labels is not None
    precision = choose_precision(model.text_model.config, wanted=config.training.mixed_precision)
    arguments = build_arguments(config, steps_per_epoch=1, precision=precision)
    search = BudgetSearch(
        lambda budget: build_sampler(with_budget(config, budget), dataset),
        np.array([len(ids) for ids in dataset.labels]),
        fits=StepProbe(model, model, arguments=arguments, precision=precision).fits,
    )
    lengths = search.sampler_for(config.data.max_frames).lengths
    whole = np.resize(lengths, CLIPS)  # it also depends on how many there are
    return find_budget(search, whole, guess=int(32 * np.median(lengths)))


def count_flops(
    model: SignTranslationModel, dataset: ClipDataset, sampler: BucketBatchSampler, sizes: int = 32
) -> float:
    """Of a clip in the mean over an epoch, padding included, there and back.

    A clip's operations are fixed by the size that its batch is padded to. So one clip is counted of the
    middle one of so many groups of batches of like size, for as many clips as its group has.
    """
    model.train()
    frames = [int(lengths.max()) for lengths in batch_lengths(sampler)]
    keys = [keys for _, keys in sorted(zip(frames, sampler, strict=True), key=lambda pair: pair[0])]
    total = clips = 0
    for group in np.array_split(np.arange(len(keys)), min(sizes, len(keys))):
        batch = collate(dataset.__getitems__(keys[group[len(group) // 2]]))
        one = {name: tensor[:1].to(model.device) for name, tensor in batch.items()}
        with FlopCounterMode(display=False) as counter:
            model(**one).loss.backward()
        model.zero_grad()
        count = sum(len(keys[number]) for number in group)
        total, clips = total + counter.get_total_flops() * count, clips + count
    return total / clips


def batch_lengths(sampler: BucketBatchSampler) -> list[np.ndarray]:
    """Frames of the clips of each batch of the sampler's epoch."""
    plan = sampler.plan(sampler.epoch)
    return [plan.lengths[batch] for batch in plan.batches]


def time_evaluation(trainer: SignTrainer, store: PoseStore) -> float:
    """Seconds for 3,000 clips; random weights rarely end a text, so each batch takes all of its tokens."""
    trainer.val_store = store
    begun = time.perf_counter()
    trainer.measure("eval")
    return (time.perf_counter() - begun) * EVALUATED / len(store)


def profiled(work: Callable[[], object]) -> str:
    """The operations that take most of some work."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profiler:
        work()
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    return str(profiler.key_averages().table(sort_by=order, row_limit=20))


HEAD = (
    "| model | variant | batch | samples/s | frames/s | wait | padding | GFLOPs/clip | MFU | GiB | epoch, s "
    "| eval, s | of epoch | run, h | price |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row, peak: float | None, price: float) -> str:
    used = row.flops * row.samples / (peak * 1e12) if peak else None
    hours = EPOCHS * (row.epoch + row.evaluation) / 3600
    cells = [
        row.model,
        row.variant,
        row.batch,
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
