"""Which pose estimators a store and a checkpoint know of, and what became of those that know none."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_pose, sign_pose, write_rows
from signseq.data.store import open_store
from signseq.errors import DataError
from signseq.evaluation import evaluate
from signseq.poses.sequence import write_pose
from signseq.poses.skeletons import SKELETONS
from signseq.poses.transforms import PoseRecipe
from signseq.preparation import build_recipe, open_split, prepare
from signseq.translation import Translator

OPENPOSE = SKELETONS["openpose"].names


@pytest.fixture
def mixed(tmp_path: Path, make_config: Any) -> Any:
    """A store of two clips of MediaPipe and one of OpenPose; and its config."""
    (tmp_path / "poses").mkdir()
    for number, keypoints in enumerate((None, None, OPENPOSE)):
        pose = make_pose(seed=number) if keypoints is None else make_pose(keypoints=keypoints)
        write_pose(tmp_path / "poses" / f"{number}.pose", pose)
    rows = [{"uid": str(number), "text": "we eat"} for number in range(3)]
    write_rows(tmp_path / "train.csv", rows)
    return make_config("data.val_path=null", "data.test_path=null")


def test_a_store_mixes_estimators_and_counts_them(mixed: Any) -> None:
    prepare(mixed, workers=1)
    store = open_split(mixed.data, "train")
    assert store.facts["report"]["estimators"] == {"mediapipe": 2, "openpose": 1}
    assert store.estimators == ("mediapipe", "openpose")
    assert all((store.clip(number)[..., -1] == 1).all() for number in range(3))


def test_a_store_of_an_earlier_version_opens_and_is_not_made_anew(mixed: Any) -> None:
    prepare(mixed, workers=1)
    path = mixed.data.store / "train" / "store.json"
    facts = json.loads(path.read_text())
    assert "fill_gaps" not in facts["recipe"]  # so its digest is that of earlier versions
    del facts["report"]["estimators"]
    path.write_text(json.dumps(facts))
    before = path.stat().st_mtime_ns
    prepare(mixed, workers=1)
    assert path.stat().st_mtime_ns == before
    assert open_split(mixed.data, "train").estimators == ()


def test_a_store_that_fills_gaps_is_another_one(mixed: Any) -> None:
    prepare(mixed, workers=1)
    filling = replace(build_recipe(mixed.data), fill_gaps=2)
    with pytest.raises(DataError, match=r"made with fill_gaps = 0, 2 is asked for"):
        open_store(mixed.data.store / "train", recipe=filling)


def test_a_run_records_the_estimators_of_its_training_clips(trained: Path) -> None:
    assert json.loads((trained / "config.json").read_text())["estimators"] == ["mediapipe"]


@pytest.fixture
def translator(trained: Path) -> Translator:
    return Translator.from_pretrained(trained)


def test_poses_of_another_estimator_are_warned_of_once(
    translator: Translator, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(sign_pose("you see bread"), estimator="openpose")
    for _ in range(3):
        translator.translate(other)
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert (
        "the pose: poses of openpose; the checkpoint was trained on poses of mediapipe" in said[0]
    )


def test_poses_of_the_same_estimator_are_not_warned_of(translator: Translator) -> None:
    for pose in (
        sign_pose("you see bread"),
        replace(sign_pose("you see bread"), estimator="mediapipe"),
    ):
        assert translator.pack(pose).warnings == ()


def test_a_checkpoint_of_an_earlier_version_warns_of_nothing(
    run_folder: Path,
) -> None:
    path = run_folder / "config.json"
    config = json.loads(path.read_text())
    del config["estimators"], config["recipe"]["fill_gaps"], config["encoder"]["channels"]
    path.write_text(json.dumps(config))
    translator = Translator.from_pretrained(run_folder)
    packed = translator.pack(replace(sign_pose("you see"), estimator="openpose"))
    assert packed.warnings == ()
    assert translator.recipe == PoseRecipe(keypoints="upper_body_hands")
    np.testing.assert_array_equal(packed.poses, translator.recipe.pack(sign_pose("you see")))


def test_a_store_of_another_estimator_is_warned_of_when_it_is_scored(
    run_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = run_folder / "config.json"
    config = json.loads(path.read_text()) | {"estimators": ["openpose"]}
    path.write_text(json.dumps(config))
    evaluate(run_folder, split="test", blind=False)
    assert "poses of mediapipe; the checkpoint was trained on poses of openpose" in caplog.text
