"""`model.init_from`: starting from the weights of a checkpoint."""

import logging

import numpy as np
import pytest
import torch

from conftest import tiny_config, write_corpus
from signseq.config import save_config
from signseq.errors import CheckpointError, ConfigError
from signseq.model.loading import load_model, load_whole
from signseq.model.text_models import embedding_scale
from signseq.model.warm_start import warm_start, warn_of_unknown_characters
from signseq.training.run import build_parts, train
from signseq.translation import Translator

CTC = "training.ctc_weight=0.3"


@pytest.fixture(scope="module")
def origin(prepared, tmp_path_factory):
    """A checkpoint, as training leaves it, whose weights are no new model's."""
    return save_origin(tiny_config(prepared, CTC), tmp_path_factory.mktemp("origin"))


def save_origin(config, folder):
    parts = build_parts(config)
    with torch.no_grad():
        for weight in parts.model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    parts.model.pose_encoder.features.mean.fill_(0.25)
    parts.model.save_pretrained(folder)
    parts.tokenizer.save_pretrained(folder)
    save_config(config, folder / "config.yaml")
    return folder


def weights(model):
    return {name: weight for name, weight in model.state_dict().items() if ".ctc." not in name}


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_a_run_starts_from_all_weights_of_the_checkpoint(run_config, origin):
    plain = build_parts(run_config()).model
    model = build_parts(run_config(f"model.init_from={origin}")).model
    wanted = weights(load_model(origin))

    assert same(weights(model), wanted)
    assert not same(weights(plain), wanted)


def test_the_statistics_of_the_coordinates_are_the_checkpoints(run_config, origin):
    model = build_parts(run_config(f"model.init_from={origin}")).model

    assert float(model.pose_encoder.features.mean.mean()) == 0.25


def test_the_tokenizer_is_the_checkpoints_even_where_texts_are_others(origin, tmp_path):
    write_corpus(tmp_path, train=8)
    table = (tmp_path / "train.csv").read_text().replace("bread", "zebra")
    (tmp_path / "train.csv").write_text(table)
    other = tiny_config(
        tmp_path, f"model.init_from={origin}", "data.val_path=null", "data.test_path=null"
    )

    tokenizer = build_parts(other).tokenizer

    assert tokenizer.get_vocab() == build_parts_tokenizer(origin)
    assert tokenizer("zebra")["input_ids"].count(tokenizer.unk_token_id) > 0


def build_parts_tokenizer(folder):
    return Translator.from_pretrained(folder).tokenizer.get_vocab()


def test_characters_that_its_tokenizer_doesnt_know_are_counted(caplog, origin):
    tokenizer = Translator.from_pretrained(origin).tokenizer
    labels = [np.array(tokenizer(text)["input_ids"]) for text in ("we eat", "zq")]

    with caplog.at_level(logging.WARNING):
        warn_of_unknown_characters(tokenizer, labels, folder=origin)

    assert "1 training texts hold characters" in caplog.text


def test_a_head_for_ctc_is_taken_over_where_it_writes_the_same(run_config, origin):
    def head(*overrides):
        model = build_parts(run_config(f"model.init_from={origin}", *overrides)).model
        return model.pose_encoder.ctc.project.weight

    wanted = load_model(origin).pose_encoder.ctc.project.weight

    assert head(CTC).equal(wanted)
    assert head(CTC, "training.ctc_target=tokens").shape != wanted.shape
    assert not hasattr(
        build_parts(run_config(f"model.init_from={origin}")).model.pose_encoder, "ctc"
    )


def test_dropout_may_change(run_config, origin):
    build_parts(run_config(f"model.init_from={origin}", "model.dropout=0.3"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.keypoints=hands", r"data\.keypoints: upper_body_hands there, hands here"),
        ("data.normalize=shoulders", r"data\.normalize: parts there, shoulders here"),
        ("model.encoder.stride=4", r"model\.encoder\.stride: 2 there, 4 here"),
        ("model.encoder.type=part_gcn", r"model\.encoder\.type: conv there, part_gcn here"),
        ("model.encoder.registers=2", r"model\.encoder\.registers: 0 there, 2 here"),
        ("model.name=t5", r"the architecture: bart there, t5 here"),
        ("model.size.width=16", r"the size of text_model.*: \(32,\) there, \(16,\) here"),
        ("model.size.layers=2", r"model\.size: \d+ tensors here have no counterpart there"),
    ],
)
def test_what_differs_is_named(run_config, origin, tmp_path, override, said):
    store = f"data.store={tmp_path / 'store'}"  # other keypoints need another
    config = run_config(f"model.init_from={origin}", override, store)

    with pytest.raises(CheckpointError, match=said):
        build_parts(config)


def test_another_vocabulary_is_refused(run_config, origin, tmp_path):
    other = build_parts(run_config("model.vocabulary={type: characters}"))
    other.tokenizer.save_pretrained(tmp_path / "characters")
    named = f"model.tokenizer={tmp_path / 'characters'}"

    with pytest.raises(CheckpointError, match=r"model\.tokenizer: \d+ tokens there, \d+ here"):
        build_parts(run_config(f"model.init_from={origin}", named))


