"""What is hidden under a control, which texts stand for no model, and what is made of it."""

import json
from collections import Counter

import numpy as np
import pytest

from conftest import KEYPOINTS, sign_pose, tiny_config, write_rows
from signseq.config import save_config
from signseq.controls import (
    CONTROLS,
    change_poses,
    choose_controls,
    derange,
    find_training_texts,
    is_possible,
    most_frequent,
    most_typical,
    read_training_texts,
)
from signseq.errors import ConfigError
from signseq.evaluation import evaluate, format_scores
from signseq.poses.keypoints import find_parts, get_keypoint_set
from signseq.poses.sequence import write_pose

FACES = get_keypoint_set("upper_body_hands_face").keypoints


@pytest.fixture
def poses():
    return np.random.default_rng(0).uniform(1, 2, size=(7, len(FACES), 3)).astype(np.float16)


@pytest.mark.parametrize(
    ("control", "parts"),
    [("hands", ("left_hand", "right_hand")), ("body", ("body",)), ("face", ("face",))],
)
def test_a_part_alone_hides_all_other_points(poses, control, parts):
    changed = change_poses(poses, control, keypoints=FACES)

    shown = [place for part in parts for place in getattr(find_parts(FACES), part)]
    hidden = sorted(set(range(len(FACES))) - set(shown))
    assert (changed[:, shown] == poses[:, shown]).all()
    assert (changed[:, hidden] == 0).all()


def test_a_control_leaves_the_store_as_it_is(poses):
    poses.flags.writeable = False
    for control in CONTROLS:
        change_poses(poses, control, keypoints=FACES)


def test_reversed_poses_begin_with_the_end(poses):
    changed = change_poses(poses, "reversed", keypoints=FACES)
    assert (changed[0] == poses[-1]).all()


def test_a_part_that_is_not_there_is_no_control():
    hands = get_keypoint_set("hands").keypoints
    assert not is_possible("hands", hands)
    assert not is_possible("face", KEYPOINTS)
    assert is_possible("face", FACES)
    assert is_possible("zeroed", hands)


def test_controls_are_named_in_groups_or_one_by_one():
    assert choose_controls("none") == ()
    assert choose_controls("quick") == ("zeroed", "shuffled", "frequent")
    assert set(choose_controls("all")) == set(CONTROLS)
    assert choose_controls("face, zeroed") == choose_controls(["zeroed", "face"])


def test_an_unknown_control_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'zerod': unknown; did you mean zeroed\?"):
        choose_controls("zerod")


@pytest.mark.parametrize("count", [2, 3, 10, 101])
@pytest.mark.parametrize("seed", range(5))
def test_no_clip_keeps_its_own_poses(count, seed):
    numbers = np.arange(100, 100 + count)
    others = derange(numbers, seed=seed)

    assert (others != numbers).all()
    assert sorted(others) == sorted(numbers)


def write_texts(folder, texts):
    (folder / "poses").mkdir()
    for i, _ in enumerate(texts):
        write_pose(folder / "poses" / f"{i}.pose", sign_pose("we"), size=(500, 500))
    rows = [{"uid": str(i), "text": text} for i, text in enumerate(texts)]
    write_rows(folder / "train.csv", rows)


def test_the_training_texts_are_found_without_preparing_the_clips(tmp_path):
    write_texts(tmp_path, ["you", "we eat", "bread", "we eat", "bread"])

    texts = read_training_texts(tiny_config(tmp_path))

    assert texts == {"you": 1, "we eat": 2, "bread": 2}
    assert most_frequent(texts) == "we eat"  # the first of two
    assert not (tmp_path / "store").exists()


def test_a_run_folder_tells_its_training_texts(tmp_path):
    write_texts(tmp_path, ["you", "we eat", "we eat"])
    save_config(tiny_config(tmp_path), tmp_path / "config.yaml")

    assert sorted(find_training_texts(tmp_path)) == ["we eat", "we eat", "you"]
    assert find_training_texts(tmp_path / "poses") == []


def test_the_most_typical_sentence_shares_most_with_the_others():
    texts = Counter({"xyz": 3, "we eat bread": 2, "we eat": 2, "you eat bread": 2})

    assert most_frequent(texts) == "xyz"
    assert most_typical(texts) == "we eat bread"


def test_the_most_typical_of_many_sentences_is_the_same_every_time():
    texts = Counter({f"we eat bread {number}": 1 for number in range(3000)} | {"you": 1})

    assert most_typical(texts) == most_typical(texts)
    assert most_typical(texts).startswith("we eat bread")


# --------------------------------------------------------------------------- in an evaluation


@pytest.fixture(scope="module")
def everything(trained):
    return evaluate(trained, split="val", controls="all")


def test_all_controls_are_scored_on_the_same_checkpoint(everything):
    blind = {"poses zeroed", "poses of other clips"}
    blind |= {"most frequent training sentence", "most typical training sentence"}
    assert set(everything.blind) == blind
    # the tiny corpus has no face points
    assert set(everything.controls) == {"poses reversed in time", "hands only", "body only"}


def test_what_is_lost_without_the_hands_is_significant(everything):
    lost = everything.losses["body only"]["chrf"]

    assert lost.difference == pytest.approx(
        everything.controls["body only"].chrf - everything.scores.chrf
    )
    assert lost.difference < -20
    assert max(lost.p_bootstrap, lost.p_randomization) < 0.05


def test_hands_alone_lose_less_than_the_body_alone(everything):
    assert everything.controls["hands only"].chrf > everything.controls["body only"].chrf


def test_the_table_and_the_file_tell_losses_and_warnings(everything):
    table = format_scores(everything)
    facts = json.loads((everything.folder / "scores_val.json").read_text(encoding="utf-8"))

    assert "control: hands only" in table
    assert "chrF less the model's, where it is worse at 95%: poses zeroed -" in table
    assert set(facts["losses"]) == {*everything.blind, *everything.controls}
    assert facts["losses"]["body only"]["chrf"]["difference"] < -20
    assert facts["training_overlap"]["count"] == everything.overlap.count > 0
    assert facts["warnings"] == everything.warnings
    assert any("occur in training too" in warning for warning in facts["warnings"])
    assert all(f"warning: {warning}" in table for warning in facts["warnings"])


def test_no_control_can_be_asked_for(run_folder):
    found = evaluate(run_folder, split="val", controls="none")
    assert (found.blind, found.controls, found.losses) == ({}, {}, {})
