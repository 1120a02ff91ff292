"""What batches of clips of similar length save, beside batches of a fixed number of clips drawn at random.

    python benchmarks/batching.py [CONFIG] [key=value ...] [--steps 60] [--seconds 100] [--only embedded|isign]

Samples per second of training steps (reading, augmenting, collating, forward, backward, clip, step), the
same model and optimizer on each kind of batch, a step of the one after a step of the other: at random, of
similar length, of similar length and texts (`training.bucket_texts: true`). The random
batches have as many clips as the others have in the mean, so as many frames that are no padding, and pad
their texts to the longest in the batch, too. Twice:

    embedded     the clips, batches and model of CONFIG (by default configs/demo.yaml; its store must be
                 prepared)
    like iSign   noise as long as iSign's clips (median 150 frames, mean 210, at most 1,291) and texts of 25
                 tokens in the mean whatever the length; keypoints, normalisation, every 5th frame, at most
                 300, augmentation, encoder and architecture (T5, pose embeddings at half the frame rate) of
                 configs/t5_small_isign.yaml. Its 60 million weights take seconds a step on two cores, so
                 the text model is smaller: width 256, 4 + 4 layers, a vocabulary of 8,000. The budget is
                 32 clips of mean length, half of that config's batch size, as larger batches at random
                 pad even more. T5-small itself: --width 512 --layers 6

Padding is that of the batches that were trained on. Expected: below 0.05; samples at least 1.3 times as
fast on the embedded corpus, 1.8 times at iSign's lengths.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthetic_store import write_store
from transformers import AutoConfig, AutoModelForSeq2SeqLM, set_seed

from signseq.config import Config, load_config
from signseq.data.batching import Batch, BucketBatchSampler, ClipDataset, collate
from signseq.model.building import build_model
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.augmentation import Augmentation
from signseq.preparation import build_recipe
from signseq.training.run import build_parts

WARM_UP = 2
TOKENS, VOCABULARY, CLIPS_IN_BATCH = 25, 8000, 32
Keys = list[Any]


class Side:
    """Training steps on batches of one kind, and what they took."""

    def __init__(self, model: SignTranslationModel, dataset: ClipDataset, batches: list[Keys]):
        self.model, self.dataset, self.batches = model.train(), dataset, batches
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        self.samples = self.frames = self.padded = 0
        self.clock = self.processor = 0.0

    def step(self, number: int) -> None:
        begun = time.perf_counter(), time.process_time()
        batch = collate(self.dataset.__getitems__(self.batches[number]))
        self.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if number >= WARM_UP:
            self.clock += time.perf_counter() - begun[0]
            self.processor += time.process_time() - begun[1]
            self.count(batch)

    def count(self, batch: Batch) -> None:
        self.samples += len(batch["attention_mask"])
        self.frames += int(batch["attention_mask"].sum())
        self.padded += batch["attention_mask"].numel()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/demo.yaml")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=100, help="the most for each of the two")
    parser.add_argument("--only", choices=["embedded", "isign"])
    parser.add_argument("--clips", type=int, default=4000, help="as long as iSign's")
    parser.add_argument("--width", type=int, default=256, help="of the model for those")
    parser.add_argument("--layers", type=int, default=4, help="of its encoder and of its decoder")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        always = [f"training.checkpoint_dir={folder}", "data.val_path=null"]
        if options.only != "isign":
            config = load_config(options.config, [*options.overrides, *always])
            set_seed(config.seed)
            three = [build_parts(config) for _ in range(3)]
            compare(
                "embedded",
                [parts.model for parts in three],
                three[0].dataset,
                three[0].sampler,
                steps=options.steps,
                seconds=options.seconds,
            )
        if options.only != "embedded":
            config = load_config("configs/t5_small_isign.yaml", always)
            dataset = like_isign(Path(folder) / "store", config, clips=options.clips)
            assert dataset.labels is not None
            sampler = BucketBatchSampler(
                dataset.lengths,
                frames_per_batch=round(CLIPS_IN_BATCH * float(dataset.lengths.mean())),
                tokens=np.array([len(ids) for ids in dataset.labels]),
                drawn=dataset.drawn_lengths,
            )
            set_seed(config.seed)
            models = [
                make_t5(config, dataset, width=options.width, layers=options.layers)
                for _ in range(3)
            ]
            compare(
                "like iSign", models, dataset, sampler, steps=options.steps, seconds=options.seconds
            )


def like_isign(place: Path, config: Config, *, clips: int) -> ClipDataset:
    store = write_store(place, clips=clips, recipe=build_recipe(config.data))
    rng = np.random.default_rng(0)
    lengths = rng.poisson(TOKENS - 3, clips) + 3
    labels = [rng.integers(3, VOCABULARY, n).astype(np.int32) for n in lengths]
    return ClipDataset(
        store,
        labels,
        step_frames=config.data.step_frames,
        max_frames=config.data.max_frames,
        augmentation=Augmentation(**config.data.augment.model_dump()),
    )


def make_t5(
    config: Config, dataset: ClipDataset, *, width: int, layers: int
) -> SignTranslationModel:
    text_config = AutoConfig.for_model(
        "t5",
        vocab_size=VOCABULARY,
        d_model=width,
        d_ff=4 * width,
        num_layers=layers,
        num_heads=width // 64,
        decoder_start_token_id=0,
    )
    store = dataset.store
    return build_model(
        AutoModelForSeq2SeqLM.from_config(text_config),
        encoder=config.model.encoder.arguments(dropout=config.model.dropout),
        recipe=asdict(store.recipe),
        keypoints=store.recipe.names,
        mean=torch.from_numpy(store.mean),
        spread=torch.from_numpy(store.spread),
        step_frames=config.data.step_frames,
        max_frames=config.data.max_frames,
        label_smoothing=config.training.label_smoothing,
    )


def compare(
    name: str,
    models: list[SignTranslationModel],
    dataset: ClipDataset,
    sampler: BucketBatchSampler,
    *,
    steps: int,
    seconds: float,
) -> None:
    with_texts = list(sampler)
    tokens, sampler.tokens = sampler.tokens, None
    assert tokens is not None
    by_length = list(sampler)
    clips = [key[1] for batch in by_length for key in batch]
    size = round(len(clips) / len(by_length))
    shuffled = np.random.default_rng(0).permutation(clips).tolist()
    at_random: list[Keys] = [
        [(0, clip) for clip in shuffled[start : start + size]]
        for start in range(0, len(shuffled) - size + 1, size)
    ]
    kinds = {
        "at random": at_random,
        "of similar length": by_length,
        "and with similar texts": with_texts,
    }
    sides = [
        Side(model, dataset, batches) for model, batches in zip(models, kinds.values(), strict=True)
    ]
    end = time.monotonic() + seconds
    for number in range(min(steps, *map(len, kinds.values()))):
        if number > 2 * WARM_UP and time.monotonic() > end:
            break
        for side in sides:
            side.step(number)
    base = sides[0]
    print(f"{name}: {size} clips in a batch in the mean, {base.frames / base.samples:.0f} frames")
    for kind, side in zip(kinds, sides, strict=True):
        rate = side.samples / side.clock
        processor = (side.samples / side.processor) / (base.samples / base.processor)
        frames, texts = whole_padding(dataset, tokens, side.batches)
        print(
            f"  {kind:22} {rate:6.1f} samples/s, {rate / (base.samples / base.clock):.2f} times as many, "
            f"{processor:.2f} by processor time; padding {1 - side.frames / side.padded:.3f}, in the whole "
            f"epoch {frames:.3f} of frames and {texts:.3f} of tokens",
            flush=True,
        )


def whole_padding(
    dataset: ClipDataset, tokens: np.ndarray, batches: list[Keys]
) -> tuple[float, float]:
    """Of an epoch: the shares of frames and of tokens that are padding."""
    every = np.arange(len(dataset))
    lengths = dataset.drawn_lengths(0, every, 0 * every)
    shares = []
    for each in (lengths, tokens):
        sizes = [each[[key[1] for key in batch]] for batch in batches]
        padded = sum(len(size) * int(size.max()) for size in sizes)
        shares.append(1 - sum(int(size.sum()) for size in sizes) / padded)
    return shares[0], shares[1]


if __name__ == "__main__":
    main()
