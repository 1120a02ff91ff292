"""serve: load the models, listen, and stop in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from signseq.errors import ConfigError
from signseq.serving.app import create_app
from signseq.serving.connections import PatientProtocol
from signseq.serving.logs import configure_logs
from signseq.serving.models import Loader, is_demonstration, load_translators, parse_specs
from signseq.serving.service import Service
from signseq.serving.settings import ServeSettings

__all__ = ["Server", "listen", "serve"]

logger = logging.getLogger(__name__)
LOOK_EVERY = 0.05  # seconds, at the WebSockets that are still open
LARGEST_MESSAGE = 2**20  # bytes of a WebSocket's message: seconds of frames
REASONS = {
    errno.EADDRINUSE: "something else listens there. Stop it, or choose another port with --port",
    errno.EACCES: "it may not be used without more rights. Choose one above 1023 with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address. Choose another with --host",
}


def serve(models: Sequence[str], settings: ServeSettings, *, load: Loader) -> None:
    """Serve models until SIGTERM or Ctrl-C, then finish what is in flight.

    Args:
        models: CHECKPOINT or NAME=CHECKPOINT; the first is the default.
        settings: The server's limits.
        load: Loads a checkpoint folder.

    Raises:
        ConfigError: If the port can't be had, or the names of the models clash.
        CheckpointError: If a model can't be loaded.
    """
    specs = parse_specs(models)
    with listen(settings.host, settings.port) as listening:  # before the models, which take long
        configure_logs(settings.log_format)
        translators = load_translators(specs, load)
        demos = frozenset(spec.name for spec in specs if is_demonstration(spec.folder))
        gc.collect()
        gc.freeze()  # what was loaded stays: looking through it again and again would hold requests up
        app = create_app(settings, translators, demos=demos)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        logger.info("Serving %s at http://%s:%d", ", ".join(translators), shown, port)
        if not settings.api_keys and not _is_local(host):
            logger.warning(
                "Everybody who can reach this address can use it: no API keys are set (--api-keys)."
            )
        server = Server(app, settings)
        asyncio.run(server.serve(sockets=[listening]))
        is_at_work = any(model.queue.is_running for model in app.state.service.models.values())
        if is_at_work and not server.force_exit:
            logger.warning("Stopped while a batch was running: it took longer than --grace.")
        if is_at_work or server.force_exit:
            logging.shutdown()
            os._exit(0)  # Python would wait for threads at work, as long as that takes


def listen(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        ConfigError: If it can't be had; says why and what to do.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as fault:
        raise ConfigError(f"--host {host!r}: there is no such host ({fault.strerror}).") from fault
    found = socket.socket(family, kind)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(1)  # or another server could be told the same port until the models are there
    except OSError as fault:
        found.close()
        reason = REASONS.get(fault.errno or 0, fault.strerror)
        raise ConfigError(f"{host} port {port} can't be listened on: {reason}.") from fault
    return found


def _is_local(host: str) -> bool:
    return host in ("127.0.0.1", "::1")


class Server(uvicorn.Server):
    """uvicorn, that says `not ready` as soon as it is told to stop, and ends with exit code 0.

    Its own ends by raising the signal again, which looks like a crash to what watches it.
    """

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # ours says less of the clients
            http=PatientProtocol,
            server_header=False,
            proxy_headers=False,  # ours asks who may say so
            ws_max_size=LARGEST_MESSAGE,
        )
        super().__init__(config)
        self._service: Service = app.state.service
        self._drain, self._grace = settings.drain, settings.grace

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGTERM and Ctrl-C while it runs."""
        loop = asyncio.get_running_loop()
        signals: Mapping[signal.Signals, object] = {
            number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in signals.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _stop(self) -> None:
        if self._service.is_stopping:
            logger.warning("Stopping at once, at a second signal; what is in flight is dropped.")
            # It would call each request that is dropped a fault.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            self.force_exit = self.should_exit = True
            return
        logger.info("Stopping; what is in flight is finished.")
        self._service.stopping.set()
        self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        """Let balancers see /readyz and WebSockets end their clips; uvicorn would cut these off."""
        await asyncio.sleep(self._drain)
        deadline = time.monotonic() + self._grace
        while self._service.metrics.open_streams and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY)
        left = deadline - time.monotonic()
        self.config.timeout_graceful_shutdown = max(1, math.ceil(left))
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not used: see `capture_signals`."""
