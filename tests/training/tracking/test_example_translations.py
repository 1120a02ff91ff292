import json
from xml.etree import ElementTree

import numpy as np
import pytest

from conftest import tiny_config
from signseq.poses.drawing import ABSENT, SIDE, DrawnPose
from signseq.preparation import open_split
from signseq.training.tracking import example_translations
from signseq.training.tracking.animation import HAND, MOST_PICTURES, SNAPSHOTS, animate, draw_strip
from signseq.training.tracking.curves import draw_curves
from signseq.training.tracking.example_translations import ExampleClips, write_examples

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def store(prepared):
    return open_split(tiny_config(prepared).data, "val")


@pytest.fixture(scope="module")
def examples(store):
    return ExampleClips(store, 3).translated([f"<b>{number}" for number in range(len(store))])


def lines(folder):
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]


# -------------------------------------------------------------------------------- examples


def test_examples_come_from_all_over_the_store(store):
    assert ExampleClips(store, 3).numbers == [0, 6, 11]
    assert ExampleClips(store, 1000).numbers == list(range(len(store)))


def test_an_example_has_the_texts_of_its_clip_and_its_score(store):
    perfect, wrong = ExampleClips(store, 2).translated(
        [store.text(0), *[""] * (len(store) - 2), "x"]
    )

    assert (perfect.uid, perfect.reference) == ("val-0", store.text(0))
    assert perfect.hypothesis == store.text(0)
    assert (perfect.chrf, wrong.chrf) == (pytest.approx(100), 0)


def test_long_texts_are_cut(store):
    [example] = ExampleClips(store, 1).translated(["word " * 1000] * len(store))

    assert len(example.hypothesis) == example_translations.MOST_CHARACTERS


def test_a_page_shows_skeletons_and_translations_as_they_are(tmp_path, examples):
    write_examples(tmp_path, examples, step=5)
    page = (tmp_path / "examples.html").read_text()

    assert page.count("<svg") == 3
    assert "&lt;b&gt;6" in page
    assert "<b>" not in page


def test_an_evaluation_that_is_done_again_is_written_once(tmp_path, examples):
    for step in (5, 10, 15, 10):
        write_examples(tmp_path, examples, step=step)

    assert [entry["step"] for entry in lines(tmp_path)] == [5, 5, 5, 10, 10, 10]


def test_a_line_that_was_cut_off_is_dropped(tmp_path, examples):
    write_examples(tmp_path, examples, step=5)
    with (tmp_path / "examples.jsonl").open("a") as file:
        file.write('{"step": 10, "uid')
    write_examples(tmp_path, examples, step=10)

    assert [entry["step"] for entry in lines(tmp_path)] == [5, 5, 5, 10, 10, 10]


def test_the_file_does_not_grow_for_ever(tmp_path, examples, monkeypatch):
    monkeypatch.setattr(example_translations, "MOST_EVALUATIONS", 3)
    for step in range(1, 8):
        write_examples(tmp_path, examples, step=step)

    assert sorted({entry["step"] for entry in lines(tmp_path)}) == [5, 6, 7]


# -------------------------------------------------------------------------------- skeletons


def drawn(frames, *, fps=25.0):
    """An arm, a finger, and a finger that isn't seen."""
    points = np.full((frames, 4, 2), ABSENT, np.uint16)
    points[:, 0], points[:, 1] = (0, 0), (SIDE, 0)
    points[:, 2] = (SIDE, SIDE)
    return DrawnPose(points, ((0, 1), (1, 2), (2, 3)), (1, 2, 3), fps)


def test_an_animation_shows_one_picture_at_a_time_and_ends_with_the_clip():
    picture = ElementTree.fromstring(animate(drawn(50), label="a & b"))
    groups = picture.findall(f"{SVG}g")

    assert len(groups) == 25  # half of them: 12.5 a second
    assert [group.get("visibility") for group in groups].count("visible") == 1
    assert {each.get("dur") for each in picture.iter(f"{SVG}animate")} == {"2.00s"}


def test_long_clips_are_drawn_up_to_a_limit():
    picture = ElementTree.fromstring(animate(drawn(2000), label=""))

    assert len(picture.findall(f"{SVG}g")) == MOST_PICTURES


def test_what_is_not_seen_is_not_drawn():
    picture = ElementTree.fromstring(animate(drawn(1), label=""))
    paths = {path.get("stroke"): path.get("d") for path in picture.iter(f"{SVG}path")}

    assert paths[HAND] == "M200 0l0 200"
    assert len(paths) == 2


def test_a_strip_shows_as_many_snapshots():
    strip = draw_strip(drawn(9))
    side = strip.shape[0]
    hand = (strip == [int(HAND[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2)

    assert strip.shape == (side, SNAPSHOTS * side, 3)
    assert hand.sum(axis=1)[side // 2] == SNAPSHOTS


# ---------------------------------------------------------------------------------- curves


def test_curves_are_drawn_of_the_log(tmp_path):
    entries = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": 1.0, "eval_loss": 1.5},
        {"step": 3, "loss": float("nan"), "eval_loss": 1.2, "eval_cer": 80.0},
        {"step": 4, "loss": 0.5, "eval_cer": 60.0},
    ]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 5, "lo')
    picture = ElementTree.parse(draw_curves(tmp_path)).getroot()

    lines = [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("stroke-linejoin")]
    assert [line.count("L") + 1 for line in lines] == [3, 2, 2]


def test_a_run_without_a_log_has_empty_panels(tmp_path):
    texts = [each.text for each in ElementTree.parse(draw_curves(tmp_path)).iter(f"{SVG}text")]

    assert texts.count("nothing yet") == 6
