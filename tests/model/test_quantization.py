"""Adapters for quantized text models: QLoRA. These tests need the extra `qlora`."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig

from conftest import tiny_config
from signseq.config import LoraSettings, ModelConfig
from signseq.evaluation import evaluate
from signseq.merging import merge
from signseq.model.adapters import add_lora
from signseq.model.building import build_model
from signseq.model.freezing import count_parameters
from signseq.model.loading import load_model
from signseq.model.quantization import load_base, quantization_config
from signseq.model.recomputation import recompute_activations
from signseq.model.text_models import load_text_model
from signseq.model.vocabulary import train_tokenizer
from signseq.training.run import train

pytest.importorskip("bitsandbytes")

SIZE = {"width": 64, "layers": 1, "heads": 2, "feed_forward": 128}


@pytest.fixture(scope="module", params=["t5", "llama"])
def base(request, tmp_path_factory):
    """The folder of a tiny text model."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = train_tokenizer(["we you eat see bread water"] * 3)
    settings = {"name": request.param, "from_scratch": True, "size": SIZE, "dropout": 0.0}
    torch.manual_seed(0)
    load_text_model(ModelConfig.model_validate(settings), tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def quantized(prepared, base: Path, folder: Path, key: str):
    settings = (f"model.name={base}", "model.from_scratch=false", "model.size=null")
    settings += ("model.tokenizer=null", "model.use_lora=true", f"model.{key}=true")
    settings += (
        "training.best_metric=cer",
        "training.max_steps=4",
        "training.hf={logging_steps: 1}",
    )
    return tiny_config(prepared, *settings, f"training.checkpoint_dir={folder}")


@pytest.mark.parametrize(
    ("has_its_own", "wanted"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_four_bits_are_computed_in_bfloat16_only_where_a_gpu_doesnt_imitate_it(
    monkeypatch, has_its_own, wanted
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or has_its_own,
    )
    settings = ModelConfig(name="t5-small", use_lora=True, load_in_4bit=True)

    assert quantization_config(settings).bnb_4bit_compute_dtype == wanted


@pytest.mark.parametrize("key", ["load_in_4bit", "load_in_8bit"])
def test_a_quantized_run_trains_is_scored_loaded_and_merged(prepared, base, tmp_path, key):
    folder = train(quantized(prepared, base, tmp_path / "run", key))
    before = load_file(base / "model.safetensors")

    model = load_model(folder)
    kinds = {type(p).__name__ for p in model.text_model.parameters()}
    assert {"Params4bit", "Int8Params"} & kinds
    assert all(parameter.dtype == torch.float32 for parameter in model.pose_encoder.parameters())
    assert (model.config.quantization, "quantization_config" in model.config.text_model) == (
        *(key.removeprefix("load_in_"), False),
    )
    assert evaluate(folder, split="val", blind=False).scores.count == 12

    merged = load_model(merge(folder, tmp_path / "merged"))
    assert {type(p).__name__ for p in merged.parameters()} == {"Parameter"}
    after = merged.text_model.state_dict()
    moved = {name for name, value in before.items() if not value.equal(after[name])}
    assert moved
    assert all(name.rsplit(".", 2)[1] in ("q", "v", "q_proj", "v_proj") for name in moved)


def test_scoring_in_between_does_not_stop_the_gradients(base):
    """On a CPU bitsandbytes packs weights for inference so that no gradient comes through."""
    from transformers import AutoTokenizer

    settings = ModelConfig(name=str(base), use_lora=True, load_in_4bit=True)
    text_model = load_base(settings, AutoTokenizer.from_pretrained(base))
    embeddings = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[7, 8, 9, 7, 2], [9, 7, 2, 8, 2]])

    def gradient():
        inputs = embeddings.clone().requires_grad_()
        text_model.train()(inputs_embeds=inputs, labels=labels).loss.backward()
        return inputs.grad

    before = gradient()
    with torch.no_grad():
        text_model.train(False)(inputs_embeds=embeddings, labels=labels)

    torch.testing.assert_close(gradient(), before)


def test_activations_are_recomputed_in_a_quantized_model(base, clips):
    from transformers import AutoTokenizer

    settings = ModelConfig(name=str(base), use_lora=True, load_in_4bit=True)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = build_model(
            load_base(settings, AutoTokenizer.from_pretrained(base)),
            encoder={"type": "conv", "stride": 2, "width": 16, "positions": "auto"},
            recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
            keypoints=("a", "b", "c", "d"),
            mean=torch.zeros(4, 2),
            spread=torch.ones(4, 2),
            max_frames=64,
        )
        add_lora(model, LoraSettings(lora_dropout=0.0))
        if recompute:
            recompute_activations(model)
        model.train()(**clips(16, 9), labels=torch.tensor([[7, 8, 2], [9, 7, 2]])).loss.backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])

    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_quantized_parameters_count_as_what_they_stand_for(base, make_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = {"name": str(base), "use_lora": True}
    counts = []
    for more in ({}, {"load_in_4bit": True}, {"load_in_8bit": True}):
        model = make_model("bart")
        model.text_model = load_base(ModelConfig.model_validate(plain | more), tokenizer)
        counts.append(count_parameters(model).total)

    assert counts[0] == counts[1] == counts[2]


def test_four_bits_are_qloras():
    settings = quantization_config(ModelConfig(name="t5-small", use_lora=True, load_in_4bit=True))

    assert isinstance(settings, BitsAndBytesConfig)
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant
    assert quantization_config(ModelConfig(name="t5-small")) is None
