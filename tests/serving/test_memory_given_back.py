"""Giving memory back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from signseq.serving import memory


def test_memory_is_given_back_again_and_again_and_then_no_more(monkeypatch):
    calls = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append(1) or True)

    async def run():
        async with memory.giving_back(every=0.01):
            while len(calls) < 3:
                await asyncio.sleep(0.005)
        count = len(calls)
        await asyncio.sleep(0.05)
        assert len(calls) == count

    asyncio.run(asyncio.wait_for(run(), 5))


def test_where_the_c_library_has_no_way_to_nothing_is_tried_again(monkeypatch):
    calls = []
    monkeypatch.setattr(memory, "give_back", lambda: bool(calls.append(1)))

    async def run():
        async with memory.giving_back(every=0.0):
            await asyncio.sleep(0.05)

    asyncio.run(run())
    assert calls == [1]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_pieces_that_malloc_kept_go_back_to_the_system():
    pieces = [
        np.ones(8_000, np.uint8) for _ in range(8_000)
    ]  # too small for a mapping of their own
    kept = pieces[::100]  # so that the heap can't shrink from its end
    before = resident()
    del pieces
    assert memory.give_back()
    assert resident() < before - 30 * 2**20
    assert len(kept) == 80


ALLOCATING_THREADS = """
import ctypes, sys, threading
from signseq.serving.memory import share_heaps

shared = share_heaps()
allocate = ctypes.CDLL(None).malloc
allocate.restype = ctypes.c_void_p
meeting = threading.Barrier(8)
found = set()

def work():
    meeting.wait()
    for _ in range(50):
        found.add(allocate(1000) >> 26)  # a heap of a thread's own begins at a multiple of 64 MiB
    meeting.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(int(shared), len(found))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
@pytest.mark.parametrize(
    ("set_by_user", "is_shared", "fewest", "most"), [(None, 1, 1, 3), ("64", 0, 4, 99)]
)
def test_threads_share_two_heaps_unless_the_user_has_said_how_many(
    set_by_user, is_shared, fewest, most
):
    environment = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}
    if set_by_user:
        environment["MALLOC_ARENA_MAX"] = set_by_user
    shared, heaps = run(ALLOCATING_THREADS, environment)
    assert shared == is_shared
    assert fewest <= heaps <= most


NEW_SHAPES = """
import ctypes
from signseq.serving.memory import keep_few_kernels

keep_few_kernels()
import torch

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

look = ctypes.CDLL(None).mallinfo2
look.restype = Info
layer = torch.nn.Conv1d(8, 8, 5)
used = []
with torch.no_grad():
    for length in range(10, 410):
        torch.nn.functional.gelu(layer(torch.zeros(1, 8, length)))
        used.append(look().uordblks)
print(used[-1] - used[99])
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not a recent glibc")
@pytest.mark.parametrize(
    ("kept", "least", "most"), [(None, -(2**21), 2**21), ("1024", 2**22, 2**26)]
)
def test_new_shapes_cost_no_memory_after_a_while_unless_the_user_has_said_so(kept, least, most):
    environment = {key: value for key, value in os.environ.items() if key not in memory.CACHES}
    if kept:
        environment |= dict.fromkeys(memory.CACHES, kept)
    (growth,) = run(NEW_SHAPES, environment)
    assert least <= growth <= most


def run(script: str, environment: dict[str, str]) -> list[int]:
    """The numbers that a Python process of its own prints."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
