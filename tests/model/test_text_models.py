import pickle
from copy import deepcopy

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    GPT2Config,
    PreTrainedTokenizerFast,
    T5Config,
    WhisperConfig,
)

from conftest import WORDS
from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import (
    embedding_scale,
    has_positions,
    load_text_model,
    load_tokenizer,
    position_limit,
    text_model_from_config,
)
from signseq.model.word_tokenizer import train_tokenizer

ARCHITECTURES = "bart blenderbot led longt5 m2m_100 marian mbart mt5 pegasus t5 umt5".split()
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


# ------------------------------------------------------------------------------- the tokenizer


@pytest.mark.parametrize(
    "text",
    [
        "it's Anna's, isn't it?",
        "we eat 🍞 and 👩🏽‍🌾!",
        "نحن نأكل الخُبز",
        "Café über naïve Straße",
        "हम रोटी खाते हैं",
        "我们吃面包。",
        "a  b\tc",
        "x",
    ],
)
def test_training_texts_come_back_exactly(text):
    tokenizer = train_tokenizer([text, *TEXTS])

    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_frequent_words_are_one_token(tokenizer):
    assert tokenizer.tokenize("we eat bread") == ["we", " eat", " bread"]


def test_unseen_names_are_spelled(tokenizer):
    assert tokenizer.tokenize("we see tanner") == ["we", *" see", *" tanner"]


def test_a_name_is_not_split_by_a_frequent_word_inside_it():
    tokenizer = train_tokenizer(["we eat", "we eat", "wendy eats theatre"])

    assert tokenizer.tokenize("wendy eats theatre") == [*"wendy", *" eats", *" theatre"]


def test_texts_end_with_the_end_token(tokenizer):
    assert tokenizer("we eat")["input_ids"][-1] == tokenizer.eos_token_id


def test_cut_texts_keep_the_end_token(tokenizer):
    ids = tokenizer("you eat anna's bread", truncation=True, max_length=4)["input_ids"]

    assert (len(ids), ids[-1]) == (4, tokenizer.eos_token_id)


def test_unknown_characters_become_unknown(tokenizer):
    assert tokenizer.tokenize("we Ω") == ["we", " ", "<unk>"]


def test_a_saved_tokenizer_is_loaded_the_same(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)

    for text in [*TEXTS, "unseen: wendy"]:
        assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
        ids = loaded(text)["input_ids"]
        assert loaded.decode(ids, skip_special_tokens=True) == tokenizer.decode(
            ids, skip_special_tokens=True
        )


# ------------------------------------------------------------------------ every architecture


def labels_for(model):
    return torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_step_lowers_the_loss(make_model, clips, name):
    model = make_model(name)
    batch = clips(16, 9) | {"labels": labels_for(model)}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)

    before = model(**batch).loss
    before.backward()
    optimizer.step()

    assert model(**batch).loss.item() < before.item()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_leaks(make_model, name):
    check_for_leaks(make_model(name))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_saved_model_is_loaded_the_same(make_model, clips, tmp_path, name):
    model = make_model(name).train(False)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)
    batch = clips(16, 9)

    for made in (model, loaded):
        assert made(**batch, labels=labels_for(made)).logits.equal(
            model(**batch, labels=labels_for(model)).logits
        )
    settings = {"num_beams": 2, "max_new_tokens": 6}
    assert loaded.generate(**batch, **settings).equal(model.generate(**batch, **settings))
    assert not [
        path.name for path in tmp_path.iterdir() if path.suffix not in (".safetensors", ".json")
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tied_weights_are_still_tied_after_loading(make_model, tmp_path, name):
    model = make_model(name)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)

    def storages(model):
        return len({weight.data_ptr() for weight in model.state_dict().values()})

    assert storages(loaded) == storages(model)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_search_takes_the_likeliest_token_at_every_step(make_model, clips, name):
    model = make_model(name).train(False)
    batch = clips(16)
    generated = model.generate(**batch, num_beams=1, max_new_tokens=6, do_sample=False)
    ids = generated[:, :1]
    assert ids.item() == model.text_model.generation_config.decoder_start_token_id

    while ids.shape[1] < generated.shape[1]:
        likeliest = model(**batch, decoder_input_ids=ids).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, likeliest], dim=1)

    assert ids.equal(generated)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_and_generation_start_with_the_same_token(make_model, name):
    model = make_model(name)
    start = model.text_model.generation_config.decoder_start_token_id

    assert model.shift_right(torch.tensor([[7, 8, 2]]))[0].tolist() == [start, 7, 8]


