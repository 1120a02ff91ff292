"""Where signing is, of recordings whose times are known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signers import record_signer
from signseq.errors import PoseError
from signseq.poses.segmentation import Segmenter, SegmenterOptions

TWO = (("rest", 2), ("sign", 3), ("rest", 1), ("sign", 2), ("rest", 2))
SLACK = 0.25  # seconds that a boundary may lie beside its place


def find(pose, options=None, *, pieces=(0,)):
    segmenter = Segmenter(options or SegmenterOptions(), fps=pose.fps, keypoints=pose.keypoints)
    found = []
    for first, last in zip(pieces, (*pieces[1:], len(pose)), strict=True):
        part = replace(pose, data=pose.data[first:last], confidence=pose.confidence[first:last])
        found += segmenter.feed(part)
    return found + segmenter.finish()


def seconds(pose, options=None):
    return [(each.start / pose.fps, each.end / pose.fps) for each in find(pose, options)]


def near(*spans):
    return [pytest.approx(span, abs=SLACK) for span in spans]


@pytest.mark.parametrize("fps", [10.0, 12.5, 25.0, 30.0, 60.0])
def test_sentences_between_lowered_hands_are_found_at_any_frame_rate(fps):
    assert seconds(record_signer(*TWO, fps=fps)) == near((2, 5), (6, 8))


@pytest.mark.parametrize("hand", ["LEFT", "RIGHT"])
def test_either_hand_signs(hand):
    assert seconds(record_signer(*TWO, hand=hand)) == near((2, 5), (6, 8))


@pytest.mark.parametrize("factor", [0.05, 4.0])
def test_the_size_of_the_picture_does_not_matter(factor):
    pose = record_signer(*TWO)

    assert seconds(replace(pose, data=pose.data * np.float32(factor))) == near((2, 5), (6, 8))


@pytest.mark.parametrize("kind", ["rest", "lap", "hidden"])
def test_hands_rest_low_or_in_the_lap_or_out_of_view(kind):
    parts = ((kind, 2), ("sign", 3), (kind, 1), ("sign", 2), (kind, 2))

    assert seconds(record_signer(*parts)) == near((2, 5), (6, 8))


def test_raised_hands_that_are_still_end_a_sentence():
    found = seconds(record_signer(("rest", 1), ("sign", 2), ("hold", 1), ("sign", 2), ("rest", 1)))

    assert found == near((1, 3), (4, 6))


def test_a_short_hold_is_part_of_the_sentence():
    found = seconds(
        record_signer(("rest", 1), ("sign", 2), ("hold", 0.4), ("sign", 2), ("rest", 1))
    )

    assert found == near((1, 5.4))


def test_fingers_that_move_in_a_still_hand_are_signing():
    assert seconds(record_signer(("rest", 1), ("spell", 3), ("rest", 1))) == near((1, 4))


def test_a_hand_that_is_lost_for_a_moment_does_not_end_a_sentence():
    found = seconds(
        record_signer(("rest", 1), ("sign", 2), ("lost", 0.5), ("sign", 2), ("rest", 1))
    )

    assert found == near((1, 5.5))


def test_shoulders_that_are_missing_for_a_while_are_where_they_were():
    found = seconds(
        record_signer(("rest", 1), ("sign", 1), ("turned", 2), ("sign", 1), ("rest", 1))
    )

    assert found == near((1, 5))


def test_frames_of_nan_are_no_signing_and_spoil_nothing_after_them():
    found = seconds(
        record_signer(("broken", 2), ("rest", 1), ("sign", 2), ("rest", 1), ("broken", 1))
    )

    assert found == near((3, 5))


@pytest.mark.parametrize("kind", ["rest", "hold", "hidden", "broken", "turned"])
def test_nothing_is_found_where_nobody_signs(kind):
    """`turned` moves, but nobody's shoulders say how much."""
    assert find(record_signer((kind, 5))) == []


def test_a_twitch_is_no_sentence():
    assert find(record_signer(("rest", 1), ("sign", 0.3), ("rest", 1))) == []


def test_what_is_too_long_is_cut_where_the_hand_is_slowest():
    parts = ("rest", 1), ("sign", 3), ("hold", 0.3), ("sign", 2), ("rest", 1)
    options = SegmenterOptions(max_seconds=4)

    assert seconds(record_signer(*parts), options) == near((1, 4.15), (4.15, 6.3))


def test_no_segment_is_longer_than_the_longest_and_none_overlap():
    pose = record_signer(("sign", 60))
    found = find(pose, SegmenterOptions(max_seconds=3))

    assert all(each.end - each.start <= 75 for each in found)
    assert [a.end for a in found[:-1]] == [b.start for b in found[1:]]
    assert found[-1].end >= len(pose) - 5


def test_where_it_was_cut_signing_goes_on_even_if_the_hand_moves_up_there():
    pose = record_signer(("sign", 30))
    found = find(pose, SegmenterOptions(max_seconds=3, travel=0.1))

    assert [a.end for a in found[:-1]] == [b.start for b in found[1:]]


@pytest.mark.parametrize("size", [1, 7, 50])
def test_pieces_of_any_size_give_the_same_segments(size):
    pose = record_signer(*TWO, ("sign", 8), ("lap", 1), ("sign", 2))
    options = SegmenterOptions(max_seconds=4)
    whole = find(pose, options)

    assert len(whole) > 4
    assert find(pose, options, pieces=tuple(range(0, len(pose), size))) == whole


def test_a_segment_never_starts_before_what_was_promised():
    pose = record_signer(*TWO)
    segmenter = Segmenter(SegmenterOptions(), fps=pose.fps, keypoints=pose.keypoints)
    promised = 0
    for frame in range(len(pose)):
        part = slice(frame, frame + 1)
        one = replace(pose, data=pose.data[part], confidence=pose.confidence[part])
        assert all(segment.start >= promised for segment in segmenter.feed(one))
        assert segmenter.earliest_start >= promised
        promised = segmenter.earliest_start


def test_signing_until_the_end_is_a_segment():
    (last,) = find(record_signer(("rest", 1), ("sign", 2)))

    assert last.end >= 3 * 25 - 5


def test_a_recording_shorter_than_a_window_holds_nothing():
    assert find(record_signer(("sign", 0.04))) == []


def test_a_pose_without_shoulders_is_refused():
    with pytest.raises(PoseError, match="needs both shoulders"):
        Segmenter(SegmenterOptions(), fps=25, keypoints=("LEFT_HAND_LANDMARKS.WRIST",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"raised": 2.0}, "raised is 2.0, lowered 1.5"),
        ({"still": 1.0}, "still is 1.0, moving 0.5"),
        ({"pause_seconds": -1}, "pause_seconds is -1"),
        ({"max_seconds": float("nan")}, "max_seconds is nan"),
        ({"max_seconds": 0.6}, "at least twice min_seconds"),
    ],
)
def test_options_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(PoseError, match=said):
        SegmenterOptions(**settings)
