"""What is written, read again by programs of others."""

from __future__ import annotations

import html
import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pympi
import pytest
import srt
import webvtt
from praatio import textgrid

from signseq.errors import DataError
from signseq.subtitling.cues import Cue, Subtitles, in_order
from signseq.subtitling.wrapping import width_of, wrap
from signseq.subtitling.writing import FORMATS, check_outputs, format_of, write_subtitles

NASTY = [
    'He said "no" & left <b>now</b>',
    "a --> b",
    "--\n\nWEBVTT\n1\n00:00:01,000 --> 00:00:02,000\n",
    "{\\an8}up",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u200f(\u05d0)",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
    "tab\tand \x00\x1b control \ud800 half",
    "caf\u00e9 \U0001f44b",
]
SHOWN = [" ".join(text.split()) for text in NASTY]
SHOWN[6] = "tab and control \ufffd half"


def make(*texts, score=-0.5, seconds=100.0, recording="clip.pose"):
    cues = [Cue(2 * i + 0.5, 2 * i + 2.0, text, score) for i, text in enumerate(texts)]
    return Subtitles(in_order(cues), seconds, 25.0, recording, "run", None)


def written(folder: Path, kind: str, subtitles: Subtitles) -> Path:
    path = folder / f"a{FORMATS[kind]}"
    write_subtitles(path, subtitles, kind=kind)
    return path


def one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\u200b", "")


def test_srt_is_what_another_program_reads(tmp_path):
    text = written(tmp_path, "srt", make(*NASTY)).read_text(encoding="utf-8")
    found = list(srt.parse(text))

    expected = [shown.replace("-->", "\u2192") for shown in SHOWN]
    assert [one_line(each.content) for each in found] == expected
    assert [each.start.total_seconds() for each in found] == [2 * i + 0.5 for i in range(8)]
    assert [each.index for each in found] == list(range(1, 9))


def test_vtt_is_what_another_program_reads(tmp_path):
    found = webvtt.read(str(written(tmp_path, "vtt", make(*NASTY))))

    assert [one_line(html.unescape(each.text)) for each in found] == SHOWN
    assert [each.start_in_seconds for each in found] == [2 * i for i in range(8)]
    assert found[0].start == "00:00:00.500"
    assert "\nNOTE confidence 0.607\n\n00:00:00.500" in Path(found.file).read_text(encoding="utf-8")


def test_a_textgrid_is_what_another_program_reads(tmp_path):
    grid = textgrid.openTextgrid(
        str(written(tmp_path, "textgrid", make(*NASTY))), includeEmptyIntervals=True
    )
    tier = grid.getTier("translation")

    assert [each.label for each in tier.entries if each.label] == SHOWN
    assert (tier.minTimestamp, tier.maxTimestamp) == (0, 100)
    ends = [each.end for each in tier.entries]
    assert [each.start for each in tier.entries] == [0, *ends[:-1]]  # no gaps
    assert {each.label for each in grid.getTier("confidence").entries} == {"", "0.607"}


def test_an_eaf_is_what_another_program_reads(tmp_path):
    path = written(tmp_path, "eaf", make(*NASTY))
    eaf = pympi.Elan.Eaf(str(path))

    found = eaf.get_annotation_data_for_tier("translation")
    assert [(start, end, text) for start, end, text in found] == [
        (2000 * i + 500, 2000 * i + 2000, shown) for i, shown in enumerate(SHOWN)
    ]
    sure = eaf.get_ref_annotation_data_for_tier("confidence")
    assert [(start, each) for start, _, each, *_ in sure] == [
        (2000 * i + 500, "0.607") for i in range(8)
    ]


def test_quotes_are_doubled_in_a_textgrid(tmp_path):
    text = written(tmp_path, "textgrid", make('say "no"')).read_text()

    assert 'text = "say ""no"""' in text


