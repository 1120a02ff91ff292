"""The API against its own description: generated requests, valid and not, get the answers that it promises."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from echoing import EchoTranslator
from signseq.serving.app import create_app
from signseq.serving.settings import ServeSettings

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import (  # noqa: E402
    positive_data_acceptance as accepts_what_is_valid,
)

EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def listen() -> Iterator[str]:
    """A real server on loopback; the generated requests come one after the other."""
    app = create_app(ServeSettings(max_wait_ms=0, rate=0), {"echo": EchoTranslator()})  # type: ignore[dict-item]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        work = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        work.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            work.join()


@pytest.fixture(scope="module")
def description() -> Iterator[Any]:
    with listen() as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_request_is_an_unhandled_error(description: Any, mode: str) -> None:
    asked = set()
    for found in description.get_all_operations():
        operation = found.ok()
        requests = operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode])

        @EXAMPLES
        @given(case=requests)
        def check(case: Any) -> None:
            # A schema can't say which bytes are a pose.
            case.call_and_validate(excluded_checks=[accepts_what_is_valid])
            asked.add(case.path)

        with suppress(Unsatisfiable):  # nothing can be wrong with a request without parameters
            check()
    assert "/v1/translate" in asked
