import pytest
import torch
from torch import nn

from conftest import sign_pose
from signseq import evaluation
from signseq.errors import ConfigError, ModelError
from signseq.model.dtypes import Int8Linear, convert_model
from signseq.translation import Translator, load_checkpoint


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_8_bits_is_close_to_the_layer(bias):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(64, 48, bias=bias), torch.randn(2, 5, 64)

    with torch.no_grad():
        wanted, found = layer(inputs), Int8Linear(layer)(inputs)

    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 0.03 * wanted.abs().max()


def test_rows_of_a_layer_in_8_bits_do_not_change_each_other():
    torch.manual_seed(0)
    layer, inputs = Int8Linear(nn.Linear(64, 48)), torch.randn(5, 64)
    larger = torch.cat([inputs, 1000 * inputs])

    torch.testing.assert_close(layer(larger)[:5], layer(inputs))


def test_rows_of_zeros_give_the_bias():
    layer = nn.Linear(8, 4)

    torch.testing.assert_close(Int8Linear(layer)(torch.zeros(3, 8)), layer.bias.expand(3, 4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_a_checkpoint_translates_in_every_dtype(trained, dtype):
    translator = Translator.from_pretrained(trained, dtype=dtype, device="cpu")

    assert translator.translate(sign_pose("you see bread", seed=99)).text == "you see bread"
    assert translator.model.pose_encoder.output.project.weight.dtype == {
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }.get(dtype, torch.float32)


@pytest.mark.parametrize("name", ["t5", "bart", "marian", "qwen2", "switch_transformers"])
def test_every_kind_of_model_generates_in_8_bits(make_model, clips, name):
    model = make_model(name).eval()
    layers = sum(type(module) is nn.Linear for module in model.text_model.modules())
    convert_model(model, "int8")

    assert sum(isinstance(each, Int8Linear) for each in model.text_model.modules()) >= layers > 0
    assert model.generate(**clips(16, 9), max_new_tokens=4, num_beams=2).shape[0] == 2


def test_a_model_in_4_or_8_bits_already_is_refused(make_model):
    model = make_model("t5")
    model.text_model.is_quantized = True

    with pytest.raises(ModelError, match="4 or 8 bits already"):
        convert_model(model, "bfloat16")


def test_8_bits_elsewhere_than_on_a_cpu_are_refused(make_model):
    model = make_model("t5").to("meta")

    with pytest.raises(ModelError, match="works on a CPU"):
        convert_model(model, "int8")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"dtype": "float8"}, "dtype = 'float8'"), ({"device": "cuda:99"}, "device = 'cuda:99'")],
)
def test_unknown_dtypes_and_devices_are_errors(trained, given, message):
    with pytest.raises(ConfigError, match=message):
        Translator.from_pretrained(trained, **given)


def test_a_checkpoint_is_scored_in_the_dtype_that_is_asked_for(run_folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        evaluation,
        "load_checkpoint",
        lambda folder, **given: seen.append(given["dtype"]) or load_checkpoint(folder, **given),
    )
    evaluation.evaluate(run_folder, split="val", blind=False, overrides=["evaluation.dtype=int8"])

    assert seen == ["int8"]


@pytest.mark.parametrize(("dtype", "count"), [("float16", 1), ("bfloat16", 0)])
def test_float16_on_a_cpu_is_warned_of(trained, caplog, dtype, count):
    load_checkpoint(trained, dtype=dtype, device="cpu")

    assert caplog.text.count("more slowly than in float32") == count