def test_times_after_hours_keep_their_milliseconds(tmp_path):
    subtitles = Subtitles((Cue(7265.123, 7266.5, "a"),), 7300.004, 25.0, "a.pose")

    (caption,) = srt.parse(written(tmp_path, "srt", subtitles).read_text())
    tier = textgrid.openTextgrid(str(written(tmp_path, "textgrid", subtitles)), True).getTier(
        "translation"
    )

    assert (caption.start.total_seconds(), tier.entries[1].start, tier.maxTimestamp) == (
        7265.123,
        7265.123,
        7300.004,
    )


def test_an_eaf_follows_the_order_and_the_references_of_the_schema(tmp_path):
    """As EAFv3.0.xsd has it: the sequence of elements, ids unique, every reference to one that is there."""
    root = ElementTree.parse(written(tmp_path, "eaf", make(*NASTY))).getroot()

    order = [child.tag for child in root]
    wanted = ("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT")
    assert sorted(order, key=wanted.index) == order
    assert set(root.attrib) >= {"AUTHOR", "DATE", "VERSION", "FORMAT"}
    slots = [slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")]
    annotations = [each for tier in root.iter("TIER") for each in tier.iterfind("ANNOTATION/*")]
    ids = [each.get("ANNOTATION_ID") for each in annotations]
    assert len({*slots, *ids}) == len(slots) + len(ids)
    for each in annotations:
        references = [each.get(f"TIME_SLOT_REF{i}") for i in (1, 2)]
        assert each.get("ANNOTATION_REF") in ids or set(references) <= set(slots)
    types = {each.get("LINGUISTIC_TYPE_ID"): each for each in root.iter("LINGUISTIC_TYPE")}
    constraints = {each.get("STEREOTYPE") for each in root.iter("CONSTRAINT")}
    for tier in root.iter("TIER"):
        constraint = types[tier.get("LINGUISTIC_TYPE_REF")].get("CONSTRAINTS")
        assert (constraint in constraints) == (tier.get("PARENT_REF") is not None)


def test_an_eaf_links_the_video_from_where_it_is(tmp_path):
    (tmp_path / "in put").mkdir()
    (tmp_path / "in put" / "\u00e4 b.mp4").touch()
    poses = str(tmp_path / "in put" / "\u00e4 b.pose")

    root = ElementTree.parse(written(tmp_path, "eaf", make("a", recording=poses))).getroot()

    medium = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert medium.get("RELATIVE_MEDIA_URL") == "./in%20put/%C3%A4%20b.mp4"
    assert medium.get("MEDIA_URL") == (tmp_path / "in put" / "\u00e4 b.mp4").as_uri()
    assert medium.get("MIME_TYPE") == "video/mp4"


def test_poses_without_a_video_are_a_linked_file(tmp_path):
    root = ElementTree.parse(written(tmp_path, "eaf", make("a"))).getroot()

    assert root.find("HEADER/LINKED_FILE_DESCRIPTOR").get("MIME_TYPE") == "application/pose"
    assert root.find("HEADER/MEDIA_DESCRIPTOR") is None


def test_json_has_times_scores_and_alternatives(tmp_path):
    cue = Cue(1.0, 2.0, "a", -0.1, (("a", -0.1), ("b", -0.9)))
    bad = Cue(3.0, 4.0, "", error="no shoulders")
    subtitles = Subtitles((cue, bad), 5.0, 25.0, "clip.pose", "run", "en")

    found = json.loads(written(tmp_path, "json", subtitles).read_text(encoding="utf-8"))

    assert found["segments"] == [
        {
            "start": 1.0,
            "end": 2.0,
            "text": "a",
            "confidence": 0.9048,
            "score": -0.1,
            "n_best": [{"text": "a", "score": -0.1}, {"text": "b", "score": -0.9}],
        },
        {"start": 3.0, "end": 4.0, "text": "", "error": "no shoulders"},
    ]
    assert (found["seconds"], found["fps"], found["checkpoint"], found["language"]) == (
        5,
        25,
        "run",
        "en",
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_no_signing_is_a_valid_empty_file(tmp_path, kind):
    path = str(written(tmp_path, kind, make()))

    read = {
        "srt": lambda: list(srt.parse(Path(path).read_text())),
        "vtt": lambda: list(webvtt.read(path)),
        "eaf": lambda: pympi.Elan.Eaf(path).get_annotation_data_for_tier("translation"),
        "textgrid": lambda: list(textgrid.openTextgrid(path, False).getTier("translation").entries),
        "json": lambda: json.loads(Path(path).read_text())["segments"],
    }
    assert read[kind]() == []


def test_what_is_not_translated_is_marked_in_captions_and_empty_elsewhere(tmp_path):
    subtitles = Subtitles((Cue(1, 2),), 3.0, 25.0, "a.pose")

    assert "[signing]" in written(tmp_path, "srt", subtitles).read_text()
    assert [
        each.label
        for each in textgrid.openTextgrid(str(written(tmp_path, "textgrid", subtitles)), True)
        .getTier("translation")
        .entries
    ] == ["", "", ""]


def test_cues_are_put_in_order_and_never_overlap():
    cues = in_order([Cue(5, 9, "c"), Cue(0, 3, "a"), Cue(2, 6, "b"), Cue(2, 2, "d")])

    assert all(one.end <= other.start for one, other in pairwise(cues))
    assert all(cue.start < cue.end for cue in cues)
    assert cues[0] == Cue(0, 2, "a")


def test_a_long_text_is_shown_in_parts_that_share_its_time(tmp_path):
    text = " ".join(["word"] * 40)
    subtitles = Subtitles((Cue(10, 20, text),), 30.0, 25.0, "a.pose")

    found = list(srt.parse(written(tmp_path, "srt", subtitles).read_text()))

    assert len(found) == 3
    assert (found[0].start.total_seconds(), found[-1].end.total_seconds()) == (10, 20)
    assert [a.end for a in found[:-1]] == [b.start for b in found[1:]]
    assert " ".join(one_line(each.content) for each in found) == text


@pytest.mark.parametrize(
    "text", [*SHOWN, "x" * 100, "word " * 50, "\u4eca\u5929" * 60, "a\u0301" * 90, "a b"]
)
def test_lines_are_short_and_nothing_is_lost(text):
    screens = wrap(text, width=42, lines=2)

    lines = [line for screen in screens for line in screen]
    assert max(map(width_of, lines)) <= 42
    assert max(map(len, screens)) <= 2
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)


def test_two_lines_are_about_equally_long_and_a_short_text_is_one():
    assert wrap("does Preston see the teacher in the kitchen", width=42, lines=2) == [
        ["does Preston see the", "teacher in the kitchen"]
    ]
    assert wrap("a short text", width=42, lines=2) == [["a short text"]]
    assert wrap("", width=42, lines=2) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("a.textgrit", ".TextGrid"), ("a.str", ".srt"), ("a.jsn", ".json"), ("a.eav", ".eaf")],
)
def test_an_unknown_suffix_names_the_nearest_one(name, near):
    with pytest.raises(DataError, match=f"Did you mean {re.escape(near)}"):
        format_of(Path(name))


def test_suffixes_are_read_in_any_case():
    assert [format_of(Path(f"a{each}")) for each in (".SRT", ".textgrid", ".EAF")] == [
        "srt",
        "textgrid",
        "eaf",
    ]


def test_outputs_that_can_not_be_written_are_told_before_the_work(tmp_path):
    there = tmp_path / "a.srt"
    there.touch()

    with pytest.raises(DataError, match=r"is there already.*--overwrite"):
        check_outputs([there], overwrite=False)
    with pytest.raises(DataError, match="no folder"):
        check_outputs([tmp_path / "no" / "a.srt"], overwrite=True)
    with pytest.raises(DataError, match="named twice"):
        check_outputs([tmp_path / "b.srt"] * 2, overwrite=True)
    check_outputs([there], overwrite=True)
