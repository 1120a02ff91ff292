"""The clips that a run is trained on: those of its own corpus, or of several, mixed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from signseq.config import DataConfig
from signseq.data.mixing import CorpusLabels, MixedStore
from signseq.data.store import PoseStore
from signseq.data.token_texts import TokenTexts

__all__ = ["open_training_store", "prompts_of", "prompts_of_clips"]

logger = logging.getLogger(__name__)


def open_training_store(
    data: DataConfig, open_or_make: Callable[[DataConfig, str], PoseStore]
) -> PoseStore:
    """Open the training split, with those of `data.mix` where there are any.

    Args:
        data: The experiment's.
        open_or_make: Opens the store of a split: `open_split` or `ensure_split`.

    Raises:
        DataError: If a store isn't there or can't be used.
    """
    own = open_or_make(data, "train")
    if not data.mix:
        return own
    corpora = data.mixed_corpora
    labels = [CorpusLabels(_name(data), prompt=data.prompt or "")]
    for corpus in corpora:
        prompt = data.prompt if corpus.prompt is None else corpus.prompt
        labels.append(CorpusLabels(_name(corpus), corpus.target_language, prompt or ""))
    stores = [own, *(open_or_make(corpus, "train") for corpus in corpora)]
    for store, label in zip(stores, labels, strict=True):
        logger.info("data.mix: %s, %d clips.", label.name, len(store))
    return MixedStore(stores, labels)


def prompts_of(store: PoseStore) -> list[str]:
    """The prompt of each corpus that a training store is mixed of, the experiment's own first."""
    return [labels.prompt for labels in store.labels] if isinstance(store, MixedStore) else []


def prompts_of_clips(
    store: PoseStore, prompts: Sequence[Sequence[int]]
) -> Sequence[NDArray[np.int32]] | None:
    """The token ids of each clip's prompt; None where all clips have the same.

    Args:
        store: The training clips.
        prompts: Those of each corpus, as `TextSide` has them.
    """
    if not isinstance(store, MixedStore) or not prompts:
        return None
    return TokenTexts(store.corpora.tolist(), lambda corpora: [list(prompts[n]) for n in corpora])


def _name(data: DataConfig) -> str:
    return str(data.train_path or data.store)
