"""What clients send: which of it becomes a pose, and what the rest is answered with."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from pydantic_core import from_json

from conftest import make_pose
from signseq.poses.sequence import PoseSequence, read_pose, write_pose
from signseq.poses.sources import landmark_json
from signseq.poses.sources.landmarks import dump_compact, dump_json
from signseq.serving import uploads
from signseq.serving.uploads import UploadError, UploadLimits, kind_of, read_upload

LIMITS = UploadLimits()


@pytest.fixture(scope="module")
def pose() -> PoseSequence:
    return make_pose(frames=6)


@pytest.fixture(scope="module")
def content(pose: PoseSequence, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("poses") / "a.pose"
    write_pose(path, pose)
    return path.read_bytes()


def refuse(body: bytes | Path, limits: UploadLimits = LIMITS) -> UploadError:
    with pytest.raises(UploadError) as found:
        read_upload(body, limits)
    assert len(found.value.message) > 20
    assert "/" not in found.value.message
    return found.value


def reason(body: bytes | Path, limits: UploadLimits = LIMITS) -> tuple[int, str]:
    fault = refuse(body, limits)
    return fault.status, fault.code


def as_json(pose: PoseSequence, **changes: Any) -> bytes:
    facts = json.loads(dump_json(pose)) | changes
    return json.dumps({key: value for key, value in facts.items() if value is not ...}).encode()


def compact(header: dict[str, Any], numbers: np.ndarray) -> bytes:
    text = json.dumps(header).encode()
    return b"SGQ1" + struct.pack("<I", len(text)) + text + numbers.astype("<f4").tobytes()


def assert_same(found: PoseSequence, wanted: PoseSequence) -> None:
    np.testing.assert_array_equal(found.data, wanted.data)
    np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert (found.fps, found.keypoints) == (wanted.fps, wanted.keypoints)


# ------------------------------------------------------------------------------- what is read


def test_every_kind_gives_the_same_pose(pose: PoseSequence, content: bytes, tmp_path: Path) -> None:
    bodies = {
        "pose": content,
        "pose.zst": zstandard.compress(content),
        "json": dump_json(pose),
        "landmarks": dump_compact(pose),
    }
    for kind, body in bodies.items():
        assert kind_of(body) == kind
        assert_same(read_upload(body, LIMITS), pose)
        (tmp_path / "body").write_bytes(body)
        assert_same(read_upload(tmp_path / "body", LIMITS), pose)


def test_version_1_of_pose_files_is_read() -> None:
    header = struct.pack("<fHHHH", 0.1, 640, 480, 0, 1)
    for name in ("A", "XYC"):
        header += struct.pack("<H", len(name)) + name.encode()
    header += struct.pack("<HHH", 1, 0, 0) + struct.pack("<H", 1) + b"P"
    body = header + struct.pack("<HHH", 25, 2, 1) + np.arange(6, dtype="<f4").tobytes()
    assert len(read_upload(body, LIMITS)) == 2


def test_json_may_begin_with_a_mark_or_spaces(pose: PoseSequence) -> None:
    assert_same(read_upload(b"\xef\xbb\xbf" + dump_json(pose), LIMITS), pose)
    assert_same(read_upload(b" \n" + dump_json(pose), LIMITS), pose)


def test_null_in_json_is_a_number_that_is_not_known(pose: PoseSequence) -> None:
    frames = json.loads(dump_json(pose))["frames"]
    frames[2][3][0] = None
    assert np.isnan(read_upload(as_json(pose, frames=frames), LIMITS).data[2, 3, 0])


def test_not_a_number_survives_both_forms() -> None:
    pose = make_pose(frames=3)
    pose.data[1, 2] = np.nan
    for body in (dump_json(pose), dump_compact(pose)):
        np.testing.assert_array_equal(read_upload(body, LIMITS).data, pose.data)


def test_times_that_vary_become_a_constant_rate(pose: PoseSequence) -> None:
    times = [0.0, 0.04, 0.08, 0.20, 0.24, 0.28]  # two frames are missing
    for body in (
        as_json(pose, fps=..., times=times),
        compact(
            {"keypoints": pose.keypoints, "frames": 6, "times": True},
            np.column_stack(
                [times, np.concatenate([pose.data, pose.confidence[..., None]], 2).reshape(6, -1)]
            ),
        ),
    ):
        found = read_upload(body, LIMITS)
        assert (found.fps, len(found)) == (25, 8)
        np.testing.assert_array_equal(found.data[[0, 7]], pose.data[[0, 5]])


def test_a_clip_right_at_the_limits_is_taken(content: bytes) -> None:
    assert len(read_upload(content, UploadLimits(max_seconds=0.25, max_frames=6))) == 6


# ------------------------------------------------------------------------------- what it is


def _zip(content: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../x", content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"\0", 415, "unknown_kind"),
        (b"hello", 415, "unknown_kind"),
        (b"\x80\x04}.", 415, "unknown_kind"),
        (_zip(bytes(10_000_000)), 415, "unknown_kind"),
        (gzip.compress(bytes(10_000_000)), 415, "unknown_kind"),
        (b"\xff\xd8\xff\xe0 a picture", 415, "unknown_kind"),
        (b"\x28\xb5\x2f\xfd", 400, "damaged_pose"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), 400, "damaged_pose"),
        (zstandard.compress(b""), 400, "damaged_pose"),
        (zstandard.compress(b"no pose"), 400, "damaged_pose"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_clip_is_refused_with_its_kind(body: bytes, status: int, code: str) -> None:
    assert reason(body) == (status, code)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"GIF89a", "video"),
        ((b"\x47" + bytes(187)) * 3, "video"),
        (b"G" + bytes(600), None),
        (b"  {", "json"),
        (b"SGQ1", "landmarks"),
        (struct.pack("<f", 0.2), "pose"),
        (struct.pack("<f", 0.3), None),
        (struct.pack("<f", np.nan), None),
    ],
)
def test_the_first_bytes_tell_the_kind(start: bytes, kind: str | None) -> None:
    assert kind_of(start) == kind


# ------------------------------------------------------------------------------- damaged .pose


def test_every_prefix_of_a_pose_file_is_refused(content: bytes) -> None:
    for length in range(4, len(content), 97):
        assert reason(content[:length]) == (400, "damaged_pose")


def _header(*, points: int = 1, components: int = 1, limbs: int = 0, form: str = "XYC") -> bytes:
    """A header that says so much, and holds nothing of it."""
    found = struct.pack("<fHHHH", 0.2, 640, 480, 0, components)
    for name in ("A", form):
        found += struct.pack("<H", len(name)) + name.encode()
    return found + struct.pack("<HHH", points, limbs, limbs) + struct.pack("<H", 1) + b"P"


def _body(fps: float = 25.0, frames: int = 1, people: int = 1) -> bytes:
    return struct.pack("<fIH", fps, frames, people) + bytes(12)


@pytest.mark.parametrize(
    "body",
    [
        _header() + _body(frames=2**32 - 1),
        _header() + _body(people=65535),
        _header() + _body(people=0),
        _header() + _body(frames=0),
        _header() + _body(fps=np.nan),
        _header() + _body(fps=np.inf),
        _header() + _body(fps=-25),
        _header() + _body(fps=0),
        _header(points=65535) + _body(),
        _header(points=0) + _body(),
        _header(components=65535) + _body(),
        _header(components=0) + _body(),
        _header(limbs=65535) + _body(),
        _header(form="C") + _body(),
        _header(form="") + _body(),
        _header(form="X" * 65535) + _body(),
        _header().replace(b"A", b"\xff") + _body(),
    ],
    ids=range(17),
)
def test_a_header_that_says_absurd_things_is_refused(body: bytes) -> None:
    assert reason(body) == (400, "damaged_pose")


def test_json_of_too_many_frames_is_refused_before_they_are_parsed() -> None:
    body = b'{"fps": 25, "keypoints": ["A.B"], "frames": [' + b"[[no JSON]]," * 20_000 + b"[[]]]}"
    assert reason(body) == (413, "too_long")


def test_a_file_of_endless_frames_without_people_is_too_long() -> None:
    assert reason(_header() + _body(frames=2**32 - 1, people=0)) == (413, "too_long")


@pytest.mark.parametrize(
    "filler",
    [struct.pack("<H", 0), struct.pack("<H", 1) + b"P"],
    ids=["nameless points", "points"],
)
def test_a_header_of_endless_points_is_refused_before_it_fills_the_memory(filler: bytes) -> None:
    component = b"\0\0" + struct.pack("<H", 3) + b"XYC" + struct.pack("<HHH", 65535, 0, 0)
    body = struct.pack("<fHHHH", 0.2, 1, 1, 0, 65535) + (component + 65535 * filler) * 50
    tracemalloc.start()
    assert reason(body) == (400, "damaged_pose")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


# ------------------------------------------------------------------------------- damaged landmarks


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b'{"fps": ' + b"9" * 100_000 + b"}",
        b'{"fps": NaN}',
        b'{"fps": "\xff"}',
        b'"{}"',
        b"{" + b'"a":1,' * 60_000 + b'"a":1}',
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_that_is_no_clip_is_refused(body: bytes) -> None:
    assert reason(body)[0] in (400, 415)


def test_small_json_that_would_grow_in_memory_is_refused_before() -> None:
    body = b'{"frames": [' + (b"[" + b"[]," * 100 + b"[]],") * 19_000 + b"[]]}"
    tracemalloc.start()
    assert reason(body) == (400, "damaged_landmarks")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_large_json_is_parsed_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One large portion would hold up every thread of the server until it is parsed."""
    body = as_json(make_pose(frames=3), frames=[[[0, 0, 0, 0]] * 53] * 2000).replace(b" ", b"")
    assert len(body) > 1 << 20
    portions = []

    def parse(content: bytes, **settings: Any) -> Any:
        portions.append(len(content))
        return from_json(content, **settings)

    monkeypatch.setattr(landmark_json, "from_json", parse)
    assert len(read_upload(body, UploadLimits(max_seconds=100))) == 2000
    assert len(portions) == 2001
    assert max(portions) < 2000


