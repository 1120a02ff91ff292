"""`signseq evaluate`: scores on a split, beside what the model gets that never sees the poses."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import Config, GenerationConfig, load_config
from signseq.controls import (
    BLIND,
    CONSTANTS,
    CONTROLS,
    change_poses,
    choose_controls,
    derange,
    is_possible,
    read_training_texts,
)
from signseq.data.batching import Clip, ClipDataset, collate
from signseq.data.planning import draw_windows, plan_batches
from signseq.data.store import PoseStore
from signseq.errors import CheckpointError
from signseq.evaluation_checks import (
    check_overrides,
    check_recipe,
    check_writable,
    warn_of_other_estimators,
)
from signseq.metrics import Scores, choose_tokenizer, score
from signseq.model.checkpoint import check_folder
from signseq.model.generation import generate_texts, language_ids
from signseq.model.sign_translation import SignTranslationModel
from signseq.outcome import Evaluation, format_scores, write_evaluation
from signseq.preparation import ensure_split
from signseq.progress import Progress
from signseq.score_findings import describe_outputs, find_losses, find_overlap, find_warnings
from signseq.translation import load_checkpoint

__all__ = [
    "Evaluation",
    "build_scorer",
    "evaluate",
    "format_scores",
    "translate_store",
    "write_evaluation",
]

logger = logging.getLogger(__name__)


def evaluate(
    checkpoint: str | Path,
    *,
    split: str = "test",
    overrides: Sequence[str] = (),
    blind: bool = True,
    controls: str | Sequence[str] = "quick",
    trust_remote_code: bool = False,
) -> Evaluation:
    """Score a checkpoint on a split and write `predictions.tsv` and `scores.json` into its folder.

    Other splits than `test` write `predictions_<split>.tsv` and `scores_<split>.json`. The controls
    use the same checkpoint and the same search; see `signseq.controls.CONTROLS`.

    Args:
        checkpoint: The folder that training wrote.
        split: `test`, `val`, or another split of the config.
        overrides: Dotted settings that replace those of the run, e.g. `generation.num_beams=1`.
        blind: Score controls at all.
        controls: Which: `quick` (poses set to zero, poses of other clips, and the most frequent
            training sentence for every clip), `blind`, `all`, or names.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind.
        ConfigError: If a setting can't be changed, or there is no such control.
        DataError: If the split is not there, or was prepared with other settings.
    """
    folder = Path(checkpoint)
    chosen = choose_controls(controls if blind else "none")
    check_overrides(overrides)
    check_folder(folder)
    if not (folder / "config.yaml").exists():
        raise CheckpointError(
            f"{folder}: no config.yaml beside the weights, so the data are not known."
        )
    config = load_config(folder / "config.yaml", overrides)
    model, tokenizer = load_checkpoint(
        folder, dtype=config.evaluation.dtype, trust_remote_code=trust_remote_code
    )
    check_writable(folder)
    store = ensure_split(config.data, split)
    check_recipe(model, store)
    warn_of_other_estimators(model, store)
    references = list(store.texts())
    rate = build_scorer(config, references)
    rate(references[:1], references[:1])  # what scoring lacks is found before hours of translating

    def run(control: str) -> list[str]:
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
    scores = rate(hypotheses, references, resamples=config.evaluation.resamples)
    training = read_training_texts(config) if chosen else Counter[str]()
    texts = _control_texts(chosen, store, training=training, run=run)
    found = {CONTROLS[name]: rate(outputs, references) for name, outputs in texts.items()}
    seeing = {CONTROLS[name] for name in texts if name not in BLIND}
    losses = find_losses(
        hypotheses,
        references,
        controls={CONTROLS[name]: outputs for name, outputs in texts.items()},
        normalize=scores.normalize,
        tokenize=scores.tokenize,
        resamples=config.evaluation.resamples,
    )
    baselines = {name: each for name, each in found.items() if name not in seeing}
    outputs = describe_outputs(hypotheses, references)
    overlap = find_overlap(hypotheses, references, training, rate=rate) if training else None
    evaluation = Evaluation(
        split,
        scores,
        baselines,
        uids=[store.details(number)["uid"] for number in range(len(store))],
        references=references,
        hypotheses=hypotheses,
        folder=folder,
        controls={name: each for name, each in found.items() if name in seeing},
        losses=losses,
        outputs=outputs,
        overlap=overlap,
        warnings=find_warnings(scores, baselines, losses, outputs=outputs, overlap=overlap),
    )
    try:
        write_evaluation(evaluation)
    except CheckpointError:  # a full disk, say: what took hours to find out is shown at least
        logger.warning("%s", format_scores(evaluation))
        raise
    return evaluation


def _control_texts(
    controls: Sequence[str],
    store: PoseStore,
    *,
    training: Counter[str],
    run: Callable[[str], list[str]],
) -> dict[str, list[str]]:
    """What each control writes; those that can't be, or say nothing here, are left out."""
    texts: dict[str, list[str]] = {}
    for name in controls:
        if name in CONSTANTS:
            if training:
                texts[name] = [CONSTANTS[name](training)] * len(store)
        elif not is_possible(name, store.recipe.names):
            logger.info(
                "Control %r is left out: the keypoints have no such part, or no other.", name
            )
        elif name != "shuffled" or len(store) > 1:
            texts[name] = run(name)
    return texts


def build_scorer(config: Config, references: Sequence[str]) -> Callable[..., Scores]:
    """`signseq.metrics.score` with the experiment's settings; one tokenizer for all that is scored.

    Raises:
        ConfigError: If the tokenizer is unknown.
    """
    settings, language = config.evaluation, config.data.target_language
    return partial(
        score,
        normalize=settings.normalize,
        tokenize=choose_tokenizer(settings.tokenize, references, language=language),
        models=settings.models,
    )


def translate_store(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    store: PoseStore,
    *,
    settings: GenerationConfig,
    control: str = "none",
    seed: int = 0,
    batch_size: int = 64,
    clips: NDArray[np.int64] | None = None,
    before_batch: Callable[[], None] | None = None,
) -> list[str]:
    """Translate the clips of a store.

    Args:
        model: The model; set to evaluation mode.
        tokenizer: The text model's.
        store: Clips.
        settings: How to generate.
        control: See `signseq.controls.change_poses`; `shuffled` gives each clip the poses of another.
        seed: Decides which other.
        batch_size: Clips in a batch.
        clips: Which clips; None means all.
        before_batch: Called before each batch; what it raises ends the translation.

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
        label={"none": "Translating"}.get(control, f"Control ({control})"),
        unit="clip",
    )
    windows = draw_windows(store, sources)
    for places in plan_batches(dataset.lengths[sources], batch_size=batch_size, windows=windows):
        if before_batch is not None:
            before_batch()
        chosen = [dataset[0, int(sources[place])] for place in places]
        if control != "none":
            chosen = [
                Clip(
                    poses=change_poses(clip["poses"], control, keypoints=store.recipe.names),
                    labels=clip["labels"],
                )
                for clip in chosen
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
