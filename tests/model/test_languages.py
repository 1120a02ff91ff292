"""Multilingual models: which language they are told to write, and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from transformers import (
    M2M100Tokenizer,
    MBart50Tokenizer,
    MBartTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    SeamlessM4TTokenizer,
)

from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.building import build_model, build_text_side
from signseq.model.generation import language_ids
from signseq.model.languages import Languages, find_languages
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.targets import TargetEncoder
from signseq.model.text_models import load_text_model
from signseq.model.vocabulary import train_tokenizer

TEXTS = ["we eat bread", "you see water", "wir essen brot"]
SIZE = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model and, beside it, a vocabulary as M2M100 wants it."""
    folder = tmp_path_factory.mktemp("pieces")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    tokens = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens += [piece for i in range(len(model)) if (piece := model.id_to_piece(i)) not in tokens]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    return folder


def own_tokenizer(codes: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = train_tokenizer(TEXTS * 2)
    tokenizer.add_special_tokens({"extra_special_tokens": codes})
    return tokenizer


def text_model(name: str, tokenizer: PreTrainedTokenizerFast):
    torch.manual_seed(0)
    more = {"num_experts": 4} if name == "nllb-moe" else {}
    settings = {"name": name, "from_scratch": True, "size": SIZE, "dropout": 0.0, "config": more}
    return load_text_model(ModelConfig.model_validate(settings), tokenizer)


def build(name: str, tokenizer: PreTrainedTokenizerFast, language: str | None):
    model = text_model(name, tokenizer)
    side = build_text_side(model, tokenizer, max_length=8, target_language=language)
    built = build_model(
        model,
        encoder={"type": "conv", "stride": 2, "width": 16, "positions": "auto"},
        recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
        keypoints=("a", "b", "c", "d"),
        mean=torch.zeros(4, 2),
        spread=torch.ones(4, 2),
        text_side=side,
        max_frames=64,
    )
    return built, side


CODES = ["de_DE", "en_XX", "zh_CN", "zh_TW"]
FIRST = ["mbart", "m2m_100", "nllb-moe", "seamless_m4t", "seamless_m4t_v2"]


# ------------------------------------------------------------------- the tokenizers of the field


def test_mbart_50_writes_its_code_first() -> None:
    tokenizer = MBart50Tokenizer()
    model = text_model("mbart", tokenizer)
    encode = build_text_side(model, tokenizer, max_length=8, target_language="en").targets

    labels = encode([("we", None)])[0]

    assert encode.languages is not None
    assert len(encode.languages.ids) == 52
    assert tokenizer.convert_ids_to_tokens(labels)[0] == "en_XX"
    assert labels[-1] == tokenizer.eos_token_id


def test_mbart_25_starts_from_its_code() -> None:
    tokenizer = MBartTokenizer()
    encode = build_text_side(
        text_model("mbart", tokenizer), tokenizer, max_length=8, target_language="en"
    ).targets

    labels = encode([("we", None)])[0]

    assert encode.languages is not None
    assert encode.languages.place == "last"
    assert tokenizer.convert_ids_to_tokens(labels)[-2:] == ["</s>", "en_XX"]
    tokenizer.tgt_lang = "en_XX"
    assert labels == tokenizer(text_target="we")["input_ids"]


def test_nllb_is_found_by_iso_codes() -> None:
    tokenizer = NllbTokenizer()
    languages = find_languages(text_model("m2m_100", tokenizer).config, tokenizer)

    assert languages is not None
    assert len(languages.ids) == 202
    wanted = {"en": "eng_Latn", "eng": "eng_Latn", "eng_Latn": "eng_Latn", "hi": "hin_Deva"}
    wanted |= {
        "ar": "arb_Arab",
        "sw": "swh_Latn",
        "ne": "npi_Deva",
        "ms": "zsm_Latn",
        "lv": "lvs_Latn",
    }
    assert {name: languages.code(name) for name in wanted} == wanted


def test_a_country_is_no_matter_to_a_model_that_has_no_countries() -> None:
    tokenizer = own_tokenizer(CODES)
    languages = find_languages(text_model("mbart", tokenizer).config, tokenizer)

    assert languages is not None
    assert (languages.code("en-US"), languages.code("de-DE")) == ("en_XX", "de_DE")


def test_labels_are_those_of_nllbs_own_tokenizer() -> None:
    tokenizer = NllbTokenizer(tgt_lang="deu_Latn")
    model = text_model("m2m_100", tokenizer)
    encode = build_text_side(model, tokenizer, max_length=8, target_language="de").targets
    tokenizer.tgt_lang = "deu_Latn"

    assert encode([("wir", None)])[0] == tokenizer(text_target="wir")["input_ids"]


def test_m2m100s_codes_are_found_though_they_are_no_special_tokens(pieces: Path) -> None:
    files = {"vocab_file": str(pieces / "vocab.json"), "spm_file": str(pieces / "spiece.model")}
    tokenizer = M2M100Tokenizer(**files)
    languages = find_languages(text_model("m2m_100", tokenizer).config, tokenizer)

    assert languages is not None
    assert len(languages.ids) == 100
    tokenizer.tgt_lang = "de"
    encode = TargetEncoder(tokenizer, 16, languages=languages, default_language="de")
    assert (
        encode([("wir essen brot", None)])[0]
        == tokenizer(text_target="wir essen brot")["input_ids"]
    )


def test_seamless_labels_have_no_second_start(pieces: Path) -> None:
    tokenizer = SeamlessM4TTokenizer(
        vocab_file=str(pieces / "spiece.model"), extra_special_tokens=["__eng__", "__deu__"]
    )
    model = text_model("seamless_m4t", tokenizer)
    encode = build_text_side(model, tokenizer, max_length=8, target_language="de").targets

    labels = encode([("wir", None)])[0]

    assert tokenizer.convert_ids_to_tokens(labels)[0] == "__deu__"
    assert labels[-1] == tokenizer.eos_token_id


# -------------------------------------------------------------------- every multilingual architecture


@pytest.mark.claim("language")
@pytest.mark.parametrize("name", FIRST)
def test_generation_starts_with_the_language_of_training(name: str, clips) -> None:
    tokenizer = own_tokenizer(CODES)
    model, side = build(name, tokenizer, "de")
    labels = torch.tensor(side.targets([("we eat", None)]))

    written = model.train(False).generate(**clips(16, 9), num_beams=2, max_new_tokens=4)

    begun = [int(model.shift_right(labels)[0, 0]), tokenizer.convert_tokens_to_ids("de_DE")]
    assert labels[0, 0].item() == begun[1]
    assert written[:, :2].tolist() == [begun, begun]


@pytest.mark.claim("language")
@pytest.mark.parametrize("name", FIRST)
def test_each_clip_may_have_a_language_of_its_own(name: str, clips) -> None:
    tokenizer = own_tokenizer(CODES)
    model, _ = build(name, tokenizer, "de")
    ids = language_ids(model, tokenizer, ["en", None])
    assert ids is not None

    written = model.train(False).generate(**clips(16, 9), languages=ids, max_new_tokens=3)

    assert tokenizer.convert_ids_to_tokens(written[:, 1].tolist()) == ["en_XX", "de_DE"]


@pytest.mark.claim("language")
@pytest.mark.parametrize("name", ["mbart", "plbart"])
def test_a_model_that_starts_from_its_code_starts_from_each_clips(name: str, clips) -> None:
    tokenizer = own_tokenizer(CODES)
    model, side = build(name, tokenizer, "de")
    if name == "mbart":  # as the tokenizer of mBART-25 would make it
        languages = Languages(side.targets.languages.ids, "last", "mbart")
        side = TargetEncoder(tokenizer, 8, languages=languages, default_language="de_DE")
        model.config.language_place = "last"
    else:
        side = side.targets
    german, english = (tokenizer.convert_tokens_to_ids(code) for code in ("de_DE", "en_XX"))

    labels = torch.tensor(side([("we eat", None)]))
    ids = language_ids(model, tokenizer, ["en", None])
    written = model.train(False).generate(**clips(16, 9), languages=ids, max_new_tokens=3)

    assert model.shift_right(labels)[0, 0].item() == german
    assert written[:, 0].tolist() == [english, german]


def test_a_reloaded_model_writes_the_same_language(tmp_path: Path, clips) -> None:
    model, _ = build("m2m_100", own_tokenizer(CODES), "de")
    model.save_pretrained(tmp_path)

    loaded = SignTranslationModel.from_pretrained(tmp_path)

    settings = {"num_beams": 2, "max_new_tokens": 5}
    assert loaded.generate(**clips(16), **settings).equal(
        model.train(False).generate(**clips(16), **settings)
    )


# ---------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("zh", "knows several of it: zh_CN, zh_TW. Name one"),
        ("de_XY", "does not know it; the nearest of its 4 languages: de_DE"),
        ("klingon", "does not know it; it has 4 others, such as de_DE, en_XX, zh_CN"),
    ],
)
def test_a_language_that_the_model_lacks_names_the_nearest(language: str, said: str) -> None:
    tokenizer = own_tokenizer(CODES)

    with pytest.raises(ModelError, match=f"target_language = '{language}'.*{said}"):
        build_text_side(
            text_model("mbart", tokenizer), tokenizer, max_length=8, target_language=language
        )


