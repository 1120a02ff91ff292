"""From a batch of clips to sentences and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import GenerationConfig
from signseq.model.languages import find_languages
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["generate_texts", "language_ids"]


def generate_texts(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Mapping[str, Any],
    *,
    settings: GenerationConfig,
    n_best: int = 1,
    scored: bool = True,
    languages: Tensor | None = None,
    prompts: Tensor | None = None,
) -> list[tuple[tuple[str, float], ...]]:
    """Translate one batch.

    Args:
        model: In evaluation mode.
        tokenizer: The text model's.
        batch: `poses` and `attention_mask` of B clips.
        settings: How to generate.
        n_best: Sentences per clip; searched with as many beams at least.
        scored: Compute scores, for which the probabilities of all tokens are kept: with a large
            vocabulary many GB. Without, they are NaN.
        languages: (B,), what `language_ids` gives; None takes the model's own.
        prompts: (B, P), -100 where padded; None takes the model's own.

    Returns:
        For each clip its `n_best` sentences in the search's order, best first, each with its mean log probability per
        token, whatever the length penalty.
    """
    beams = max(settings.num_beams, n_best)
    output = model.generate(
        batch["poses"].to(model.device),
        batch["attention_mask"].to(model.device),
        languages=languages,
        prompts=None if prompts is None else prompts.to(model.device),
        num_beams=beams,
        num_return_sequences=n_best,
        max_new_tokens=settings.max_new_tokens,
        length_penalty=settings.length_penalty if beams > 1 else None,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=scored,
    )
    written = output.sequences[:, _begun(model) :]
    if not scored:
        scores = torch.full((len(output.sequences),), math.nan)
    elif beams > 1:  # sums that the search has divided by a power of the length
        length = _until_end(model.text_model, written).sum(1)
        scores = output.sequences_scores * length ** (settings.length_penalty - 1)
    else:
        scores = _greedy_scores(model.text_model, output)
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    pairs = [
        (" ".join(text.split()), float(score)) for text, score in zip(texts, scores, strict=True)
    ]
    return [tuple(pairs[start : start + n_best]) for start in range(0, len(pairs), n_best)]


def _begun(model: SignTranslationModel) -> int:
    """Tokens that a generated sequence begins with, and the model didn't write."""
    if model.is_causal:
        return 0
    return 2 if model.config.language_place == "first" else 1


def language_ids(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    languages: Sequence[str | None],
) -> Tensor | None:
    """The token id of each clip's language, (B,); None where the model has no codes for languages.

    Args:
        model: With the language that it writes where a clip names none.
        tokenizer: The text model's.
        languages: As a table or a user names them; None takes the model's own.

    Raises:
        ModelError: If the model doesn't know one, or is not told one.
    """
    known = find_languages(model.text_model.config, tokenizer)
    if model.config.language_place is None or known is None:
        return None
    default = model.config.language_id
    ids = [known.ids[known.code(name)] if name else default for name in languages]
    return None if None in ids else torch.tensor(ids)


def _greedy_scores(text_model: Any, output: Any) -> Tensor:
    """Mean log probability per token, the end token included, what stands after it left out: (B,)."""
    steps = text_model.compute_transition_scores(
        output.sequences, output.scores, normalize_logits=True
    )
    inside = _until_end(text_model, output.sequences[:, -steps.shape[1] :])
    total: Tensor = steps.where(inside, 0).sum(1)
    return total / inside.sum(1)


def _until_end(text_model: Any, tokens: Tensor) -> Tensor:
    """Which tokens belong to a text, its end token included: (B, L)."""
    ends = torch.tensor(text_model.generation_config.eos_token_id, device=tokens.device)
    ended = torch.isin(tokens, ends).int()
    return ended.cumsum(1) - ended == 0
