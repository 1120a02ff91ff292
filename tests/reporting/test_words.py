"""Words that differ, words that stand for each other, and the tokens that words are made of."""

import pytest

from signseq.reporting.words import align_words, cut_words, find_difference, words_of_tokens


def test_words_that_only_one_side_has_are_marked():
    found = find_difference("we eat fresh bread", "we eat old bread now")

    assert found.missing == [False, False, True, False]
    assert found.extra == [False, False, True, False, True]


def test_equal_texts_differ_nowhere():
    found = find_difference("we eat", "we eat")
    assert not any(found.missing + found.extra)


@pytest.mark.parametrize("sides", [("", ""), ("we eat", ""), ("", "we eat")])
def test_an_empty_side_lacks_everything(sides):
    found = find_difference(*sides)
    assert all(found.missing + found.extra)
    assert [len(found.reference), len(found.output)] == [len(side.split()) for side in sides]


def test_scripts_without_spaces_are_cut_into_characters():
    assert cut_words("今天 下雨") == ["今", "天", "下", "雨"]
    assert cut_words("نحن نأكل") == ["نحن", "نأكل"]


def test_words_that_took_anothers_place_are_paired_with_it():
    pairs = align_words("we eat bread now".split(), "we see bread".split())
    assert pairs == [("we", "we"), ("eat", "see"), ("bread", "bread"), ("now", "")]


def test_tokens_belong_to_the_words_that_they_write_a_part_of():
    prefixes = ["", "we", "we ea", "we eat", "we eat bread", "we eat bread"]

    assert words_of_tokens(["we", "eat", "bread"], prefixes) == [[], [0], [1], [1], [2], []]


def test_a_token_may_write_several_words():
    assert words_of_tokens(["we", "eat"], ["w", "we eat"]) == [[0], [0, 1]]


def test_a_token_that_ends_a_letter_inside_a_word_belongs_to_the_word():
    found = words_of_tokens(["xéy"], ["x", "x\ufffd", "xé", "xéy"])
    assert found == [[0]] * 4


def test_a_byte_that_is_no_letter_yet_writes_nothing():
    # a tokenizer of bytes shows half a letter as U+FFFD, which the next token takes back
    found = words_of_tokens(["é", "ja"], ["\ufffd", "é", "éj", "é ja"])
    assert found[-2:] == [[1], [1]]
