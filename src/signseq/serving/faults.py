"""What a request can be answered with instead of a translation."""

from __future__ import annotations

from typing import Any

from signseq.errors import SignSeqError

__all__ = [
    "LONGEST_RETRY",
    "QueueFullError",
    "ServiceError",
    "SupersededError",
    "explain_memory",
    "not_ready",
]

LONGEST_RETRY = 60  # seconds that a client is told to wait, at most


class ServiceError(SignSeqError):
    """A request that gets no translation; becomes `{"error": {"code", "message"}}`.

    Args:
        status: The HTTP status.
        code: Its reason, one word in snake_case that programs can tell apart.
        message: For people: what, where, what was expected, what to do. Never holds what a client sent.
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": {"code": self.code, "message": self.message}}

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside it."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class QueueFullError(ServiceError):
    """More clips wait than the queue may hold."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            503,
            "queue_full",
            f"The server has as many clips waiting as it takes. Try again in {retry_after} s.",
            retry_after=retry_after,
        )


class SupersededError(SignSeqError):
    """A partial clip that nobody needs any more: a longer one of the same stream has come."""


def not_ready(message: str, *, code: str = "not_ready", retry_after: int = 5) -> ServiceError:
    """A 503 of a server that takes no request now."""
    return ServiceError(503, code, message, retry_after=retry_after)


def explain_memory(fault: Exception) -> Exception:
    """A fault of the model, as a 503 if there is no memory for a clip."""
    if isinstance(fault, MemoryError) or "out of memory" in str(fault).lower():
        return ServiceError(
            503,
            "out_of_memory",
            "The server has no memory for this clip now. Send a shorter one, or try again later.",
            retry_after=LONGEST_RETRY // 4,
        )
    return fault