def test_names_may_come_behind_the_frames_and_strings_look_like_frames(pose: PoseSequence) -> None:
    facts = json.loads(dump_json(pose))
    facts = {"note": '"frames": [[', "frames": facts.pop("frames"), **facts}
    for body in (json.dumps(facts), json.dumps(facts, indent=2)):
        assert_same(read_upload(body.encode(), LIMITS), pose)


@pytest.mark.parametrize(
    "frames",
    [
        b"[[[1,2,3,4]],",
        b"[[[1,2,3,4]]",
        b"[[[1,2,3,4]] [[1,2,3,4]]]",
        b"[[[1,2,3,4]],]",
        b"[,]",
        b'[[[1,2,3,4]]],"frames":[[[1,2,3,4]]]',
        b"[[[1,2,3,4]]" + b" " * (1 << 20) + b"]",
        b"[[[1,2,3,NaN]]]",
    ],
    ids=lambda value: repr(value)[:40],
)
def test_frames_that_are_no_json_are_refused(frames: bytes) -> None:
    body = b'{"fps": 25, "keypoints": ["A.B"], "frames": ' + frames + b"}"
    assert reason(body) == (400, "damaged_landmarks")


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": ...},
        {"fps": None},
        {"fps": 0},
        {"fps": -25},
        {"fps": 1e9},
        {"fps": 10**400},
        {"fps": "25"},
        {"fps": True},
        {"keypoints": ...},
        {"keypoints": []},
        {"keypoints": "POSE"},
        {"keypoints": ["A.B"]},
        {"keypoints": [1] * 53},
        {"keypoints": ["A.B"] * 53},
        {"keypoints": ["x" * 1000] * 53},
        {"frames": ...},
        {"frames": 6},
        {"frames": []},
        {"frames": [1, 2]},
        {"frames": [[[1, 2, 3]] * 53]},
        {"frames": [[[1, 2, 3, 4, 5]] * 53]},
        {"frames": [[[1, 2, 3, 4]] * 52]},
        {"frames": [[["1", "2", "3", "4"]] * 53]},
        {"frames": [[[[1], [2], [3], [4]]] * 53]},
        {"frames": [[[True, 2, 3, 4]] * 53]},
        {"frames": [[[10**400, 2, 3, 4]] * 53]},
        {"frames": [[{}] * 53]},
        {"estimator": 5},
        {"estimator": "x" * 1000},
        {"times": True},
        {"times": [0, 1]},
        {"times": [0, 0.04, 0.08, 0.12, 0.16, "0.2"]},
        {"times": [0, 0.04, 0.08, 0.12, 0.16, None]},
        {"times": [0, 0.04, 0.08, 0.12, 0.16, 0.16]},
        {"times": [0, 0.04, 0.08, 0.12, 0.20, 0.16]},
        {"times": [-0.1, 0.04, 0.08, 0.12, 0.16, 0.2]},
        {"times": [0, 1e-9, 2e-9, 3e-9, 4e-9, 5e-9]},
        {"times": [0, 1e-3, 2e-3, 3e-3, 4e-3, 50]},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_json_with_one_thing_wrong_is_refused(changes: dict[str, Any]) -> None:
    body = as_json(make_pose(frames=6), **changes)
    assert reason(body) == (400, "damaged_landmarks")


