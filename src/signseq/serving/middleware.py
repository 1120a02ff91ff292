"""What every request passes: an id, a line in the log, the metrics, and the security headers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signseq.serving.faults import ServiceError
from signseq.serving.logs import log_failure, log_request
from signseq.serving.metrics import Metrics

__all__ = ["Envelope"]

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The page uses WebAssembly and workers for the landmarks, and blobs for what it records and downloads.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Envelope:
    """ASGI middleware around the whole application.

    Args:
        app: What it wraps.
        metrics: What it counts into.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; WebSockets count and log themselves."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status, size = time.monotonic(), 0, 0

        async def count(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(MutableHeaders(scope=message), {"X-Request-Id": request_id, **SECURITY})
            await send(message)

        async def measure() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        self._metrics.request_begun()
        try:
            await self._app(scope, measure, count)
        except Exception as fault:
            log_failure(request_id, fault)
            if status:
                raise  # the answer has begun; the connection must be seen to break
            oops = ServiceError(
                500,
                "internal_error",
                f"The server failed. Its log has the reason under the id {request_id}; please report it.",
            )
            await JSONResponse(oops.body, 500)(scope, measure, count)
        finally:
            seconds, route = time.monotonic() - begun, route_of(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            # no status: the client left before there was an answer
            self._metrics.request_done(route, method, status=status or 499, seconds=seconds)
            if route not in PROBES or status != 200:
                log_request(
                    request_id=request_id,
                    method=method,
                    route=route,
                    status=status or 499,
                    seconds=seconds,
                    size=size,
                )


METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
ROUTES = {"/v1/translate", "/v1/model", "/healthz", "/readyz", "/metrics", "/openapi.json"}

PROBES = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds: logged where they fail


def route_of(scope: Scope) -> str:
    """What a path is called in logs and metrics: never a name that a client made up."""
    if scope["path"] in ROUTES:
        return str(scope["path"])
    return "static" if scope["method"] in ("GET", "HEAD") else "other"


def _complete(headers: MutableHeaders, more: Mapping[str, str]) -> None:
    for name, value in more.items():
        headers.setdefault(name, value)
