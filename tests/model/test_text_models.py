import pickle
from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlavaConfig,
    PreTrainedTokenizerFast,
    T5Config,
    ViTConfig,
    Wav2Vec2Config,
    WhisperConfig,
)

from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.architectures import (
    ENCODER_DECODERS,
    has_positions,
    position_limit,
    refusal,
)
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.sizes import DROPOUT_KEYS, is_dropout, set_dropout
from signseq.model.text_models import (
    load_text_model,
    load_tokenizer,
    text_model_from_config,
)
from signseq.model.vocabulary import train_tokenizer
from signseq.settings import flatten

SIZE = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}
TEXTS = ["we eat bread", "we see water", "you eat anna's bread", "Café, bitte!"]


def scratch(name, **settings):
    return ModelConfig.model_validate(
        {"name": name, "from_scratch": True, "size": SIZE, "dropout": 0.0} | settings
    )


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS)


@pytest.fixture
def bart_folder(tmp_path, tokenizer):
    """A text model of the user's own, as `save_pretrained` leaves it."""
    text_model_from_config(load_text_model(scratch("bart"), tokenizer).config).save_pretrained(
        tmp_path / "bart"
    )
    tokenizer.save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


# ------------------------------------------------------------------------ every architecture


@pytest.mark.parametrize("name", ["t5", "mt5", "umt5", "longt5"])
def test_models_without_positions_are_given_some(make_model, name):
    assert not has_positions(make_model(name).text_model.config)
    assert make_model(name).pose_encoder.output.positions
    assert not make_model(name, encoder={"positions": "none"}).pose_encoder.output.positions


def test_models_with_positions_are_given_none(make_model):
    assert not make_model("bart").pose_encoder.output.positions
    assert make_model("bart", encoder={"positions": "sinusoidal"}).pose_encoder.output.positions


@pytest.mark.parametrize(
    ("config", "encoder", "decoder"),
    [
        (BartConfig(max_position_embeddings=77), 77, 77),
        (T5Config(), None, None),
    ],
)
def test_position_limit_is_the_architectures(config, encoder, decoder):
    assert position_limit(config) == encoder
    assert position_limit(config, "decoder") == decoder


def test_led_has_a_limit_for_each_side(make_model):
    config = make_model("led").text_model.config

    assert (position_limit(config), position_limit(config, "decoder")) == (16384, 1024)


def test_layers_are_never_skipped_at_random(make_model):
    assert make_model("m2m_100").text_model.config.encoder_layerdrop == 0


# --------------------------------------------------------------------------- a local folder


