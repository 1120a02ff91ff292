"""Looking a split over: its rows, and its clips by way of the store or, without one, of a sample of files."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.config import DataConfig
from signseq.data.cache import build_cache
from signseq.data.examples import Example, read_examples, row_bytes
from signseq.data.storage import StoreFolder, open_folder
from signseq.data.store import PoseStore, open_store, read_store_facts
from signseq.errors import DataError, PoseError, SignSeqError
from signseq.poses.sources.opening import open_poses
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = ["Survey", "read_packed", "survey_split"]

STORE_SAMPLE = 400  # clips of a store whose frames are looked at
HEADER_SAMPLE = 100  # files that are opened although there is a store: rates, sizes, people


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of one split.

    Attributes:
        split: Its name.
        examples: Its rows; of the store, where the table can't be read.
        frames: Of each clip that is measured, before `step_frames`, (N,).
        seconds: How long these last, (N,).
        uids: Of these.
        texts: Of these.
        from_store: Whether they are all clips of a store, or a sample of files.
        store: The store.
        hands: Share of frames with a visible hand, of the clips whose frames were looked at.
        rates: How many of the files opened have which frame rate.
        sizes: Likewise of the picture's size.
        people: Likewise of the people in them.
        opened: Files opened.
        unreadable: Uid and reason of the files that could not be read, or were skipped by `prepare`.
        tried: Clips among which these are.
        unusable_points: Points with NaN or infinite coordinates in the clips measured.
        problems: What else is wrong: the table, the store.
    """

    split: str
    examples: Sequence[Example] = ()
    frames: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    uids: Sequence[str] = ()
    texts: Sequence[str] = ()
    from_store: bool = False
    store: PoseStore | None = None
    hands: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    rates: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    unreadable: Sequence[tuple[str, str]] = ()
    tried: int = 0
    unusable_points: int = 0
    problems: Sequence[str] = ()


def survey_split(
    data: DataConfig, split: str, *, recipe: PoseRecipe, sample: int, seed: int = 0
) -> Survey:
    """Look one split over.

    Args:
        data: The config's section.
        split: The split.
        recipe: How its poses are made ready.
        sample: Files to read where there is no store.
        seed: Decides which.
    """
    problems: list[str] = []
    examples: list[Example] = []
    rows = hashlib.sha256()
    try:
        for example in read_examples(data, split):
            examples.append(example)
            rows.update(row_bytes(example, pose_dir=data.pose_dir))
    except SignSeqError as fault:
        problems.append(str(fault))
    store = None
    folder = open_folder(data.store, split)
    if read_store_facts(folder) is not None:
        try:
            store = open_store(folder, recipe=recipe, cache=build_cache(data))
        except DataError as fault:
            problems.append(str(fault))
    rng = np.random.default_rng(seed)
    if store is None:
        return _of_files(split, examples, recipe, _choose(len(examples), sample, rng), problems)
    if examples and rows.hexdigest() != store.facts["rows"]:
        problems.append(
            f"{data.split_paths[split]}: the table has changed since the store {store.folder} was made. "
            "Run: signseq prepare CONFIG"
        )
    return _of_store(split, examples, store, rng, problems)


def _choose(total: int, sample: int, rng: np.random.Generator) -> list[int]:
    """Numbers of the clips to look at, ascending."""
    if total <= sample:
        return list(range(total))
    return sorted(rng.choice(total, size=sample, replace=False).tolist())


def _of_store(
    split: str,
    examples: list[Example],
    store: PoseStore,
    rng: np.random.Generator,
    problems: Sequence[str],
) -> Survey:
    details = [store.details(number) for number in range(len(store))]
    chosen = _choose(len(store), STORE_SAMPLE, rng)
    hands = [share for number in chosen if (share := _hand_share(store, number)) is not None]
    opened = _open_some([examples[number] for number in _choose(len(examples), HEADER_SAMPLE, rng)])
    return Survey(
        split=split,
        examples=examples or [_example(facts, split) for facts in details],
        frames=store.frames.astype(np.int64),
        seconds=np.array([facts["seconds"] for facts in details], dtype=np.float64),
        uids=[facts["uid"] for facts in details],
        texts=[facts["text"] for facts in details],
        from_store=True,
        store=store,
        hands=np.array(hands),
        **opened,
        unreadable=_read_skipped(store.folder),
        tried=len(store) + len(store.facts["report"]["skipped"]),
        unusable_points=store.facts["report"]["unusable_points"],
        problems=problems,
    )