def test_the_message_says_which_frame_is_wrong_and_how() -> None:
    pose = make_pose(frames=6)
    frames = json.loads(dump_json(pose))["frames"]
    del frames[4][0]
    found = refuse(as_json(pose, frames=frames)).message
    assert found == "The upload: frame 4 has 52 lists of 4 numbers; expected 53 x 4."


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:6],
        lambda body: body[:40],
        lambda body: body[:-1],
        lambda body: body + b"\0\0\0\0",
        lambda body: body[:4] + b"\xff\xff\xff\xff" + body[8:],
        lambda body: body[:4] + b"\0\0\0\0" + body[8:],
        lambda body: body.replace(b'"frames": 6', b'"frames": -6'),
        lambda body: body.replace(b'"frames": 6', b'"frames": 9e9'),
        lambda body: body.replace(b'"frames": 6', b'"frames": 99999999999'),
        lambda body: body.replace(b'"frames": 6', b'"frames": true'),
        lambda body: body.replace(b'"frames": 6', b'"times": 3, "frames": 6'),
    ],
    ids=range(11),
)
def test_damaged_compact_landmarks_are_refused(
    damage: Callable[[bytes], bytes], pose: PoseSequence
) -> None:
    body = dump_compact(pose)
    length = struct.unpack_from("<I", body, 4)[0]
    damaged = damage(body)
    grown = len(damaged) - len(body)
    if damaged[:4] == b"SGQ1" and damaged[8:9] == b"{" and damaged[4:8] == body[4:8] and grown > 4:
        damaged = damaged[:4] + struct.pack("<I", length + grown) + damaged[8:]
    assert reason(damaged) == (400, "damaged_landmarks")


