"""Who asks, whether they may, and how often: addresses, API keys and rates."""

from __future__ import annotations

import hmac
import ipaddress
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from signseq.errors import ConfigError
from signseq.serving.faults import ServiceError

__all__ = ["KEYS_VARIABLE", "ApiKeys", "RateLimit", "client_address", "read_keys"]

KEYS_VARIABLE = "SIGNSEQ_API_KEYS"
MOST_CLIENTS = 10_000  # whose rate is remembered


def read_keys(file: Path | None) -> tuple[str, ...]:
    """The API keys of a file (one a line; `#` begins a comment), or of SIGNSEQ_API_KEYS (comma between).

    Raises:
        ConfigError: If the file can't be read, or holds no key: a server that should have keys has none.
    """
    if file is None:
        given = os.environ.get(KEYS_VARIABLE, "")
        return tuple(key.strip() for key in given.split(",") if key.strip())
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"--api-keys {file}: can't be read ({fault}).") from fault
    keys = tuple(key for line in lines if (key := line.partition("#")[0].strip()))
    if not keys:
        raise ConfigError(f"--api-keys {file}: holds no key. Write one a line, or leave it out.")
    return keys


class ApiKeys:
    """Tells known keys from others, in a time that says nothing about them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def find(self, key: str) -> int | None:
        """The number of a key; None if it isn't one. Compares with all of them, always."""
        digest = sha256(key.encode("utf-8", "surrogatepass")).digest()
        same = [hmac.compare_digest(digest, known) for known in self._digests]
        return same.index(True) if any(same) else None


class RateLimit:
    """A token bucket per client: so many requests a minute, as many at once.

    Args:
        per_minute: Requests per minute; 0 sets no bound.
        clock: Seconds, from any start.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._clock = per_minute / 60, max(per_minute, 1.0), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            ServiceError: 429, with the seconds until the next one is allowed.
        """
        if not self._rate:
            return
        now = self._clock()
        left, since = self._buckets.pop(client, (self._size, now))
        left = min(self._size, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[client] = (left - allowed, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)  # the one that was silent for longest
        if not allowed:
            seconds = math.ceil((1 - left) / self._rate)
            raise ServiceError(
                429,
                "too_many_requests",
                f"More than {self._rate * 60:g} requests a minute. Try again in {seconds} s.",
                retry_after=seconds,
            )


def client_address(peer: str, forwarded: str, trusted: Sequence[str]) -> str:
    """The address that a request comes from.

    Args:
        peer: The address at the other end of the connection.
        forwarded: The header X-Forwarded-For, which anybody can write.
        trusted: Networks of proxies that are believed; from the right, the first address that isn't
            one of theirs is the client's.
    """
    for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
        if not _is_in(peer, trusted):
            break
        peer = hop if _parse(hop) else peer
    return peer


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_in(address: str, networks: Sequence[str]) -> bool:
    found = _parse(address)
    return found is not None and any(
        found in ipaddress.ip_network(network, strict=False) for network in networks
    )