@pytest.mark.parametrize("name", ["t5", "mt5", "umt5", "longt5"])
def test_models_without_positions_are_given_some(make_model, name):
    assert not has_positions(make_model(name).text_model.config)
    assert make_model(name).pose_encoder.output.positions
    assert not make_model(name, encoder={"positions": "none"}).pose_encoder.output.positions


def test_models_with_positions_are_given_none(make_model):
    assert not make_model("bart").pose_encoder.output.positions
    assert make_model("bart", encoder={"positions": "sinusoidal"}).pose_encoder.output.positions


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pose_embeddings_start_at_the_size_of_token_embeddings(make_model, clips, name):
    model = make_model(name, encoder={"positions": "none"})
    poses = clips(60)

    embeddings, _ = model.pose_encoder(poses["poses"], poses["attention_mask"])

    size = float(embeddings.detach().pow(2).mean().sqrt())
    assert size == pytest.approx(embedding_scale(model.text_model), rel=0.05)


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


def test_half_precision_checkpoints_arrive_in_full_precision(bart_folder, tokenizer):
    AutoModelForSeq2SeqLM.from_pretrained(bart_folder).to(torch.bfloat16).save_pretrained(
        bart_folder
    )

    model = load_text_model(ModelConfig(name=str(bart_folder)), tokenizer)

    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_dropout_replaces_the_models_own(bart_folder, tokenizer):
    model = load_text_model(ModelConfig(name=str(bart_folder), dropout=0.25), tokenizer)

    assert model.model.encoder.layers[0].dropout == 0.25


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
        ModelError, match=r"'barrt' can't be loaded.*local folder.*hub.*'bart'.*from_scratch"
    ):
        load_text_model(ModelConfig(name="barrt"), tokenizer)


def test_an_unknown_architecture_names_the_nearest(tokenizer):
    with pytest.raises(ModelError, match=r"Did you mean the architecture 'pegasus'\?"):
        load_text_model(scratch("pegassus"), tokenizer)


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(ModelError, match="The tokenizer 'nobody/nothing' can't be loaded"):
        load_tokenizer(ModelConfig(name="t5-small", tokenizer="nobody/nothing"), [])


@pytest.mark.parametrize("config", [GPT2Config(), BertConfig(), WhisperConfig()])
def test_other_kinds_of_models_are_refused(tmp_path, tokenizer, config):
    config.save_pretrained(tmp_path)

    with pytest.raises(
        ModelError, match=rf"of type '{config.model_type}'.*no encoder-decoder text"
    ):
        load_text_model(ModelConfig(name=str(tmp_path)), tokenizer)


@pytest.mark.parametrize("name", ["gpt2", "bert", "qwen2_audio", "voxtral"])
def test_other_architectures_are_refused(tokenizer, name):
    with pytest.raises(ModelError, match="no encoder-decoder text model"):
        load_text_model(ModelConfig(name=name, from_scratch=True), tokenizer)


def test_an_architecture_whose_sizes_are_nested_refuses_size(tokenizer):
    with pytest.raises(ModelError, match=r"model\.size\.width: t5gemma models"):
        load_text_model(scratch("t5gemma"), tokenizer)


def test_a_tokenizer_larger_than_the_embedding_is_refused(bart_folder):
    larger = train_tokenizer([*TEXTS, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"])

    with pytest.raises(ModelError, match=r"has \d+ tokens.*embeds \d+; they don't belong together"):
        load_text_model(ModelConfig(name=str(bart_folder)), larger)


def test_a_tokenizer_without_an_end_token_is_refused(tokenizer):
    endless = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>"
    )

    with pytest.raises(ModelError, match="no padding or no end token"):
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


def test_words_of_the_corpus_are_tokens():
    tokenizer = train_tokenizer([f"{word} {word}" for word in WORDS] * 2)

    assert all(len(tokenizer.tokenize(word)) == 1 for word in WORDS)