def test_a_folder_is_loaded_like_any_hub_model(bart_folder, tokenizer):
    settings = ModelConfig(name=str(bart_folder))
    found = load_tokenizer(settings, [])
    model = load_text_model(settings, found)

    wanted = AutoModelForSeq2SeqLM.from_pretrained(bart_folder).state_dict()
    assert found(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert all(weight.equal(wanted[name]) for name, weight in model.state_dict().items())


def test_a_folder_without_a_tokenizer_is_an_error(bart_folder):
    """transformers would make one up."""
    for path in bart_folder.glob("tokenizer*"):
        path.unlink()

    with pytest.raises(ModelError, match=r"has no tokenizer's files.*model\.tokenizer"):
        load_tokenizer(ModelConfig(name=str(bart_folder)), [])


def test_half_precision_checkpoints_arrive_in_full_precision(bart_folder, tokenizer):
    AutoModelForSeq2SeqLM.from_pretrained(bart_folder).to(torch.bfloat16).save_pretrained(
        bart_folder
    )

    model = load_text_model(ModelConfig(name=str(bart_folder)), tokenizer)

    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_dropout_replaces_the_models_own(bart_folder, tokenizer):
    model = load_text_model(ModelConfig(name=str(bart_folder), dropout=0.25), tokenizer)

    assert model.model.encoder.layers[0].dropout == 0.25


@pytest.mark.parametrize("kind", ["bart", "t5", "gpt2"])
def test_weights_beyond_the_machines_memory_are_counted_and_not_made(kind, tokenizer):
    vast = {"width": 2**18, "layers": 2, "heads": 2, "feed_forward": 2**19}

    with pytest.raises(
        ModelError, match=r"has [\d,]+ parameters, .* alone take [\d,]+ GiB.*model\.size"
    ):
        load_text_model(scratch(kind, size=vast), tokenizer)


KINDS = [kind for kind in ENCODER_DECODERS if refusal(AutoConfig.for_model(kind)) is None]
KINDS += ["gpt2", "gpt_neo", "llama", "opt", "gemma3_text", "starcoder2", "bloom", "mpt", "bert"]


def dropouts(config):
    """Every probability of dropping something, of the parts too, by dotted keys."""
    found = {}
    for key, value in flatten(config.to_dict()).items():
        if is_dropout(key.rpartition(".")[2], value):
            found[key] = value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_dropout_turns_off_all_that_an_architecture_has(kind):
    config = AutoConfig.for_model(kind)

    set_dropout(config, 0.0)

    assert set(dropouts(config).values()) == {0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_raises_the_main_one_of_each_side_only(kind):
    own, config = (AutoConfig.for_model(kind) for _ in range(2))

    set_dropout(config, 0.3)

    raised = {key for key, value in dropouts(config).items() if value > dropouts(own)[key]}
    assert raised
    assert {dropouts(config)[key] for key in raised} == {0.3}
    assert {key.rpartition(".")[2] for key in raised} <= {
        key for keys in DROPOUT_KEYS for key in keys
    }


@pytest.mark.parametrize("kind", ["gpt2", "bart", "t5", "opt"])
def test_without_dropout_training_computes_the_same_twice(kind, tokenizer):
    model = load_text_model(scratch(kind), tokenizer).train()
    ids = torch.tensor([[5, 6, 7]])

    one, other = (model(input_ids=ids, labels=ids).logits for _ in range(2))

    assert one.equal(other)


def test_from_scratch_takes_only_the_architecture_of_a_folder(bart_folder, tokenizer):
    first = AutoModelForSeq2SeqLM.from_pretrained(bart_folder)
    model = load_text_model(ModelConfig(name=str(bart_folder), from_scratch=True), tokenizer)

    assert model.config.d_model == first.config.d_model
    assert not model.get_input_embeddings().weight.equal(first.get_input_embeddings().weight)


def test_sizes_have_one_name_for_every_architecture(tokenizer):
    for name in ("t5", "bart"):
        config = load_text_model(scratch(name), tokenizer).config
        assert (config.hidden_size, config.num_attention_heads) == (32, 2)
        assert config.to_dict()["d_ff" if name == "t5" else "decoder_ffn_dim"] == 64


def test_settings_by_the_architectures_own_name_are_applied(tokenizer):
    settings = scratch("bart", config={"max_position_embeddings": 50})

    assert load_text_model(settings, tokenizer).config.max_position_embeddings == 50


# ---------------------------------------------------------------------------------- mistakes


def test_an_unknown_model_names_the_ways_out(tokenizer):
    with pytest.raises(
        ModelError,
        match=r"'barrt' can't be loaded.*local folder.*hub.*folder.*'bart'.*from_scratch",
    ):
        load_text_model(ModelConfig(name="barrt"), tokenizer)


def test_an_unknown_architecture_names_the_nearest(tokenizer):
    with pytest.raises(ModelError, match=r"Did you mean the architecture 'pegasus'\?"):
        load_text_model(scratch("pegassus"), tokenizer)


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(ModelError, match="The tokenizer 'nobody/nothing' can't be loaded"):
        load_tokenizer(ModelConfig(name="t5-small", tokenizer="nobody/nothing"), [])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BertConfig(), "only read; with model.decoder_name"),
        (ViTConfig(), "don't write text from text"),
        (WhisperConfig(), "don't write text from text"),
        (Wav2Vec2Config(), "don't write text from text"),
        (LlavaConfig(), "look at images or listen to audio"),
    ],
)
def test_models_that_are_no_text_models_are_refused(tmp_path, tokenizer, config, reason):
    config.save_pretrained(tmp_path)

    with pytest.raises(ModelError, match=rf"'{config.model_type}' models {reason}.*Choose a seq"):
        load_text_model(ModelConfig(name=str(tmp_path)), tokenizer)


@pytest.mark.parametrize("name", ["qwen2_audio", "voxtral", "granite_speech", "vibevoice_asr"])
def test_audio_language_models_are_refused(tokenizer, name):
    with pytest.raises(ModelError, match=f"'{name}' models listen to audio"):
        load_text_model(ModelConfig(name=name, from_scratch=True), tokenizer)


@pytest.mark.parametrize(
    "name", ["t5gemma", "t5gemma2", "prophetnet", "fsmt", "gpt2", "gemma3_text"]
)
def test_sizes_reach_configs_of_every_shape(tokenizer, name):
    small = text_model_parameters(scratch(name), tokenizer)
    large = text_model_parameters(scratch(name, size=SIZE | {"layers": 2}), tokenizer)

    assert small < large < 400_000


def text_model_parameters(settings, tokenizer):
    model = load_text_model(settings, tokenizer)
    return sum(parameter.numel() for parameter in model.parameters())


def test_settings_of_a_part_are_dotted(tokenizer):
    settings = scratch("t5gemma", config={"decoder.sliding_window": 7})

    assert load_text_model(settings, tokenizer).config.decoder.sliding_window == 7


