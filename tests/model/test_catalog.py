from itertools import chain

import pytest
import torch

from signseq.model.architectures import position_limit, refusal
from signseq.model.catalog import FAMILIES, find_known, known_config
from signseq.model.languages import CODE, MULTILINGUAL
from signseq.model.outline import outline, parameter_count

KNOWN = {model.name: model for family in FAMILIES for model in family.models}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_model_has_its_published_number_of_parameters(name):
    known = KNOWN[name]

    with torch.device("meta"):
        model = outline(known_config(known), has_own_head=known.has_own_head)

    assert parameter_count(model) == known.parameters


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_model_can_be_trained(name):
    assert refusal(known_config(KNOWN[name])) is None


def test_names_are_unique():
    names = [name for model in KNOWN.values() for name in {model.name, model.short} if name]

    assert len(names) == len(set(names))
    assert len(KNOWN) == sum(len(family.models) for family in FAMILIES)


@pytest.mark.parametrize(
    ("short", "name"), [("t5-base", "google-t5/t5-base"), ("gpt2", "openai-community/gpt2")]
)
def test_old_short_names_are_known(short, name):
    assert find_known(short) == find_known(name)
    assert find_known(short)[0].name == name


def test_what_is_not_listed_is_not_known():
    assert find_known("google-t5/t5-bas") is None
    assert find_known("") is None


def test_families_list_their_codes_exactly_where_the_decoder_is_told_a_language():
    for family in FAMILIES:
        kinds = {model.architecture for model in family.models}
        assert bool(family.codes) == bool(kinds & MULTILINGUAL)
        assert str(len(family.codes)) in family.languages or not family.codes


def test_codes_are_written_as_the_models_write_them():
    codes = {family.name: family.codes for family in FAMILIES}

    assert "en_XX" in codes["mBART-50"]
    assert "eng_Latn" in codes["NLLB-200"]
    assert all(CODE.fullmatch(code) for code in chain(codes["mBART-50"], codes["NLLB-200"]))


def test_position_limits_are_those_that_the_families_state():
    limits = {
        name: position_limit(known_config(KNOWN[name]))
        for name in ("facebook/bart-large", "Helsinki-NLP/opus-mt-en-de", "google-t5/t5-base")
    }

    assert limits == {
        "facebook/bart-large": 1024,
        "Helsinki-NLP/opus-mt-en-de": 512,
        "google-t5/t5-base": None,
    }
