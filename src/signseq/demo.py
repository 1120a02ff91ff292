"""`signseq demo`: the whole way, from real poses to translated sentences, on a laptop."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from signseq.config import Config, DataConfig, load_config
from signseq.data.fingerspelling import CORPORA, write_corpus
from signseq.errors import ConfigError
from signseq.evaluation import Evaluation, evaluate, format_scores
from signseq.preparation import prepare
from signseq.reporting.run import report
from signseq.training.run import train
from signseq.translation import Translator

__all__ = ["demo_config", "run_demo"]

logger = logging.getLogger(__name__)
SHOWN = 5
SHOWN_IN_REPORT = 60  # clips
QUICK_SIZES = {"train": 160, "val": 24, "test": 24}
QUICK_OVERRIDES = (
    "training.num_epochs=40",
    "training.eval_epochs=20",
    "training.checkpoint_dir=checkpoints/demo_quick",
    "generation.num_beams=2",
)


def demo_config() -> Path:
    """Where the demo's config is: beside the package, or in the repository that it runs from."""
    here = Path(__file__).parent
    return (
        next(path for path in (here / "configs", here.parents[1] / "configs") if path.is_dir())
        / "demo.yaml"
    )


def run_demo(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    quick: bool = False,
    workers: int = 1,
) -> Evaluation:
    """Build the embedded corpus, prepare, train, evaluate and translate; each step says what it does.

    Args:
        path: A config of an embedded corpus; None takes the demo's own.
        overrides: Dotted settings.
        quick: A smoke run on a small corpus, which shows that everything works but learns little.
        workers: Processes for the corpus and the store.

    Returns:
        The scores on the test split.

    Raises:
        ConfigError: If the config's corpus is not an embedded one.
    """
    path = path or demo_config()
    config = load_config(path, overrides)
    kind = config.data.corpus
    if kind not in CORPORA:
        raise ConfigError(
            f"{path}: the demo runs on an embedded corpus (data.corpus: {' or '.join(CORPORA)}), not {kind!r}."
        )
    if quick:
        config = load_config(path, [*_quick(config.data), *overrides])
    begun = time.monotonic()
    folder = config.data.pose_dir.parent
    logger.info("1/5 Corpus: composing %s from real recordings into %s", kind, folder)
    splits = config.data.split_paths
    sizes = (
        {split: QUICK_SIZES.get(split, QUICK_SIZES["test"]) for split in splits} if quick else None
    )
    write_corpus(kind, folder, sizes=sizes, workers=workers)
    logger.info("2/5 Prepare: packing poses into %s", config.data.store)
    prepare(config, workers=workers)
    logger.info("3/5 Train: %s, into %s", config.model.name, config.training.checkpoint_dir)
    checkpoint = train(config, overwrite=_is_repeat(config))
    logger.info("4/5 Evaluate: sentences that training has never seen")
    others = [split for split in splits if split not in ("train", "val", "test")]
    evaluations = [evaluate(checkpoint, split=split) for split in ("test", *others)]
    for evaluation in evaluations:
        logger.info("%s", format_scores(evaluation))
    logger.info("%s", describe_names(evaluations[0], config))
    logger.info("5/5 Translate: signseq translate %s FILE...", checkpoint)
    _show_translations(config, checkpoint, evaluations[0])
    if quick:
        logger.info(
            "This was a smoke run: 160 sentences teach little, so it scores like the blind baselines."
        )
    page = report([checkpoint], out=checkpoint / "report.html", clips=SHOWN_IN_REPORT)
    logger.info("Report, to look at in a browser: %s", page)
    logger.info("Done in %.0f s. The model is in %s.", time.monotonic() - begun, checkpoint)
    return evaluations[0]


def _quick(data: DataConfig) -> list[str]:
    """Overrides for a small corpus, kept apart from the real one."""
    folder = f"data/{data.corpus}_quick"
    paths = [f"data.{split}_path={folder}/{split}.csv" for split in ("train", "val", "test")]
    others = ", ".join(f"{split}: {folder}/{split}.csv" for split in data.other_paths)
    return [
        *QUICK_OVERRIDES,
        *paths,
        f"data.other_paths={{{others}}}",
        f"data.pose_dir={folder}/poses",
        f"data.store=stores/{data.corpus}_quick",
    ]


def _is_repeat(config: Config) -> bool:
    """Whether the folder holds this very experiment, which may be done once more; no other is replaced."""
    earlier = config.training.checkpoint_dir / "config.yaml"
    return earlier.exists() and load_config(earlier) == config


def describe_names(evaluation: Evaluation, config: Config) -> str:
    """How many of the sentences with a name are exactly right; no test name occurs in training."""
    with config.data.split_paths["test"].open(encoding="utf-8", newline="") as file:
        named = {row["uid"] for row in csv.DictReader(file) if row.get("name")}
    triples = zip(evaluation.uids, evaluation.references, evaluation.hypotheses, strict=True)
    right = [reference == hypothesis for uid, reference, hypothesis in triples if uid in named]
    if not right:
        return f"Exactly right: {evaluation.scores.exact_match:.1f}%"
    share = 100 * sum(right) / len(right)
    return f"Sentences with a name (all names unseen): {sum(right)} of {len(right)} exactly right, {share:.1f}%"


def _show_translations(config: Config, checkpoint: Path, evaluation: Evaluation) -> None:
    shown = list(zip(evaluation.uids, evaluation.references, strict=True))[:SHOWN]
    files = [config.data.pose_dir / f"{uid}.pose" for uid, _ in shown]
    for file, (_, truth), found in zip(
        files, shown, Translator.from_pretrained(checkpoint).stream(files), strict=True
    ):
        logger.info("%s\n    signed:     %s\n    translated: %s", file, truth, found.text)
