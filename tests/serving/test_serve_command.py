"""`signseq serve` as users run it: mistakes at the start, and a whole life in a process of its own."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from echoing import EchoTranslator
from servers import pose_bytes
from signseq.errors import ConfigError
from signseq.serving.app import create_app
from signseq.serving.run import Server, listen
from signseq.serving.settings import ServeSettings

START = 60  # seconds that a process may take to come up on a busy machine


def serve(*arguments, **environment):
    command = [sys.executable, "-m", "signseq", "serve", *map(str, arguments)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def complaint_of(process):
    _, said = process.communicate(timeout=START)
    assert "Traceback" not in said
    return process.returncode, said


def test_a_port_in_use_is_named_with_what_to_do():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ConfigError, match=f"port {port} .*--port"):
            listen("127.0.0.1", port)


def test_a_host_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 0 .*--host"):
        listen("192.0.2.1", 0)


def test_a_second_signal_ends_it_at_once_and_says_so(caplog):
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger="uvicorn.error")  # is put back afterwards
    settings = ServeSettings(drain=60, body_timeout=60)
    app = create_app(settings, {"echo": EchoTranslator()})
    service = app.state.service

    def interrupt(address):
        with socket.create_connection(address) as client:
            client.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            for has_come in (lambda: service.uploads, lambda: service.is_stopping):
                while not has_come():
                    time.sleep(0.005)
                os.kill(os.getpid(), signal.SIGTERM)

    with listen("127.0.0.1", 0) as listening:
        client = threading.Thread(target=interrupt, args=[listening.getsockname()])
        client.start()
        asyncio.run(asyncio.wait_for(Server(app, settings).serve(sockets=[listening]), 20))
        client.join()

    said = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert said == ["Stopping at once, at a second signal; what is in flight is dropped."]


def test_a_broken_model_folder_ends_the_start(run_folder):
    (run_folder / "model.safetensors").write_bytes(b"broken")

    code, said = complaint_of(serve(run_folder, "--port", 0))

    assert code == 1
    assert str(run_folder) in said


def test_a_server_translates_and_finishes_what_is_in_flight_when_it_is_told_to_stop(trained):
    process = serve(f"tiny={trained}", "--port", 0, "--max-wait-ms", 1500)
    watchdog = threading.Timer(2 * START, process.kill)
    watchdog.start()
    try:
        lines = iter(process.stderr.readline, "")
        address = next(
            json.loads(line)["message"].split()[-1] for line in lines if "Serving" in line
        )
        body, answers = pose_bytes("you see bread"), []

        def ask():
            answers.append(httpx.post(f"{address}/v1/translate", content=body, timeout=START))

        ask()
        client = threading.Thread(target=ask)
        client.start()
        while b"in_flight 2.0" not in httpx.get(f"{address}/metrics").content and len(answers) < 2:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        client.join()
        rest = process.stderr.read()

        assert process.wait(START) == 0
        assert [answer.json()["text"] for answer in answers] == ["you see bread"] * 2
        assert all(json.loads(line)["level"] == "info" for line in rest.splitlines())
        assert "you see bread" not in rest
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()
