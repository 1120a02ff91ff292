"""A prompt for each clip of a batch, as a mix of corpora has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from signseq.errors import ModelError
from signseq.model.building import TextSide
from signseq.model.sign_translation import SignTranslationModel

PROMPTS = ((5, 6, 7), (), (8,))
PADDED = torch.tensor([[5, 6, 7], [-100, -100, -100], [8, -100, -100]])
LABELS = torch.tensor([[5, 6], [7, 8], [6, 2]])
MakeModel = Callable[..., SignTranslationModel]


@pytest.mark.parametrize("name", ["bart", "t5", "gpt2", "llama"])
def test_a_batch_of_many_prompts_gives_what_each_clip_with_its_own_gives(
    make_model: MakeModel, clips: Callable[..., Any], name: str
):
    model = make_model(name).eval()
    batch = clips(20, 33, 9)
    with torch.no_grad():
        found = model(**batch, labels=LABELS, prompts=PADDED).logits
    place = "tokens_after" if model.is_causal else "tokens_before"
    for row, prompt in enumerate(PROMPTS):
        setattr(model.config, place, list(prompt))
        frames = int(batch["attention_mask"][row].sum())
        own = {key: value[row : row + 1, :frames] for key, value in batch.items()}
        with torch.no_grad():
            alone = model(**own, labels=LABELS[row : row + 1]).logits
        assert torch.allclose(found[row], alone[0], atol=1e-5)


def test_a_clips_own_prompt_stands_in_place_of_that_of_all(
    make_model: MakeModel, clips: Callable[..., Any]
):
    model, batch = make_model("t5").eval(), clips(20, 20, 20)
    with torch.no_grad():
        plain = model(**batch, labels=LABELS, prompts=PADDED).logits
        model.config.tokens_before = [9, 9]
        assert torch.equal(model(**batch, labels=LABELS, prompts=PADDED).logits, plain)
        assert not torch.allclose(model(**batch, labels=LABELS).logits, plain)


def test_a_prompt_of_one_corpus_alone_lets_the_embeddings_it_reads_train(make_model: MakeModel):
    side = make_text_side(make_model, prompts=())
    assert not embeddings_train(make_model("fsmt", text_side=side))
    side = make_text_side(make_model, prompts=((), (5, 6)))
    assert embeddings_train(make_model("fsmt", text_side=side))


def test_the_longest_prompt_of_a_mix_must_fit(make_model: MakeModel):
    side = make_text_side(make_model, prompts=((), (5,) * 40))
    with pytest.raises(ModelError, match=r"gives up to 32 inputs and 40 more for prompt"):
        make_model("bart", text_side=side, config={"max_position_embeddings": 64})


def make_text_side(make_model: MakeModel, *, prompts: tuple[tuple[int, ...], ...]) -> TextSide:
    from signseq.model.targets import TargetEncoder
    from signseq.model.vocabulary import train_tokenizer

    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)
    padding, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    return TextSide(TargetEncoder(tokenizer, 16), padding, end, prompts=prompts)


def embeddings_train(model: SignTranslationModel) -> bool:
    return all(weight.requires_grad for weight in model.get_input_embeddings().parameters())
