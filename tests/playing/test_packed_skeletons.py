"""Skeletons in few bytes."""

import base64
import zlib

import numpy as np

from conftest import KEYPOINTS, make_pose
from signseq.playing.skeletons import PACKED_ABSENT, pack_poses
from signseq.poses.drawing import ABSENT, draw_pose


def drawn(*, frames=30, fps=15.0):
    pose = make_pose(frames=frames)
    packed = np.concatenate([pose.data[..., :2], np.ones((frames, len(KEYPOINTS), 1))], axis=2)
    packed[3, 5] = 0
    return draw_pose(packed.astype(np.float16), KEYPOINTS, normalize="none", fps=fps)


def unpacked(pose):
    """As the page's script does it."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(pose.data)), np.uint8)
    return np.cumsum(raw.reshape(pose.frames, len(KEYPOINTS), 2), axis=0, dtype=np.uint8)


def test_points_come_back_to_within_half_a_step():
    pose = drawn()
    (packed,) = pack_poses([pose], budget=10**6)

    there = (pose.points != ABSENT).all(axis=2)
    found = unpacked(packed)
    assert packed.frames == 30
    assert packed.seconds == 2
    assert (
        np.abs(found[there].astype(float) * 1000 / 254 - pose.points[there].astype(float)).max()
        <= 2.5
    )
    assert (found[~there] == PACKED_ABSENT).all()
    assert (found[there] < PACKED_ABSENT).all()


def test_fast_clips_keep_at_most_fifteen_frames_a_second():
    (packed,) = pack_poses([drawn(frames=60, fps=60.0)], budget=10**6)
    assert packed.frames == 15
    assert packed.seconds == 1


def test_many_clips_fit_into_the_budget_with_fewer_frames():
    poses = [drawn(frames=150) for _ in range(10)]
    whole = sum(len(each.data) for each in pack_poses(poses, budget=10**9))

    packed = pack_poses(poses, budget=whole // 3)

    assert sum(len(each.data) for each in packed) <= whole // 3
    assert all(each.seconds == 10 for each in packed)
    assert all(each.frames > 20 for each in packed)


def test_without_any_room_a_frame_of_each_is_left():
    assert [each.frames for each in pack_poses([drawn()], budget=0)] == [1]
