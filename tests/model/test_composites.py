"""Composites: an encoder and a decoder of two pretrained models, each with a vocabulary of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    RobertaConfig,
    RobertaModel,
    T5Config,
    ViTConfig,
)

from conftest import tiny_config
from signseq.config import ModelConfig
from signseq.description import describe_model
from signseq.errors import ModelError
from signseq.model.architectures import position_limit
from signseq.model.building import build_model, build_text_side
from signseq.model.freezing import freeze
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import load_text_config, load_text_model
from signseq.model.vocabulary import train_tokenizer
from signseq.training.weights import choose_weights

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
LABELS = torch.tensor([[7, 8, 9, 2]])


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["we you eat see bread water"] * 3)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    encoder = {**SIZES, "vocab_size": 12, "intermediate_size": 64}
    BertModel(BertConfig(**encoder)).save_pretrained(folder / "bert")
    roberta = RobertaConfig(**encoder, max_position_embeddings=34, pad_token_id=1)
    RobertaModel(roberta).save_pretrained(folder / "roberta")
    decoder = GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(decoder).save_pretrained(folder / "gpt2")
    for other in (T5Config(), ViTConfig(), Qwen2Config()):
        other.save_pretrained(folder / other.model_type)
    return folder


def settings(parts: Path, encoder: str = "bert", decoder: str = "gpt2", **more) -> ModelConfig:
    return ModelConfig(name=str(parts / encoder), decoder_name=str(parts / decoder), **more)


def build(parts: Path, tokenizer, encoder: str = "bert", **more) -> SignTranslationModel:
    text_model = load_text_model(settings(parts, encoder), tokenizer)
    return build_model(
        text_model,
        encoder={"type": "linear", "positions": "auto"},
        recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
        keypoints=("a", "b", "c", "d"),
        mean=torch.zeros(4, 2),
        spread=torch.ones(4, 2),
        text_side=build_text_side(text_model, tokenizer, max_length=8),
        **{"max_frames": 24, **more},
    )


def test_dropout_reaches_both_sides(parts: Path, tokenizer) -> None:
    model = load_text_model(settings(parts, dropout=0.0), tokenizer)

    found = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout) and m.p}
    assert all("attn" in name or "attention" in name for name in found)


def test_a_roberta_encoder_takes_what_its_positions_reach(parts: Path, tokenizer, clips) -> None:
    model = build(parts, tokenizer, "roberta").train(False)
    limit = position_limit(model.text_model.config)

    assert limit == 32
    assert torch.isfinite(model(**clips(limit), labels=LABELS).logits).all()
    with pytest.raises(ModelError, match="takes at most 32"):
        model(**clips(limit + 1), labels=LABELS)


def test_a_prompt_is_refused_as_it_would_be_read_in_the_wrong_vocabulary(
    parts: Path, tokenizer
) -> None:
    text_model = load_text_model(settings(parts), tokenizer)

    with pytest.raises(ModelError, match=r"data\.prompt: a composite's encoder and tokenizer"):
        build_text_side(text_model, tokenizer, max_length=8, prompt="we see")


def test_a_frozen_decoder_still_learns_to_look_at_the_encoder(
    parts: Path, tokenizer, prepared: Path
) -> None:
    model = build(parts, tokenizer)
    overrides = ("model.from_scratch=false", "model.size=null", "model.tokenizer=null")
    names = (f"model.name={parts / 'bert'}", f"model.decoder_name={parts / 'gpt2'}")
    choose_weights(tiny_config(prepared, *overrides, *names, "model.freeze_decoder=true"), model)

    trained = {name for name, weight in model.text_model.named_parameters() if weight.requires_grad}
    decoder = {name for name in trained if name.startswith("decoder.")}

    assert decoder
    assert all("crossattention" in name or "ln_cross_attn" in name for name in decoder)
    freeze(model, decoder=True)


@pytest.mark.parametrize(
    ("encoder", "decoder", "said"),
    [
        ("t5", "gpt2", "is a t5 model; with model.decoder_name it must be a text encoder"),
        ("vit", "gpt2", "is a vit model; with model.decoder_name it must be a text encoder"),
        ("bert", "qwen2", "is a qwen2 model, which has no attention to an encoder"),
        ("bert", "vit", "is a vit model, which has no attention to an encoder"),
    ],
)
def test_parts_that_dont_fit_are_refused(
    parts: Path, encoder: str, decoder: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        load_text_config(settings(parts, encoder, decoder))


def test_what_trains_is_described_as_it_trains(parts: Path, tokenizer, prepared: Path) -> None:
    overrides = ("model.from_scratch=false", "model.size=null", "model.tokenizer=null")
    names = (f"model.name={parts / 'bert'}", f"model.decoder_name={parts / 'gpt2'}")
    config = tiny_config(prepared, *overrides, *names, "model.use_lora=true")
    described = describe_model(config, batch_size=2, frames=20, tokens=8)
    adapted = choose_weights(config, build(parts, tokenizer))

    assert adapted is not None
    trained = {
        name: weight.numel() for name, weight in adapted.named_parameters() if weight.requires_grad
    }
    wanted = sum(size for name, size in trained.items() if ".text_model." in name)
    said = {estimate.method: estimate.trainable for estimate in described.memory}
    assert said.keys() == {"full", "lora"}  # what trains in full can't be quantized
    assert said["lora"] - described.encoder_parameters == wanted
