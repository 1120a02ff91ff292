import os
import random
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from conftest import WORDS
from signseq.errors import ModelError
from signseq.model.unigram import find_repeats
from signseq.model.vocabulary import train_tokenizer

KINDS = ("words", "characters", "unigram", "bpe", "bytes")
EN = ["we eat bread", "we see water", "you eat anna's bread", "Café, bitte!"]
WRITTEN = [
    "it's Anna's, isn't it?",
    "we eat 🍞 and 👩🏽‍🌾!",
    "نحن نأكل الخُبز",
    "می‌خواهم",
    "Café über naïve Straße",
    "हम रोटी खाते हैं, क्षत्रिय",
    "我们吃面包。",
    "ภาษาไทยไม่มีช่องว่าง",
    "가나다 한국어",
    "x̱ has no letter of its own",
    "a  b\tc\nd",
    "   leading and trailing  ",
    " ",
    "x",
    "▁ is sentencepiece's own ▁sign",
    "\u2047 \u2585 \ufeff \0",
]
IN_A_NEW_PROCESS = """
from signseq.model.vocabulary import train_tokenizer
from test_vocabulary import KINDS, random_texts
for kind in KINDS:
    print(train_tokenizer(random_texts(), kind=kind, size=60).backend_tokenizer.to_str())
"""


def random_texts():
    """Sentences of random words of random syllables."""
    rng = random.Random(0)
    words = ["".join(rng.choices("ba ke li mo nu".split(), k=rng.randint(1, 4))) for _ in range(50)]
    return [" ".join(rng.choices(words, k=5)) for _ in range(100)]


def come_back(tokenizer, text):
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(EN)


@pytest.fixture(scope="module", params=KINDS)
def any_tokenizer(request):
    return train_tokenizer([*WRITTEN, *EN], kind=request.param)


# ---------------------------------------------------------------------------------- every kind


@pytest.mark.parametrize("text", [*WRITTEN, "unseen: wendy, अब, 吃饭"])
def test_what_is_spelled_of_known_characters_comes_back_exactly(any_tokenizer, text):
    known = set("".join([*WRITTEN, *EN]))
    text = "".join(character for character in text if character in known)

    assert come_back(any_tokenizer, text) == text


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_of_one_text_is_enough(kind, text):
    assert come_back(train_tokenizer([text], kind=kind), text) == text


def test_a_letter_and_its_mark_become_one_character(any_tokenizer):
    decomposed = unicodedata.normalize("NFD", "Café")

    assert any_tokenizer(decomposed)["input_ids"] == any_tokenizer("Café")["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_and_its_mark_are_learned_as_one_character(kind):
    tokenizer = train_tokenizer([unicodedata.normalize("NFD", "Café")], kind=kind)

    assert come_back(tokenizer, "Café") == "Café"


def test_the_special_tokens_are_the_first_four(any_tokenizer):
    assert any_tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<s>", "</s>", "<unk>"]
    assert any_tokenizer.all_special_ids == [1, 2, 3, 0]


def test_special_tokens_in_a_text_are_only_text(any_tokenizer):
    tokenizer = train_tokenizer(["a < b </s> c <pad>"])
    ids = tokenizer("</s><pad>")["input_ids"]

    assert not {0, 1, 2, 3} & set(ids[:-1])
    assert come_back(tokenizer, "</s><pad>") == "</s><pad>"


def test_texts_end_with_the_end_token(any_tokenizer):
    assert any_tokenizer("we eat")["input_ids"].index(any_tokenizer.eos_token_id) > 0


def test_cut_texts_keep_the_end_token(any_tokenizer):
    text = "we eat bread and water" * 9
    ids = any_tokenizer(text, truncation=True, max_length=4)["input_ids"]

    assert (len(ids), ids[-1]) == (4, any_tokenizer.eos_token_id)


def test_a_saved_tokenizer_is_loaded_the_same(any_tokenizer, tmp_path):
    any_tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)

    for text in [*WRITTEN, "unseen: wendy", "Ω</s>"]:
        assert loaded(text)["input_ids"] == any_tokenizer(text)["input_ids"]
        assert come_back(loaded, text) == come_back(any_tokenizer, text)


