from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pose_files import write_zip
from signseq.data.doctor import (
    Finding,
    find_files_without_row,
    find_in_report,
    find_rare_values,
    find_unreadable,
    find_unseen_hands,
)
from signseq.data.examples import Example
from signseq.data.limits import Limits, advise, find_beyond_model, find_cut
from signseq.data.pose_files import find_unmatched
from signseq.data.text_findings import (
    find_leaking_texts,
    find_odd_texts,
    find_repeated_texts,
    find_repeated_uids,
    find_shared_values,
)
from signseq.poses.sources.source import PoseFormat

LIMITS = Limits(step_frames=2, max_frames=50, too_long="truncate", max_length=8)


def only(findings) -> Finding:
    (found,) = list(findings)
    return found


# ------------------------------------------------------------------------------------- texts


def test_clean_texts_give_no_finding():
    texts = ["We eat bread.", "वह घर जाता है।", "我们 吃 面包", "مرحبا", "Café at 5 < 6 & more"]
    assert list(find_odd_texts(list("abcde"), texts, split="train")) == []


def test_empty_texts_are_an_error_that_names_them():
    found = only(find_odd_texts(["a", "b"], ["we eat", " "], split="val"))
    assert (found.severity, found.kind, found.where) == ("error", "empty_texts", "val")
    assert found.what == "1 of 2 (50.0%) texts are empty: b."


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("we e\ufffdt", "replacement"),
        ("cafÃ©", "Latin-1"),
        ("itâ€™s", "Latin-1"),
        ("we\x07eat", "control"),
        ("we <i>eat</i>", "markup"),
        ("bread &amp; water", "markup"),
        ("see https://example.org", "web address"),
        ("...", "no letter"),
        ("12 34", "no letter"),
    ],
)
def test_an_odd_text_is_a_warning(text, named):
    found = only(find_odd_texts(["a"], [text], split="train"))
    assert found.severity == "warning"
    assert named in found.what


def test_texts_with_the_same_words_in_two_splits_leak():
    texts = {"train": ["We eat bread.", "you see water"], "test": ["we eat BREAD", "we see you"]}
    uids = {"train": ["a", "b"], "test": ["c", "d"]}
    found = only(find_leaking_texts(texts, uids))
    assert (found.severity, found.kind, found.where) == ("error", "leaking_texts", "train, test")
    assert "1 of 2" in found.what
    assert "c and a" in found.what


def test_similar_texts_in_two_splits_are_a_warning():
    words = "one two three four five six seven eight nine"
    texts = {"train": [words], "test": [f"{words} ten"]}
    found = only(find_leaking_texts(texts, {"train": ["a"], "test": ["b"]}))
    assert (found.severity, found.kind) == ("warning", "similar_texts")


def test_repeated_texts_of_one_split_are_counted_after_the_first():
    found = only(find_repeated_texts(["We eat.", "we eat", "WE EAT!", "", "you"], split="train"))
    assert found.severity == "note"
    assert "2 of 5" in found.what
    assert "3 times" in found.what


def test_a_uid_in_two_rows_is_an_error_within_and_across_splits():
    within, across = find_repeated_uids({"train": ["a", "a", "b"], "val": ["b", "c"]})
    assert (within.severity, within.where) == ("error", "train")
    assert (across.severity, across.where) == ("error", "train, val")
    assert list(find_repeated_uids({"train": ["a"], "val": ["b"]})) == []


def test_a_shared_video_counts_its_clips():
    videos = {"train": ["v1", "v2", None], "test": ["v1", "v1", "v3", None]}
    found = only(find_shared_values("video", videos, severity="error"))
    assert "1 of 2 (50.0%) videos of test stand in train too: v1" in found.what
    assert "2 of 4 (50.0%) of its clips" in found.what


# ------------------------------------------------------------------------------------- clips


def test_more_unreadable_clips_than_allowed_are_an_error_fewer_a_warning():
    faults = [("a", "poses/a.pose: the file is empty."), ("b", "poses/b.pose: the file is empty.")]
    about = {"seen": 100, "split": "train", "kind": "unreadable_clips", "verb": "can't be read"}
    grave = only(find_unreadable(faults, most=0.01, **about))
    assert grave.severity == "error"
    assert "2 x the file is empty." in grave.what
    assert only(find_unreadable(faults, most=0.02, **about)).severity == "warning"
    assert list(find_unreadable([], most=0.0, **about)) == []


def test_mixed_frame_rates_are_a_warning_a_few_odd_ones_a_note():
    assert only(find_rare_values("frame rates", {"25": 60, "30": 40}, split="x")).severity == (
        "warning"
    )
    assert only(find_rare_values("frame rates", {"25": 99, "30": 1}, split="x")).severity == "note"
    assert list(find_rare_values("frame rates", {"25": 99}, split="x")) == []


def test_clips_without_hands_are_counted():
    found = only(find_unseen_hands(np.array([1.0, 1.0, 0.2, 0.0]), split="train"))
    assert found.severity == "warning"
    assert "2 of 4 (50.0%)" in found.what
    assert "45.0% show none" in found.what


def test_what_prepare_counted_is_told():
    report = {"clips": 100, "frames": 1000, "several_people": 1, "without_hands": 2}
    report |= {"missing_frames": 10, "estimators": {"mediapipe": 60, "openpose": 40}}
    found = {each.kind: each.severity for each in find_in_report(report, split="train")}
    assert found == {
        "several_people": "note",
        "without_hands": "warning",
        "missing_frames": "warning",
        "several_estimators": "note",
    }
    assert list(find_in_report({"clips": 100, "several_people": 0}, split="train")) == []


