"""How a server is run: every bound that `signseq serve` keeps."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from signseq.errors import ConfigError
from signseq.sections.scoring import MOST_BEAMS

__all__ = ["LogFormat", "ServeSettings", "option_name"]

LogFormat = Literal["json", "text"]
MAY_BE_ZERO = ("port", "max_wait_ms", "rate", "grace", "drain")
LARGEST = {
    "port": 65535,
    "batch_size": 1024,
    "max_upload_mb": 4096,
    "max_n_best": MOST_BEAMS,
    "max_beams": MOST_BEAMS,
}


def option_name(name: str) -> str:
    """A setting as the command line spells it."""
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class ServeSettings:
    """What `signseq serve` can be told.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes any free one.
        batch_size: The most clips that a model translates at once.
        max_wait_ms: The longest that a clip waits for others to be translated with.
        queue_size: The most clips that wait for a model; over it 503.
        max_upload_mb: The largest body, in MiB.
        max_seconds: The longest clip.
        max_held_mb: All bodies that are there at once, in MiB; over it 503.
        request_timeout: Seconds that a request may take once its body is there.
        video_timeout: Seconds that finding the poses of a video may take, on top of it.
        body_timeout: Seconds that a body may take to arrive.
        max_uploads: Requests read or translated at the same time.
        max_n_best: The most sentences that a client may ask for.
        max_beams: The most beams that a client may ask for.
        num_beams: Beams where a request names none; None takes the checkpoint's.
        rate: Requests per minute and client; 0 sets no bound.
        api_keys: Keys that clients must show one of; empty: everybody may come.
        cors: Origins whose pages may call; empty: only our own.
        trusted_proxies: Addresses or networks whose X-Forwarded-For is believed.
        max_streams: WebSockets open at once.
        max_streams_per_client: Of them by one client.
        stream_idle_seconds: How long a WebSocket may be silent.
        stream_fps_limit: Frames per second that a WebSocket may send, on average.
        grace: Seconds that what is in flight has to finish after SIGTERM.
        drain: Seconds after SIGTERM in which /readyz says 503 before connections are refused.
        log_format: `json` (a line each) or `text`.

    Raises:
        ConfigError: If a value can't be meant; names the option.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    batch_size: int = 32
    max_wait_ms: float = 25.0
    queue_size: int = 128
    max_upload_mb: float = 64.0
    max_seconds: float = 60.0
    max_held_mb: float = 512.0
    request_timeout: float = 60.0
    video_timeout: float = 300.0
    body_timeout: float = 30.0
    max_uploads: int = 256
    max_n_best: int = 10
    max_beams: int = 10
    num_beams: int | None = None
    rate: float = 300.0
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cors: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_streams: int = 64
    max_streams_per_client: int = 4
    stream_idle_seconds: float = 30.0
    stream_fps_limit: float = 120.0
    grace: float = 30.0
    drain: float = 0.0
    log_format: LogFormat = "json"

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float):
                self._check_number(setting.name, value)
        if self.num_beams is not None and self.num_beams > self.max_beams:
            raise ConfigError(
                f"--num-beams {self.num_beams} is more than --max-beams {self.max_beams}; raise the latter."
            )
        if self.log_format not in get_args(LogFormat):
            raise ConfigError(f"--log-format {self.log_format!r}: choose json or text.")
        for origin in self.cors:
            if origin != "*" and (not origin.startswith(("http://", "https://")) or _path(origin)):
                raise ConfigError(
                    f"--cors {origin!r}: an origin is a scheme and a host, such as https://example.org; or *."
                )
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as fault:
                raise ConfigError(
                    f"--trusted-proxies {network!r} is no address and no network; give e.g. 10.0.0.0/8."
                ) from fault
        if any(not key.isascii() or len(key) < 16 or " " in key for key in self.api_keys):
            raise ConfigError(
                "An API key has at least 16 ASCII characters and no spaces; make one with: openssl rand -hex 24"
            )

    def _check_number(self, name: str, value: float) -> None:
        least = 0 if name in MAY_BE_ZERO else 1
        if name.endswith(("_seconds", "timeout", "_mb", "limit")):
            least = 0
            if value == 0:
                raise ConfigError(f"{option_name(name)} must be above 0, not {value}.")
        most = LARGEST.get(name, 1e9)
        if not least <= value <= most:  # NaN, too
            raise ConfigError(
                f"{option_name(name)} must be between {least} and {most:g}, not {value}."
            )

    @property
    def max_held_bytes(self) -> int:
        """All bodies, in bytes; one always has room."""
        return max(int(self.max_held_mb * 2**20), self.max_upload_bytes)

    @property
    def max_upload_bytes(self) -> int:
        """The largest body, in bytes."""
        return int(self.max_upload_mb * 2**20)


def _path(origin: str) -> str:
    """What stands behind the host of an origin, where nothing should."""
    return origin.split("://", 1)[1].partition("/")[2] or ("/" if origin.endswith("/") else "")
