"""What the training loop costs beside the bare model.

    python benchmarks/train.py [CONFIG] [key=value ...] [--steps 120] [--rounds 2] [--profile] [--isign]

Samples per second of `signseq train`'s loop (sampler, store, augmentation, collation, Trainer), beside
the same model stepping on the same batches already in memory. Steps of the one and the other take turns,
so that a busy moment of the machine strikes both, and each is first on every other batch; sums of all
steps are compared, by the clock and by the time of the processor. A worker reads on while the bare model
steps, so this tells what the loop costs, not whether workers keep up. CONFIG is by default
configs/demo.yaml; its store must be prepared. --isign takes noise as long as iSign's clips instead, with
the model and the batches of benchmarks/batching.py and all else of configs/t5_small_isign.yaml.

Also told is what the run's own metrics say of it: padding, and the share of time waiting for data.
Expected, on two cores with OMP_NUM_THREADS=1 and training.num_workers=1: at least 0.95, and less than
0.02 of waiting. --profile tells what the loop does besides the model: the milliseconds a step of each of
its parts, by their own time.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from batching import CLIPS_IN_BATCH, like_isign, make_t5
from transformers import TrainerCallback, set_seed

from signseq.config import Config, load_config
from signseq.data.batching import ClipDataset, collate
from signseq.model.building import build_text_side
from signseq.model.vocabulary import train_tokenizer
from signseq.training.building import build_trainer
from signseq.training.run import Parts, build_parts
from signseq.training.sampling import build_sampler
from signseq.training.trainer import SignTrainer

WARM_UP = 5
ISIGN, CLIPS = "configs/t5_small_isign.yaml", 4000
MakeParts = Callable[[Config], Parts]
PACKAGES = (
    *("signseq/training", "signseq/data", "signseq/poses", "signseq/model"),
    *("transformers/models", "transformers/trainer", "accelerate", "numpy", "torch/optim", "torch"),
)


@dataclass
class Times:
    """Seconds of steps, by the clock and by the processor."""

    clock: float = 0.0
    processor: float = 0.0
    _begun: tuple[float, float] = field(default=(0.0, 0.0))

    def begin(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def end(self) -> None:
        self.clock += time.perf_counter() - self._begun[0]
        self.processor += time.process_time() - self._begun[1]


class Bare:
    """Forward, backward, clip, step on batches in memory: nothing else."""

    def __init__(self, config: Config, steps: int, make: MakeParts) -> None:
        parts = make(config)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = parts.model.to(self.device).train()
        batches = [collate(parts.dataset.__getitems__(keys)) for keys in batch_keys(parts, steps)]
        self.batches = [
            {name: tensor.to(self.device) for name, tensor in batch.items()} for batch in batches
        ]
        self.norm = config.training.max_grad_norm
        weights = list(self.model.parameters())
        groups = [  # as in training
            {"params": [each for each in weights if each.ndim > 1]},
            {"params": [each for each in weights if each.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.training.learning_rate, fused=True)
        self._meet_shapes()

    def _meet_shapes(self) -> None:
        """oneDNN makes a kernel when it first meets a shape: else the loop, which is first, makes them for both."""
        for batch in self.batches:
            self.model(**batch).loss.backward()
        self.optimizer.zero_grad()

    def step(self, number: int) -> None:
        self.model(**self.batches[number]).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


class InTurns(TrainerCallback):
    """Steps of the bare model between those of the loop; or the loop's own, profiled."""

    def __init__(self, bare: Bare | None, profiler: cProfile.Profile | None = None) -> None:
        self.bare, self.profiler = bare, profiler
        self.trainer: SignTrainer | None = None
        self.of_loop, self.of_bare = Times(), Times()
        self.samples = 0
        self.found: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.trainer is not None
        meter, step = self.trainer.tracking.meter, state.global_step
        if self.profiler:
            if step == WARM_UP:
                self.profiler.enable()
            elif step == state.max_steps:
                self.profiler.disable()
            return
        assert self.bare is not None
        synchronize()
        if step > WARM_UP:
            self.of_loop.end()
            self.samples += len(self.bare.batches[step - 1]["poses"])
        meter.stop()  # the bare model's step is none of the run's
        if step == WARM_UP:
            meter.read(device=args.device)
        # Of two that meet a batch's sizes, the second finds memory that fits: so each is first in turn.
        if step % 2:
            for number in (step - 1, step)[: len(self.bare.batches) - step + 1]:
                self.of_bare.begin()
                self.bare.step(number)
                synchronize()
                if number >= WARM_UP:
                    self.of_bare.end()
        if step == state.max_steps:
            self.found = meter.read(device=args.device)
        self.of_loop.begin()


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/demo.yaml")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--isign", action="store_true", help="clips as long as iSign's")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *options.overrides,
            f"training.checkpoint_dir={folder}/run",
            f"training.max_steps={options.steps}",
            "data.val_path=null",
        ]
        make: MakeParts = parts_of
        if options.isign:
            dataset = like_isign(Path(folder) / "store", load_config(ISIGN, overrides), clips=CLIPS)
            frames = round(CLIPS_IN_BATCH * float(dataset.lengths.mean()))
            batches = (
                f"frames_per_batch={frames}",
                "batch_size=null",
                "gradient_accumulation_steps=1",
            )
            make = partial(parts_like_isign, dataset=dataset)
            overrides += [
                f"training.{setting}"
                for setting in (*batches, "best_metric=loss", "early_stopping_patience=null")
            ]
        config = load_config(ISIGN if options.isign else options.config, overrides)
        for _ in range(options.rounds):
            turns = InTurns(Bare(config, options.steps, make))
            loop(config, turns, make)
            print(describe(turns), flush=True)
        if options.profile:
            print(profile(config, options.steps, make))


def describe(turns: InTurns) -> str:
    bare, loop, samples, found = turns.of_bare, turns.of_loop, turns.samples, turns.found
    return (
        f"bare {samples / bare.clock:.1f} samples/s, loop {samples / loop.clock:.1f}; loop / bare: "
        f"{bare.clock / loop.clock:.3f}, by processor time {bare.processor / loop.processor:.3f}; "
        f"waiting for data {found['data_wait_share']:.3f}, padding {found['padding_share']:.3f}"
    )


def parts_of(config: Config) -> Parts:
    set_seed(config.seed)
    return build_parts(config)


def parts_like_isign(config: Config, *, dataset: ClipDataset) -> Parts:
    set_seed(config.seed)
    tokenizer = train_tokenizer(["a text of noise"] * 2)
    model = make_t5(config, dataset, width=256, layers=4)
    targets = build_text_side(model.text_model, tokenizer, max_length=config.data.max_length)
    sampler = build_sampler(config, dataset)
    return Parts(model, tokenizer, dataset, sampler, None, targets, None)


def batch_keys(parts: Parts, steps: int) -> list[Any]:
    keys: list[Any] = []
    epoch = 0
    while len(keys) < steps:
        parts.sampler.set_epoch(epoch)
        keys += list(parts.sampler)
        epoch += 1
    return keys[:steps]


def loop(config: Config, turns: InTurns, make: MakeParts) -> None:
    """The steps of the trainer; reading, augmenting and collating included, saving not."""
    parts = make(config)
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
    turns.trainer = trainer
    trainer.add_callback(turns)
    Path(config.training.checkpoint_dir).mkdir(exist_ok=True)
    trainer.train()


def profile(config: Config, steps: int, make: MakeParts) -> str:
    """Own time of what the loop does besides torch's kernels; the profiler itself slows it down."""
    profiler = cProfile.Profile()
    loop(config, InTurns(None, profiler), make)
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
