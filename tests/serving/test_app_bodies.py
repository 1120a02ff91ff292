"""The HTTP API: bodies that are refused, and why."""

import asyncio

import pytest

from conftest import make_pose
from servers import TRANSLATE, fault_of, pose_bytes
from signseq.poses.sequence import write_pose


@pytest.mark.parametrize(
    ("path", "request_", "expected"),
    [
        (TRANSLATE, {"content": b"nothing that is known"}, (415, "unknown_kind")),
        (TRANSLATE, {"content": b""}, (400, "empty_body")),
        (TRANSLATE + "?n_best=0", {"content": b"x"}, (422, "invalid_request")),
        (TRANSLATE + "?n_best=99", {"content": b"x"}, (422, "invalid_request")),
        (TRANSLATE + "?num_beams=many", {"content": b"x"}, (422, "invalid_request")),
        (TRANSLATE + "?language=de", {"content": b"x"}, (422, "unknown_language")),
        (TRANSLATE, {"files": {"other": b"x"}}, (400, "no_file")),
        (TRANSLATE, {"files": [("file", b"x"), ("file", b"y")]}, (400, "two_files")),
        ("/v1/nothing", {}, (404, "not_found")),
        ("/v1/model", {}, (405, "method_not_allowed")),
    ],
)
def test_a_mistake_is_answered_with_its_code(server, path, request_, expected):
    assert fault_of(server.ask("POST", path, **request_)) == expected


@pytest.mark.parametrize(
    "form",
    [
        {"content-type": "multipart/form-data"},
        {"content-type": "multipart/form-data; boundary=abc"},
        {"content-type": 'multipart/form-data; boundary="'},
    ],
)
@pytest.mark.parametrize(
    "body", [b"abc", b"--abc\r\nContent-Disposition: form-data; name=file\r\n"]
)
def test_a_malformed_form_is_a_400(server, form, body):
    assert fault_of(server.ask("POST", TRANSLATE, content=body, headers=form)) == (
        400,
        "malformed_form",
    )


def test_a_body_over_the_limit_is_refused_before_its_end(server):
    sent = []

    async def endless():
        while len(sent) < 1000:
            sent.append(1)
            yield b"x" * 100_000

    async def work(client):
        return await client.post(TRANSLATE, content=endless())

    assert fault_of(server.talk(work, max_upload_mb=1)) == (413, "body_too_large")
    assert len(sent) < 20


def test_an_announced_body_over_the_limit_is_refused_at_once(server):
    settings = {"max_upload_mb": 0.001}
    assert fault_of(server.ask("POST", TRANSLATE, content=b"x" * 2000, settings=settings)) == (
        413,
        "body_too_large",
    )


def test_a_file_in_a_form_has_the_same_limit(server):
    settings = {"max_upload_mb": 0.001}
    assert fault_of(
        server.ask("POST", TRANSLATE, files={"file": b"x" * 2000}, settings=settings)
    ) == (
        413,
        "body_too_large",
    )


def test_a_large_body_goes_through_a_file_that_is_removed(server, monkeypatch, tmp_path):
    monkeypatch.setattr("signseq.serving.bodies.IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert server.ask("POST", TRANSLATE, content=pose_bytes("water")).json()["text"] == "water"
    assert list(tmp_path.iterdir()) == []


def test_a_slow_body_is_a_408(server):
    async def slow():
        yield b"x"
        await asyncio.sleep(5)
        yield b"x"

    async def work(client):
        return await client.post(TRANSLATE, content=slow())

    assert fault_of(server.talk(work, body_timeout=0.05)) == (408, "body_too_slow")


def test_a_long_clip_is_a_413(server):
    settings = {"max_seconds": 0.2}
    status, _ = fault_of(
        server.ask("POST", TRANSLATE, content=pose_bytes("water"), settings=settings)
    )

    assert status == 413


def test_a_pose_without_shoulders_is_a_422_with_the_reason(server, tmp_path):
    pose = make_pose()
    keypoints = [n for n, name in enumerate(pose.keypoints) if "SHOULDER" not in name]
    lacking = type(pose)(
        pose.data[:, keypoints],
        pose.confidence[:, keypoints],
        25,
        tuple(pose.keypoints[n] for n in keypoints),
    )
    write_pose(tmp_path / "x.pose", lacking)

    answer = server.ask("POST", TRANSLATE, content=(tmp_path / "x.pose").read_bytes())

    assert fault_of(answer) == (422, "unusable_pose")
    assert "shoulder" in answer.json()["error"]["message"]


def test_a_form_of_many_fields_is_refused(server):
    form = {"content-type": "multipart/form-data; boundary=abc"}
    body = b"--abc\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n" * 200
    answer = server.ask("POST", TRANSLATE, content=body, headers=form)

    assert fault_of(answer) == (400, "malformed_form")
    assert "100 fields" in answer.json()["error"]["message"]


def test_all_bodies_together_have_a_bound_and_give_their_room_back(server):
    app = server.app(max_upload_mb=0.01, max_held_mb=0.01)
    room = app.state.service.room

    async def work(client):
        room.take(9_000)
        full = await client.post(TRANSLATE, content=b"x" * 5000)
        room.give_back(9_000)
        return full, await client.post(TRANSLATE, content=b"x" * 5000)

    full, later = server.talk(work, app=app)
    assert fault_of(full) == (503, "too_busy")
    assert fault_of(later) == (415, "unknown_kind")
    assert room.held == 0