def test_a_checkpoint_that_isnt_there_is_named(run_config, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such checkpoint folder"):
        build_parts(run_config(f"model.init_from={tmp_path / 'nowhere'}"))


def test_quantized_weights_cant_start_from_a_checkpoint(run_config, origin):
    with pytest.raises(ConfigError, match=r"load_in_4bit and model\.init_from are both given"):
        run_config(
            *(f"model.init_from={origin}", "model.use_lora=true", "model.load_in_4bit=true"),
            "model.from_scratch=false",
        )


def test_the_random_state_is_left_as_it_was(run_config, origin):
    model = build_parts(run_config(f"model.init_from={origin}"))
    before = torch.get_rng_state()

    warm_start(model.model, origin, tokenizer=model.tokenizer)

    assert torch.get_rng_state().equal(before)


# ------------------------------------------------------------------------------- only some weights


def parts_of(model, of_decoder):
    """Weights of the pose encoder, of the text model's encoder, and the rest of it."""
    groups = {"pose_encoder": {}, "encoder": {}, "decoder": {}}
    for name, weight in weights(model).items():
        kind = "pose_encoder" if name.startswith("pose_encoder") else "encoder"
        groups["decoder" if name in of_decoder else kind][name] = weight
    return groups


@pytest.mark.parametrize(
    ("parts", "taken"),
    [
        ("pose_encoder", {"pose_encoder"}),
        ("text_model", {"encoder", "decoder"}),
        ("decoder", {"decoder"}),
    ],
)
def test_only_the_parts_that_are_asked_for_are_taken(run_config, origin, parts, taken):
    torch.manual_seed(0)
    plain = build_parts(run_config()).model
    torch.manual_seed(0)
    model = build_parts(run_config(f"model.init_from={origin}", f"model.init_parts={parts}")).model
    names = [name for name in weights(plain) if name.startswith("text_model.")]
    of_decoder = {name for name in names if ".encoder." not in name}
    of_decoder.add("text_model.model.encoder.embed_tokens.weight")  # which both sides share
    found, old, wanted = (parts_of(each, of_decoder) for each in (model, plain, load_model(origin)))
    for each in (found, old, wanted):  # scaled to the embeddings that now are there
        for name in ("weight", "bias"):
            each["pose_encoder"].pop(f"pose_encoder.output.norm.{name}")

    for part in found:
        assert same(found[part], (wanted if part in taken else old)[part]), part


def test_what_a_new_pose_encoder_gives_has_the_size_of_the_embeddings_it_is_put_before(
    run_config, origin
):
    settings = (f"model.init_from={origin}", "model.encoder.registers=2")
    model = build_parts(run_config(*settings, "model.init_parts=decoder")).model
    size = embedding_scale(model.text_model)

    assert embedding_scale(build_parts(run_config()).model.text_model) != pytest.approx(
        size, rel=0.1
    )
    output = model.pose_encoder.output
    assert output.norm.weight.mean().item() == pytest.approx(size)
    assert output.registers.std().item() == pytest.approx(size, rel=0.5)
    assert model.config.encoder["scale"] == pytest.approx(size)


def test_a_taken_pose_encoder_is_scaled_from_the_embeddings_that_it_was_made_for(
    run_config, origin
):
    settings = (f"model.init_from={origin}", "model.init_parts=pose_encoder")
    model, known = build_parts(run_config(*settings)).model, load_model(origin)

    ratio = embedding_scale(model.text_model) / known.config.encoder["scale"]
    assert ratio != pytest.approx(1.0, rel=0.01)
    for name in ("weight", "bias"):
        found, was = (getattr(each.pose_encoder.output.norm, name) for each in (model, known))
        torch.testing.assert_close(found, was * ratio)
    assert model.config.encoder["scale"] == pytest.approx(embedding_scale(model.text_model))


def test_a_decoder_with_more_layers_is_not_taken_in_part(run_config, origin):
    """The encoder may be deeper or not, as nothing of it is taken."""
    size = "model.size={width: 32, layers: 2, heads: 2, feed_forward: 64}"
    folder = origin.parent / "deeper"
    config = run_config(size)
    parts = build_parts(config)
    parts.model.save_pretrained(folder)
    parts.tokenizer.save_pretrained(folder)
    save_config(config, folder / "config.yaml")
    start = (f"model.init_from={folder}", "model.init_parts=decoder")

    with pytest.raises(
        CheckpointError, match=r"model\.size: .* there none here \(text_model\.model\.d"
    ):
        build_parts(run_config(*start))
    build_parts(run_config(*start, "model.config={decoder_layers: 2}"))


def test_a_decoder_is_taken_of_a_text_models_folder(run_config, origin, tmp_path):
    whole = load_model(origin)
    whole.text_model.save_pretrained(tmp_path / "text")
    Translator.from_pretrained(origin).tokenizer.save_pretrained(tmp_path / "text")

    config = run_config(
        *(f"model.name={tmp_path / 'text'}", f"model.init_from={tmp_path / 'text'}"),
        *("model.init_parts=decoder", "training.max_steps=1"),
    )
    found = build_parts(config).model.text_model.model

    assert found.decoder.layers[0].fc1.weight.equal(
        whole.text_model.model.decoder.layers[0].fc1.weight
    )
    assert not found.encoder.layers[0].fc1.weight.equal(
        whole.text_model.model.encoder.layers[0].fc1.weight
    )
    assert (train(config) / "model.safetensors").exists()


def test_other_poses_and_texts_matter_only_to_what_reads_them(run_config, origin, tmp_path):
    start = f"model.init_from={origin}"
    store = f"data.store={tmp_path / 'store'}"

    build_parts(run_config(start, "data.keypoints=hands", store, "model.init_parts=decoder"))
    other = build_parts(run_config(start, "model.name=gpt2", "model.init_parts=pose_encoder"))
    with pytest.raises(CheckpointError, match=r"architecture: bart there, t5 here"):
        build_parts(run_config(start, "model.name=t5", "model.init_parts=decoder"))
    with pytest.raises(CheckpointError, match=r"model\.encoder\.stride: 2 there, 4 here"):
        build_parts(run_config(start, "model.encoder.stride=4", "model.init_parts=pose_encoder"))

    assert float(other.model.pose_encoder.features.mean.mean()) == 0.25


def test_a_pose_encoder_gets_positions_where_the_new_text_model_needs_them(run_config, origin):
    settings = (f"model.init_from={origin}", "model.init_parts=pose_encoder", "model.name=t5")
    model = build_parts(run_config(*settings)).model

    assert model.config.encoder["positions"]
    assert not load_model(origin).config.encoder["positions"]
    assert float(model.pose_encoder.features.mean.mean()) == 0.25
    with pytest.raises(CheckpointError, match=r"model\.encoder\.positions: False there, True here"):
        build_parts(run_config(f"model.init_from={origin}", "model.encoder.positions=sinusoidal"))


def test_a_decoder_only_model_has_no_part_called_decoder(run_config, origin):
    causal = ("model.name=gpt2", "model.init_parts=decoder", f"model.init_from={origin}")

    with pytest.raises(CheckpointError, match="a gpt2 model is all decoder"):
        build_parts(run_config(*causal))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("model.init_parts=decoder",), "model.init_from names no checkpoint"),
        (
            ("model.init_from=x", "model.init_parts=decoder", "model.use_lora=true"),
            "don't go together",
        ),
        (
            ("model.init_from=x", "model.init_parts=decoder", "model.freeze_encoder=true"),
            "freeze_encoder would freeze random weights: model.init_parts is decoder",
        ),
    ],
)
def test_parts_that_would_be_random_are_neither_frozen_nor_adapted(run_config, overrides, said):
    with pytest.raises(ConfigError, match=said):
        run_config(*overrides)


