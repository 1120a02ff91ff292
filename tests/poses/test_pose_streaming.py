"""Long .pose files, read and written piece by piece."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from conftest import make_pose
from signseq.errors import PoseAccessError, PoseError
from signseq.poses.sequence import read_pose, write_pose
from signseq.poses.streaming import PoseStream, PoseWriter


def pieces_of(pose, size):
    for first in range(0, len(pose), size):
        part = slice(first, first + size)
        yield replace(pose, data=pose.data[part], confidence=pose.confidence[part])


def joined(pieces):
    pieces = list(pieces)
    return (
        np.concatenate([piece.data for piece in pieces]),
        np.concatenate([piece.confidence for piece in pieces]),
    )


@pytest.fixture
def pose():
    return make_pose(frames=23)


@pytest.mark.parametrize("size", [1, 10, 23, 100])
def test_pieces_are_the_file_in_order(tmp_path, pose, size):
    write_pose(tmp_path / "a.pose", pose)

    stream = PoseStream.open(tmp_path / "a.pose")
    data, confidence = joined(stream.pieces(frames=size))

    assert len(stream) == 23
    assert (data == pose.data).all()
    assert (confidence == pose.confidence).all()


def test_points_are_taken_by_name(tmp_path, pose):
    write_pose(tmp_path / "a.pose", pose)
    names = pose.keypoints[5:2:-1]

    (piece,) = PoseStream.open(tmp_path / "a.pose").pieces(keypoints=names)

    assert (piece.keypoints, piece.fps) == (names, 25)
    assert (piece.data == pose.data[:, 5:2:-1]).all()


def test_a_file_of_version_0_1_whose_count_has_wrapped_round_is_read_to_its_end(tmp_path):
    pose = make_pose(frames=2**16 + 5, keypoints=make_pose(frames=1).keypoints[:4])
    write_pose(tmp_path / "a.pose", pose)
    content = (tmp_path / "a.pose").read_bytes()
    body = content.index(struct.pack("<fIH", 25.0, 2**16 + 5, 1))
    old = struct.pack("<f", 0.1) + content[4:body] + struct.pack("<HHH", 25, 5, 1)
    (tmp_path / "a.pose").write_bytes(old + content[body + 10 :])

    data, _ = joined(PoseStream.open(tmp_path / "a.pose").pieces(frames=20_000))

    assert (data == pose.data).all()


def test_one_person_is_followed_who_is_the_surest_of_all(tmp_path, pose):
    doubt = np.full_like(pose.confidence, 0.2)
    doubt[:4] = 1  # the surest of the first piece
    faint = replace(pose, confidence=doubt)
    sure = replace(pose, data=pose.data + 1, confidence=np.full_like(pose.confidence, 0.9))
    write_pose(tmp_path / "a.pose", pose)
    content = (tmp_path / "a.pose").read_bytes()
    body = content.index(struct.pack("<fIH", 25.0, 23, 1))
    both = [
        np.stack(pair, axis=1)
        for pair in ((faint.data, sure.data), (faint.confidence, sure.confidence))
    ]
    head = content[:body] + struct.pack("<fIH", 25.0, 23, 2)
    (tmp_path / "a.pose").write_bytes(head + b"".join(each.tobytes() for each in both))

    data, _ = joined(PoseStream.open(tmp_path / "a.pose").pieces(frames=4))

    assert (data == sure.data).all()


def test_what_is_cut_off_while_it_is_read_is_an_error(tmp_path, pose):
    path = tmp_path / "a.pose"
    write_pose(path, pose)
    pieces = PoseStream.open(path).pieces(frames=5)
    next(pieces)
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(PoseError, match="was changed while it was read"):
        list(pieces)


@pytest.mark.parametrize(("frames", "people", "lack"), [(0, 1, "frames"), (3, 0, "person")])
def test_a_file_without_frames_or_people_is_refused(tmp_path, pose, frames, people, lack):
    write_pose(tmp_path / "a.pose", pose)
    content = (tmp_path / "a.pose").read_bytes()
    body = content.index(struct.pack("<fIH", 25.0, 23, 1))
    (tmp_path / "a.pose").write_bytes(content[:body] + struct.pack("<fIH", 25.0, frames, people))

    with pytest.raises(PoseError, match=f"has no {lack}"):
        PoseStream.open(tmp_path / "a.pose")


@pytest.mark.parametrize("size", [1, 9, 23])
def test_what_is_written_in_pieces_is_the_file_written_at_once(tmp_path, pose, size):
    write_pose(tmp_path / "whole.pose", pose, size=(640, 480))

    with PoseWriter(tmp_path / "a.pose", size=(640, 480)) as writer:
        for piece in pieces_of(pose, size):
            writer.write(piece)

    assert (tmp_path / "a.pose").read_bytes() == (tmp_path / "whole.pose").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pose", "whole.pose"]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, pose):
    write_pose(tmp_path / "a.pose", make_pose(frames=3))

    def fail():
        with PoseWriter(tmp_path / "a.pose", size=(1, 1)) as writer:
            writer.write(pose)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(read_pose(tmp_path / "a.pose")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.pose"]


def test_a_missing_folder_is_told_before_the_work(tmp_path):
    with pytest.raises(PoseError, match="can't be written"):
        PoseWriter(tmp_path / "no" / "a.pose", size=(1, 1))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(PoseError, match="no such file") as told:
        PoseStream.open(tmp_path / "a.pose")
    assert not isinstance(told.value, PoseAccessError)
