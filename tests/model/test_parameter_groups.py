"""Where each parameter of a model is, for every architecture."""

import pytest

from model.test_conformance import ARCHITECTURES, COMPOSITE, settings_of
from signseq.config import LoraSettings
from signseq.model.adapters import add_lora
from signseq.model.architectures import unused_parameters
from signseq.model.parameter_groups import layers_above, parameter_groups

LAYERS = {
    "bart": {"encoder_layers": 3, "decoder_layers": 2},
    "t5": {"num_layers": 3, "num_decoder_layers": 2},
    "qwen2": {"num_hidden_layers": 3},
}


@pytest.fixture(scope="module")
def build(make_model):
    def make(name, **config):
        kind, _, decoder = name.partition("+")
        more = {"decoder_name": decoder} if decoder else {}
        return make_model(kind, config=settings_of(name) | config, **more)

    return make


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_every_parameter_is_in_one_group(build, name, adapted):
    model = build(name)
    unused = unused_parameters(model.text_model.config)
    whole = add_lora(model, LoraSettings(r=2)) if adapted else model

    groups = parameter_groups(whole)

    found = [parameter for group in groups for parameter in group.parameters]
    assert sorted(found) == sorted(
        key
        for key, _ in whole.named_parameters()
        if ".original_module." not in key and not any(part in key for part in unused)
    )
    names = [group.name for group in groups]
    stacks = ["decoder.0"] if model.is_causal else ["encoder.0", "decoder.0"]
    assert [name for name in names if name.endswith(".0")] == stacks
    assert {"pose_encoder", "embeddings"} <= set(names)
    assert set(names) <= {*("pose_encoder", "embeddings", "head"), *stacks} | {
        *("encoder.end", "decoder.end")
    }


@pytest.mark.parametrize("name", [*ARCHITECTURES])
def test_token_embeddings_are_embeddings_and_attention_is_in_layers(build, name):
    model = build(name)
    groups = {group.name: group.parameters for group in parameter_groups(model)}
    tokens = {id(weight) for weight in model.get_input_embeddings().parameters()}
    weights = dict(model.named_parameters())

    inside = {id(weights[key]) for key in groups["embeddings"]}
    tokens &= {id(weights[key]) for keys in groups.values() for key in keys}
    if name not in ("encoder-decoder", COMPOSITE):
        assert tokens <= inside
    # learned positions and their like are all vectors or tables as wide as the embeddings
    attention = [key for key in weights if "q_proj" in key or "SelfAttention.q" in key]
    assert not set(attention) & set(groups["embeddings"])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("bart", {"embeddings": 3, "encoder.0": 2, "encoder.2": 0, "decoder.0": 1, "decoder.1": 0}),
        ("t5", {"embeddings": 3, "encoder.0": 2, "encoder.2": 0, "decoder.0": 1, "decoder.1": 0}),
        ("qwen2", {"embeddings": 3, "decoder.0": 2, "decoder.1": 1, "decoder.2": 0, "head": 0}),
    ],
)
def test_layers_above_are_counted_from_the_end_of_the_longer_stack(build, name, wanted):
    groups = parameter_groups(build(name, **LAYERS[name]))
    above = {group.name: group.above for group in groups}

    assert above["pose_encoder"] == 0
    assert {name: above[name] for name in wanted} == wanted
    assert [group.name for group in groups][:2] == ["pose_encoder", "embeddings"]


def test_adapters_count_as_the_layers_that_they_are_in(build):
    model = build("bart", **LAYERS["bart"])
    plain = layers_above(model)
    adapted = layers_above(add_lora(model, LoraSettings(r=2)))

    key = "text_model.model.encoder.layers.0.self_attn.q_proj"
    assert plain[f"{key}.weight"] == adapted[f"{key}.lora_A.default.weight"] == 2
