import pytest
import torch
from transformers import AutoConfig, EncoderDecoderConfig

from signseq.model.architectures import UNSAFE_IN_FLOAT16
from signseq.training.precision import (
    DeviceFacts,
    Precision,
    choose_precision,
    keep_in_float32,
)

H100 = DeviceFacts("cuda", "H100", has_bfloat16=True, memory=80 * 2**30)
V100 = DeviceFacts("cuda", "V100", has_bfloat16=False, memory=16 * 2**30)
CPU = DeviceFacts("cpu", "a CPU", has_bfloat16=False, memory=16 * 2**30)


def chosen(kind, facts, **settings):
    return choose_precision(AutoConfig.for_model(kind), facts=facts, **settings)


@pytest.mark.parametrize("kind", ["t5", "bart", "pegasus"])
def test_bfloat16_is_taken_where_the_device_has_it(kind):
    assert chosen(kind, H100) == Precision("bfloat16")


@pytest.mark.parametrize("facts", [H100, V100])
def test_full_precision_where_no_other_is_wanted(facts):
    assert chosen("bart", facts, wanted=False) == Precision("float32")


def test_a_cpu_computes_in_full_precision():
    assert chosen("bart", CPU) == Precision("float32")


def test_a_model_that_bears_it_trains_in_float16_on_older_gpus():
    found = chosen("bart", V100)

    assert (found.dtype, found.in_float32) == ("float16", ())
    assert "V100 has no bfloat16" in found.reason


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5", "longt5", "switch_transformers"])
def test_the_t5_family_keeps_its_feed_forward_output_in_float32(kind):
    found = chosen(kind, V100)

    assert (found.dtype, found.in_float32) == ("float16", ("wo",))
    assert f"{kind}'s feed-forward layers in float32" in found.reason


@pytest.mark.parametrize("kind", ["pegasus", "t5gemma", "gemma2"])
def test_other_models_that_overflow_train_in_float32_and_say_so(kind):
    found = chosen(kind, V100)

    assert found.dtype == "float32"
    assert f"{kind} models leave the range of float16" in found.reason


def test_no_unsafe_model_ever_trains_in_plain_float16():
    for kind in UNSAFE_IN_FLOAT16:
        found = chosen(kind, V100)
        assert found.dtype == "float32" or found.in_float32


def test_a_composite_is_as_unsafe_as_its_sides():
    sides = (AutoConfig.for_model("t5"), AutoConfig.for_model("bert", is_decoder=True))
    config = EncoderDecoderConfig.from_encoder_decoder_configs(*sides)

    assert choose_precision(config, facts=V100).in_float32 == ("wo",)


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5", "longt5", "switch_transformers"])
def test_each_of_the_family_has_such_layers(make_model, kind):
    assert keep_in_float32(make_model(kind), ["wo"]) >= 2


def test_activations_beyond_float16_stay_finite(make_model, clips):
    model, batch = make_model("t5").train(False), clips(12)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".wo." in name:
                weight.fill_(5e4)  # a sum of two is beyond 65,504
    labels = torch.tensor([[5, 6]])

    def loss():
        with torch.no_grad(), torch.autocast("cpu", torch.float16):
            return model(**batch, labels=labels).loss

    assert not loss().isfinite()
    keep_in_float32(model, ["wo"])
    assert loss().isfinite()


def test_what_is_saved_stays_the_same(make_model):
    model = make_model("t5")
    before = list(model.state_dict())
    keep_in_float32(model, ["wo"])

    assert list(model.state_dict()) == before
