"""Damage of every sort, done to what clients send; seeded."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import zstandard

from signseq.poses.layout import find_layout
from signseq.poses.sequence import read_pose
from signseq.poses.sources.landmarks import dump_compact, dump_json

__all__ = ["mutate", "mutations"]

FLOATS = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 3e38, 0.1, 0.11, 9999.0, 1e5]
INTEGERS = [0, 1, 2, 255, 256, 32767, 32768, 65534, 65535]
LONGS = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
BODY = 10  # bytes of frames per second, frames and people, right before the numbers


def flip(content: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(content), size=2 ** rng.integers(0, 8)):
        content[place] ^= 1 << rng.integers(8)


def flip_in_header(content: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(min(2000, len(content)), size=2 ** rng.integers(0, 5)):
        content[place] ^= 1 << rng.integers(8)


def cut(content: bytearray, rng: np.random.Generator) -> None:
    del content[rng.integers(len(content)) :]


def drop(content: bytearray, rng: np.random.Generator) -> None:
    start = rng.integers(len(content))
    del content[start : start + 2 ** rng.integers(0, 14)]


def insert(content: bytearray, rng: np.random.Generator) -> None:
    start = rng.integers(len(content))
    content[start:start] = rng.bytes(int(2 ** rng.integers(0, 14)))


def repeat(content: bytearray, rng: np.random.Generator) -> None:
    content += content[rng.integers(len(content)) * int(rng.integers(2)) :]


def set_short(content: bytearray, rng: np.random.Generator) -> None:
    """Names' lengths, and numbers of points, limbs and components are shorts."""
    place = rng.integers(4, min(4000, len(content) - 2))
    struct.pack_into("<H", content, place, rng.choice(INTEGERS))


def set_body(content: bytearray, rng: np.random.Generator) -> None:
    start = find_layout(bytes(content), "the mutation").start - BODY
    match rng.integers(3):
        case 0:
            struct.pack_into("<f", content, start, rng.choice(FLOATS))
        case 1:
            struct.pack_into("<I", content, start + 4, rng.choice(LONGS))
        case _:
            struct.pack_into("<H", content, start + 8, rng.choice(INTEGERS))


def set_numbers(content: bytearray, rng: np.random.Generator) -> None:
    """Coordinates and confidences that no estimator gives."""
    start = find_layout(bytes(content), "the mutation").start
    numbers = np.frombuffer(content, "<f4", offset=start)
    share = rng.choice([0.001, 0.1, 1.0])
    numbers[rng.random(len(numbers)) < share] = rng.choice(FLOATS)


def set_version(content: bytearray, rng: np.random.Generator) -> None:
    struct.pack_into("<f", content, 0, rng.choice([*FLOATS, 0.1, 0.2, 0.3]))


KINDS = [flip, flip_in_header, flip_in_header, cut, drop, insert, repeat]
KINDS += [set_short, set_short, set_body, set_body, set_numbers, set_version]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One damaged form of a .pose file: mostly a .pose, now and then packed or in another form."""
    damaged = bytearray(content)
    KINDS[rng.integers(len(KINDS))](damaged, rng)
    match rng.integers(20):
        case 0:
            return zstandard.compress(bytes(damaged))
        case 1:
            packed = bytearray(zstandard.compress(content))
            flip(packed, rng)
            return bytes(packed)
        case 2 | 3:
            form = bytearray((dump_json if rng.integers(2) else dump_compact)(read_pose(content)))
            (flip, flip_in_header, cut, drop, insert, repeat)[rng.integers(6)](form, rng)
            return bytes(form)
    return bytes(damaged)


def mutations(contents: list[bytes], count: int, *, seed: int = 0) -> Iterator[bytes]:
    """So many damaged forms of these files, each by a seed of its own."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield mutate(contents[number % len(contents)], rng)
