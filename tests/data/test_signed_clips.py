"""A lexicon's clips, cut and joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexicons import INDEX, RAISED, RIGHT, RIGHT_WRIST, make_clip
from signseq.data.joining import REPEAT_SLIDE, SHOULDER_PIXELS
from signseq.data.lexicon import Clip
from signseq.data.signed_clips import Joining, join_clips, load_clip
from signseq.errors import DataError, PoseError
from signseq.poses.keypoints import SHOULDERS
from signseq.poses.sequence import PoseSequence, write_pose

AS_RECORDED = Joining(sign_seconds=0, letter_seconds=0)
PIXEL = 0.01


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Clip]:
    def save(pose: PoseSequence, **facts: object) -> Clip:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.pose"
        write_pose(path, pose, size=(500, 500))
        return Clip(path, "X", **facts)

    return save


def test_a_clip_is_cut_to_where_a_hand_is_up(save) -> None:
    pose = load_clip(save(make_clip(0.5)))

    assert len(pose) == RAISED.stop - RAISED.start
    assert (pose.data[:, RIGHT_WRIST, 1] < 0).all()


def test_a_clip_in_which_no_hand_is_up_is_whole(save) -> None:
    assert len(load_clip(save(make_clip(-1.4)))) == 40


def test_a_known_segment_is_taken_as_it_is(save) -> None:
    assert len(load_clip(save(make_clip(), segment=(0.2, 0.8)))) == 15


def test_a_segment_counts_from_the_files_start(save) -> None:
    whole, part = make_clip(), save(make_clip(), start=0.2, segment=(0.4, 0.8))

    np.testing.assert_allclose(
        load_clip(part).data[0, RIGHT_WRIST, 0],
        load_clip(save(whole, segment=(0.4, 0.8))).data[0, RIGHT_WRIST, 0],
        atol=1e-4,
    )


def test_a_frame_away_from_the_joins_is_as_it_was_recorded(save) -> None:
    clips = [save(make_clip(0.2)), save(make_clip(0.6))]
    first = load_clip(clips[0])
    sentence = join_clips(clips, AS_RECORDED)

    kept = len(first) - 4
    moved = first.data[:kept] * SHOULDER_PIXELS + (250, 200, 0)
    np.testing.assert_allclose(sentence.data[:kept], moved, atol=PIXEL)


def test_signers_of_any_size_and_place_become_one(save) -> None:
    near, far = make_clip(0.2, width=200.0), make_clip(0.6, width=80.0, left=30.0)
    sentence = join_clips([save(near), save(far)], Joining())

    left, right = (sentence.data[:, INDEX[name], :2] for name in SHOULDERS)
    np.testing.assert_allclose(left, np.full_like(left, 1) * (310, 200), atol=PIXEL)
    np.testing.assert_allclose(right, np.full_like(right, 1) * (190, 200), atol=PIXEL)


def test_clips_of_any_rate_come_out_at_one(save) -> None:
    slow, fast = make_clip(0.2, fps=12.5), make_clip(0.6, fps=50.0)
    sentence = join_clips([save(slow), save(fast)], replace(AS_RECORDED, fps=25.0))

    # 19 steps between 20 frames last 1.52 s and 0.38 s; with the way between, 2.02 s.
    assert (sentence.fps, len(sentence)) == (25.0, 51)


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.6])
def test_a_transition_lasts_as_long_as_it_should(save, seconds: float) -> None:
    clips = [save(make_clip(0.2)), save(make_clip(0.6))]
    sentence = join_clips(clips, replace(AS_RECORDED, transition_seconds=seconds))

    assert abs(len(sentence) - (0.76 + seconds + 0.76) * 25) <= 1


def test_a_transition_does_not_jump(save) -> None:
    clips = [save(make_clip(0.0)), save(make_clip(1.0))]
    wrist = join_clips(clips, Joining(transition_seconds=0.4)).data[:, RIGHT_WRIST, 1]

    steps = np.abs(np.diff(wrist))
    assert steps.max() < 0.25 * SHOULDER_PIXELS  # of a whole shoulder width, in ten frames
    assert (np.diff(wrist) < PIXEL).all()  # up all the way


def test_a_sign_that_lasts_too_long_is_played_faster(save) -> None:
    clip = save(make_clip(0.5))

    assert len(join_clips([clip], Joining(sign_seconds=0.4))) == 10
    assert len(join_clips([clip], Joining(sign_seconds=3.0))) == 19


def test_letters_have_a_length_of_their_own(save) -> None:
    letter = save(make_clip(0.5), is_letter=True)

    assert len(join_clips([letter], Joining(letter_seconds=0.2))) == 5


def test_a_letter_twice_stands_aside_the_second_time(save) -> None:
    pose = make_clip(0.5)
    pose.data[RAISED, :, 0] = pose.data[RAISED.start, :, 0]  # still
    letter = save(pose, is_letter=True)
    x = join_clips([letter, letter], Joining(letter_seconds=0.2)).data[:, RIGHT_WRIST, 0]

    assert x[0] - x[-1] == pytest.approx(REPEAT_SLIDE * SHOULDER_PIXELS, abs=PIXEL)


def test_a_hand_that_one_clip_lacks_stays_where_the_other_shows_it(save) -> None:
    pose = make_clip(0.6)
    pose.confidence[:, RIGHT] = 0
    pose.data[:, RIGHT] = 0
    sentence = join_clips([save(make_clip(0.2)), save(pose)], AS_RECORDED)

    seen = sentence.confidence[:, RIGHT_WRIST] > 0
    assert seen[:20].all()
    assert not seen[-18:].any()
    assert (sentence.data[seen, RIGHT_WRIST, 1] < 200).all()  # above the shoulders, not at 0
    assert (sentence.data[seen, RIGHT_WRIST, 1] > 100).all()
    assert (sentence.data[~seen][:, RIGHT] == 0).all()


def test_a_keypoint_set_can_be_chosen(save) -> None:
    assert len(join_clips([save(make_clip())], Joining(keypoints="hands")).keypoints) == 42


def test_world_coordinates_are_left_out(save) -> None:
    pose = make_clip()
    names = (*pose.keypoints, "POSE_WORLD_LANDMARKS.NOSE")
    more = PoseSequence(
        np.pad(pose.data, ((0, 0), (0, 1), (0, 0))),
        np.pad(pose.confidence, ((0, 0), (0, 1))),
        pose.fps,
        names,
    )

    assert load_clip(save(more)).keypoints == pose.keypoints


def test_a_clip_without_shoulders_is_named(save) -> None:
    pose = make_clip()
    pose.confidence[:, [INDEX[name] for name in SHOULDERS]] = 0
    clip = save(pose)

    with pytest.raises(
        DataError, match=rf"clip of 'X' can't .*{clip.path.name}: No frame.*shoulders"
    ):
        join_clips([clip], Joining())


def test_an_unknown_keypoint_set_is_named() -> None:
    with pytest.raises(PoseError, match=r"No keypoint set 'hand'.*Did you mean 'hands'"):
        Joining(keypoints="hand")


@pytest.mark.parametrize(
    "wrong", [{"fps": 0.0}, {"fps": float("nan")}, {"transition_seconds": -1.0}]
)
def test_a_joining_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="expected"):
        Joining(**wrong)