def test_not_saying_which_language_is_an_error() -> None:
    tokenizer = own_tokenizer(CODES)
    side = build_text_side(text_model("mbart", tokenizer), tokenizer, max_length=8)

    assert side.targets([("we", "en")])[0][0] == tokenizer.convert_tokens_to_ids("en_XX")
    with pytest.raises(
        ModelError, match=r"writes 4 languages.*set data\.target_language, or .*column"
    ):
        side.targets([("we", None)])


def test_a_model_without_codes_says_that_the_language_is_not_used(caplog) -> None:
    caplog.set_level("INFO", logger="signseq")
    tokenizer = own_tokenizer(CODES)
    model = text_model("t5", tokenizer)

    side = build_text_side(model, tokenizer, max_length=8, target_language="en")

    assert side.targets.languages is None
    assert "t5 has no codes for languages" in caplog.text


# ------------------------------------------------------------------------------------ cutting


def test_cut_texts_keep_code_and_end() -> None:
    tokenizer = own_tokenizer(CODES)
    side = build_text_side(text_model("mbart", tokenizer), tokenizer, max_length=4)
    english = tokenizer.convert_tokens_to_ids("en_XX")

    labels = side.targets([("we eat bread you see water", "en")])[0]

    assert (len(labels), labels[0], labels[-1]) == (4, english, tokenizer.eos_token_id)


def test_a_tokenizer_that_writes_no_end_is_given_one() -> None:
    tokenizer = train_tokenizer(TEXTS * 2)
    tokenizer.backend_tokenizer.post_processor = None
    encode = TargetEncoder(tokenizer, max_length=3)

    words = tokenizer("we eat bread")["input_ids"]
    assert encode([("we", None), ("we eat bread", None)]) == [[words[0], 2], [*words[:2], 2]]
