import importlib.util

import pytest
import torch

from signseq.errors import ConfigError
from signseq.model.attention import set_attention


def test_auto_leaves_it_to_transformers(make_model, caplog):
    with caplog.at_level("INFO"):
        assert set_attention(make_model("bart").text_model, "auto") == "sdpa"
    assert "Attention: sdpa" in caplog.text


@pytest.mark.parametrize("kind", ["t5", "bart", "gpt2"])
def test_eager_and_sdpa_compute_the_same(make_model, clips, kind):
    model = make_model(kind).train(False)
    batch = clips(12, 9) | {"labels": torch.tensor([[5, 6, 1], [7, 1, -100]])}
    logits = []
    for way in ("eager", "sdpa"):
        assert set_attention(model.text_model, way) == way
        assert {
            module.config._attn_implementation
            for module in model.text_model.modules()
            if hasattr(module, "config")
        } == {way}
        logits.append(model(**batch).logits[:, :2])

    torch.testing.assert_close(*logits)


def test_an_architecture_without_it_is_refused_with_what_it_has(make_model):
    with pytest.raises(
        ConfigError, match=r"longt5 models have no such attention.*they have: eager"
    ):
        set_attention(make_model("longt5").text_model, "sdpa")


def test_t5_has_no_flash_attention(make_model):
    with pytest.raises(ConfigError, match=r"t5 models have no such attention.*eager, sdpa"):
        set_attention(make_model("t5").text_model, "flash_attention_2", in_half_precision=True)


def test_flash_attention_names_the_package(make_model, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="pip install flash-attn"):
        set_attention(make_model("bart").text_model, "flash_attention_2", in_half_precision=True)


def test_flash_attention_needs_half_precision(make_model, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    with pytest.raises(ConfigError, match="trains in float32"):
        set_attention(make_model("bart").text_model, "flash_attention_2")
