"""The clips that a report shows: which, with what outputs, and their poses."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.config import Config
from signseq.data.batching import ClipDataset
from signseq.data.store import PoseStore
from signseq.errors import SignSeqError
from signseq.metrics import gather_texts, measure
from signseq.poses.drawing import DrawnPose, draw_pose
from signseq.preparation import open_split
from signseq.reporting.looking import Look, look_at_clips
from signseq.reporting.runs import Run
from signseq.reporting.words import Difference, find_difference

__all__ = ["Clips", "Output", "ReportClip", "choose_clips", "clip_scores", "gather_clips"]

logger = logging.getLogger(__name__)
LONGEST_SECONDS = 60  # of a clip that is shown


@dataclass(frozen=True)
class Output:
    """What a run wrote for a clip.

    Attributes:
        difference: Its words beside the reference's.
        text: As it is.
        score: chrF of this clip alone.
        look: What the checkpoint makes of it; None where it was not asked.
    """

    difference: Difference
    text: str
    score: float
    look: Look | None


@dataclass(frozen=True, eq=False)
class ReportClip:
    """A clip, its reference, and each run's output."""

    uid: str
    reference: str
    outputs: tuple[Output, ...]
    pose: DrawnPose | None


@dataclass(frozen=True)
class Clips:
    """What is shown of how many, and why something is missing."""

    shown: list[ReportClip]
    total: int
    notes: list[str]


def clip_scores(
    hypotheses: Sequence[str], references: Sequence[str], *, normalize: str = "none"
) -> NDArray[np.float64]:
    """The chrF of each clip by itself, (N,)."""
    texts = gather_texts(hypotheses, [references], normalize=normalize)
    found = measure(texts, tokenize="13a", metrics=("chrf",))["chrf"]
    return found.score(found.statistics)


def choose_clips(scores: NDArray[np.float64], count: int) -> list[int]:
    """The best fifth, the worst fifth, and evenly spread ones between, in the order of the table."""
    ranked = np.argsort(scores, kind="stable")
    if len(ranked) <= count:
        return list(range(len(ranked)))
    ends = count // 5
    middle = np.linspace(ends, len(ranked) - ends - 1, count - 2 * ends).round().astype(int)
    return sorted(
        {*ranked[:ends].tolist(), *ranked[len(ranked) - ends :].tolist(), *ranked[middle].tolist()}
    )


def gather_clips(
    runs: Sequence[Run],
    *,
    split: str,
    count: int,
    n_best: int,
    trust_remote_code: bool = False,
) -> Clips:
    """Gather the clips of the first run, with every run's output.

    What can't be had (poses whose store is gone, a checkpoint that can't be loaded) is left out,
    and told in `notes`.

    Args:
        runs: Of the same clips in the same order.
        split: Theirs.
        count: How many clips to show.
        n_best: How many outputs to search for; 0 loads no checkpoint.
        trust_remote_code: Run code of the text model's author, as training did.
    """
    first = runs[0].predictions
    normalize = runs[0].scores.get("normalize", "none")
    scores = [
        clip_scores(run.predictions.hypotheses, first.references, normalize=normalize)
        for run in runs
    ]
    chosen = choose_clips(scores[0], count)
    notes: list[str] = []
    stores = [_open(run, split, notes) for run in runs]
    looks = [
        _look(run, store, chosen, notes, n_best=n_best, trust_remote_code=trust_remote_code)
        for run, store in zip(runs, stores, strict=True)
    ]
    poses = _draw(runs, stores, [first.uids[number] for number in chosen], notes)
    shown = []
    for number in chosen:
        uid, reference = first.uids[number], first.references[number]
        outputs = []
        for run, own_scores, own_looks in zip(runs, scores, looks, strict=True):
            text = run.predictions.hypotheses[number]
            difference = find_difference(reference, text)
            outputs.append(Output(difference, text, float(own_scores[number]), own_looks.get(uid)))
        shown.append(ReportClip(uid, reference, tuple(outputs), poses.get(uid)))
    return Clips(shown, len(first.uids), notes)


def _open(run: Run, split: str, notes: list[str]) -> PoseStore | None:
    if run.config is None:
        return None
    try:
        return open_split(run.config.data, split)
    except SignSeqError as fault:
        notes.append(f"{run.name}: poses, n-best and attention are not shown: {fault}")
        return None


def _look(
    run: Run,
    store: PoseStore | None,
    chosen: Sequence[int],
    notes: list[str],
    *,
    n_best: int,
    trust_remote_code: bool,
) -> dict[str, Look]:
    """By uid; empty where the checkpoint can't be asked."""
    if store is None or run.folder is None or run.config is None or n_best < 1:
        return {}
    places = _places(store)
    uids = {number: run.predictions.uids[number] for number in chosen}
    texts = {
        places[uid]: run.predictions.hypotheses[number]
        for number, uid in uids.items()
        if uid in places
    }
    try:
        found = look_at_clips(
            run.folder,
            run.config,
            store,
            texts=texts,
            n_best=n_best,
            trust_remote_code=trust_remote_code,
        )
    except SignSeqError as fault:
        notes.append(f"{run.name}: n-best and attention are not shown: {fault}")
        return {}
    if found and all(look.attention is None for look in found.values()):
        notes.append(
            f"{run.name}: this architecture gives no attention weights, so none are shown."
        )
    return {uid: found[places[uid]] for uid in uids.values() if uid in places}


def _places(store: PoseStore) -> dict[str, int]:
    return {store.details(number)["uid"]: number for number in range(len(store))}


def _draw(
    runs: Sequence[Run],
    stores: Sequence[PoseStore | None],
    uids: Sequence[str],
    notes: list[str],
) -> Mapping[str, DrawnPose]:
    """The poses of the first run that has some, as its model sees them."""
    for run, store in zip(runs, stores, strict=True):
        if store is not None and run.config is not None:
            drawn = _draw_store(run.config, store, uids)
            if len(drawn) < len(uids):
                notes.append(
                    f"{run.name}: {len(uids) - len(drawn)} of {len(uids)} clips are not in its store "
                    f"{store.folder}, so their poses are not shown."
                )
            return drawn
    if not notes:
        notes.append("No run has poses to show.")
    return {}


def _draw_store(config: Config, store: PoseStore, uids: Sequence[str]) -> dict[str, DrawnPose]:
    places = _places(store)
    dataset = ClipDataset(
        store, step_frames=config.data.step_frames, max_frames=config.data.max_frames
    )
    drawn = {}
    for uid in uids:
        if uid not in places:
            continue
        details = store.details(places[uid])
        fps = details["frames"] / max(details["seconds"], 1e-6) / config.data.step_frames
        drawn[uid] = draw_pose(
            dataset[0, places[uid]]["poses"],
            store.recipe.names,
            normalize=store.recipe.normalize,
            fps=fps,
            max_frames=max(int(LONGEST_SECONDS * fps), 1),
        )
    return drawn
