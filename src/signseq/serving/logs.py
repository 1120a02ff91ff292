"""The server's log: a line per request and event, as JSON or text; never what a client sent."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from signseq.serving.settings import LogFormat

__all__ = ["access", "configure_logs", "log_failure", "log_request"]

access = logging.getLogger("signseq.serving.access")
failures = logging.getLogger("signseq.serving.failures")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and a request's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return json.dumps({**_facts(record), "message": record.getMessage()}, ensure_ascii=False)


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        facts = _facts(record)
        time, level = facts.pop("time"), facts.pop("level")
        rest = " ".join(f"{name}={value}" for name, value in facts.items())
        return f"{time} {level:7} {record.getMessage()} {rest}".rstrip()


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    facts = {"time": time, "level": record.levelname.lower(), **record.__dict__.get("facts", {})}
    if record.exc_info and record.exc_info[1] is not None:
        facts |= _where(record.exc_info[1])
    return facts


def _where(fault: BaseException) -> dict[str, Any]:
    """What kind of fault, and in which lines; not its message, which may hold what a client sent."""
    frames = traceback.extract_tb(fault.__traceback__)[-8:]
    return {
        "fault": type(fault).__name__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def configure_logs(form: LogFormat) -> None:
    """Let our lines and uvicorn's go to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    levels = {
        "signseq": logging.INFO,
        "uvicorn": logging.WARNING,  # below it says addresses, and paths with what clients put into them
        "uvicorn.error": logging.NOTSET,
    }
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def log_request(
    *, request_id: str, method: str, route: str, status: int, seconds: float, size: int
) -> None:
    """One line per request: of what it was about it says nothing."""
    facts = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "ms": round(1000 * seconds, 1),
        "bytes": size,
    }
    level = logging.ERROR if status == 500 else logging.INFO
    access.log(level, "request", extra={"facts": facts})


def log_failure(request_id: str, fault: BaseException) -> None:
    """A fault of ours, with its lines, so that it can be mended."""
    failures.error("unhandled", exc_info=fault, extra={"facts": {"request_id": request_id}})
