"""Memory and speed of one training step at the true sizes of text models.

    python benchmarks/models.py --estimate     the table of docs/models.md; no weights, no GPU
    python benchmarks/models.py --measure      real steps with random weights, beside the estimate; on a GPU
    python benchmarks/models.py --check        the same on a CPU for small models, by the process's peak memory

Clips of 60 frames and texts of 25 tokens, as iSign's are at every fifth frame; the batch sizes of
configs/. `--only NAME ...` takes some of the models.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from signseq.config import LoraSettings
from signseq.model.catalog import KnownModel, find_known, known_config
from signseq.model.lora_targets import linear_layers
from signseq.model.memory import GIB, MemoryEstimate, Method, StepSize, estimate_memory
from signseq.model.outline import outline, sign_outline
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.keypoints import get_keypoint_set

FRAMES, TOKENS = 60, 25
KEYPOINTS = get_keypoint_set("upper_body_hands_face").keypoints
ENCODER = {"type": "conv", "stride": 2, "width": 256, "kernel": 5, "positions": "auto"}
ALL: tuple[Method, ...] = ("full", "lora", "qlora")
MODELS: tuple[tuple[str, int, tuple[Method, ...]], ...] = (
    ("google-t5/t5-small", 64, ALL),
    ("google-t5/t5-base", 32, ALL),
    ("google-t5/t5-large", 16, ALL),
    ("google/mt5-base", 16, ALL),
    ("facebook/bart-large", 16, ALL),
    ("facebook/mbart-large-50", 8, ALL),
    ("facebook/m2m100_418M", 16, ALL),
    ("google-t5/t5-3b", 4, ("lora", "qlora")),
)
NAMES = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}
CHECKED: tuple[tuple[str, int, Method], ...] = (
    ("google-t5/t5-small", 8, "full"),
    ("google-t5/t5-small", 16, "full"),
    ("google-t5/t5-small", 16, "lora"),
    ("facebook/bart-base", 8, "full"),
    ("facebook/bart-base", 8, "lora"),
    ("openai-community/gpt2", 4, "full"),
    ("Helsinki-NLP/opus-mt-en-de", 16, "full"),
    ("allenai/led-base-16384", 1, "full"),
)
WARM_UP, STEPS = 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    for name in ("estimate", "measure", "check"):
        what.add_argument(f"--{name}", action="store_true")
    what.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args()
    chosen = [row for row in MODELS if not options.only or row[0] in options.only]
    if options.estimate:
        print_estimates(chosen)
    elif options.measure:
        print_measurements(chosen)
    elif options.check:
        check()
    else:
        name, batch_size, method = options.child
        child(name, int(batch_size), method)


def estimate(name: str, method: Method, batch_size: int) -> MemoryEstimate:
    known = model_called(name)
    return estimate_memory(
        known_config(known),
        method,
        size=StepSize(batch_size, FRAMES, TOKENS),
        encoder=ENCODER,
        keypoints=KEYPOINTS,
        has_own_head=known.has_own_head,
    )


def model_called(name: str) -> KnownModel:
    found = find_known(name)
    assert found is not None
    return found[0]


def print_estimates(chosen: list[Any]) -> None:
    print("| model | batch | full | LoRA | QLoRA |\n|---|---|---|---|---|")
    for name, batch_size, methods in chosen:
        cells = [
            f"{estimate(name, method, batch_size).total / GIB:.1f}" if method in methods else "-"
            for method in ALL
        ]
        print(f"| {name} | {batch_size} | {' | '.join(cells)} |", flush=True)


# ------------------------------------------------------------------------------------- on a GPU


def print_measurements(chosen: list[Any]) -> None:
    if not torch.cuda.is_available():
        print("There is no GPU here, so nothing can be measured. --estimate needs none.")
        sys.exit(1)
    torch.backends.cuda.matmul.allow_tf32 = True
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| model | batch | method | peak GiB | estimated GiB | peak / estimated | samples/s |")
    print("|---|---|---|---|---|---|---|")
    for name, batch_size, methods in chosen:
        for method in methods:
            guess = estimate(name, method, batch_size).total / GIB
            start = f"| {name} | {batch_size} | {NAMES[method]} |"
            try:
                peak, rate = measure(model_called(name), method, batch_size)
                print(
                    f"{start} {peak:.1f} | {guess:.1f} | {peak / guess:.2f} | {rate:.0f} |",
                    flush=True,
                )
            except torch.cuda.OutOfMemoryError:
                print(f"{start} does not fit | {guess:.1f} | | |", flush=True)
            gc.collect()
            torch.cuda.empty_cache()


def measure(known: KnownModel, method: Method, batch_size: int) -> tuple[float, float]:
    """Peak of what tensors take, in GiB, and samples a second."""
    model = build(known, method, torch.device("cuda"))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    optimizer = make_optimizer(model)
    times = []
    for number in range(WARM_UP + STEPS):
        batch = make_batch(batch_size, torch.device("cuda"), seed=number)
        torch.cuda.synchronize()
        begun = time.perf_counter()
        step(model, optimizer, batch)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    rate = batch_size / statistics.median(times[WARM_UP:])
    return torch.cuda.max_memory_allocated() / GIB, rate


def build(known: KnownModel, method: Method, device: torch.device) -> SignTranslationModel:
    """A model with random weights, in float32 or quantized, whatever trains in it."""
    torch.manual_seed(0)
    with device:
        text_model = outline(known_config(known), has_own_head=known.has_own_head)
        model = sign_outline(
            text_model, encoder=ENCODER, keypoints=KEYPOINTS, dimensions=2, label_smoothing=0.1
        )
    if method == "qlora":
        quantize(text_model)
    if method != "full":
        from signseq.model.adapters import add_lora

        add_lora(model, LoraSettings())
    model.train()
    return model


def quantize(text_model: Any) -> None:
    """As transformers does while it loads weights; one layer at a time."""
    import bitsandbytes as bnb

    kept = set(text_model._keep_in_fp32_modules or ())
    for name in linear_layers(text_model):
        if kept & set(name.split(".")):
            continue
        old = text_model.get_submodule(name)
        transposed = not isinstance(old, torch.nn.Linear)
        weight = old.weight.data.T if transposed else old.weight.data
        new = bnb.nn.Linear4bit(
            weight.shape[1],
            weight.shape[0],
            bias=old.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        new.weight = bnb.nn.Params4bit(
            weight.contiguous().cpu(),
            requires_grad=False,
            compress_statistics=True,
            quant_type="nf4",
        )
        new.bias = old.bias
        text_model.set_submodule(name, new.to(weight.device))


def make_optimizer(model: SignTranslationModel) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=1e-4, fused=True)


def make_batch(batch_size: int, device: torch.device, *, seed: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 300, (batch_size, TOKENS), generator=rng).to(device)
    return {
        "poses": torch.randn(batch_size, FRAMES, len(KEYPOINTS), 3, generator=rng).to(device),
        "attention_mask": torch.ones(batch_size, FRAMES, dtype=torch.long, device=device),
        "labels": ids,
        "decoder_input_ids": ids,
    }


def step(
    model: SignTranslationModel, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> None:
    """What the Trainer does for one batch."""
    with torch.autocast(batch["poses"].device.type, torch.bfloat16):
        loss = model(**batch).loss
    assert loss is not None
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


# ------------------------------------------------------------------------------------- on a CPU


def check() -> None:
    """Each in a process of its own, whose peak memory is told apart from what its imports take."""
    print("| model | batch | method | peak MiB | estimated MiB | peak / estimated |")
    print("|---|---|---|---|---|---|", flush=True)
    # or freed memory stays with the process
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    for row in CHECKED:
        subprocess.run(
            [sys.executable, __file__, "--child", *map(str, row)],
            env={**os.environ, **tight, "OMP_NUM_THREADS": "1"},
            check=True,
        )


def child(name: str, batch_size: int, method: Method) -> None:
    if method != "full":
        import peft  # noqa: F401
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    model = build(model_called(name), method, torch.device("cpu"))
    optimizer = make_optimizer(model)
    step(model, optimizer, make_batch(batch_size, torch.device("cpu"), seed=0))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far, when libraries loaded
    step(model, optimizer, make_batch(batch_size, torch.device("cpu"), seed=1))
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    peak = (int(status["VmHWM"].split()[0]) * 1024 - before) / 2**20
    guess = estimate(name, method, batch_size).total / 2**20
    print(
        f"| {name} | {batch_size} | {NAMES[method]} | {peak:,.0f} | {guess:,.0f} | {peak / guess:.2f} |"
    )


if __name__ == "__main__":
    main()
