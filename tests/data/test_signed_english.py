import re
from collections import Counter

import pytest

from signseq.data.sentences import draw_sentences, given_names
from signseq.data.signed_english import (
    ADJECTIVES,
    FEELINGS,
    NAME_MARK,
    PEOPLE,
    PLACES,
    PRONOUNS,
    THINGS,
    TIMES,
    VERBS,
    to_english,
)
from signseq.data.signs import SIGNS
from signseq.errors import DataError

SIZES = {"train": 600, "val": 100, "test": 100}


@pytest.fixture(scope="module")
def splits():
    return draw_sentences(SIZES, seed=1)


@pytest.mark.parametrize(
    ("glosses", "english"),
    [
        ("BOOK I READ", "I read a book."),
        ("YESTERDAY BOOK OLD SHE READ", "She read an old book yesterday."),
        ("LAST-WEEK LETTER THEY WRITE NOT", "They did not write a letter last week."),
        ("APPLE SHE EAT", "She eats an apple."),
        ("APPLE MANY CHILDREN EAT", "The children eat many apples."),
        ("NOW PARK HE SLEEP", "He is sleeping in the park now."),
        ("NOW I WORK NOT", "I am not working now."),
        ("NOW UMBRELLA RED WE WANT", "We want a red umbrella now."),
        ("TOMORROW CAR DOCTOR BUY QUESTION", "Will the doctor buy a car tomorrow?"),
        ("OFTEN CAKE BIG MANY BOY BRING", "The boy often brings many big cakes."),
        ("OFTEN HE GIRL HELP NOT", "The girl does not often help him."),
        ("HE SHE MEET", "She meets him."),
        ("SHE HE MEET", "He meets her."),
        ("STATION fs-MARIA TEACHER NEW WAIT", "The new teacher waits for Maria at the station."),
        ("EVERY-DAY DOG SMALL MANY fs-KOFI SEE", "Kofi sees many small dogs every day."),
        (
            "YESTERDAY GARDEN BOOK OLD fs-YUKI READ NOT QUESTION",
            "Did Yuki not read an old book in the garden yesterday?",
        ),
        ("YOU TIRED QUESTION", "Are you tired?"),
        ("YESTERDAY SCHOOL WE HUNGRY", "We were hungry at school yesterday."),
        ("TOMORROW fs-LINH HAPPY NOT", "Linh will not be happy tomorrow."),
        ("CAR OLD EXPENSIVE", "The old car is expensive."),
        ("LAST-WEEK EGG RED QUESTION", "Was the egg red last week?"),
    ],
)
def test_the_english_of_a_sequence_of_signs_is_known(glosses, english):
    assert to_english(glosses.split()) == english


@pytest.mark.parametrize(
    "glosses", ["", "READ", "BOOK", "OLD I READ", "NOT I READ", "BOOK SHE I READ", "I JUMP"]
)
def test_signs_that_are_no_sentence_are_an_error(glosses):
    with pytest.raises(DataError):
        to_english(glosses.split())


def test_every_text_is_determined_by_its_glosses(splits):
    for sentence in (sentence for split in splits.values() for sentence in split):
        assert to_english(sentence.glosses) == sentence.text


def test_time_comes_first_then_place_the_verb_late_and_negation_and_question_last(splits):
    def rank(gloss):
        order = (TIMES, PLACES, {**PRONOUNS, **PEOPLE, **THINGS}, VERBS | FEELINGS, {"NOT": 0})
        return next((place for place, words in enumerate(order) if gloss in words), 5)

    for sentence in splits["train"]:
        # Names and described nouns are where nouns are; an adjective may also be the comment.
        ranked = [
            2 if gloss.startswith(NAME_MARK) else rank(gloss)
            for gloss in sentence.glosses
            if gloss not in (*ADJECTIVES, "MANY")
        ]
        assert ranked == sorted(ranked), sentence.glosses


def test_sentences_begin_with_a_capital_and_end_as_a_sentence(splits):
    for sentence in splits["train"]:
        assert re.fullmatch(r"[A-Z][A-Za-z ]*[.?]", sentence.text)
        assert "  " not in sentence.text
        assert sentence.text.endswith("?") == (sentence.glosses[-1] == "QUESTION")


def test_no_sentence_occurs_twice_in_any_split(splits):
    texts = [sentence.text for split in splits.values() for sentence in split]
    assert len(set(texts)) == len(texts)


def test_no_name_of_one_split_occurs_in_another(splits):
    names = {split: {s.name for s in sentences if s.name} for split, sentences in splits.items()}
    assert not names["train"] & names["val"]
    assert not names["train"] & names["test"]
    assert not names["val"] & names["test"]


def test_half_of_the_sentences_have_a_name(splits):
    for sentences in splits.values():
        assert sum(bool(sentence.name) for sentence in sentences) == len(sentences) / 2
        assert all((s.name or "?") in s.text for s in sentences if s.name)


def test_no_training_name_is_used_more_than_twice():
    names = Counter(s.name for s in draw_sentences({"train": 4000}, seed=1)["train"] if s.name)
    assert max(names.values()) <= 2


def test_the_same_seed_draws_the_same_sentences(splits):
    assert draw_sentences(SIZES, seed=1) == splits
    assert draw_sentences(SIZES, seed=2) != splits


def test_held_out_sentences_do_not_depend_on_how_many_train(splits):
    assert draw_sentences({**SIZES, "train": 20}, seed=1)["test"] == splits["test"]


def test_more_sentences_than_can_be_found_is_an_error(monkeypatch):
    monkeypatch.setattr("signseq.data.sentences._draw_glosses", lambda rng, name: ("I", "WORK"))
    with pytest.raises(DataError, match=r"train: after 1 sentences.*Ask for fewer"):
        draw_sentences({"train": 2}, seed=1)


def test_names_are_spelled_with_three_to_nine_letters_a_to_z():
    assert len(given_names()) > 1200
    assert len(set(given_names())) == len(given_names())
    assert all(re.fullmatch("[A-Z][a-z]{2,8}", name) for name in given_names())


def test_no_name_is_an_english_word_of_the_language():
    english = {word.lower() for word in (*TIMES, *PEOPLE, *THINGS, *ADJECTIVES, *VERBS, *FEELINGS)}
    assert not english & {name.lower() for name in given_names()}


def test_every_sign_has_a_recording_of_its_own_and_none_is_of_a_broken_or_spelling_alphabet():
    assert len(SIGNS) == 56
    assert len(set(SIGNS.values())) == 56
    assert {language for language, _ in SIGNS.values()} == {"csq", "cse", "eso"}


def test_every_word_of_the_language_has_a_sign():
    groups = (TIMES, PLACES, PRONOUNS, PEOPLE, THINGS, ADJECTIVES, VERBS, FEELINGS)
    words = {word for group in groups for word in group} | {"MANY", "NOT", "QUESTION"}
    assert words == SIGNS.keys()
