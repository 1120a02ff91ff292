"""Finding out what a text model is from its name or folder: its config, without weights.

A model of the catalog is described without a network, as its config doesn't change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import PreTrainedConfig

from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.catalog import Family, find_known, known_config
from signseq.model.checkpoint import MODEL_TYPE
from signseq.model.languages import MULTILINGUAL, find_languages
from signseq.model.sizes import VOCABULARY_KEYS, resize, set_dropout
from signseq.model.text_models import has_tokenizer, load_text_config, load_tokenizer

__all__ = ["Found", "look_up"]


@dataclass(frozen=True)
class Found:
    """A text model, as far as it is known without its weights.

    Attributes:
        config: Of the text model.
        source: Where it was found, in words.
        has_own_head: Its output layer is not its token embedding.
        family: Of the catalog, where it is in there.
        codes: The languages that its decoder can be told; None where they aren't known here.
    """

    config: PreTrainedConfig
    source: str
    has_own_head: bool = False
    family: Family | None = None
    codes: tuple[str, ...] | None = ()


def look_up(settings: ModelConfig) -> Found:
    """Find the text model that a config names; no weights are read.

    Raises:
        ModelError: If it can't be found, writes no text, or sizes of a model from scratch don't fit.
    """
    found = _find(settings)
    if settings.dropout is not None:
        set_dropout(found.config, settings.dropout)
    return found


def _find(settings: ModelConfig) -> Found:
    name = settings.name
    if settings.from_scratch:
        return _from_scratch(settings)
    if settings.decoder_name is not None:
        return Found(load_text_config(settings), "the configs of both models")
    if Path(name).is_dir():
        _refuse_checkpoint(Path(name))
        return _from_folder(settings, Path(name), f"the folder {name}")
    known = find_known(name)
    cached = _cached(known[0].name if known else name)
    if cached is not None:
        return _from_folder(settings, cached, "the hub's cache on this machine")
    if known is not None:
        model, family = known
        source = "signseq's own list, as published; the model itself is not on this machine"
        return Found(known_config(model), source, model.has_own_head, family, family.codes)
    config = load_text_config(settings)
    return Found(config, "the Hugging Face hub", codes=_codes(settings, config))


def _cached(name: str) -> Path | None:
    """Where the hub's cache has a model's config."""
    try:
        path = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that the hub could have
        return None
    return Path(path).parent if isinstance(path, str) else None


def _from_folder(settings: ModelConfig, folder: Path, source: str) -> Found:
    config = load_text_config(settings.model_copy(update={"name": str(folder)}))
    known = find_known(settings.name)
    codes = None
    if settings.tokenizer or has_tokenizer(folder):
        named = {"tokenizer": settings.tokenizer or str(folder)}
        codes = _codes(settings.model_copy(update=named), config)
    elif config.model_type not in MULTILINGUAL:
        codes = ()
    if codes is None and known is not None:
        codes = known[1].codes
    own_head = known[0].has_own_head if known else _says_untied(folder)
    return Found(config, source, own_head, known[1] if known else None, codes)


def _from_scratch(settings: ModelConfig) -> Found:
    """Of the sizes that the config asks for; the vocabulary is not there yet."""
    config = load_text_config(settings)
    sizes = settings.size.model_dump(exclude_none=True) if settings.size else {}
    changes: dict[str, Any] = {}
    source = f"the architecture {settings.name}, from scratch"
    if settings.tokenizer == "train":
        size = settings.vocabulary.size if settings.vocabulary else 4000
        changes = {key: size for key in VOCABULARY_KEYS if key in config.to_dict()}
        source += f"; counted with {size:,} tokens, the training texts may give fewer"
    return Found(resize(config, sizes, changes | settings.config), source)


def _codes(settings: ModelConfig, config: PreTrainedConfig) -> tuple[str, ...] | None:
    if config.model_type not in MULTILINGUAL:
        return ()
    try:
        languages = find_languages(config, load_tokenizer(settings, []))
    except ModelError:
        return None
    return tuple(sorted(languages.ids)) if languages else ()


def _says_untied(folder: Path) -> bool:
    """What T5's own config class doesn't keep of a config file."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    is_t5 = settings.get("model_type") in ("t5", "mt5", "umt5")
    return is_t5 and settings.get("tie_word_embeddings") is False


def _refuse_checkpoint(folder: Path) -> None:
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # transformers says what is wrong with it
    if isinstance(settings, dict) and settings.get("model_type") == MODEL_TYPE:
        raise ModelError(
            f"{folder}: a checkpoint of signseq, not a text model. What it was trained with is described by: "
            f"signseq models --config {folder / 'config.yaml'}"
        )
