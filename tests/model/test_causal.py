"""Decoder-only language models: the poses are a prefix, the loss is on the text alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from conftest import WORDS
from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.building import build_model, build_text_side
from signseq.model.feeding import align_right
from signseq.model.text_models import load_text_model
from signseq.model.vocabulary import train_tokenizer

LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])
SIZE = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS)] * 3)


def build(tokenizer, name="qwen2", *, prompt=None, max_length=16, max_frames=64, **settings):
    torch.manual_seed(0)
    wanted = {"name": name, "from_scratch": True, "size": SIZE, "dropout": 0.0, **settings}
    text_model = load_text_model(ModelConfig.model_validate(wanted), tokenizer)
    side = build_text_side(text_model, tokenizer, max_length=max_length, prompt=prompt)
    return build_model(
        text_model,
        encoder={"type": "conv", "stride": 2, "width": 16, "positions": "auto"},
        recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
        keypoints=("a", "b", "c", "d"),
        mean=torch.zeros(4, 2),
        spread=torch.ones(4, 2),
        text_side=side,
        max_frames=max_frames,
    )


def test_padding_moves_to_the_left():
    embeddings = torch.arange(1.0, 9).view(2, 4, 1)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    moved, aligned = align_right(embeddings, mask)

    assert moved[..., 0].tolist() == [[1, 2, 3, 4], [0, 0, 5, 6]]
    assert aligned.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]


def test_the_prompt_stands_between_the_frames_and_the_text(tokenizer, clips):
    model = build(tokenizer, prompt="we see bread")
    prompt = tokenizer("we see bread", add_special_tokens=False)["input_ids"]
    batch = clips(16)

    embeddings, mask = model.embed(**batch)
    frames, _ = model.pose_encoder(batch["poses"], batch["attention_mask"])

    told = model.get_input_embeddings()(torch.tensor([prompt]))
    assert model.config.tokens_after == prompt
    assert embeddings[:, -len(prompt) :].equal(told)
    assert embeddings[:, : -len(prompt)].equal(frames)
    assert mask.shape[1] == 8 + len(prompt)


def test_the_prompt_changes_what_is_written(tokenizer, clips):
    batch = clips(16) | {"labels": LABELS[:1]}
    told, other = (build(tokenizer, prompt=prompt) for prompt in ("we see", "you eat"))

    assert not told(**batch).logits.allclose(other(**batch).logits)


def test_the_prompt_of_an_encoder_decoder_stands_before_the_frames(tokenizer, clips):
    model = build(tokenizer, "t5", prompt="we see")
    prompt = tokenizer("we see", add_special_tokens=False)["input_ids"]

    embeddings, mask = model.embed(**clips(16, 9))

    told = model.get_input_embeddings()(torch.tensor([prompt]))
    assert embeddings[1:, : len(prompt)].equal(told)
    assert mask.sum(1).tolist() == [8 + len(prompt), 5 + len(prompt)]


def test_a_start_token_stands_first_where_the_tokenizer_writes_one(tokenizer, clips):
    beginning = train_tokenizer([" ".join(WORDS)] * 3)
    beginning.backend_tokenizer.post_processor = type(beginning.backend_tokenizer.post_processor)(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )

    assert list(build(tokenizer).config.tokens_before) == []
    assert list(build(beginning).config.tokens_before) == [1]


def test_labels_are_the_text_and_its_end(tokenizer):
    side = build_text_side(build(tokenizer).text_model, tokenizer, max_length=3)

    words = tokenizer("we you", add_special_tokens=False)["input_ids"]
    assert side.targets([("we you", None), ("we you eat see", None)]) == [[*words, 2], [*words, 2]]


def test_the_loss_is_on_the_text_alone(tokenizer, clips):
    model = build(tokenizer, prompt="we see").train(False)
    output = model(**clips(16, 9), labels=LABELS)

    wanted = F.cross_entropy(output.logits.flatten(0, 1), LABELS.flatten())

    assert output.logits.shape[:2] == LABELS.shape
    torch.testing.assert_close(output.loss, wanted)


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "mistral", "opt"])
def test_generation_does_not_depend_on_what_else_is_in_the_batch(tokenizer, clips, name):
    model = build(tokenizer, name, prompt="we").train(False)
    together = clips(32, 9)
    alone = {key: value[1:, :9] for key, value in together.items()}

    both = model.generate(**together, num_beams=1, max_new_tokens=8, do_sample=False)
    single = model.generate(**alone, num_beams=1, max_new_tokens=8, do_sample=False)

    width = single.shape[1]
    assert both[1:, :width].equal(single)


def test_a_model_without_a_padding_token_pads_with_its_end(tokenizer, clips, tmp_path):
    endless = train_tokenizer([" ".join(WORDS)] * 3)
    endless.pad_token = None
    sizes = {"vocab_size": len(endless), "n_embd": 32, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).save_pretrained(tmp_path)

    model = build(endless, str(tmp_path), from_scratch=False, size=None)

    assert model.config.pad_token_id == 2
    model.generate(**clips(16, 9), num_beams=2, max_new_tokens=3)


def test_the_tokenizers_end_joins_the_models_own(tokenizer, tmp_path):
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = [5, 6]
    model.save_pretrained(tmp_path)

    built = build(tokenizer, str(tmp_path), from_scratch=False, size=None)

    assert built.text_model.generation_config.eos_token_id == [2, 5, 6]


def test_frames_prompt_and_text_share_the_models_positions(tokenizer):
    with pytest.raises(
        ModelError, match=r"up to 1000 inputs and 42 more for prompt and text.*1024"
    ):
        build(tokenizer, "gpt2", prompt="we see", max_length=40, max_frames=2000)
