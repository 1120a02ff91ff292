"""Connections: what uvicorn leaves open to those who send headers slowly, or something else than HTTP."""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from signseq.serving.faults import ServiceError

__all__ = ["PatientProtocol"]

HEADER_SECONDS = 20.0  # for a request's headers to arrive
MOST_CONNECTIONS = 1000  # above what uploads and WebSockets may hold; most systems allow 1024 files
NOT_HTTP = ServiceError(
    400, "malformed_request", "This is no HTTP/1.1 request that can be read: look at its headers."
)


class PatientProtocol(H11Protocol):
    """One connection by h11, which bounds the size of headers; this bounds their time and number."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_watch()
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        """Let the time run while headers are due; more of them doesn't start it anew."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_watch()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_watch(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with an error like all others."""
        headers = [("content-type", "application/json"), ("connection", "close")]
        events: tuple[h11.Event, ...] = (
            h11.Response(status_code=NOT_HTTP.status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=json.dumps(NOT_HTTP.body).encode()),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
