"""What the training loop costs beside the bare model.

    python benchmarks/train.py [CONFIG] [key=value ...] [--steps 60] [--rounds 3] [--profile]

Samples per second of `signseq train`'s loop (sampler, store, collation, Trainer), beside the same
model stepping on the same batches already in memory, in turns. CONFIG is by default
configs/demo.yaml; its store must be prepared. Expected: at least 0.9. --profile tells what the loop
does besides the model: the milliseconds a step of each of its parts, by their own time.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, set_seed

from signseq.config import Config, load_config
from signseq.data.batching import collate
from signseq.training.building import build_trainer
from signseq.training.run import Parts, build_parts

WARM_UP = 5
PACKAGES = (
    *("signseq/training", "signseq/data", "signseq/poses", "signseq/model"),
    *("transformers/models", "transformers/trainer", "accelerate", "numpy", "torch/optim", "torch"),
)


class Clock(TrainerCallback):
    """Notes when the warm-up ends."""

    def __init__(self, profiler: cProfile.Profile | None = None) -> None:
        self.begun = 0.0
        self.profiler = profiler

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == WARM_UP:
            self.begun = time.perf_counter()
        if self.profiler and state.global_step == WARM_UP:
            self.profiler.enable()
        if self.profiler and state.global_step == state.max_steps:
            self.profiler.disable()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/demo.yaml")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *options.overrides,
            f"training.checkpoint_dir={folder}",
            f"training.max_steps={options.steps}",
            "data.val_path=null",
        ]
        config = load_config(options.config, overrides)
        pairs = [
            (bare(config, options.steps), loop(config, options.steps))
            for _ in range(options.rounds)
        ]
        if options.profile:
            print(profile(config, options.steps))
    print("bare, samples/s:", " ".join(f"{rate:.1f}" for rate, _ in pairs))
    print("loop, samples/s:", " ".join(f"{rate:.1f}" for _, rate in pairs))
    ratios = [mine / yardstick for yardstick, mine in pairs]
    print(
        f"loop / bare: {statistics.median(ratios):.3f}   (lowest {min(ratios):.3f}, highest {max(ratios):.3f})"
    )


def parts_of(config: Config) -> Parts:
    set_seed(config.seed)
    parts = build_parts(config)
    parts.sampler.set_epoch(0)
    return parts


def batch_keys(parts: Parts, steps: int) -> list[Any]:
    keys: list[Any] = []
    epoch = 0
    while len(keys) < steps:
        parts.sampler.set_epoch(epoch)
        keys += list(parts.sampler)
        epoch += 1
    return keys[:steps]


def bare(config: Config, steps: int) -> float:
    """Forward, backward, clip, step: nothing else."""
    parts = parts_of(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = parts.model.to(device).train()
    batches = [collate([parts.dataset[key] for key in keys]) for keys in batch_keys(parts, steps)]
    ready = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.training.learning_rate, fused=True)
    begun, samples = 0.0, 0
    for step, batch in enumerate(ready, start=1):
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if step == WARM_UP:
            begun = time.perf_counter()
        elif step > WARM_UP:
            samples += len(batch["poses"])
    return samples / (time.perf_counter() - begun)


def loop(config: Config, steps: int, profiler: cProfile.Profile | None = None) -> float:
    """The same steps by the trainer; reading, augmenting and collating included, saving not."""
    parts = parts_of(config)
    samples = sum(len(keys) for keys in batch_keys(parts, steps)[WARM_UP:])
    parts.sampler.set_epoch(0)
    trainer = build_trainer(
        config,
        parts.model,
        parts.tokenizer,
        dataset=parts.dataset,
        sampler=parts.sampler,
        val_store=None,
        targets=parts.text_side.targets,
    )
    trainer.args.save_strategy = "no"
    clock = Clock(profiler)
    trainer.add_callback(clock)
    Path(config.training.checkpoint_dir).mkdir(exist_ok=True)
    trainer.train()
    return samples / (time.perf_counter() - clock.begun)


def profile(config: Config, steps: int) -> str:
    """Own time of what the loop does besides torch's kernels; the profiler itself slows it down."""
    profiler = cProfile.Profile()
    loop(config, steps, profiler)
    parts: dict[str, float] = {}
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        package = next((known for known in PACKAGES if known in file), "others")
        if file == "~" and ("torch" in name or "run_backward" in name):
            package = "torch's kernels"
        elif package == "others":
            package = f"others: {name}" if own > 1e-3 * steps else package
        parts[package] = parts.get(package, 0.0) + own
    return "\n".join(
        f"{1000 * seconds / (steps - WARM_UP):8.2f} ms a step  {package}"
        for package, seconds in sorted(parts.items(), key=lambda part: -part[1])
    )


if __name__ == "__main__":
    main()
