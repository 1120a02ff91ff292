"""What goes out over a WebSocket: partial and final texts, errors, and the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from signseq.errors import PoseError, SignSeqError
from signseq.serving.faults import ServiceError
from signseq.serving.growing import GrowingClip, Start
from signseq.serving.models import ServedModel
from signseq.serving.service import Service

__all__ = ["ClientGoneError", "CloseCode", "ClosingError", "Signing", "Speaker"]

SEND_SECONDS = 10.0  # for a client to take a message


class CloseCode(IntEnum):
    """Why a connection is closed; RFC 6455, and IANA's registry."""

    NORMAL = 1000
    NOT_UNDERSTOOD = 1003
    POLICY = 1008
    TOO_BIG = 1009
    FAILED = 1011
    RESTARTS = 1012
    LATER = 1013


class ClosingError(SignSeqError):
    """The connection must end.

    Args:
        close_code: What it is closed with.
        code: For programs.
        message: For people.
    """

    def __init__(self, close_code: CloseCode, code: str, message: str) -> None:
        super().__init__(message)
        self.close_code, self.code = close_code, code


class ClientGoneError(SignSeqError):
    """The client has left, or doesn't take what it is sent."""


@dataclass(frozen=True, eq=False)
class Signing:
    """A clip, and how it is to be translated.

    Attributes:
        start: What the client has asked for.
        model: Who translates.
        client: Who asks.
        clip: The frames so far.
        stream: What the queue knows it by.
    """

    start: Start
    model: ServedModel
    client: str
    clip: GrowingClip
    stream: object = field(default_factory=object)


class Speaker:
    """Sends messages to one client; each waits until there is room for it, but not forever."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, **message: Any) -> None:
        """Send a message.

        Raises:
            ClientGoneError: If the client has left, or doesn't read.
        """
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_json(message)
        except (TimeoutError, WebSocketDisconnect, RuntimeError) as fault:  # starlette's for closed
            raise ClientGoneError from fault

    async def say_error(self, code: str, message: str) -> None:
        """Say what is wrong; the connection stays open."""
        await self.send(type="error", code=code, message=message)

    async def refuse(self, fault: ClosingError) -> int:
        """Say why, and close; returns the code."""
        with suppress(ClientGoneError):
            await self.say_error(fault.code, str(fault))
        return await self.close(fault.close_code)

    async def close(self, code: CloseCode) -> int:
        """Close; returns the code."""
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.close(code)
        return int(code)

    async def tell_partials(self, service: Service, signing: Signing, *, every: float) -> None:
        """Translate what there is every so many seconds; cheaply, and only if the queue has room for it."""
        clip, told = signing.clip, 0
        while True:
            await asyncio.sleep(every)
            frames, seconds = clip.frames, clip.seconds
            if frames == told:
                continue
            told = frames
            try:
                pose = await service.in_thread(clip.snapshot())
                packed = await service.in_thread(signing.model.translator.pack, pose)
                answer = await signing.model.submit(
                    packed,
                    num_beams=1,
                    language=signing.start.language,
                    client=signing.client,
                    is_partial=True,
                    stream=signing.stream,
                )
            except SignSeqError:
                continue  # nothing to be seen yet, or no time for it; the final text says what is wrong
            text = answer.translation.text
            await self.send(type="partial", text=text, seconds=round(seconds, 3), frames=frames)

    async def tell_final(
        self, service: Service, signing: Signing, *, warning: str | None = None
    ) -> None:
        """Translate the whole clip, and send its text, or why there is none."""
        seconds = service.settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                message = await _translate(service, signing, warning=warning)
        except TimeoutError:
            what = f"No translation within {seconds:g} s; the server is busy. Try again later."
            await self.say_error("timed_out", what)
        except ServiceError as fault:
            await self.say_error(fault.code, fault.message)
        except PoseError as fault:
            await self.say_error("unusable_pose", str(fault))
        else:
            await self.send(**message)


async def _translate(service: Service, signing: Signing, *, warning: str | None) -> dict[str, Any]:
    start = signing.start
    pose = await service.in_thread(signing.clip.snapshot())
    packed = await service.prepare(signing.model, pose)
    answer = await signing.model.submit(
        packed,
        n_best=start.n_best,
        language=start.language,
        client=signing.client,
        stream=signing.stream,
    )
    found = answer.translation
    pairs = found.alternatives or ((found.text, found.score),)
    return {
        "type": "final",
        "text": found.text,
        "score": found.score,
        "n_best": [{"text": text, "score": score} for text, score in pairs],
        "seconds": round(found.seconds, 3),
        "frames": signing.clip.frames,
        "warnings": [*([warning] if warning else []), *found.warnings],
    }
