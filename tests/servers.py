"""A server in the tests' own process, without a network."""

import asyncio
import tempfile
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from conftest import sign_pose
from signseq.poses.sequence import write_pose
from signseq.serving.app import create_app
from signseq.serving.settings import ServeSettings
from signseq.translation import Translation, Translator

TRANSLATE = "/v1/translate"
TEXTS = ["we eat bread", "you see", "water", "we see water", "eat", "you eat bread"]


def pose_bytes(text, *, seed=0):
    """What a .pose file that signs a text holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.pose")
        write_pose(path, sign_pose(text, seed=seed), size=(500, 500))
        return path.read_bytes()


class Server:
    """Applications in front of one checkpoint; each call has limits of its own."""

    def __init__(self, checkpoint):
        self.translator = Translator.from_pretrained(checkpoint)

    def app(self, *, models=("tiny",), translator=None, demos=frozenset(), web=None, **settings):
        more = {} if web is None else {"web": web}
        given = ServeSettings(**{"max_wait_ms": 50, **settings})
        chosen = translator or self.translator
        return create_app(given, dict.fromkeys(models, chosen), demos=demos, **more)

    def talk(self, work, *, app=None, **settings):
        """Run `work(client)` against an application; returns what it returns."""

        async def whole():
            async with client_of(app or self.app(**settings)) as client:
                return await asyncio.wait_for(work(client), 60)

        return asyncio.run(whole())

    def ask(self, method, path, *, settings=None, **request):
        """The answer to one request."""

        async def work(client):
            return await client.request(method, path, **request)

        return self.talk(work, **(settings or {}))


@asynccontextmanager
async def client_of(app):
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=("10.1.1.1", 1000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://signs", timeout=30) as client,
    ):
        yield client


class Stuck(Translator):
    """A translator whose model waits until it is let go."""

    def __init__(self, like):
        super().__init__(like.model, like.tokenizer, settings=like.settings)
        self.begun, self.going = threading.Event(), threading.Event()

    def translate_clips(self, clips, **_):
        self.begun.set()
        self.going.wait(10)
        return [Translation("done", 0.0, clip.seconds) for clip in clips]


def fault_of(response):
    """An error's status and code; every one has a message and nothing else."""
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"code", "message"}
    assert error["message"][0].isupper() or error["message"][0] == "`"
    return response.status_code, error["code"]