def _example(facts: dict[str, Any], split: str) -> Example:
    """What a store knows of a row whose table isn't there any more."""
    return Example(
        id=facts["uid"],
        pose_path="",
        start=0.0,
        end=None,
        text=facts["text"],
        split=split,
        signer=facts.get("signer"),
        source_language=facts.get("source_language"),
        target_language=facts.get("target_language"),
    )


def _hand_share(store: PoseStore, number: int) -> float | None:
    hands = [i for i, name in enumerate(store.recipe.names) if "_HAND_" in name]
    if not hands:
        return None
    return float((store.clip(number)[:, hands, -1] > 0).any(axis=1).mean())


def _read_skipped(folder: StoreFolder) -> list[tuple[str, str]]:
    try:
        text = folder.read("skipped.csv").decode()
        return [
            (row["uid"], row["reason"]) for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
    except (OSError, KeyError, csv.Error, UnicodeDecodeError):
        return []


def _open_some(examples: Iterable[Example]) -> dict[str, Any]:
    """Rates, sizes and people of some files; those that can't be opened are left out."""
    rates, sizes, people = Counter[str](), Counter[str](), Counter[str]()
    opened = 0
    for example in examples:
        try:
            source = open_poses(
                example.pose_path, member=example.pose_member, pose_format=example.pose_format
            )
            first = source.read(0, 1)
        except SignSeqError:
            continue
        opened += 1
        rates[f"{source.fps:g}"] += 1
        sizes["x".join(map(str, first.size))] += 1
        people[str(first.people)] += 1
    return {"rates": rates, "sizes": sizes, "people": people, "opened": opened}


def _of_files(
    split: str,
    examples: list[Example],
    recipe: PoseRecipe,
    chosen: Sequence[int],
    problems: Sequence[str],
) -> Survey:
    """Read a sample of files; where they don't come in the recipe's rate, lengths are as resampled."""
    rates, sizes, people = Counter[str](), Counter[str](), Counter[str]()
    measured: list[tuple[int, float, str, str]] = []
    unreadable, hands, unusable = [], [], 0
    for number in track(chosen, total=len(chosen), label=f"Reading {split}", unit="clip"):
        example = examples[number]
        try:
            source = open_poses(
                example.pose_path, member=example.pose_member, pose_format=example.pose_format
            )
            first, last = source.frame_range(example.start, example.end, unit=example.time_unit)
            file = source.read(first, last)
            pose = recipe.read(file)
        except (PoseError, DataError) as fault:
            unreadable.append((example.id, str(fault)))
            continue
        rates[f"{source.fps:g}"] += 1
        sizes["x".join(map(str, file.size))] += 1
        people[str(file.people)] += 1
        frames = last - first
        if recipe.fps is not None:
            frames = max(1, round(frames * recipe.fps / source.fps))
        measured.append((frames, pose.seconds, example.id, example.text))
        unusable += int((~np.isfinite(pose.data).all(axis=2) & (pose.confidence > 0)).sum())
        points = [i for i, name in enumerate(pose.keypoints) if "_HAND_" in name]
        if points:
            hands.append(float((pose.confidence[:, points] > 0).any(axis=1).mean()))
    return Survey(
        split=split,
        examples=examples,
        frames=np.array([row[0] for row in measured], dtype=np.int64),
        seconds=np.array([row[1] for row in measured], dtype=np.float64),
        uids=[row[2] for row in measured],
        texts=[row[3] for row in measured],
        hands=np.array(hands),
        rates=rates,
        sizes=sizes,
        people=people,
        opened=len(measured),
        unreadable=unreadable,
        tried=len(chosen),
        unusable_points=unusable,
        problems=problems,
    )


def read_packed(survey: Survey, number: int, recipe: PoseRecipe) -> NDArray[np.float16]:
    """A measured clip as a model reads it, of shape (T, K, C + 1).

    Raises:
        PoseError: If its file can't be read any more.
    """
    if survey.store is not None:
        return survey.store.clip(number)
    example = next(each for each in survey.examples if each.id == survey.uids[number])
    source = open_poses(
        example.pose_path, member=example.pose_member, pose_format=example.pose_format
    )
    first, last = source.frame_range(example.start, example.end, unit=example.time_unit)
    return recipe.pack(recipe.read(source.read(first, last)))