# ----------------------------------------------------------------------------- whole runs, adapters


def test_a_run_that_goes_on_has_its_own_weights_and_needs_no_others(
    run_config, prepared, tmp_path, monkeypatch
):
    origin = save_origin(tiny_config(prepared), tmp_path / "origin")
    config = run_config(f"model.init_from={origin}", "training.max_steps=2")
    train(config)
    origin.rename(tmp_path / "elsewhere")

    monkeypatch.setattr("signseq.training.run.take_weights", None)  # a call would be an error
    train(config, resume=True)


def test_adapters_start_from_a_checkpoint_and_are_loaded_upon_it(run_config, origin, tmp_path):
    lora = run_config(
        *(f"model.init_from={origin}", "model.use_lora=true", "model.lora_config.r=2"),
        "training.max_steps=2",
    )
    folder = train(lora)

    adapted, base = load_model(folder), load_model(origin)
    key = "text_model.model.encoder.layers.0.fc1.weight"
    assert adapted.state_dict()[key].equal(base.state_dict()[key])

    again = build_parts(
        run_config(f"model.init_from={folder}", f"training.checkpoint_dir={tmp_path / 'next'}")
    )
    assert same(weights(again.model), weights(load_whole(folder)))
    train(lora, resume=True)


def test_adapters_whose_checkpoint_is_gone_say_so(run_config, prepared, tmp_path):
    origin = save_origin(tiny_config(prepared), tmp_path / "origin")
    overrides = (f"model.init_from={origin}", "model.use_lora=true", "training.max_steps=1")
    folder = train(run_config(*overrides))
    origin.rename(tmp_path / "elsewhere")

    with pytest.raises(CheckpointError, match=r"model\.init_from\), which is not there"):
        load_model(folder)


def test_adapters_on_random_weights_are_still_refused(run_config):
    with pytest.raises(ConfigError, match=r"model\.use_lora would freeze random weights"):
        run_config("model.use_lora=true")