def test_a_composite_is_made_of_two_names(tokenizer):
    model = load_text_model(scratch("bert", decoder_name="gpt2"), tokenizer)

    assert (model.config.encoder.model_type, model.config.decoder.model_type) == ("bert", "gpt2")
    assert model.config.decoder.add_cross_attention


def test_a_composite_is_loaded_from_two_folders(tmp_path, tokenizer):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=30, intermediate_size=64, **sizes)).save_pretrained(
        tmp_path / "a"
    )
    decoder = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=2))
    decoder.save_pretrained(tmp_path / "b")
    settings = ModelConfig(name=str(tmp_path / "a"), decoder_name=str(tmp_path / "b"))

    model = load_text_model(settings, tokenizer)

    wanted = decoder.transformer.wte.weight
    assert model.decoder.transformer.wte.weight.equal(wanted)
    assert model.generation_config.decoder_start_token_id == tokenizer.bos_token_id


def test_a_decoder_of_another_width_is_bridged(tokenizer):
    settings = scratch("bert", decoder_name="gpt2", config={"decoder.n_embd": 16})

    assert load_text_model(settings, tokenizer).enc_to_dec_proj.out_features == 16


def test_missing_tensors_are_said(bart_folder, tokenizer, caplog):
    weights = load_file(bart_folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "decoder.layers.0.fc1" not in name}
    save_file(kept, bart_folder / "model.safetensors", metadata={"format": "pt"})

    load_text_model(ModelConfig(name=str(bart_folder)), tokenizer)

    assert "lacks 2 of the tensors" in caplog.text
    assert "decoder.layers.0.fc1" in caplog.text


def test_missing_tensors_are_an_error_where_lora_would_freeze_them(bart_folder, tokenizer):
    weights = load_file(bart_folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "decoder.layers.0.fc1" not in name}
    save_file(kept, bart_folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"lacks 2 tensors .* LoRA would freeze random weights"):
        load_text_model(ModelConfig(name=str(bart_folder), use_lora=True), tokenizer)


def test_untied_output_weights_stay_untied(make_model, tmp_path):
    """As mT5's are: transformers builds T5 tied, and unties it where two matrices were saved."""
    model = make_model("mt5")
    model.text_model.lm_head.weight = torch.nn.Parameter(
        torch.randn_like(model.text_model.shared.weight)
    )
    model.save_pretrained(tmp_path)

    loaded = SignTranslationModel.from_pretrained(tmp_path)

    assert loaded.text_model.lm_head.weight.equal(model.text_model.lm_head.weight)
    assert loaded.text_model.shared.weight.equal(model.text_model.shared.weight)


def test_a_tokenizer_larger_than_the_embedding_is_refused(bart_folder):
    larger = train_tokenizer([*TEXTS, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"])

    with pytest.raises(ModelError, match=r"has \d+ tokens.*embeds \d+; they don't belong together"):
        load_text_model(ModelConfig(name=str(bart_folder)), larger)


def test_a_tokenizer_without_an_end_token_is_refused(tokenizer):
    endless = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>"
    )

    with pytest.raises(ModelError, match="no end token, or none to pad with"):
        load_text_model(scratch("bart"), endless)


def test_an_unknown_setting_names_the_nearest(tokenizer):
    with pytest.raises(ModelError, match=r"bart has no setting 'encoder_layer'.*'encoder_layers'"):
        load_text_model(scratch("bart", config={"encoder_layer": 3}), tokenizer)


@pytest.mark.parametrize("name", ["bart", "marian", "pegasus"])
def test_sizes_that_do_not_fit_are_refused(tokenizer, name):
    settings = scratch(name, size={"width": 32, "heads": 5, "layers": 1, "feed_forward": 8})

    with pytest.raises(ModelError, match=f"A {name} model can't be made with these sizes"):
        load_text_model(settings, tokenizer)


def test_t5_takes_any_number_of_heads(tokenizer):
    settings = scratch("t5", size={"width": 32, "heads": 5, "layers": 1, "feed_forward": 8})

    assert load_text_model(settings, tokenizer).config.d_kv == 6


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickled file was opened",)


def test_pickled_weights_are_refused_unread(bart_folder, tokenizer):
    (bart_folder / "model.safetensors").unlink()
    (bart_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(ModelError, match="safetensors"):
        load_text_model(ModelConfig(name=str(bart_folder)), tokenizer)


def test_a_damaged_weights_file_is_a_model_error(bart_folder, tokenizer):
    weights = bart_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])

    with pytest.raises(ModelError, match="can't be loaded"):
        load_text_model(ModelConfig(name=str(bart_folder)), tokenizer)


def test_loading_does_not_change_the_config_given(make_model):
    """A nested config object would be changed in place, and lose its causal mask."""
    config = make_model().config
    before = deepcopy(config.text_model)

    SignTranslationModel(config)

    assert config.text_model == before
