"""`signseq evaluate`: scores on a split, beside what the model gets that never sees the poses."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import Config, GenerationConfig, load_config
from signseq.data.batching import Clip, ClipDataset, collate, plan_batches
from signseq.data.examples import read_examples
from signseq.data.storage import open_folder
from signseq.data.store import PoseStore, read_store_facts
from signseq.errors import CheckpointError, ConfigError, DataError
from signseq.metrics import Scores, score
from signseq.model.generation import generate_texts, language_ids
from signseq.model.sign_translation import SignTranslationModel
from signseq.outcome import Evaluation, format_scores, write_evaluation
from signseq.poses.skeletons import describe_change
from signseq.poses.transforms import PoseRecipe
from signseq.preparation import ensure_split, open_split
from signseq.progress import Progress
from signseq.translation import load_checkpoint

__all__ = [
    "Evaluation",
    "evaluate",
    "format_scores",
    "translate_store",
    "write_evaluation",
]

logger = logging.getLogger(__name__)
FIXED = (
    *("data.step_frames", "data.max_frames", "data.max_length", "data.augment"),
    *("data.target_language", "data.prompt"),
)
Control = Literal["none", "zeroed", "shuffled"]


def evaluate(
    checkpoint: str | Path,
    *,
    split: str = "test",
    overrides: Sequence[str] = (),
    blind: bool = True,
    trust_remote_code: bool = False,
) -> Evaluation:
    """Score a checkpoint on a split and write `predictions.tsv` and `scores.json` into its folder.

    Other splits than `test` write `predictions_<split>.tsv` and `scores_<split>.json`. The blind
    baselines use the same checkpoint and the same search: poses set to zero, poses of other clips,
    and the most frequent training sentence for every clip.

    Args:
        checkpoint: The folder that training wrote.
        split: `test`, `val`, or another split of the config.
        overrides: Dotted settings that replace those of the run, e.g. `generation.num_beams=1`.
        blind: Score the blind baselines too.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind.
        DataError: If the split is not there, or was prepared with other settings.
    """
    folder = Path(checkpoint)
    _check_overrides(overrides)
    model, tokenizer = load_checkpoint(folder, trust_remote_code=trust_remote_code)
    if not (folder / "config.yaml").exists():
        raise CheckpointError(
            f"{folder}: no config.yaml beside the weights, so the data are not known."
        )
    config = load_config(folder / "config.yaml", overrides)
    _check_writable(folder)
    store = ensure_split(config.data, split)
    _check_recipe(model, store)
    _warn_of_other_estimators(model, store)
    references = [store.text(number) for number in range(len(store))]

    def run(control: Control) -> list[str]:
        return translate_store(
            model,
            tokenizer,
            store,
            settings=config.generation,
            control=control,
            seed=config.seed,
            batch_size=config.training.eval_batch_size,
        )

    hypotheses = run("none")
    scores = score(hypotheses, references)
    baselines: dict[str, Scores] = {}
    if blind:
        baselines["poses zeroed"] = score(run("zeroed"), references)
        if len(store) > 1:
            baselines["poses of other clips"] = score(run("shuffled"), references)
        common = most_frequent_text(config)
        if common:
            baselines["most frequent training sentence"] = score(
                [common] * len(references), references
            )
    uids = [store.details(number)["uid"] for number in range(len(store))]
    evaluation = Evaluation(split, scores, baselines, uids, references, hypotheses, folder)
    try:
        write_evaluation(evaluation)
    except CheckpointError:  # a full disk, say: what took hours to find out is shown at least
        logger.warning("%s", format_scores(evaluation))
        raise
    return evaluation


def _check_overrides(overrides: Sequence[str]) -> None:
    """What a checkpoint was trained with can't be changed afterwards; saying nothing would mislead."""
    for override in overrides:
        key = override.partition("=")[0]
        if key in FIXED or (
            key.startswith(("model.", "training.")) and key != "training.eval_batch_size"
        ):
            raise ConfigError(
                f"{key} belongs to the training of a checkpoint and can't be changed when it is scored. "
                "What can: generation.*, training.eval_batch_size, and where the data are."
            )


def _check_writable(folder: Path) -> None:
    """Find out before hours of translating, not after them."""
    probe = folder / ".writable"
    try:
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise CheckpointError(
            f"{folder}: the scores could not be written there ({fault.strerror}). Copy the folder to "
            "where you may write."
        ) from fault


