"""What a checkpoint makes of the clips that a report shows: its n best outputs, and what it attends to."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import Config
from signseq.data.batching import ClipDataset, collate
from signseq.data.planning import plan_batches
from signseq.data.store import PoseStore
from signseq.evaluation_checks import check_recipe
from signseq.model.attending import attend, eager_attention
from signseq.model.generation import generate_texts, language_ids
from signseq.model.languages import find_languages
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.targets import TargetEncoder
from signseq.progress import Progress
from signseq.reporting.words import cut_words, words_of_tokens
from signseq.translation import load_checkpoint

__all__ = ["Look", "WordAttention", "look_at_clips"]

logger = logging.getLogger(__name__)
BATCH = 16  # clips; scores of all tokens are kept while searching
BINS = 48  # stretches of time that attention is told of, at most


@dataclass(frozen=True, eq=False)
class WordAttention:
    """Which stretch of a clip each word of an output comes from.

    Attributes:
        weights: uint8 (W, P) of W words and P stretches of equal length, 255 being a word's largest.
        seconds: How long they are together.
    """

    weights: NDArray[np.uint8]
    seconds: float

    @property
    def encoded(self) -> str:
        """The weights as base64, row by row."""
        return base64.b64encode(self.weights.tobytes()).decode("ascii")


@dataclass(frozen=True)
class Look:
    """What a checkpoint makes of one clip.

    Attributes:
        n_best: Outputs and their log probabilities per token, best first.
        attention: None where the architecture gives no weights, or the output has no words.
    """

    n_best: tuple[tuple[str, float], ...]
    attention: WordAttention | None


def look_at_clips(
    folder: Path,
    config: Config,
    store: PoseStore,
    *,
    texts: Mapping[int, str],
    n_best: int,
    trust_remote_code: bool = False,
) -> dict[int, Look]:
    """Search once more, for the n best; and read the attention while the output is written.

    Args:
        folder: The checkpoint.
        config: Its config.
        store: The split's clips.
        texts: The output of each clip to look at, by its number in the store.
        n_best: How many outputs to give.
        trust_remote_code: Run code of the text model's author, as training did.

    Raises:
        CheckpointError: If the checkpoint can't be loaded.
        DataError: If the store was prepared otherwise than the checkpoint's training data.
    """
    model, tokenizer = load_checkpoint(folder, trust_remote_code=trust_remote_code)
    model.train(False)
    check_recipe(model, store)
    dataset = ClipDataset(
        store, step_frames=model.config.step_frames, max_frames=model.config.max_frames
    )
    progress = Progress(total=2 * len(texts), label=f"Looking at {folder.name}", unit="clip")
    found = _search_again(
        model, tokenizer, dataset, list(texts), config=config, n_best=n_best, progress=progress
    )
    encode = TargetEncoder(
        tokenizer,
        max_length=config.data.max_length,
        causal=model.is_causal,
        languages=find_languages(model.text_model.config, tokenizer),
        default_language=config.data.target_language,
    )
    looks = {}
    stride = model.config.encoder.get("stride", 1)
    with eager_attention(model):
        for number, text in texts.items():
            details = store.details(number)
            [labels] = encode([(text, details.get("target_language"))])
            poses = torch.from_numpy(dataset[0, number]["poses"][None].astype(np.float32))
            weights = attend(model, poses.to(model.device), labels)
            attention = None
            if weights is not None:
                frames = weights.shape[1] * stride * model.config.step_frames
                seconds = frames * details["seconds"] / max(details["frames"], 1)
                prefixes = _prefixes(tokenizer, labels)
                attention = _by_words(weights, text, prefixes=prefixes, seconds=seconds)
            looks[number] = Look(found[number], attention)
            progress.advance(1)
    progress.close()
    return looks


def _search_again(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: ClipDataset,
    clips: Sequence[int],
    *,
    config: Config,
    n_best: int,
    progress: Progress,
) -> dict[int, tuple[tuple[str, float], ...]]:
    """The n best outputs of each clip, with the run's own search."""
    found: dict[int, tuple[tuple[str, float], ...]] = {}
    numbers = np.array(clips, dtype=np.int64)
    for places in plan_batches(dataset.lengths[numbers], batch_size=BATCH):
        chosen = numbers[places].tolist()
        names = [dataset.store.details(number).get("target_language") for number in chosen]
        outputs = generate_texts(
            model,
            tokenizer,
            collate([dataset[0, number] for number in chosen]),
            settings=config.generation,
            n_best=n_best,
            languages=language_ids(model, tokenizer, names),
        )
        found |= dict(zip(chosen, outputs, strict=True))
        progress.advance(len(places))
    return found


def _prefixes(tokenizer: PreTrainedTokenizerBase, labels: Sequence[int]) -> list[str]:
    """The text as far as each token takes it."""
    ends = range(1, len(labels) + 1)
    return tokenizer.batch_decode([list(labels[:end]) for end in ends], skip_special_tokens=True)


def _by_words(
    weights: Tensor, text: str, *, prefixes: Sequence[str], seconds: float
) -> WordAttention | None:
    """Attention of tokens (L, T') to that of words, in stretches of time; None without any."""
    words = cut_words(text)
    if not words:
        return None
    stretches = np.array_split(np.arange(weights.shape[1]), min(BINS, weights.shape[1]))
    binned = np.stack([weights.numpy()[:, places].mean(axis=1) for places in stretches], axis=1)
    tokens: list[list[int]] = [[] for _ in words]
    for token, own in enumerate(words_of_tokens(words, prefixes)):
        for word in own:
            tokens[word].append(token)
    rows = np.zeros((len(words), len(stretches)), np.float32)
    for word, own in enumerate(tokens):
        if own:  # a text that was cut at data.max_length lacks the last words' tokens
            rows[word] = binned[own].mean(axis=0)
    largest = np.maximum(rows.max(axis=1, keepdims=True), 1e-9)
    return WordAttention((255 * rows / largest).round().astype(np.uint8), seconds)
