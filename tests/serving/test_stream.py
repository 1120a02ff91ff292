"""The WebSocket: what a session says, and what stops it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from conftest import make_pose
from echoing import KEYPOINTS, EchoTranslator
from signseq.poses.sequence import PoseSequence
from signseq.serving.app import create_app
from signseq.serving.settings import ServeSettings

START = {"type": "start", "keypoints": list(KEYPOINTS), "partial_seconds": None}


@contextmanager
def serve(translator: Any = None, **settings: Any) -> Iterator[TestClient]:
    given = ServeSettings(**{"max_wait_ms": 0, **settings})
    with TestClient(create_app(given, {"echo": translator or EchoTranslator()})) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serve() as found:
        yield found


@contextmanager
def connect(translator: Any = None, **settings: Any) -> Iterator[Any]:
    with serve(translator, **settings) as client, client.websocket_connect("/v1/stream") as socket:
        yield socket


def rows_of(pose: PoseSequence, *, start: float = 0.0) -> np.ndarray:
    """A pose as the frames that a page sends: (T, 1 + 4 K)."""
    times = start + np.arange(len(pose)) / pose.fps
    points = np.concatenate([pose.data, pose.confidence[..., None]], axis=2)
    return np.column_stack([times, points.reshape(len(pose), points[0].size)]).astype("<f4")


def rows(frames: int = 12, *, start: float = 0.0, fps: float = 25.0) -> np.ndarray:
    return rows_of(make_pose(frames=frames, fps=fps), start=start)


def begin(socket: Any, **more: Any) -> dict[str, Any]:
    socket.send_text(json.dumps(START | more))
    return socket.receive_json()


def say(socket: Any, kind: str) -> None:
    socket.send_text(json.dumps({"type": kind}))


def end(socket: Any) -> dict[str, Any]:
    say(socket, "end")
    return socket.receive_json()


def fault_of(socket: Any) -> tuple[str, int | None]:
    """The error that is said, and the code that the connection is closed with; None if it stays open."""
    error = socket.receive_json()
    assert error["type"] == "error", error
    assert len(error["message"]) > 20
    assert "/" not in error["message"].replace("/v1/model", "")
    try:
        say(socket, "end")
        socket.receive_json()
    except WebSocketDisconnect as closing:
        return error["code"], closing.code
    return error["code"], None


# ------------------------------------------------------------------------------- what is said


def test_frames_become_a_final_text(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        assert begin(socket) == {"type": "ready", "model": "echo", "max_seconds": 60.0}
        for row in rows(12):
            socket.send_bytes(row.tobytes())
        found = end(socket)
    assert found == {
        "type": "final",
        "text": "12 frames",
        "score": -0.5,
        "n_best": [{"text": "12 frames", "score": -0.5}],
        "seconds": 0.48,
        "frames": 12,
        "warnings": [],
    }


def test_several_frames_in_a_message_are_several_frames(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(7).tobytes())
        socket.send_bytes(rows(5, start=7 / 25).tobytes())
        assert end(socket)["text"] == "12 frames"


def test_one_clip_after_another_on_a_connection(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        for frames in (5, 9):
            begin(socket)
            socket.send_bytes(rows(frames).tobytes())
            assert end(socket)["frames"] == frames


def test_the_final_text_comes_before_the_next_clip_begins(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        say(socket, "end")
        socket.send_text(json.dumps(START))
        assert [socket.receive_json()["type"] for _ in range(2)] == ["final", "ready"]


def test_sessions_of_one_client_do_not_mix(client: TestClient) -> None:
    with (
        client.websocket_connect("/v1/stream") as one,
        client.websocket_connect("/v1/stream") as other,
    ):
        begin(one)
        begin(other)
        for row in rows(8):
            one.send_bytes(row.tobytes())
            other.send_bytes(row.tobytes())
        one.send_bytes(rows(4, start=8 / 25).tobytes())
        assert (end(other)["text"], end(one)["text"]) == ("8 frames", "12 frames")


def test_irregular_times_are_brought_to_a_constant_rate(client: TestClient) -> None:
    content = rows(20)
    content[10:, 0] += 0.4  # the camera paused for ten frames
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(content.tobytes())
        assert end(socket)["text"] == "30 frames"


def test_further_keypoints_and_another_order_change_nothing(client: TestClient) -> None:
    order = ["FACE_LANDMARKS.5", *KEYPOINTS[::-1]]
    pose = make_pose(frames=6, keypoints=tuple(order))
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket, keypoints=order)
        socket.send_bytes(rows_of(pose).tobytes())
        assert end(socket)["text"] == "6 frames"


def test_points_that_are_nan_count_as_not_seen(client: TestClient) -> None:
    content = rows(6)
    content[:, 1 + 4 * 20 :] = np.nan
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(content.tobytes())
        assert end(socket)["text"] == "6 frames"


def test_partial_texts_come_while_the_clip_grows_and_cost_one_beam() -> None:
    translator = EchoTranslator()
    with serve(translator) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket, partial_seconds=0.25)
        socket.send_bytes(rows(5).tobytes())
        first = socket.receive_json()
        socket.send_bytes(rows(4, start=5 / 25).tobytes())
        second = socket.receive_json()
        assert end(socket)["text"] == "9 frames"
    assert first == {"type": "partial", "text": "5 frames", "seconds": 0.16, "frames": 5}
    assert second["text"] == "9 frames"
    assert translator.beams == [1, 1, 4]


def test_a_partial_text_without_new_frames_is_not_sent() -> None:
    translator = EchoTranslator()
    with serve(translator) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket, partial_seconds=0.25)
        socket.send_bytes(rows(5).tobytes())
        socket.receive_json()
        time.sleep(0.6)
        end(socket)
    assert translator.beams == [1, 4]


def test_a_cancelled_clip_is_forgotten(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        say(socket, "cancel")
        assert socket.receive_json() == {"type": "cancelled"}
        socket.send_bytes(rows(5).tobytes())  # was under way
        begin(socket)
        socket.send_bytes(rows(7).tobytes())
        assert end(socket)["text"] == "7 frames"


def test_cancelling_drops_a_final_text_that_is_under_way() -> None:
    gate = threading.Event()
    with connect(EchoTranslator(gate=gate)) as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        say(socket, "end")
        say(socket, "cancel")
        assert socket.receive_json() == {"type": "cancelled"}
        gate.set()
        begin(socket)
        socket.send_bytes(rows(7).tobytes())
        assert end(socket)["text"] == "7 frames"


# ------------------------------------------------------------------------------- what isn't understood


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "bad_message"),
        ("[" * 5000, "bad_message"),
        ("[]", "bad_message"),
        ('{"type": "sing"}', "bad_message"),
        ('{"type": "start"}', "bad_message"),
        ('{"type": "start", "keypoints": []}', "bad_message"),
        ('{"type": "start", "keypoints": [1]}', "bad_message"),
        ('{"type": "start", "keypoints": ["a"], "partial_seconds": 1e-9}', "bad_message"),
        ('{"type": "start", "keypoints": ["a"], "n_best": 1' + "0" * 400 + "}", "bad_message"),
    ],
)
def test_text_that_is_no_message_ends_the_connection(
    client: TestClient, text: str, code: str
) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_text(text)
        assert fault_of(socket) == (code, 1003)


def test_a_huge_text_ends_the_connection(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_text(" " * 300_000)
        assert fault_of(socket) == ("too_large", 1009)


def _wrong(kind: str) -> bytes:
    content = rows(3)
    match kind:
        case "short":
            return content.tobytes()[:-4]
        case "empty":
            return b""
        case "NaN time":
            content[1, 0] = np.nan
        case "infinite time":
            content[2, 0] = np.inf
        case "negative time":
            content[:, 0] -= 0.01
        case "times out of order":
            content[:, 0] = content[::-1, 0]
        case "times that stand":
            content[:, 0] = 1
    return content.tobytes()


@pytest.mark.parametrize(
    "kind",
    [
        "short",
        "empty",
        "NaN time",
        "infinite time",
        "negative time",
        "times out of order",
        "times that stand",
    ],
)
def test_wrong_frames_end_the_connection(client: TestClient, kind: str) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(_wrong(kind))
        assert fault_of(socket) == ("bad_frame", 1003)


def test_a_frame_earlier_than_that_of_the_last_message_ends_the_connection(
    client: TestClient,
) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(3).tobytes())
        socket.send_bytes(rows(3, start=0.01).tobytes())
        assert fault_of(socket) == ("bad_frame", 1003)


def test_frames_before_a_start_end_the_connection(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_bytes(rows(1).tobytes())
        assert fault_of(socket) == ("not_started", 1003)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"model": "other"}, "unknown_model"),
        ({"language": "de"}, "unknown_language"),
        ({"n_best": 99}, "invalid_request"),
        ({"keypoints": ["A.B", "A.C"]}, "wrong_keypoints"),
        ({"keypoints": [*KEYPOINTS, KEYPOINTS[0]]}, "wrong_keypoints"),
    ],
)
def test_what_the_model_cannot_do_is_said_and_may_be_asked_otherwise(
    client: TestClient, more: dict[str, Any], code: str
) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        assert begin(socket, **more)["code"] == code
        assert begin(socket)["type"] == "ready"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (rows(1)[:0], "unusable_pose"),
        (rows(1), "unusable_pose"),
        (np.full_like(rows(6), np.nan), "unusable_pose"),
        (rows(6, fps=1000.0), "unusable_pose"),
    ],
)
def test_a_clip_that_cannot_be_used_is_said_and_another_may_follow(
    client: TestClient, content: np.ndarray, code: str
) -> None:
    if len(content) == 6 and np.isnan(content).all():
        content[:, 0] = np.arange(6) / 25
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        if len(content):
            socket.send_bytes(content.tobytes())
        assert end(socket)["code"] == code
        begin(socket)
        socket.send_bytes(rows(6).tobytes())
        assert end(socket)["type"] == "final"


def test_a_second_start_is_refused_and_the_clip_goes_on(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        assert begin(socket)["code"] == "already_started"
        assert end(socket)["text"] == "5 frames"


# ------------------------------------------------------------------------------- limits


def test_a_clip_that_is_too_long_is_translated_as_far_as_it_may_go() -> None:
    with serve(max_seconds=1) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(20).tobytes())
        socket.send_bytes(rows(20, start=20 / 25).tobytes())
        found = socket.receive_json()
        socket.send_bytes(rows(20, start=40 / 25).tobytes())  # dropped, as is this:
        say(socket, "end")
        begin(socket)
        socket.send_bytes(rows(6).tobytes())
        assert end(socket)["text"] == "6 frames"
    assert (found["type"], found["text"]) == ("final", "25 frames")
    assert found["warnings"] == ["Clips end after 1 s: what came later is not translated."]


def test_frames_that_claim_no_time_cannot_fill_the_memory() -> None:
    with connect(max_seconds=1, stream_fps_limit=50) as socket:
        begin(socket)
        socket.send_bytes(rows(80, fps=200).tobytes())
        assert socket.receive_json()["frames"] == 50


def test_a_flood_of_frames_ends_the_connection() -> None:
    with serve(stream_fps_limit=20) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        for number in range(6):
            socket.send_bytes(rows(20, start=number * 20 / 25).tobytes())
        assert fault_of(socket) == ("flood", 1008)


def test_a_flood_of_small_messages_ends_the_connection() -> None:
    with serve(stream_fps_limit=20) as client, client.websocket_connect("/v1/stream") as socket:
        for _ in range(120):
            say(socket, "cancel")
        assert fault_of(socket) == ("flood", 1008)


def test_a_clip_that_stalls_is_dropped() -> None:
    with connect(stream_idle_seconds=0.2) as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        assert fault_of(socket) == ("stalled", 1008)


def test_a_connection_on_which_nobody_signs_is_closed_without_an_error() -> None:
    with connect(stream_idle_seconds=0.2) as socket, pytest.raises(WebSocketDisconnect) as closing:
        socket.receive_json()
    assert closing.value.code == 1000


def test_waiting_for_the_final_text_is_no_stall() -> None:
    gate = threading.Event()
    with connect(EchoTranslator(gate=gate), stream_idle_seconds=0.2) as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        say(socket, "end")
        time.sleep(0.5)
        gate.set()
        assert socket.receive_json()["type"] == "final"


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"max_streams": 1}, "too_many_streams"), ({"max_streams_per_client": 1}, "too_many_streams")],
)
def test_connections_are_bounded_and_their_places_come_free(
    settings: dict[str, Any], code: str
) -> None:
    with serve(**settings) as client:
        for _ in range(2):
            with client.websocket_connect("/v1/stream") as socket:
                begin(socket)
                with client.websocket_connect("/v1/stream") as other:
                    assert fault_of(other) == (code, 1013)
            wait_until_empty(client)


def wait_until_empty(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    for _ in range(200):
        if not len(service.streams):
            return
        time.sleep(0.01)
    pytest.fail("a connection's place was not given back")


# ------------------------------------------------------------------------------- who may


def test_a_key_is_asked_for_where_keys_are_set() -> None:
    with serve(api_keys=("k" * 20,)) as client:
        for key in (None, "x" * 20):
            with client.websocket_connect("/v1/stream") as socket:
                socket.send_text(json.dumps(START | {"key": key}))
                code, closed = fault_of(socket)
                assert (code[:4], closed) == ("key_", 1008)
        with client.websocket_connect("/v1/stream") as socket:
            assert begin(socket, key="k" * 20)["type"] == "ready"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://["])
def test_a_page_of_another_host_may_not_connect(client: TestClient, origin: str) -> None:
    session = client.websocket_connect("/v1/stream", headers={"origin": origin})
    with pytest.raises(WebSocketDisconnect):
        session.__enter__()


def test_clips_count_for_the_rate() -> None:
    with serve(rate=1) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        say(socket, "cancel")
        socket.receive_json()
        socket.send_text(json.dumps(START))
        assert fault_of(socket) == ("too_many_requests", 1013)


# ------------------------------------------------------------------------------- what ends early


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind() -> None:
    translator = EchoTranslator()
    with serve(translator) as client:
        for _ in range(3):
            with client.websocket_connect("/v1/stream") as socket:
                begin(socket, partial_seconds=0.25)
                socket.send_bytes(rows(5).tobytes())
            wait_until_empty(client)
        metrics = client.get("/metrics").text
    assert "signseq_streams 0.0" in metrics
    assert 4 not in translator.beams


def test_a_model_that_fails_is_said_without_its_reason() -> None:
    translator = EchoTranslator(fault=RuntimeError("/secret/path"))
    with serve(translator) as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(5).tobytes())
        say(socket, "end")
        assert fault_of(socket) == ("internal_error", 1011)


def test_a_server_that_stops_finishes_the_clip_at_hand() -> None:
    with serve() as client, client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        socket.send_bytes(rows(9).tobytes())
        begin(socket)  # refused; so the frames have come, too
        service = client.app.state.service  # type: ignore[attr-defined]
        client.portal.call(service.stopping.set)  # type: ignore[union-attr]
        found = socket.receive_json()
        assert (found["type"], found["text"]) == ("final", "9 frames")
        assert "shutting down" in found["warnings"][0]
        assert fault_of(socket) == ("shutting_down", 1012)
