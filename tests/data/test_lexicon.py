"""Lexicons of sign clips, and what is looked up in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lexicons import write_folder, write_index
from signseq.data.glossing import Phrase, Plan, plan_sentence, split_units
from signseq.data.lexicon import Lexicon, read_lexicon, term_of
from signseq.data.phrases import read_phrases
from signseq.errors import DataError


def plan(
    lexicon: Lexicon,
    text: str,
    *glosses: str,
    missing: str = "skip",
    takes_first: bool = False,
    seed: int = 0,
) -> Plan:
    return plan_sentence(
        Phrase("u", text, glosses or None),
        lexicon,
        letters=lexicon.letters,
        missing=missing,
        takes_first=takes_first,
        rng=np.random.default_rng(seed),
    )


def signed(lexicon: Lexicon, text: str, *glosses: str, **options: object) -> tuple[str, ...]:
    sentence = plan(lexicon, text, *glosses, **options).sentence
    return sentence.glosses if sentence else ()


def outcomes(plan: Plan) -> list[tuple[str, str]]:
    return [(gap.word, gap.outcome) for gap in plan.gaps]


@pytest.fixture
def kitchen(tmp_path: Path) -> Lexicon:
    """Some words, an entry of two words, and the letters A, B, E."""
    words = {"bread": "BREAD", "thank": "THANK", "thank you": "THANK YOU", "you": "IX2"}
    rows = [{"words": word, "glosses": gloss} for word, gloss in words.items()]
    rows += [{"words": letter, "glosses": letter} for letter in "ABE"]
    return read_lexicon(write_index(tmp_path / "kitchen", rows))


# --------------------------------------------------------------------------------------- reading


def test_times_of_the_index_are_milliseconds_and_an_end_of_0_is_the_end(tmp_path: Path) -> None:
    rows = [{"words": "a", "start": "120", "end": "2720"}, {"words": "b"}]
    words = read_lexicon(write_index(tmp_path, rows)).words

    assert [(c.start, c.end) for c in (words[("a",)][0], words[("b",)][0])] == [
        (0.12, 2.72),
        (0.0, None),
    ]


def test_a_segment_that_differs_from_the_clip_is_known(tmp_path: Path) -> None:
    same = {"start": "0", "end": "1000", "segment_start": "0", "segment_end": "1000"}
    rows = [{"words": "a", **same}, {"words": "b", **same, "segment_start": "200"}]
    words = read_lexicon(write_index(tmp_path, rows)).words

    assert words[("a",)][0].segment is None
    assert words[("b",)][0].segment == (0.2, 1.0)


def test_a_folder_of_clips_is_a_lexicon_with_further_clips_by_number(tmp_path: Path) -> None:
    lexicon = read_lexicon(write_folder(tmp_path, "BREAD", "BREAD_2", "LAST-WEEK"))

    assert {term: len(clips) for term, clips in lexicon.glosses.items()} == {
        ("bread",): 2,
        ("last", "week"): 1,
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"neither index\.csv nor \.pose files"),
        ({"index.csv": ""}, r"index\.csv: the table is empty"),
        ({"index.csv": "path,words\n"}, r"no column 'spoken_language'.*Expected a header"),
        (
            {"index.csv": "path,spoken_language,signed_language,words,glosses\n"},
            r"index\.csv: names no clips",
        ),
    ],
)
def test_a_folder_that_is_no_lexicon_is_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    with pytest.raises(DataError, match=message):
        read_lexicon(tmp_path)


def test_a_lexicon_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder. Expected a lexicon"):
        read_lexicon(tmp_path / "nowhere")


def test_of_several_signed_languages_one_must_be_named(tmp_path: Path) -> None:
    rows = [{"words": "a", "signed_language": language} for language in ("ase", "bfi")]
    folder = write_index(tmp_path, rows)

    with pytest.raises(DataError, match=r"several in.*signed_language.*ase, bfi.*--signed-lang"):
        read_lexicon(folder)
    assert len(read_lexicon(folder, signed_language="bfi").words[("a",)]) == 1
    with pytest.raises(DataError, match="no signed_language 'gsg'; it has ase, bfi"):
        read_lexicon(folder, signed_language="gsg")


def test_the_signed_language_that_is_named_decides_the_spoken_one(tmp_path: Path) -> None:
    pairs = (("en", "ase"), ("de", "gsg"))
    rows = [{"words": "a", "spoken_language": a, "signed_language": b} for a, b in pairs]

    assert read_lexicon(write_index(tmp_path, rows), signed_language="gsg").spoken_language == "de"


def test_an_end_before_the_start_names_the_row(tmp_path: Path) -> None:
    folder = write_index(tmp_path, [{"words": "a", "start": "900", "end": "500"}])

    with pytest.raises(DataError, match=r"index\.csv, line 2.*ends \(0\.5 s\) before it starts"):
        read_lexicon(folder)


# ---------------------------------------------------------------------------------------- lookup


def test_words_are_looked_up_without_case_and_punctuation(kitchen: Lexicon) -> None:
    assert signed(kitchen, "“Bread, you?”") == ("BREAD", "IX2")


def test_the_longest_entry_is_taken_first(kitchen: Lexicon) -> None:
    assert signed(kitchen, "Thank you, thank bread") == ("THANK-YOU", "THANK", "BREAD")


def test_glosses_are_looked_up_whole_and_before_words(kitchen: Lexicon) -> None:
    assert signed(kitchen, "whatever", "THANK-YOU", "IX2") == ("THANK-YOU", "IX2")
    assert outcomes(plan(kitchen, "whatever", "BREAD-THANK")) == [("BREAD-THANK", "skipped")]


def test_what_is_a_word_and_a_gloss_is_found_in_its_own_column_first(tmp_path: Path) -> None:
    rows = [{"words": "arm", "glosses": "POOR"}, {"words": "limb", "glosses": "ARM"}]
    lexicon = read_lexicon(write_index(tmp_path, rows))

    assert signed(lexicon, "arm") == ("POOR",)
    assert signed(lexicon, "whatever", "ARM") == ("ARM",)


def test_entries_are_found_in_a_script_without_spaces(tmp_path: Path) -> None:
    rows = [{"words": word, "glosses": gloss} for word, gloss in (("你好", "HELLO"), ("们", "PL"))]
    lexicon = read_lexicon(write_index(tmp_path, rows))

    assert signed(lexicon, "你好们。") == ("HELLO", "PL")


def test_a_word_with_an_apostrophe_is_one(tmp_path: Path) -> None:
    assert split_units(Phrase("u", "Don't stop")) == [
        ("don't", ("don", "t")),
        ("stop", ("stop",)),
    ]
    assert term_of("DON'T") == ("don", "t")


def test_a_lacking_word_skips_the_sentence_and_all_lacking_words_are_named(
    kitchen: Lexicon,
) -> None:
    found = plan(kitchen, "Bread and butter")

    assert found.sentence is None
    assert outcomes(found) == [("and", "skipped"), ("butter", "skipped")]


def test_a_lacking_word_can_be_dropped(kitchen: Lexicon) -> None:
    found = plan(kitchen, "Some bread", missing="drop")

    assert found.sentence is not None
    assert found.sentence.glosses == ("BREAD",)
    assert outcomes(found) == [("some", "dropped")]


def test_a_sentence_of_which_nothing_is_left_is_skipped(kitchen: Lexicon) -> None:
    assert outcomes(plan(kitchen, "Some butter", missing="drop")) == [
        ("some", "skipped"),
        ("butter", "skipped"),
    ]
    assert outcomes(plan(kitchen, " ... ", missing="drop")) == [("", "skipped")]


def test_a_lacking_word_can_be_spelled(kitchen: Lexicon) -> None:
    found = plan(kitchen, "Bread, Abe", missing="spell")

    assert found.sentence is not None
    assert found.sentence.glosses == ("BREAD", "fs-ABE")
    assert [clip.gloss for clip in found.sentence.clips] == ["BREAD", "A", "B", "E"]
    assert outcomes(found) == [("abe", "spelled")]


def test_a_word_with_a_letter_that_is_lacking_skips_the_sentence(kitchen: Lexicon) -> None:
    assert outcomes(plan(kitchen, "Abe saw bread", missing="spell")) == [("saw", "skipped")]


def test_a_gloss_marked_as_spelled_is_spelled_whatever_is_missing(kitchen: Lexicon) -> None:
    assert signed(kitchen, "Abe", "fs-ABE", missing="skip") == ("fs-ABE",)


def test_digraphs_of_an_alphabet_are_spelled_as_one(tmp_path: Path) -> None:
    rows = [{"words": letter} for letter in ("D", "Ž", "DŽ", "A")]
    alphabet = read_lexicon(write_index(tmp_path / "letters", rows)).spelling
    words = read_lexicon(write_index(tmp_path / "words", [{"words": "x"}]))
    found = plan_sentence(
        Phrase("u", "Džad"),
        words,
        letters=alphabet,
        missing="spell",
        takes_first=False,
        rng=np.random.default_rng(0),
    )

    assert found.sentence is not None
    assert [clip.gloss for clip in found.sentence.clips] == ["DŽ", "A", "D"]
    assert all(clip.is_letter for clip in found.sentence.clips)


def test_a_short_word_is_no_letter(tmp_path: Path) -> None:
    lexicon = read_lexicon(write_index(tmp_path, [{"words": "I", "glosses": "IX1"}]))

    assert lexicon.letters == {}


def test_several_clips_of_a_gloss_are_all_chosen_or_only_the_best(tmp_path: Path) -> None:
    rows = [{"path": f"{n}.pose", "words": "a", "priority": str(abs(n - 1))} for n in range(3)]
    lexicon = read_lexicon(write_index(tmp_path, rows))

    def names(**options: object) -> set[str]:
        plans = [plan(lexicon, "a", seed=seed, **options) for seed in range(20)]
        return {each.sentence.clips[0].path.name for each in plans if each.sentence}

    assert names() == {"0.pose", "1.pose", "2.pose"}
    assert names(takes_first=True) == {"1.pose"}


# ----------------------------------------------------------------------------------------- texts


def test_a_file_of_sentences_names_them_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One  two.\n\nThree.\n", encoding="utf-8")

    assert read_phrases(tmp_path / "a.txt") == [
        Phrase("line_000001", "One two."),
        Phrase("line_000003", "Three."),
    ]


def test_glosses_stand_on_the_lines_of_their_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nThree.\n")
    (tmp_path / "b.txt").write_text("ONE IX\n\nTHREE\n")
    phrases = read_phrases(tmp_path / "a.txt", tmp_path / "b.txt")

    assert [phrase.glosses for phrase in phrases] == [("ONE", "IX"), ("THREE",)]
    (tmp_path / "b.txt").write_text("ONE\n")
    with pytest.raises(DataError, match=r"b\.txt: 1 lines, but .*a\.txt has 3"):
        read_phrases(tmp_path / "a.txt", tmp_path / "b.txt")


def test_a_table_may_bring_glosses(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("uid\ttext\tglosses\nu1\tOne.\tONE IX\nu2\tTwo.\t\n")

    assert read_phrases(tmp_path / "a.tsv") == [
        Phrase("u1", "One.", ("ONE", "IX")),
        Phrase("u2", "Two."),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"uid,text\n../x,a\n", r"line 2 \(uid '\.\./x'\): names the pose file"),
        ("a.csv", b"uid,text\nx,a\nx,b\n", "the uid 'x' stands in several rows"),
        ("a.csv", b"uid,words\nx,a\n", "no column 'text'"),
        ("a.csv", b"uid,text\n", "holds no sentence"),
        ("a.txt", b"\n \n", "holds no sentence"),
        ("a.txt", b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_texts_that_cannot_be_used_say_why(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=message):
        read_phrases(tmp_path / name)
