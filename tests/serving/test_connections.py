"""Connections as clients of all kinds make them, against a real server on loopback."""

import asyncio
import json
import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn

from echoing import EchoTranslator
from signseq.serving import connections
from signseq.serving.app import create_app
from signseq.serving.connections import PatientProtocol
from signseq.serving.settings import ServeSettings


@pytest.fixture(scope="module")
def port():
    app = create_app(ServeSettings(max_wait_ms=0, rate=0), {"echo": EchoTranslator()})
    config = uvicorn.Config(app, log_config=None, http=PatientProtocol)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        work = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        work.start()
        while not server.started:
            time.sleep(0.005)
        yield listening.getsockname()[1]
        server.should_exit = True
        work.join()


def talk(port, *messages, pause=0.0):
    """What comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for message in messages:
            client.sendall(message)
            time.sleep(pause)
        return read_to_end(client)


def read_to_end(client):
    """What comes until the connection ends, in order or not."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            found += chunk
    return found


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00 a TLS greeting\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ],
)
def test_what_is_no_http_gets_an_error_like_all_others(port, request_):
    head, body = talk(port, request_).split(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "malformed_request"


def test_headers_that_come_too_slowly_end_the_connection(port, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)

    assert talk(port, HEALTH) == b""  # a socket.timeout otherwise


def test_a_second_request_has_its_headers_time_too(port, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(HEALTH + b"\r\n")
        found = b""
        while not found.endswith(b'"ok"}'):
            found += client.recv(65536)
        client.sendall(HEALTH)
        assert read_to_end(client) == b""


def test_a_request_whose_headers_are_there_has_more_time(port, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    head = (
        b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"
    )

    assert talk(port, head, b"abc", pause=0.3).startswith(b"HTTP/1.1 415")


def test_more_connections_than_may_be_are_dropped(port, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(HEALTH)
        time.sleep(0.1)
        assert talk(port, HEALTH + b"\r\n") == b""


def test_headers_sent_ahead_are_answered_in_order(port):
    found = talk(port, (HEALTH + b"\r\n") * 2 + HEALTH + b"Connection: close\r\n\r\n")

    assert found.count(b"HTTP/1.1 200") == 3


async def _upgrade(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    writer.write(
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key
    )
    head = await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.3)
    is_open = not reader.at_eof()
    writer.close()
    return head, is_open


def test_a_websocket_stays_open_beyond_the_time_for_headers(port, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    head, is_open = asyncio.run(_upgrade(port))

    assert head.startswith(b"HTTP/1.1 101")
    assert is_open
