"""The JSON of landmarks, parsed in small portions, whatever strangers put into it.

Megabytes of lists that are parsed at once hold up all threads of the process, for seconds; frames one by
one don't, and take little memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic_core import from_json

from signseq.errors import PoseError

__all__ = ["LONGEST_HEADER", "count_frames", "describe", "parse_frames", "parse_header"]

LONGEST_HEADER = 1 << 20  # bytes of all that isn't frames
LONGEST_FRAME = 1 << 19  # bytes: 2,000 points, each number in full and on a line of its own
# At least: a point is `[0,0,0,0]`. More lists, objects or strings would take many times the JSON's size.
BYTES_PER_LIST = 8
MOST_OBJECTS, MOST_QUOTES = 16, 100_000
KEYS = "fps, times, keypoints, frames, estimator"
START = re.compile(rb'(?<!\\)"frames"\s{0,99}:\s{0,99}\[')
END = re.compile(rb"\s{0,99}\]")
# A list of lists. All of it is possessive, so that nothing is tried twice.
FRAME = re.compile(rb"\s*+(\[(?:[^\[\]]*+\[[^\[\]]*+\])*+[^\[\]]*+\])\s*+(,|(?=\]))")


def parse_header(content: bytes, *, name: str) -> dict[str, Any]:
    """What a JSON object says beside its frames, of which it has none in the end.

    Args:
        content: The JSON, UTF-8.
        name: What to call it in messages.

    Raises:
        PoseError: If it is no JSON object, or takes more memory or time than landmarks do.
    """
    if (
        content.count(b"[") > len(content) // BYTES_PER_LIST + 16
        or content.count(b"{") > MOST_OBJECTS
        or content.count(b'"') > MOST_QUOTES
    ):
        raise PoseError(
            f"{name}: too many lists, objects or strings for landmarks; expected one object with: {KEYS}."
        )
    rest = _cut_frames_out(content, name).removeprefix(b"\xef\xbb\xbf")
    if len(rest) > LONGEST_HEADER:
        raise PoseError(
            f"{name}: {len(rest):,} bytes beside its frames; at most {LONGEST_HEADER:,} are read. Send only: {KEYS}."
        )
    found = _parse(rest, name)
    if not isinstance(found, dict):
        raise PoseError(f"{name}: the JSON is {describe(found)}, expected an object with: {KEYS}.")
    return found


def parse_frames(content: bytes, *, name: str) -> Iterator[tuple[str, Any]]:
    """The frames of a JSON object in turn, each with what to call it in messages.

    Raises:
        PoseError: If one is no JSON, no list, or too long.
    """
    for number, (frame, _) in enumerate(_split(content, name)):
        what = f"{name}: frame {number}"
        yield what, _parse(frame, what)


def count_frames(content: bytes, most: int, *, name: str) -> int:
    """How many frames a JSON object has, without parsing them; beyond `most` only that there are more.

    Raises:
        PoseError: If one is no list, or too long.
    """
    return sum(1 for _ in islice(_split(content, name), most + 1))


def _cut_frames_out(content: bytes, name: str) -> bytes:
    """The same with an empty list of frames."""
    start = START.search(content)
    end = max((place for _, place in _split(content, name)), default=0)
    return content[: start.end()] + content[end:] if start and end else content


def _split(content: bytes, name: str) -> Iterator[tuple[bytes, int]]:
    """Each frame, not yet parsed, and the place behind it."""
    start = START.search(content)
    if start is None or END.match(content, start.end()):
        return
    number, place, has_more = 0, start.end(), True
    while has_more:
        found = FRAME.match(content, place, place + LONGEST_FRAME)
        if found is None:
            raise PoseError(
                f"{name}: frame {number} is cut off, has more than {LONGEST_FRAME:,} bytes, or is no list of points; "
                "expected [[x, y, z, confidence], ...]."
            )
        number, place, has_more = number + 1, found.end(), found[2] == b","
        yield found[1], place


def _parse(content: bytes, what: str) -> Any:
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as fault:
        raise PoseError(f"{what}: not valid JSON ({fault}). NaN is written as null.") from fault


def describe(value: Any) -> str:
    """What a value of JSON is, in few words and without much of it."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:.6g}" if abs(value) < 1e300 else "a huge number"
        case str():
            return f"the string {value[:40]!r}"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object"
