"""A service that answers what a test wants, with the page in front of it: the contract, without a model."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from signseq.poses.keypoints import get_keypoint_set
from signseq.serving.middleware import CONTENT_POLICY
from signseq.serving.pages import WEB

KEYPOINTS = get_keypoint_set("upper_body_hands_face").keypoints
WORDS = "The woman reads a book .".split()

# In place of MediaPipe's program: somebody who waves, at any rate and on any machine. The points are
# known by construction: the nose in the middle, hands only where `hands` says so.
STAND_IN = """
const hasBody = %(body)s, hasHands = %(hands)s;
const points = (count, x, y, spread) => Array.from({ length: count }, (_, i) => ({
  x: x + spread * Math.cos(i), y: y + spread * Math.sin(i), z: -0.25, visibility: 0.75 }));
self.Solution = class {
  async send({ image }, milliseconds) {
    const swing = 0.05 * Math.sin(milliseconds / 200);
    const pose = points(33, 0.5, 0.5, 0.1);
    Object.assign(pose[0], { x: 0.5, y: 0.25 });
    [[11, 0.62, 0.45], [12, 0.38, 0.45], [13, 0.68, 0.65], [14, 0.32, 0.65],
     [15, 0.6 + swing, 0.6], [16, 0.4 - swing, 0.6],
     [23, 0.58, 0.9], [24, 0.42, 0.9]].forEach(([i, x, y]) => Object.assign(pose[i], { x, y }));
    this.listener({
      image,
      ...(hasBody ? { poseLandmarks: pose, faceLandmarks: points(468, 0.5, 0.25, 0.06),
        za: points(33, 0, 0, 0.3) } : {}),
      ...(hasBody && hasHands ? { leftHandLandmarks: points(21, 0.6 + swing, 0.6, 0.03),
        rightHandLandmarks: points(21, 0.4 - swing, 0.6, 0.03) } : {}),
    });
  }
};
self.Holistic = class {
  constructor() { this.solution = new self.Solution(); }
  setOptions() {}
  onResults(listener) { this.solution.listener = listener; }
  async initialize() {}
  reset() {}
};
"""


@dataclass
class Fake:
    """What the service does, and what it was asked.

    Attributes:
        text: What every clip means.
        body, hands: Whether the stand-in for MediaPipe sees them.
        real_mediapipe: Whether MediaPipe itself runs.
        refusals: Answers that come before the first good one: (status, headers, message).
        socket_works: Whether the WebSocket answers; else it closes.
        posted: The bodies of POST /v1/translate, and their queries.
        away: Whether it answers that it isn't ready.
        asked: The paths that were asked for.
        streamed: Of each clip by WebSocket its frames, (T, 1 + K*4).
    """

    text: str = " ".join(WORDS)
    is_demo: bool = False
    languages: tuple[str, ...] = ()
    key: str = ""
    max_seconds: float = 30.0
    body: bool = True
    hands: bool = True
    real_mediapipe: bool = False
    refusals: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    socket_works: bool = True
    away: bool = False
    posted: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    streamed: list[np.ndarray] = field(default_factory=list)
    address: str = ""

    def reset(self) -> None:
        fresh = Fake(address=self.address)
        self.__dict__.update(fresh.__dict__)

    def model(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "description": f"What {name} knows",
            "is_demo": self.is_demo,
            "keypoints": list(KEYPOINTS),
            "edges": [],
            "fps": 25.0,
            "step_frames": 1,
            "max_seconds": self.max_seconds,
            "estimators": ["mediapipe"],
            "languages": list(self.languages),
            "language": self.languages[0] if self.languages else None,
            "max_n_best": 5,
        }

    def answer(self, seconds: float) -> dict[str, Any]:
        n_best = [
            {"text": self.text, "score": -0.12},
            {"text": "A woman read books .", "score": -0.58},
        ]
        return {
            **n_best[0],
            "model": "signs",
            "seconds": seconds,
            "language": None,
            "n_best": n_best,
            "warnings": [],
            "timing": {},
        }


def failure(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"code": "told", "message": message}}, status, headers)


def make_app(fake: Fake) -> Any:
    def is_allowed(request: Request) -> bool:
        return not fake.key or request.headers.get("authorization") == f"Bearer {fake.key}"

    async def model(request: Request) -> Response:
        if not is_allowed(request):
            return failure(401, "This key isn't known. Ask whoever runs the service for one.")
        if fake.away:
            return failure(503, "The service is starting.", {"Retry-After": "1"})
        return JSONResponse(
            {
                "default": "signs",
                "models": [fake.model("signs"), fake.model("letters")],
                "limits": {"upload_mb": 50, "seconds": 600, "video": True},
                "needs_key": bool(fake.key),
                "version": "0.1.0",
            }
        )

    def translate(request: Request) -> Response:
        body = request.state.body
        if fake.refusals:
            status, headers, message = fake.refusals.pop(0)
            return failure(status, message, headers)
        fake.posted.append((body, dict(request.query_params)))
        return JSONResponse(fake.answer(2.0))

    async def post(request: Request) -> Response:
        request.state.body = await request.body()
        if not is_allowed(request):
            return failure(401, "This key isn't known. Ask whoever runs the service for one.")
        return translate(request)

    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        if not fake.socket_works:
            await websocket.close(1011)
            return
        try:
            fake.started.append(await websocket.receive_json())
            await websocket.send_json({"type": "ready", "model": "signs", "max_seconds": 30})
            frames: list[bytes] = []
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("bytes"):
                    frames.append(message["bytes"])
                    words = " ".join(WORDS[: 1 + len(frames) // 8])
                    partial = {
                        "type": "partial",
                        "text": words,
                        "seconds": 1,
                        "frames": len(frames),
                    }
                    await websocket.send_json(partial)
                elif json.loads(message["text"])["type"] == "end":
                    numbers = np.stack([np.frombuffer(frame, "<f4") for frame in frames])
                    fake.streamed.append(numbers)
                    seconds = float(numbers[-1, 0])
                    await websocket.send_json({"type": "final", **fake.answer(seconds)})
                else:
                    await websocket.send_json({"type": "cancelled"})
        except WebSocketDisconnect:
            return

    async def stand_in(request: Request) -> Response:
        if fake.real_mediapipe:
            script = (WEB / "mediapipe/holistic.js").read_bytes()
            return Response(script, media_type="text/javascript")
        given = {"body": json.dumps(fake.body), "hands": json.dumps(fake.hands)}
        return Response(STAND_IN % given, media_type="text/javascript")

    app = Starlette(
        routes=[
            Route("/v1/model", model),
            Route("/v1/translate", post, methods=["POST"]),
            WebSocketRoute("/v1/stream", stream),
            Route("/mediapipe/holistic.js", stand_in),
            Mount("/", StaticFiles(directory=WEB, html=True)),
        ]
    )

    async def with_policy(scope: Any, receive: Any, send: Any) -> None:
        fake.asked.append(scope["path"])

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", CONTENT_POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy]}
            await send(message)

        await app(scope, receive, send if scope["type"] != "http" else answer)

    return with_policy


class Running:
    """An application on a port, in a thread; 0 is a port of its own."""

    def __init__(self, app: Any, *, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        config = uvicorn.Config(
            app, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


def unpack_landmarks(body: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """The header and the frames of the compact form, (T, 1 + K*4)."""
    assert body[:4] == b"SGQ1"
    (length,) = struct.unpack("<I", body[4:8])
    header = json.loads(body[8 : 8 + length])
    return header, np.frombuffer(body[8 + length :], "<f4").reshape(header["frames"], -1)
