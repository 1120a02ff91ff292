"""Service: what all routes share; models, limits, metrics, and whether the server is stopping."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from signseq.errors import PoseError
from signseq.poses.sequence import PoseSequence
from signseq.serving.bodies import Room
from signseq.serving.clients import ApiKeys, RateLimit, client_address
from signseq.serving.faults import ServiceError, not_ready
from signseq.serving.metrics import Metrics
from signseq.serving.models import ServedModel
from signseq.serving.settings import ServeSettings
from signseq.serving.stream_limits import StreamPlaces
from signseq.translation import PackedClip

__all__ = ["Service"]

LARGE_AT_ONCE = 1  # JSON takes seconds to parse: else it would take the readers from small requests
P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """The state of a running server.

    Args:
        settings: Its limits.
        metrics: What it counts.
        models: By name; the first is the default.
    """

    def __init__(
        self, settings: ServeSettings, metrics: Metrics, models: Mapping[str, ServedModel]
    ) -> None:
        self.settings, self.metrics, self.models = settings, metrics, models
        self.default = next(iter(models))
        self.keys = ApiKeys(settings.api_keys)
        self._rate = RateLimit(settings.rate)
        self._readers = ThreadPoolExecutor(
            max(4, os.cpu_count() or 1), thread_name_prefix="signseq-reader"
        )
        self.uploads: Counter[str] = Counter()  # in flight, by client
        self.room = Room(settings.max_held_bytes)
        self.large_bodies = asyncio.Semaphore(LARGE_AT_ONCE)
        self.streams = StreamPlaces(settings.max_streams, settings.max_streams_per_client)
        self.stopping = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether SIGTERM has come: what is in flight is finished, nothing new is begun."""
        return self.stopping.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether every model answers."""
        patience = 2 * self.settings.request_timeout
        answering = [model.queue.answers(patience=patience) for model in self.models.values()]
        return all(answering) and not self.is_stopping

    def start(self) -> None:
        """Start the models' workers; to be called on the event loop."""
        for model in self.models.values():
            model.queue.start()

    async def close(self) -> None:
        """Stop the workers."""
        for model in self.models.values():
            await model.queue.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def find_model(self, name: str | None) -> ServedModel:
        """The model of a name, or the default one.

        Raises:
            ServiceError: 404 if there is none.
        """
        if not name:
            return self.models[self.default]
        if name not in self.models:
            raise ServiceError(
                404,
                "unknown_model",
                f"No model of this name; there are: {', '.join(self.models)}. Leave `model` out for {self.default!r}.",
            )
        return self.models[name]

    def address(self, connection: HTTPConnection) -> str:
        """Where a request comes from; a proxy's word is taken only if it is trusted."""
        peer = connection.client.host if connection.client else "unknown"
        forwarded = ",".join(connection.headers.getlist("x-forwarded-for"))
        return client_address(peer, forwarded, self.settings.trusted_proxies)

    def check_key(self, connection: HTTPConnection, key: str | None) -> str:
        """Check a key, where keys are asked for; returns what to call the client.

        Raises:
            ServiceError: 401 if it is missing or wrong; 429 if that happens too often.
        """
        address = self.address(connection)
        if not self.keys:
            return address
        number = self.keys.find(key or "")
        if number is None:
            self._rate.take(address)  # guessing has its limit
            raise ServiceError(
                401,
                "key_missing" if not key else "key_wrong",
                "This server asks for an API key. Send a valid one as `Authorization: Bearer KEY`.",
            )
        return f"key {number}"

    def admit(self, connection: HTTPConnection, key: str | None) -> str:
        """Check a request's key and rate; returns what to call its client.

        Raises:
            ServiceError: 401, 429, or 503 if the server is stopping.
        """
        if self.is_stopping:
            raise not_ready("The server is shutting down.", code="shutting_down")
        client = self.check_key(connection, key)
        self._rate.take(client)
        return client

    def has_place(self, client: str) -> bool:
        """Whether one more request of a client may be in flight: half of the places are for others."""
        most = self.settings.max_uploads
        return self.uploads.total() < most and self.uploads[client] < math.ceil(most / 2)

    def allows_origin(self, connection: HTTPConnection) -> bool:
        """Whether a page may call: one of our own, or of an origin that --cors names; other programs send none."""
        origin = connection.headers.get("origin")
        if origin is None or "*" in self.settings.cors or origin in self.settings.cors:
            return True
        try:
            host = urlsplit(origin).netloc
        except ValueError:  # no URL
            return False
        return bool(host) and host.lower() == connection.headers.get("host", "").lower()

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what would hold the event loop up."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: work(*args, **kwargs))

    async def prepare(self, model: ServedModel, pose: PoseSequence) -> PackedClip:
        """Make a pose ready for a model.

        Raises:
            ServiceError: 413 if it is too long; 422 if the model can't use it, with the reason.
        """
        if pose.seconds > self.settings.max_seconds:
            raise ServiceError(
                413,
                "clip_too_long",
                f"The clip lasts {pose.seconds:.1f} s; this server takes {self.settings.max_seconds:g} s. Cut it.",
            )
        self.metrics.count_frames(model.name, len(pose))
        begun = time.monotonic()
        try:
            return await self.in_thread(model.translator.pack, pose)
        except PoseError as fault:
            reason = str(fault).removeprefix("the pose: ")
            raise ServiceError(422, "unusable_pose", reason) from fault
        finally:
            self.metrics.stage("pack", time.monotonic() - begun)