def _check_recipe(model: SignTranslationModel, store: PoseStore) -> None:
    """A store that was prepared otherwise than the checkpoint's training data gives worthless scores."""
    made = asdict(store.recipe) | {"keypoint names": list(store.recipe.names)}
    wanted = asdict(PoseRecipe(**model.config.recipe))
    wanted |= {"keypoint names": list(model.config.keypoints)}
    for name in wanted:
        if made[name] != wanted[name]:
            raise DataError(
                f"{store.folder}: prepared with {name} = {made[name]!r}, the checkpoint was trained "
                f"with {wanted[name]!r}. Evaluate with the data settings of the run, or name another `data.store`."
            )


def _warn_of_other_estimators(model: SignTranslationModel, store: PoseStore) -> None:
    known = model.config.estimators
    for estimator in set(store.estimators) - set(known) if known else ():
        logger.warning(
            "%s: %s", store.folder, describe_change(estimator, known, store.recipe.names)
        )


def translate_store(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    store: PoseStore,
    *,
    settings: GenerationConfig,
    control: Control = "none",
    seed: int = 0,
    batch_size: int = 64,
    clips: NDArray[np.int64] | None = None,
) -> list[str]:
    """Translate the clips of a store.

    Args:
        model: The model; set to evaluation mode.
        tokenizer: The text model's.
        store: Clips.
        settings: How to generate.
        control: `zeroed` hides the poses, `shuffled` gives each clip the poses of another.
        seed: Decides which other.
        batch_size: Clips in a batch.
        clips: Which clips; None means all.

    Returns:
        One text a clip, in the order of `clips`.
    """
    model.train(False)
    dataset = ClipDataset(
        store, step_frames=model.config.step_frames, max_frames=model.config.max_frames
    )
    numbers = np.arange(len(store)) if clips is None else clips
    texts = [""] * len(numbers)
    if not len(numbers):
        return texts
    sources = derange(numbers, seed=seed) if control == "shuffled" else numbers
    progress = Progress(
        total=len(numbers),
        label={"none": "Translating"}.get(control, f"Blind ({control})"),
        unit="clip",
    )
    for places in plan_batches(dataset.lengths[sources], batch_size=batch_size):
        chosen = [dataset[0, int(sources[place])] for place in places]
        if control == "zeroed":
            chosen = [
                Clip(poses=np.zeros_like(clip["poses"]), labels=clip["labels"]) for clip in chosen
            ]
        found = generate_texts(
            model,
            tokenizer,
            collate(chosen),
            settings=settings,
            scored=False,
            languages=_languages(model, tokenizer, store, numbers[places]),
        )
        for place, best in zip(places, found, strict=True):
            texts[place] = best[0][0]
        progress.advance(len(places))
    progress.close()
    return texts


def _languages(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    store: PoseStore,
    clips: NDArray[np.int64],
) -> Tensor | None:
    """Of clips whose texts may be in several languages; see `language_ids`."""
    if model.config.language_place is None:
        return None
    names = [store.details(int(clip)).get("target_language") for clip in clips]
    return language_ids(model, tokenizer, names)


def derange(numbers: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Give every clip another one's number: a random cycle, so none keeps its own."""
    cycle = np.random.default_rng(seed).permutation(len(numbers))
    other = np.empty_like(cycle)
    other[cycle] = np.roll(cycle, 1)
    return numbers[other]


def most_frequent_text(config: Config) -> str | None:
    """The training sentence that occurs most often, of several the first; None where it isn't known."""
    if "train" not in config.data.split_paths:
        return None
    try:
        counts = Counter(_training_texts(config))
    except DataError as fault:
        logger.warning("The most frequent training sentence is not known: %s", fault)
        return None
    return counts.most_common(1)[0][0]


def _training_texts(config: Config) -> Iterator[str]:
    """From the store; where the checkpoint came without it, from the table."""
    if read_store_facts(open_folder(config.data.store, "train")) is not None:
        return _texts(open_split(config.data, "train"))
    return (example.text for example in read_examples(config.data, "train"))


def _texts(store: PoseStore) -> Iterator[str]:
    return (store.text(number) for number in range(len(store)))
