"""The WebSocket: landmark frames come in, partial and final text goes out.

    start -> ready, then frames -> partial, partial, ...; end -> final (or error), cancel -> cancelled

A connection may carry one clip after another. What is said is in the API's description; here is what
keeps the server well: whatever a client does, it holds one clip of bounded length, one partial and
one final translation are under way at most, and messages wait for the client to read them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from pydantic_core import from_json
from starlette.websockets import WebSocket

from signseq.errors import PoseError
from signseq.serving.faults import ServiceError
from signseq.serving.growing import GrowingClip, Start, read_start
from signseq.serving.logs import log_failure, log_request
from signseq.serving.models import ServedModel
from signseq.serving.service import Service
from signseq.serving.stream_limits import Pace
from signseq.serving.stream_texts import ClientGoneError, CloseCode, ClosingError, Signing, Speaker
from signseq.serving.tasks import end_tasks, forget

__all__ = ["stream_session"]

LONGEST_TEXT = 256 << 10  # characters of a message; names of 2,000 keypoints fit
BYTES_PER_UNIT = 4096  # of what is no frame; each counts as a frame
FEWEST_FRAMES = 2  # that have a rate


async def stream_session(socket: WebSocket, service: Service) -> None:
    """Serve one connection until it ends.

    Args:
        socket: Not yet accepted.
        service: The server.
    """
    if not service.allows_origin(socket):
        await socket.close(CloseCode.POLICY)
        return
    await socket.accept()
    session = _Session(socket, service)
    begun = time.monotonic()
    service.metrics.stream_opened()
    try:
        with service.streams.take(service.address(socket)):
            code = await session.run()
    except ServiceError as fault:
        code = await session.speaker.refuse(
            ClosingError(CloseCode.LATER, fault.code, fault.message)
        )
    finally:
        service.metrics.stream_closed()
    log_request(
        request_id=session.id,
        method="WS",
        route="/v1/stream",
        status=code,
        seconds=time.monotonic() - begun,
        size=session.received,
    )


class _Session:
    """One connection."""

    def __init__(self, socket: WebSocket, service: Service) -> None:
        self._socket, self._service = socket, service
        self._settings = service.settings
        self._pace = Pace(service.settings.stream_fps_limit)
        self._signing: Signing | None = None  # while the clip grows
        self._partials: asyncio.Task[None] | None = None
        self._final: asyncio.Task[None] | None = None
        self._had_start = False
        self.speaker = Speaker(socket)
        self.id = uuid.uuid4().hex
        self.received = 0

    async def run(self) -> int:
        """Serve it; returns the code that it was closed with."""
        receiving: asyncio.Task[Any] = asyncio.create_task(self._socket.receive())
        stopping = asyncio.create_task(self._service.stopping.wait())
        try:
            while True:
                message = await self._wait(receiving, stopping)
                receiving = asyncio.create_task(self._socket.receive())
                await self._take(message)
        except ClosingError as fault:
            return await self.speaker.refuse(fault)
        except ClientGoneError:
            return await self.speaker.close(CloseCode.NORMAL)
        except Exception as fault:
            log_failure(self.id, fault)
            oops = f"The server failed. Its log has the reason under the id {self.id}; please report it."
            return await self.speaker.refuse(ClosingError(CloseCode.FAILED, "internal_error", oops))
        finally:
            await end_tasks(receiving, stopping, self._partials, self._final)

    async def _wait(self, receiving: asyncio.Task[Any], stopping: asyncio.Task[Any]) -> Any:
        """The next message."""
        idle = self._settings.stream_idle_seconds
        deadline = time.monotonic() + idle
        while True:
            tasks = filter(None, (receiving, stopping, self._partials, self._final))
            is_owed = self._final is not None  # then it isn't the client who is silent
            left = None if is_owed else max(0.0, deadline - time.monotonic())
            done, _ = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._collect(done)
            if stopping in done:
                await self._stop()
            if receiving in done:
                return receiving.result()
            if not done:
                self._say_idle(idle)
            if is_owed:
                deadline = time.monotonic() + idle

    def _collect(self, done: set[asyncio.Task[Any]]) -> None:
        """Take note of translations that are done; what failed in them is raised."""
        if self._partials in done:
            task, self._partials = self._partials, None
            task.result()
        if self._final in done:
            task, self._final = self._final, None
            task.result()

    def _say_idle(self, seconds: float) -> None:
        if self._signing is None:
            raise ClientGoneError  # nobody is signing; a client may connect again when somebody does
        raise ClosingError(
            CloseCode.POLICY,
            "stalled",
            f"No frame for {seconds:g} s; the clip is dropped. Send `end` or `cancel` in time.",
        )

    async def _stop(self) -> None:
        """Finish the clip at hand, and end."""
        if self._signing is not None and self._signing.clip.frames >= FEWEST_FRAMES:
            self._finish("The server is shutting down: only what had come is translated.")
        if self._final is not None:
            await self._final
            self._final = None
        raise ClosingError(
            CloseCode.RESTARTS, "shutting_down", "The server is shutting down. Connect again."
        )

    # ------------------------------------------------------------------ what comes in

    async def _take(self, message: Any) -> None:
        if message["type"] == "websocket.disconnect":
            raise ClientGoneError
        text, content = message.get("text"), message.get("bytes")
        size = len(content if content is not None else text)
        self.received += size
        frames = size / BYTES_PER_UNIT
        if self._signing is not None and content is not None:
            frames = self._signing.clip.count(content)
        if not self._pace.allows(max(1.0, frames)):
            raise ClosingError(
                CloseCode.POLICY,
                "flood",
                f"More than {self._settings.stream_fps_limit:g} frames a second. Send them as they are seen.",
            )
        if content is not None:
            self._take_frames(content)
        else:
            await self._take_text(text)

    def _take_frames(self, content: bytes) -> None:
        if self._signing is None:
            if not self._had_start:
                raise ClosingError(
                    CloseCode.NOT_UNDERSTOOD, "not_started", "Send a `start` message before frames."
                )
            return  # they were under way when the clip ended
        try:
            self._signing.clip.add(content)
        except PoseError as fault:
            raise ClosingError(CloseCode.NOT_UNDERSTOOD, "bad_frame", str(fault)) from fault
        if self._signing.clip.is_full:
            self._finish(
                f"Clips end after {self._settings.max_seconds:g} s: what came later is not translated."
            )

    async def _take_text(self, text: str) -> None:
        if len(text) > LONGEST_TEXT:
            raise ClosingError(
                CloseCode.TOO_BIG, "too_large", f"A message has at most {LONGEST_TEXT} characters."
            )
        try:
            message = from_json(text, allow_inf_nan=False)
        except ValueError as fault:
            raise ClosingError(
                CloseCode.NOT_UNDERSTOOD,
                "bad_message",
                "The text is no valid JSON. Send an object whose `type` is start, end or cancel.",
            ) from fault
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "start":
            await self._begin(message)
        elif kind == "end":
            await self._end()
        elif kind == "cancel":
            await self._cancel()
        else:
            raise ClosingError(
                CloseCode.NOT_UNDERSTOOD,
                "bad_message",
                "Expected a JSON object whose `type` is start, end or cancel.",
            )

    async def _begin(self, message: dict[str, Any]) -> None:
        if self._final is not None:
            await self._final  # its answer first
            self._final = None
        if self._signing is not None:
            await self.speaker.say_error(
                "already_started", "A clip is open. Send `end` or `cancel` first."
            )
            return
        try:
            start = read_start(message)
        except PoseError as fault:
            raise ClosingError(CloseCode.NOT_UNDERSTOOD, "bad_message", str(fault)) from fault
        self._had_start = True
        try:
            client = self._service.admit(self._socket, start.key)
        except ServiceError as fault:
            code = CloseCode.POLICY if fault.status == 401 else CloseCode.LATER
            raise ClosingError(code, fault.code, fault.message) from fault
        try:
            model = self._service.find_model(start.model)
            model.options(n_best=start.n_best, language=start.language)
            signing = Signing(start, model, client, self._new_clip(start, model))
        except ServiceError as fault:
            await self.speaker.say_error(fault.code, fault.message)
            return
        except PoseError as fault:
            await self.speaker.say_error("wrong_keypoints", str(fault))
            return
        self._signing = signing
        await self.speaker.send(type="ready", model=model.name, max_seconds=model.max_seconds)
        if start.partial_seconds is not None:
            work = self.speaker.tell_partials(self._service, signing, every=start.partial_seconds)
            self._partials = asyncio.create_task(work)

    def _new_clip(self, start: Start, model: ServedModel) -> GrowingClip:
        return GrowingClip(
            start.keypoints,
            needed=model.keypoints,
            max_seconds=model.max_seconds,
            max_frames=int(model.max_seconds * self._settings.stream_fps_limit),
            estimator=start.estimator,
        )

    async def _end(self) -> None:
        if self._signing is not None:
            self._finish()
        elif not self._had_start:
            await self.speaker.say_error("not_started", "No clip is open. Send `start` first.")

    async def _cancel(self) -> None:
        """Drop the clip, also one whose final text is under way."""
        was_open = self._signing is not None or self._final is not None
        self._drop_clip()
        if self._final is not None:
            await end_tasks(self._final)
            self._final = None
        if was_open:
            await self.speaker.send(type="cancelled")

    def _drop_clip(self) -> Signing | None:
        signing, self._signing = self._signing, None
        if self._partials is not None:
            forget(self._partials)
            self._partials = None
        return signing

    def _finish(self, warning: str | None = None) -> None:
        signing = self._drop_clip()
        if signing is not None:
            work = self.speaker.tell_final(self._service, signing, warning=warning)
            self._final = asyncio.create_task(work)
