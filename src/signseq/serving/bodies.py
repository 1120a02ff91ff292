"""Request bodies: read as they arrive, up to a limit; large ones go to a temporary file."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from signseq.serving.faults import ServiceError, not_ready
from signseq.serving.uploads import START

__all__ = ["IN_MEMORY", "Room", "Spool", "read_body"]

IN_MEMORY = 2**20  # bytes; larger bodies go to a file
FIELD = "file"
FORM = "multipart/form-data"
FRAMING = 16 * 1024  # bytes of a form that aren't its file's
MOST_PARTS = 100  # of a form


class Room:
    """How many bytes of bodies are held at once, in memory and on the disk.

    Args:
        most: So many.
    """

    def __init__(self, most: int) -> None:
        self._most, self.held = most, 0

    def take(self, size: int) -> None:
        """Hold more.

        Raises:
            ServiceError: 503 if there is no room.
        """
        if self.held + size > self._most:
            raise not_ready(
                "The server holds as many uploads as it has room for. Try again soon.",
                code="too_busy",
            )
        self.held += size

    def give_back(self, size: int) -> None:
        """Hold less."""
        self.held -= size


class Spool:
    """What has arrived of a body; closing it removes its file.

    Args:
        room: That it takes a part of.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            ServiceError: 503 if there is no room for them.
        """
        self._room.take(len(chunk))
        self.size += len(chunk)
        if self._file is None and self.size > IN_MEMORY:
            self._file = tempfile.NamedTemporaryFile(prefix="signseq-")  # noqa: SIM115
            self._file.write(self._memory)
            self._memory = bytearray()
        if self._file is not None:
            self._file.write(chunk)
        else:
            self._memory += chunk

    @property
    def start(self) -> bytes:
        """Its first bytes, which tell what it is."""
        if self._file is None:
            return bytes(self._memory[:START])
        self._file.flush()
        return os.pread(self._file.fileno(), START, 0)

    def content(self) -> bytes | Path:
        """The whole: small bodies themselves, of large ones the path of a file."""
        if self._file is None:
            return bytes(self._memory)
        self._file.flush()
        return Path(self._file.name)

    def close(self) -> None:
        """Forget it."""
        self._room.give_back(self.size)
        self._memory, self.size = bytearray(), 0
        if self._file is not None:
            self._file.close()


async def read_body(request: Request, spool: Spool, *, max_bytes: int, seconds: float) -> None:
    """Read a raw body or a form's one file into a spool.

    Raises:
        ServiceError: 413 as soon as more than `max_bytes` have come, or are announced; 408 if it takes
            longer than `seconds`; 400 if it is empty, or no form with one file; 503 if the disk is full.
        ClientDisconnect: If the client leaves before the end.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    is_form = kind == FORM.encode()
    announced = request.headers.get("content-length", "")
    allowance = FRAMING if is_form else 0
    if announced.isdecimal() and int(announced) > max_bytes + allowance:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(seconds):
            if is_form:
                await _read_form(request.stream(), options, spool, max_bytes=max_bytes)
            else:
                async for chunk in request.stream():
                    _keep(spool, chunk, max_bytes)
    except TimeoutError as fault:  # an OSError, too: it must be asked for first
        raise ServiceError(
            408,
            "body_too_slow",
            f"The body did not arrive within {seconds:g} s. Send it faster, or a shorter clip.",
        ) from fault
    except OSError as fault:
        raise not_ready("The server's disk is full.", code="no_room", retry_after=60) from fault
    if not spool.size:
        raise ServiceError(
            400,
            "empty_body",
            "The body is empty; expected a .pose file, a video or landmarks, raw or as a form's field `file`.",
        )


def _keep(spool: Spool, chunk: bytes, max_bytes: int) -> None:
    if spool.size + len(chunk) > max_bytes:
        raise _too_large(max_bytes)
    spool.write(chunk)


def _too_large(max_bytes: int) -> ServiceError:
    return ServiceError(
        413,
        "body_too_large",
        f"The body is larger than {max_bytes / 2**20:g} MiB. Send a shorter clip, or landmarks instead of a video.",
    )


class _FormReader:
    """Takes the one file out of a form, as its bytes come."""

    def __init__(self, boundary: bytes, spool: Spool, max_bytes: int) -> None:
        self._spool, self._max_bytes = spool, max_bytes
        self._header, self._value, self._disposition = b"", b"", b""
        self._is_file = self.has_file = self.has_ended = False
        self._outside = self._parts = 0
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_header,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._take,
                "on_end": self._end,
            },
        )

    def _begin(self) -> None:
        self._disposition = b""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ServiceError(
                400, "malformed_form", f"The form has more than {MOST_PARTS} fields; one is read."
            )

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = options.get(b"name") == FIELD.encode()
        if self._is_file and self.has_file:
            raise ServiceError(
                400, "two_files", "The form has two fields `file`. Send one clip per request."
            )
        self.has_file |= self._is_file

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            _keep(self._spool, data[start:end], self._max_bytes)
            return
        self._outside += end - start
        if self._outside > FRAMING:
            raise _too_large(FRAMING)

    def _end(self) -> None:
        self.has_ended = True


async def _read_form(
    chunks: AsyncIterator[bytes], options: dict[bytes, bytes], spool: Spool, *, max_bytes: int
) -> None:
    expected = "expected multipart/form-data with one field `file`"
    try:
        boundary = options.get(b"boundary")
        if not boundary:
            raise ValueError("no boundary")
        reader = _FormReader(boundary, spool, max_bytes)
        async for chunk in chunks:
            if chunk:
                reader.parser.write(chunk)
        reader.parser.finalize()
    except (MultipartParseError, ValueError) as fault:
        raise ServiceError(400, "malformed_form", f"The form can't be read; {expected}.") from fault
    if not reader.has_ended:
        raise ServiceError(400, "malformed_form", f"The form ends too early; {expected}.")
    if not reader.has_file:
        raise ServiceError(400, "no_file", f"The form has no field `file`; {expected}.")
