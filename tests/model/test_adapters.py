"""Where adapters go, what else trains beside them, and how they are loaded and merged."""

import pytest
import torch

from signseq.config import LoraSettings
from signseq.errors import CheckpointError, ModelError
from signseq.model.adapters import add_lora, base_digest, load_lora, merge_lora, without_adapters
from signseq.model.freezing import count_parameters
from signseq.model.lora_targets import cross_attention, find_targets, linear_layers
from signseq.model.recomputation import recompute_activations
from signseq.model.text_models import text_model_from_config

LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])


def lora(**settings):
    return LoraSettings.model_validate({"r": 4, "lora_dropout": 0.0} | settings)


def logits_of(model, batch):
    with torch.no_grad():
        return model.train(False)(**batch, labels=LABELS).logits


def learn(model, batch, *, steps=2):
    """A few steps that move everything that trains."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model.train()(**batch, labels=LABELS).loss.backward()
        optimizer.step()


def adapted_layers(model):
    """The names of the layers that have an adapter."""
    return [name.split(".lora_A.")[0] for name, _ in model.named_parameters() if ".lora_A." in name]


# ------------------------------------------------------------------------- which layers it is


def test_by_default_queries_and_values_of_every_attention_are_adapted(make_model):
    model = make_model("bart")
    add_lora(model, lora())

    layers = "text_model.model.{}.layers.0.{}.{}_proj"
    attention = [("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn")]
    assert sorted(adapted_layers(model)) == sorted(
        layers.format(*place, letter) for place in attention for letter in "qv"
    )


@pytest.mark.parametrize(
    ("wanted", "ends"),
    [
        (["q_proj", "fc1"], {"q_proj", "fc1"}),
        (["encoder_attn.k_proj"], {"k_proj"}),
        ("out_proj", {"out_proj"}),
        (r".*decoder\..*self_attn\.[kv]_proj", {"k_proj", "v_proj"}),
        (r"text_model\.model\.encoder\..*fc\d", {"fc1", "fc2"}),
        ("all-linear", {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}),
    ],
)
def test_layers_are_named_by_their_ends_or_by_expressions(make_model, wanted, ends):
    model = make_model("bart")
    add_lora(model, lora(target_modules=wanted))
    found = adapted_layers(model)

    assert {name.rpartition(".")[2] for name in found} == ends
    assert all(name.startswith("text_model.") for name in found)
    if isinstance(wanted, str) and "coder" in wanted:
        side = "encoder" if "encoder" in wanted else "decoder"
        assert all(f".{side}." in name for name in found)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["q_proj", "wq"], "wq matches no linear layer"),
        (r".*\.(wq|wv)", r"\.\*\\\.\(wq\|wv\) matches no linear layer"),
        (["lm_head"], "lm_head matches no linear layer"),
        (["conv"], "conv matches no linear layer"),  # the pose encoder's
        ("model.shared", "model.shared matches no linear layer"),
    ],
)
def test_a_name_that_matches_nothing_is_an_error_that_lists_the_names(make_model, wanted, said):
    names = "k_proj, v_proj, q_proj, out_proj, fc1, fc2"

    with pytest.raises(ModelError, match=rf"{said} in this bart model.*called {names}\. Name some"):
        add_lora(make_model("bart"), lora(target_modules=wanted))


def test_single_layers_can_be_left_out_and_chosen(make_model):
    tall = make_model("bart", config={"encoder_layers": 3, "decoder_layers": 3})
    add_lora(tall, lora(target_modules=["q_proj"], layers_to_transform=[1]))
    assert len(adapted_layers(tall)) == 3
    assert all(".layers.1." in name for name in adapted_layers(tall))

    model = make_model("bart")
    add_lora(model, lora(exclude_modules=r".*encoder\..*"))
    assert all(".decoder." in name for name in adapted_layers(model))

    with pytest.raises(
        ModelError, match=r"layers_to_transform = \[9\]: no layer with such a number"
    ):
        add_lora(make_model("bart"), lora(layers_to_transform=[9]))


def test_leaving_out_what_is_not_there_is_an_error(make_model):
    with pytest.raises(ModelError, match="exclude_modules: typo matches no linear layer"):
        find_targets(make_model("t5").text_model, exclude=["typo"])


def test_leaving_out_every_layer_is_an_error(make_model):
    with pytest.raises(ModelError, match="no layer is found for queries and values"):
        add_lora(make_model("bart"), lora(exclude_modules=["q_proj", "v_proj"]))


def test_weights_that_are_embeddings_too_are_never_adapted(make_model):
    """transformers doesn't know fsmt's output layer for one."""
    model = make_model("fsmt", config={"tie_word_embeddings": True})

    assert not [name for name in linear_layers(model.text_model) if "output" in name]


@pytest.mark.parametrize("kind", ["deepseek_v3", "falcon", "phi3"])
def test_the_rule_serves_attentions_of_other_kinds(kind):
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind)
    config.num_hidden_layers = 2
    with torch.device("meta"):
        text_model = text_model_from_config(config)

    assert 2 <= len(find_targets(text_model)) <= 4


# -------------------------------------------------------------------------- what else there is


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 1}},
        {"modules_to_save": ["encoder_attn_layer_norm", "decoder.layernorm_embedding"]},
        {"target_modules": "all-linear"},
    ],
    ids=str,
)
def test_other_settings_of_peft_are_saved_loaded_and_merged_too(
    make_model, clips, tmp_path, settings
):
    model, batch = make_model("bart"), clips(16, 9)
    adapted = add_lora(model, lora(**settings))
    learn(model, batch)
    adapted.save_pretrained(tmp_path)
    wanted = logits_of(model, batch)

    loaded = load_lora(make_model("bart"), tmp_path)

    torch.testing.assert_close(
        logits_of(without_adapters(loaded), batch), wanted, atol=2e-6, rtol=0
    )
    merged = merge_lora(adapted)
    torch.testing.assert_close(logits_of(merged, batch), wanted, atol=1e-5, rtol=0)
    assert set(merged.state_dict()) == set(make_model("bart").state_dict())


def test_every_parameter_that_trains_gets_a_gradient(make_model, clips):
    model = make_model("bart")
    add_lora(model, lora(bias="all"))
    model(**clips(16, 9), labels=LABELS).loss.backward()

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(parameter.grad is not None for parameter in trained.values())
    assert any(name.endswith("fc1.bias") for name in trained)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nothing", r"this bart model has no 'nothing'"),
        ("lm_head", r"lm_head of this bart model has its weights in common with model\.shared"),
        ("model.shared", r"model\.shared of this bart model has its weights in common with"),
    ],
)
def test_modules_that_cannot_train_in_full_are_an_error(make_model, wanted, message):
    with pytest.raises(ModelError, match=rf"modules_to_save: {message}"):
        add_lora(make_model("bart"), lora(modules_to_save=[wanted]))


def test_the_attention_between_two_models_trains_in_full(make_model, clips, tmp_path):
    """It starts at random where encoder and decoder come from two models, in each of them anew."""
    model, batch = make_model("bert", decoder_name="gpt2"), clips(16, 9)
    in_full = cross_attention(model.text_model)
    adapted = add_lora(model, lora(), in_full=in_full)
    learn(model, batch)
    adapted.save_pretrained(tmp_path)
    again = make_model("bert", decoder_name="gpt2")
    for name in cross_attention(again.text_model):
        for parameter in again.text_model.get_submodule(name).parameters():
            torch.nn.init.normal_(parameter)

    loaded = without_adapters(load_lora(again, tmp_path))

    assert [name.rpartition(".")[2] for name in in_full] == ["crossattention", "ln_cross_attn"]
    torch.testing.assert_close(logits_of(loaded, batch), logits_of(model, batch))


def test_gpt2s_transposed_weights_and_berts_are_adapted_in_one_model(make_model):
    """peft warns of each kind while it meets the other; warnings fail the tests."""
    model = make_model("bert", decoder_name="gpt2")
    add_lora(model, lora())

    assert {name.rpartition(".")[2] for name in adapted_layers(model)} == {
        *("query", "value", "c_attn", "q_attn")
    }


# --------------------------------------------------------------------------------- the counting


def test_parameters_are_counted_by_what_trains(make_model):
    model = make_model("bart")
    whole, of_poses = sum(p.numel() for p in model.parameters()), 0
    of_poses = sum(parameter.numel() for parameter in model.pose_encoder.parameters())
    assert count_parameters(model).describe() == f"{whole:,}, all of which train"

    add_lora(model, lora())
    found = count_parameters(model)

    assert found.adapters == 6 * 4 * (32 + 32)  # layers, rank, width in and out
    assert (found.total, found.pose_encoder) == (whole + found.adapters, of_poses)
    share = f"{100 * (of_poses + 1536) / found.total:.2f}"
    assert found.describe() == (
        f"{found.total:,}, of which {of_poses + 1536:,} ({share}%) train: pose encoder {of_poses:,}, adapters 1,536"
    )


# ------------------------------------------------------------------------------ the fingerprint


def test_the_fingerprint_tells_weights_apart_and_not_their_precision(make_model):
    model, other = make_model("t5").text_model, make_model("t5").text_model
    fingerprint = base_digest(model)
    assert fingerprint == base_digest(other)
    assert fingerprint == base_digest(other.bfloat16())

    with torch.no_grad():
        other.get_input_embeddings().weight[3] += 0.5

    assert fingerprint != base_digest(other)


def test_adapters_of_other_sizes_are_not_loaded(make_model, tmp_path):
    add_lora(make_model("bart"), lora()).save_pretrained(tmp_path)

    with pytest.raises(CheckpointError, match=r"the adapters can't be loaded[\s\S]*size mismatch"):
        load_lora(make_model("bart", encoder={"width": 32}), tmp_path)


def test_activations_can_be_recomputed_with_adapters(make_model, clips):
    batch, losses = clips(16, 9), []
    for recompute in (False, True):
        model = make_model("t5")
        add_lora(model, lora())
        if recompute:
            recompute_activations(model)
        learn(model, batch, steps=3)
        losses.append(float(model(**batch, labels=LABELS).loss.detach()))

    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
