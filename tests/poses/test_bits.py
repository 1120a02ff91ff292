"""Packed poses keep their bits: from one version to the next, and however they lie in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signseq.poses.keypoints import KEYPOINT_SETS
from signseq.poses.sequence import PoseFile, PoseSequence, write_pose
from signseq.poses.skeletons import SKELETONS
from signseq.poses.transforms import PoseRecipe

WORLD = SKELETONS["mediapipe_holistic_world"].names
# Of what was packed when all was done point by point; stores of that time must stay readable.
DIGESTS = {
    "none": "1e39894f51c655d5e7129cfb1cf1751bcdd7207ccdff97a84d216b5935aa6a4e",
    "shoulders": "d3846d188d71a547ca2fceb669d5ebc96e0f17d8649618cecfc7290cef15fbe7",
    "parts": "8e68000a6f476362fde4af48370458b56ec72dcfc756e5c40ac8582ebacd9ce1",
    "box": "f92d887f6226a2a956f03f5f77dcd9d1b03d7b0e700e29008fa9a3311d0df09b",
}


def faulty_pose(*, frames: int = 40, people: int = 1) -> PoseFile:
    """Somebody who moves, with missing, impossible and unsure points; the same on every machine."""
    rng = np.random.default_rng(5)
    shape = (frames, people, len(WORLD))
    # Of whole numbers, so that no library's rounding counts.
    data = (rng.integers(-200, 200, (*shape, 3)) + rng.integers(900, 9000, (len(WORLD), 3))) / 16
    confidence = rng.integers(0, 20, shape) / 16
    confidence[rng.integers(0, 4, shape) == 0] = 0
    for value in (np.nan, np.inf, -1e30):
        data[rng.integers(0, 200, data.shape) == 0] = value
    confidence[rng.integers(0, 200, shape) == 0] = np.nan
    numbers = data.astype(np.float32), confidence.astype(np.float32)
    return PoseFile(*numbers, 30.0, WORLD, (1000, 1000), "made up")


def pack(file: PoseFile, *, normalize: str = "parts") -> bytes:
    recipe = PoseRecipe("upper_body_hands_face", normalize, fps=25.0, fill_gaps=2)  # type: ignore[arg-type]
    return recipe.pack(recipe.read(file)).tobytes()


@pytest.mark.parametrize("normalize", DIGESTS)
def test_stores_keep_their_bits_from_version_to_version(normalize: str) -> None:
    packed = pack(faulty_pose(), normalize=normalize)
    assert hashlib.sha256(packed).hexdigest() == DIGESTS[normalize]


@pytest.mark.parametrize("name", KEYPOINT_SETS)
@pytest.mark.parametrize("normalize", DIGESTS)
def test_points_that_are_not_asked_for_change_nothing(name: str, normalize: str) -> None:
    recipe = PoseRecipe(name, normalize, fps=25.0)  # type: ignore[arg-type]
    file = faulty_pose()
    selected, whole = recipe.read(file), file.read()
    assert len(selected.keypoints) < len(whole.keypoints)
    np.testing.assert_array_equal(recipe.pack(whole), recipe.pack(selected))


@pytest.mark.parametrize(
    "lay",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        lambda data: np.ascontiguousarray(data[::-1])[::-1],
        lambda data: np.concatenate([data, data], axis=1)[:, : data.shape[1]],
        lambda data: np.ascontiguousarray(data.transpose(2, 0, 1)).transpose(1, 2, 0),
    ],
)
@pytest.mark.parametrize("normalize", DIGESTS)
def test_the_order_of_memory_changes_no_bit(
    lay: Callable[[np.ndarray], np.ndarray], normalize: str
) -> None:
    recipe = PoseRecipe("upper_body_hands_face", normalize, fps=25.0, fill_gaps=2)  # type: ignore[arg-type]
    pose = recipe.read(faulty_pose())
    laid = replace(pose, data=lay(pose.data))
    np.testing.assert_array_equal(
        recipe.pack(laid).view(np.uint16), recipe.pack(pose).view(np.uint16)
    )


@pytest.mark.parametrize("padding", range(4))
def test_numbers_that_are_not_aligned_in_a_file_are_read_alike(
    tmp_path: Path, padding: int
) -> None:
    """Headers are as long as their names, and what follows starts anywhere."""
    pose = faulty_pose().read()
    names = tuple(f"{name}{'x' * padding if name == WORLD[-1] else ''}" for name in WORLD)
    write_pose(tmp_path / "a.pose", replace(pose, keypoints=names))
    assert pack(PoseFile.open(tmp_path / "a.pose")) == pack(faulty_pose())


def test_each_of_several_people_is_read_as_if_alone() -> None:
    file = faulty_pose(people=3)
    for person in range(3):
        alone = replace(
            file, data=file.data[:, [person]], confidence=file.confidence[:, [person]]
        ).read(start_frame=3, end_frame=9, keypoints=WORLD[40:3:-2])
        one = file.read(start_frame=3, end_frame=9, keypoints=WORLD[40:3:-2], person=person)
        np.testing.assert_array_equal(one.data, alone.data)
        np.testing.assert_array_equal(one.confidence, alone.confidence)
        np.testing.assert_array_equal(one.data, file.data[3:9, person, 40:3:-2])


def test_nothing_that_is_given_is_changed() -> None:
    pose = faulty_pose().read()
    data, confidence = pose.data.copy(), pose.confidence.copy()
    for normalize in DIGESTS:
        PoseRecipe("hands", normalize, fps=25.0, fill_gaps=2).pack(pose)  # type: ignore[arg-type]
    np.testing.assert_array_equal(pose.data, data)
    np.testing.assert_array_equal(pose.confidence, confidence)
    assert isinstance(pose, PoseSequence)