def test_many_files_without_a_row_are_a_warning():
    assert only(find_files_without_row(["a"], rows=100, place="x")).severity == "note"
    assert only(find_files_without_row(["a"] * 9, rows=100, place="x")).severity == "warning"


def example(uid: str, path: Path, member: str | None = None) -> Example:
    return Example(uid, os.fspath(path), 0.0, None, "we eat", "train", pose_member=member)


def test_rows_and_files_that_do_not_meet_are_found_both_ways(tmp_path):
    for name in ("a.pose", "c.pose", "notes.txt"):
        (tmp_path / name).touch()
    rows = [example(uid, tmp_path / f"{uid}.pose") for uid in "ab"]
    found = find_unmatched(rows, tmp_path)
    assert found.uids == {"b"}
    assert found.files == (str(tmp_path / "c.pose"),)


def test_rows_and_members_of_a_zip_that_do_not_meet_are_found_both_ways(tmp_path):
    path = write_zip(tmp_path / "poses.zip", {"in/a.pose": b"", "in/c.pose": b"", "in/b.txt": b""})
    rows = [example(uid, path, f"{uid}.pose") for uid in "ab"]
    found = find_unmatched(rows, path)
    assert found.uids == {"b"}
    assert found.files == ("in/c.pose",)


def test_rows_and_clips_of_an_hdf5_file_that_do_not_meet_are_found_both_ways(tmp_path):
    path = tmp_path / "keypoints.0.h5"
    with h5py.File(path, "w") as file:
        for name in ("video/a", "video/c", "stray"):
            file[name] = np.zeros((2, 208))
    rows = [
        replace(example(uid, path, f"video/{uid}"), pose_format=PoseFormat("h5")) for uid in "ab"
    ]
    found = find_unmatched(rows, tmp_path)
    assert found.uids == {"b"}
    assert found.files == (f"{path}/video/c",)


def test_rows_and_openposes_folders_that_do_not_meet_are_found_both_ways(tmp_path):
    for name in ("json/a", "json/c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "json" / "notes.txt").touch()
    openpose = PoseFormat("openpose")
    rows = [replace(example(uid, tmp_path / "json" / uid), pose_format=openpose) for uid in "ab"]
    found = find_unmatched(rows, tmp_path)
    assert found.uids == {"b"}
    assert found.files == (str(tmp_path / "json" / "c"),)


def test_of_a_folder_that_is_not_there_all_files_are_missing(tmp_path):
    found = find_unmatched([example("a", tmp_path / "no" / "a.pose")], tmp_path / "no")
    assert (found.uids, found.files) == ({"a"}, ())


# ------------------------------------------------------------------------------------ limits


def test_clips_are_cut_after_step_frames():
    frames = np.array([10, 100, 101, 300])  # 5, 50, 51 and 150 after every second
    found = only(find_cut(frames, None, LIMITS, split="train", uids="abcd"))
    assert (found.severity, found.kind) == ("warning", "long_clips")
    assert "2 of 4" in found.what
    assert found.what.endswith("are cut: d with 150, c with 51.")


def test_a_clip_that_train_would_refuse_is_an_error():
    limits = Limits(step_frames=1, max_frames=50, too_long="error", max_length=8)
    frames = np.array([10] * 999 + [51])
    assert (
        only(find_cut(frames, None, limits, split="train", uids=["a"] * 1000)).severity == "error"
    )


def test_texts_longer_than_max_length_are_cut():
    found = only(find_cut(np.array([10]), np.array([8, 9]), LIMITS, split="train", uids="a"))
    assert found.kind == "long_texts"
    assert "1 of 2" in found.what


@pytest.mark.parametrize(("shares", "most"), [(False, 40), (True, 24)])
def test_the_models_limit_counts_inputs_and_shared_tokens(shares, most):
    limits = Limits(
        step_frames=1,
        max_frames=most + 1,
        too_long="truncate",
        max_length=8,
        stride=2,
        positions=20,
        shares_positions=shares,
    )
    assert limits.most_frames == most
    found = only(find_beyond_model(limits))
    assert (found.severity, found.kind) == ("error", "model_limit")


def test_advice_raises_the_step_until_nearly_all_clips_fit_the_model():
    frames, seconds = np.full(100, 240), np.full(100, 240 / 25)
    limits = Limits(
        step_frames=1, max_frames=50, too_long="truncate", max_length=8, stride=2, positions=60
    )
    step, most, *_ = advise(frames, seconds, None, limits)
    assert step.startswith("data.step_frames: 2 (now 1): 12.5 of the clips' 25 frames a second")
    assert most.startswith("data.max_frames: 120 (now 50)")


def test_advice_on_texts_covers_nearly_all_of_them():
    tokens = np.array([5] * 990 + [19] * 10)
    said = advise(np.array([50]), np.array([2.0]), tokens, LIMITS)
    assert any(sentence.startswith("data.max_length: 24 (now 8)") for sentence in said)


def test_frames_per_batch_is_advised_where_lengths_differ_much():
    frames = np.array([20] * 98 + [400] * 2)
    limits = Limits(step_frames=1, max_frames=400, too_long="truncate", max_length=8, batch_size=10)
    *_, batch = advise(frames, frames / 25, None, limits)
    assert "training.frames_per_batch: 300" in batch


def test_without_clips_there_is_no_advice():
    assert advise(np.empty(0, np.int64), np.empty(0), None, LIMITS) == []
