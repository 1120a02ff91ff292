"""What a model's scores stand beside: the same checkpoint with poses hidden or changed, and texts without a model."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.config import Config, load_config
from signseq.data.examples import read_examples
from signseq.data.storage import open_folder
from signseq.data.store import read_store_facts
from signseq.errors import ConfigError, DataError
from signseq.metrics.naming import nearest
from signseq.poses.keypoints import find_parts
from signseq.preparation import open_split

__all__ = [
    "BLIND",
    "CONSTANTS",
    "CONTROLS",
    "change_poses",
    "choose_controls",
    "derange",
    "find_training_texts",
    "is_possible",
    "most_frequent",
    "most_typical",
    "read_training_texts",
]

logger = logging.getLogger(__name__)

Pose = NDArray[np.float16]

# By the names of --controls, what tables call them
CONTROLS = {
    "zeroed": "poses zeroed",
    "shuffled": "poses of other clips",
    "frequent": "most frequent training sentence",
    "typical": "most typical training sentence",
    "reversed": "poses reversed in time",
    "hands": "hands only",
    "body": "body only",
    "face": "face only",
}
BLIND = ("zeroed", "shuffled", "frequent", "typical")  # these know nothing of a clip but its length
GROUPS = {
    "none": (),
    "quick": ("zeroed", "shuffled", "frequent"),
    "blind": BLIND,
    "all": tuple(CONTROLS),
}
PARTS = {"hands": ("left_hand", "right_hand"), "body": ("body",), "face": ("face",)}
SAMPLE = 1000  # training sentences that are compared with each other
SEED = 0


def choose_controls(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """The controls that `--controls` names, in the order of CONTROLS.

    Args:
        wanted: `none`, `quick`, `blind`, `all`, or names, as a list or separated by commas.

    Raises:
        ConfigError: If there is no such control.
    """
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    found: set[str] = set()
    for name in (each.strip() for each in names):
        if name not in GROUPS and name not in CONTROLS:
            raise ConfigError(f"control {name!r}: unknown; {nearest(name, (*GROUPS, *CONTROLS))}")
        found.update(GROUPS.get(name, (name,)))
    return tuple(name for name in CONTROLS if name in found)


def is_possible(control: str, keypoints: tuple[str, ...]) -> bool:
    """Whether a control hides something, and leaves something, of these keypoints."""
    if control not in PARTS:
        return True
    return 0 < len(_shown(control, keypoints)) < len(keypoints)


def change_poses(poses: Pose, control: str, *, keypoints: tuple[str, ...]) -> Pose:
    """What the model gets to see of a clip under a control.

    Args:
        poses: (T, K, C + 1), the confidence last.
        control: A name of CONTROLS, or `none`. What is hidden has coordinates and
            confidence 0. `shuffled` changes no clip: its poses are another one's.
        keypoints: K names.
    """
    if control == "zeroed":
        return np.zeros_like(poses)
    if control == "reversed":
        return poses[::-1]
    if control in PARTS:
        changed = np.zeros_like(poses)
        shown = _shown(control, keypoints)
        changed[:, shown] = poses[:, shown]
        return changed
    return poses


def _shown(control: str, keypoints: tuple[str, ...]) -> list[int]:
    parts = vars(find_parts(keypoints))
    return sorted(place for part in PARTS[control] for place in parts[part])


def derange(numbers: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Give every clip another one's number: a random cycle, so none keeps its own."""
    cycle = np.random.default_rng(seed).permutation(len(numbers))
    other = np.empty_like(cycle)
    other[cycle] = np.roll(cycle, 1)
    return numbers[other]


def read_training_texts(config: Config) -> Counter[str]:
    """The training sentences, and how often each stands there; none where they aren't known.

    They come from the store; where the checkpoint came without it, from the table.
    """
    if "train" not in config.data.split_paths:
        return Counter()
    try:
        return Counter(_training_texts(config))
    except DataError as fault:
        logger.warning("The training sentences are not known: %s", fault)
        return Counter()


def find_training_texts(run: Path) -> list[str]:
    """The training sentences of a run folder, each as often as it stands there; none where they aren't known."""
    if not (run / "config.yaml").is_file():
        return []
    return list(read_training_texts(load_config(run / "config.yaml")).elements())


def _training_texts(config: Config) -> Iterator[str]:
    if read_store_facts(open_folder(config.data.store, "train")) is not None:
        return open_split(config.data, "train").texts()
    return (example.text for example in read_examples(config.data, "train"))


def most_frequent(texts: Counter[str]) -> str:
    """The sentence that occurs most often, of several the first."""
    return texts.most_common(1)[0][0]


def most_typical(texts: Counter[str]) -> str:
    """The sentence that is expected to score best where nothing but the training texts is known.

    A prior without a model: of a thousand sentences drawn by their frequency, the one whose
    character n-grams (two to four) overlap most, by F1, with those of the others on average; that
    is minimum Bayes risk over the empirical distribution of targets.
    """
    rng = np.random.default_rng(SEED)
    known, counts = list(texts), np.array(list(texts.values()), np.float64)
    if counts.sum() <= SAMPLE:
        drawn, weights = known, counts
    else:
        places, times = np.unique(
            rng.choice(len(known), SAMPLE, p=counts / counts.sum()), return_counts=True
        )
        drawn, weights = [known[place] for place in places], times.astype(np.float64)
    index: dict[str, int] = {}
    rows = [[index.setdefault(gram, len(index)) for gram in _grams(text)] for text in drawn]
    has = np.zeros((len(drawn), len(index)), np.float32)
    for number, row in enumerate(rows):
        has[number, row] = 1
    sizes = has.sum(axis=1)
    overlap = 2 * (has @ has.T) / np.maximum(sizes[:, None] + sizes, 1)
    return drawn[int(np.argmax(overlap @ weights))]


def _grams(text: str) -> set[str]:
    joined = re.sub(r"\s+", "", text)
    return {joined[i : i + size] for size in (2, 3, 4) for i in range(len(joined) - size + 1)}


CONSTANTS: dict[str, Callable[[Counter[str]], str]] = {
    "frequent": most_frequent,
    "typical": most_typical,
}
