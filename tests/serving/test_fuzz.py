"""Damaged uploads by the hundred: each gets an answer that says what is wrong."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import httpx
import pytest

from conftest import make_pose
from echoing import EchoTranslator
from mutations import mutations
from signseq.poses.sequence import write_pose
from signseq.serving.app import create_app
from signseq.serving.settings import ServeSettings

COUNT = 300


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("poses")
    paths = [folder / f"{seed}.pose" for seed in range(3)]
    for seed, path in enumerate(paths):
        write_pose(path, make_pose(frames=4 + 3 * seed, seed=seed))
    return [path.read_bytes() for path in paths]


async def post_all(bodies: list[bytes]) -> list[httpx.Response]:
    app = create_app(ServeSettings(max_wait_ms=0, rate=0), {"echo": EchoTranslator()})  # type: ignore[dict-item]
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://signs") as client,
    ):
        return [await client.post("/v1/translate", content=body) for body in bodies]


def test_every_mutated_upload_is_translated_or_refused_with_a_reason(
    contents: list[bytes], tmp_path: Path
) -> None:
    answers = asyncio.run(post_all(list(mutations(contents, COUNT))))
    for number, answer in enumerate(answers):
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (number, answer.text)
        if answer.status_code != 200:
            message = answer.json()["error"]["message"]
            assert len(message) > 20, number
            assert "/tmp" not in message, number
            assert "Traceback" not in message, number
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) > COUNT // 20, "no mutation was read"
    assert codes.count(400) > COUNT // 4, "no mutation was refused"


def test_refused_uploads_leave_no_memory_behind(contents: list[bytes]) -> None:
    bodies = list(mutations(contents, 60, seed=1))
    asyncio.run(post_all(bodies))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    asyncio.run(post_all(bodies))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 4 << 20
