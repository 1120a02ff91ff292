"""How fast `signseq translate` is beside one `generate` a clip, and what other numbers cost.

    python benchmarks/translate.py [--checkpoint checkpoints/demo] [--poses data/sentences/poses] [--clips 200]
    python benchmarks/translate.py --dtypes [--split test]

Clips per second, files to texts, on the same files, with the checkpoint's search; both ways in turn, in
every round:

    one at a time  read a file, generate, read the next: what a loop over `Translator.translate` does
    stream         `Translator.stream`: batches of similar length, the next files read meanwhile

With the checkpoint, and with a model of T5-small's size, random weights and 24 tokens a clip, which takes a
share of the clips for the first way (--sample). Expected: at least 4 times as many on 2 cores.

`--dtypes` scores the checkpoint in each number format on a split, its store being there.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from signseq.config import GenerationConfig, load_config
from signseq.evaluation import build_scorer, translate_store
from signseq.model.building import build_model
from signseq.preparation import open_split
from signseq.translation import Translator, load_checkpoint

T5_SMALL = {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32_128}
TOKENS = 24
DTYPES = ("float32", "bfloat16", "float16", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/demo"))
    parser.add_argument("--poses", type=Path, default=Path("data/sentences/poses"))
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=20, help="clips of the larger model, alone")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--models", nargs="+", default=["demo", "t5-small"])
    parser.add_argument("--dtypes", action="store_true")
    parser.add_argument("--split", default="test")
    parser.add_argument("--numbers", nargs="+", default=list(DTYPES), choices=DTYPES)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if options.dtypes:
        score_dtypes(options)
        return
    files = sorted(options.poses.glob("test_*.pose"))[: options.clips]
    own = Translator.from_pretrained(options.checkpoint)
    for name in options.models:
        translator = own if name == "demo" else t5_small(own)
        alone = files if name == "demo" else files[:: max(1, len(files) // options.sample)]
        compare(name, translator, files, alone=alone, options=options)


def t5_small(own: Translator) -> Translator:
    """A model of T5-small's size on the same keypoints; untrained, so all its texts have `TOKENS`."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("t5", **T5_SMALL, decoder_start_token_id=0)
    text_model = AutoModelForSeq2SeqLM.from_config(config)
    facts = own.model.config
    recipe, points = dict(facts.recipe), len(facts.keypoints)
    model = build_model(
        text_model,
        encoder={"type": "conv", "stride": 4, "width": 256, "positions": "auto"},
        recipe=recipe,
        mean=torch.zeros(points, recipe["dimensions"]),
        spread=torch.ones(points, recipe["dimensions"]),
        keypoints=tuple(facts.keypoints),
        max_frames=facts.max_frames,
    )
    settings = GenerationConfig(num_beams=5, max_new_tokens=TOKENS)
    return Translator(model, own.tokenizer, settings=settings)


def compare(
    name: str,
    translator: Translator,
    files: list[Path],
    *,
    alone: list[Path],
    options: argparse.Namespace,
) -> None:
    def one_at_a_time() -> list[str]:
        return [translator.translate(file).text for file in alone]

    def stream() -> list[str]:
        return [one.text for one in translator.stream(files, batch_size=options.batch_size)]

    translator.translate(files[0])
    ratios = []
    for number in range(options.rounds):
        slow, texts = rate(one_at_a_time, len(alone))
        fast, together = rate(stream, len(files))
        differ = sum(a != together[files.index(f)] for a, f in zip(texts, alone, strict=True))
        ratios.append(fast / slow)
        print(
            f"{name}, round {number + 1}: one at a time {slow:.2f} clips/s, stream {fast:.2f} clips/s, "
            f"{fast / slow:.2f} times; {differ} of {len(alone)} texts differ",
            flush=True,
        )
    print(
        f"{name}: {statistics.median(ratios):.2f} times (median; {min(ratios):.2f} to {max(ratios):.2f})"
    )


def rate(work: Callable[[], list[str]], clips: int) -> tuple[float, list[str]]:
    begun = time.perf_counter()
    texts = work()
    return clips / (time.perf_counter() - begun), texts


def score_dtypes(options: argparse.Namespace) -> None:
    checkpoint, dtypes = options.checkpoint, options.numbers
    config = load_config(checkpoint / "config.yaml")
    store = open_split(config.data, options.split)
    references = list(store.texts())
    score = build_scorer(config, references)
    models = {dtype: load_checkpoint(checkpoint, dtype=dtype) for dtype in dtypes}
    rates: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
    outputs: dict[str, list[str]] = {}
    for _ in range(options.rounds):
        for dtype, (model, tokenizer) in models.items():

            def work(model=model, tokenizer=tokenizer) -> list[str]:  # type: ignore[no-untyped-def]
                return translate_store(model, tokenizer, store, settings=config.generation)

            found, outputs[dtype] = rate(work, len(references))
            rates[dtype].append(found)
    print("| dtype | BLEU-4 | chrF | clips/s beside the first |\n|---|---|---|---|")
    for dtype in dtypes:
        scores = score(outputs[dtype], references)
        ratio = statistics.median(
            fast / slow for fast, slow in zip(rates[dtype], rates[dtypes[0]], strict=True)
        )
        print(f"| {dtype} | {scores.bleu4:.2f} | {scores.chrf:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