def test_equal_texts_give_equal_tokens_in_every_process():
    """Processes of one training each train their own."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS],
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    here = [train_tokenizer(random_texts(), kind=kind, size=60) for kind in KINDS]

    assert done.stdout.splitlines() == [made.backend_tokenizer.to_str() for made in here]


def test_the_order_of_the_texts_does_not_matter():
    texts = random_texts()
    for kind in KINDS:
        forth, back = (train_tokenizer(each, kind=kind, size=60) for each in (texts, texts[::-1]))
        assert forth.backend_tokenizer.to_str() == back.backend_tokenizer.to_str()


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_corpus_is_an_error(kind, texts):
    with pytest.raises(ModelError, match=r"texts are empty.*train_path.*model\.tokenizer"):
        train_tokenizer(iter(texts), kind=kind)


# ----------------------------------------------------------------------------- frequent words


def test_frequent_words_are_one_token(tokenizer):
    assert tokenizer.tokenize("we eat bread") == ["we", " eat", " bread"]


@pytest.mark.parametrize("text", ["हम खाते", "می‌خواهم نان"])
def test_words_with_marks_and_joiners_are_one_token(text):
    words = text.split(" ")

    assert train_tokenizer([text] * 2).tokenize(text) == [words[0], " " + words[1]]


def test_unseen_names_are_spelled(tokenizer):
    assert tokenizer.tokenize("we see tanner") == ["we", *" see", *" tanner"]


def test_a_name_is_not_split_by_a_frequent_word_inside_it():
    tokenizer = train_tokenizer(["we eat", "we eat", "wendy eats theatre"])

    assert tokenizer.tokenize("wendy eats theatre") == [*"wendy", *" eats", *" theatre"]


def test_words_of_the_corpus_are_tokens():
    tokenizer = train_tokenizer([f"{word} {word}" for word in WORDS] * 2)

    assert all(len(tokenizer.tokenize(word)) == 1 for word in WORDS)


@pytest.mark.parametrize(("number", "is_token"), [(400, True), (401, False)])
def test_words_in_one_of_two_hundred_texts_are_tokens(number, is_token):
    tokenizer = train_tokenizer([*["we eat"] * (number - 2), "we swim", "we swim"])

    assert (" swim" in tokenizer.get_vocab()) == is_token


def test_unknown_characters_become_unknown(tokenizer):
    assert tokenizer.tokenize("we Ω") == ["we", " ", "<unk>"]


# ------------------------------------------------------------------------ characters and bytes


def test_characters_spell_everything():
    assert train_tokenizer(EN * 9, kind="characters").tokenize("we eat") == [*"we eat"]


def test_bytes_are_256_and_the_special_tokens():
    assert len(train_tokenizer(EN, kind="bytes")) == 260
    assert len(train_tokenizer(EN, kind="bytes").tokenize("é吃🍞")) == 2 + 3 + 4


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=50)
def test_bytes_spell_what_was_never_seen(text):
    text = unicodedata.normalize("NFC", text)

    assert come_back(BYTES, text) == text


BYTES = train_tokenizer(["a"], kind="bytes")


# --------------------------------------------------------------------------- unigram and BPE


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_size_is_reached_and_not_exceeded(kind):
    for size in (30, 40):
        assert len(train_tokenizer(random_texts(), kind=kind, size=size)) == size


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_corpus_that_cannot_fill_the_size_gives_fewer_tokens(kind):
    assert len(train_tokenizer(EN, kind=kind, size=4000)) < 100


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_least_size_is_one_token_for_each_character(kind):
    tokenizer = train_tokenizer(["abc abc ▁\t"], kind=kind, size=4 + 6)

    assert tokenizer.tokenize("abc ▁\t") == [*"abc ▁\t"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_size_without_room_for_the_characters_names_the_least(kind):
    with pytest.raises(ModelError, match=r"size = 9 is too small.* 10 or more.*bytes"):
        train_tokenizer(["abc abc ▁\t"], kind=kind, size=9)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_unseen_words_are_made_of_frequent_parts(kind):
    tokenizer = train_tokenizer(random_texts(), kind=kind, size=60)

    assert len(tokenizer.tokenize("balinumonuke")) <= 6


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_word_that_always_stands_alone_is_a_token(kind):
    """Trainers that look for candidates where texts go on differently never find it."""
    texts = ["you saw us", "we saw it", "they saw all"] * 9

    assert train_tokenizer(texts, kind=kind).tokenize("you saw it") == ["you", " saw", " it"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_no_token_spans_two_words(kind):
    vocabulary = train_tokenizer(["in the house"] * 99, kind=kind).get_vocab()

    assert not [token for token in vocabulary if " " in token[1:]]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_languages_without_spaces_have_words(kind):
    texts = [text.replace(" ", "") for text in random_texts()]

    assert len(train_tokenizer(texts, kind=kind, size=60).tokenize("balimonuke")) < 6


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_word_seen_once_is_no_token(kind):
    tokenizer = train_tokenizer([*EN, "we see Wendelin"], kind=kind)

    assert " Wendelin" not in tokenizer.get_vocab()


def test_repeats_are_all_strings_that_stand_twice():
    words = {" banana": 1, "band": 3}
    wanted = {}
    for word, times in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + 4) + 1):
                wanted[word[start:end]] = wanted.get(word[start:end], 0) + times

    assert find_repeats(words, longest=4) == {s: n for s, n in wanted.items() if n > 1}