# ------------------------------------------------------------------------------- limits


def test_a_body_that_is_too_large_is_not_looked_at(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_bytes_of", lambda _: pytest.fail("was read"))
    limits = UploadLimits(max_bytes=1000)
    assert reason(content, limits) == (413, "too_large")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.write(b"{")
        file.truncate(100_000_000)  # takes no space
    assert reason(huge, UploadLimits(max_bytes=1 << 30)) == (413, "too_large")
    assert "compact form" in refuse(huge).message


def test_a_zstandard_bomb_is_not_unpacked() -> None:
    bomb = zstandard.compress(struct.pack("<f", 0.2) + bytes(1 << 26))
    assert len(bomb) < 100_000
    tracemalloc.start()
    assert reason(bomb, UploadLimits(max_bytes=1 << 20)) == (413, "too_large")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (UploadLimits(max_seconds=0.2), "too_long"),
        (UploadLimits(max_frames=5), "too_long"),
        (UploadLimits(max_keypoints=20), "too_many_keypoints"),
    ],
    ids=["seconds", "frames", "keypoints"],
)
def test_clips_beyond_the_limits_are_refused(
    limits: UploadLimits, code: str, pose: PoseSequence, content: bytes
) -> None:
    for body in (content, zstandard.compress(content), dump_json(pose), dump_compact(pose)):
        assert reason(body, limits) == (413, code)


def test_times_beyond_the_limit_are_refused_before_frames_are_repeated(pose: PoseSequence) -> None:
    body = as_json(pose, fps=..., times=[0, 20, 40, 60, 80, 100])
    assert reason(body) == (413, "too_long")


# ------------------------------------------------------------------------------- what is kept


def test_nothing_is_left_on_the_disk(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    body = tmp_path / "spooled"
    body.write_bytes(content * 1)
    read_upload(body, LIMITS)
    refuse(b"\0\0\0\x20ftypisom" + bytes(1000))
    assert [path.name for path in tmp_path.iterdir()] == ["spooled"]


def test_what_is_read_does_not_keep_the_file_open(content: bytes, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(content)
    found = read_upload(body, LIMITS)
    body.unlink()
    assert_same(found, read_pose(content))
