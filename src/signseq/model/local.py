"""What can be known of a run's text model and tokenizer on this machine alone, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from huggingface_hub import try_to_load_from_cache
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.catalog import find_known, known_config
from signseq.model.lookup import look_up
from signseq.model.text_models import has_tokenizer, load_text_config, load_tokenizer

__all__ = ["LocalTextSide", "count_tokens", "find_local_text_side"]


@dataclass(frozen=True, eq=False)
class LocalTextSide:
    """Text model and tokenizer, as far as they are here.

    Attributes:
        config: Of the text model; None where it isn't here.
        tokenizer: None where it isn't here.
        problems: Why, a sentence each.
    """

    config: PreTrainedConfig | None
    tokenizer: PreTrainedTokenizerBase | None
    problems: tuple[str, ...] = ()


def find_local_text_side(settings: ModelConfig, texts: Iterable[str]) -> LocalTextSide:
    """Find the text model's config and the tokenizer that a run would use; nothing is fetched.

    No code of a model's author is run either, whatever `trust_remote_code` says.

    Args:
        settings: The config's model section.
        texts: Of the training split, for `tokenizer: train`.
    """
    settings = settings.model_copy(update={"trust_remote_code": False})
    problems = []
    config, tokenizer = None, None
    try:
        config = _find_config(settings)
    except ModelError as fault:
        problems.append(f"The limits of the text model are not known: {fault}")
    try:
        tokenizer = _find_tokenizer(settings, texts)
    except ModelError as fault:
        problems.append(f"Tokens can't be counted: {fault}")
    return LocalTextSide(config, tokenizer, tuple(problems))


def count_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> NDArray[np.int64]:
    """Tokens of each text, the special ones included, (N,)."""
    lengths: list[int] = []
    for first in range(0, len(texts), 1000):
        ids = tokenizer(list(texts[first : first + 1000]), verbose=False)["input_ids"]
        lengths += map(len, ids)
    return np.array(lengths, dtype=np.int64)


def _find_config(settings: ModelConfig) -> PreTrainedConfig:
    if settings.from_scratch and settings.name in CONFIG_MAPPING:
        return look_up(settings).config
    if settings.decoder_name is not None:
        both = {"name": _place(settings.name), "decoder_name": _place(settings.decoder_name)}
        return load_text_config(settings.model_copy(update=both))
    known = find_known(settings.name)
    folder = _folder(known[0].name if known else settings.name)
    if folder is None and known is not None and not settings.from_scratch:
        return known_config(known[0])
    here: dict[str, str | None] = {"name": _place(settings.name)}
    if not settings.from_scratch:
        here["tokenizer"] = None  # it is looked for by itself, and only here
    return look_up(settings.model_copy(update=here)).config


def _find_tokenizer(settings: ModelConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    if settings.tokenizer == "train":
        return load_tokenizer(settings, texts)
    name = settings.tokenizer or settings.decoder_name or settings.name
    folder = Path(_place(name))
    if not has_tokenizer(folder):
        raise ModelError(f"no tokenizer stands in {folder}.")
    return load_tokenizer(settings.model_copy(update={"tokenizer": str(folder)}), [])


def _place(name: str) -> str:
    folder = _folder(name)
    if folder is None:
        raise ModelError(
            f"{name!r} is neither a folder nor in the hub's cache on this machine, and nothing is fetched here."
        )
    return str(folder)


def _folder(name: str) -> Path | None:
    """A model's folder: itself, or in the hub's cache."""
    if Path(name).is_dir():
        return Path(name)
    try:
        path = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that the hub could have
        return None
    return Path(path).parent if isinstance(path, str) else None
