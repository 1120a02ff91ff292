from __future__ import annotations

import logging

import pytest

from signseq.data.waiting import WaitingNotes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def notes_until(seconds: int, *, cores: int, free: float, reset_at: int = -1) -> list[int]:
    """When something was said, of looks at every ten seconds."""
    clock, said = Clock(), list[int]()
    notes = WaitingNotes(clock=clock)
    handler = logging.Handler()
    handler.emit = lambda record: said.append(int(clock.now))  # type: ignore[method-assign]
    logger = logging.getLogger("signseq.data.waiting")
    logger.addHandler(handler)
    try:
        for clock.now in range(10, seconds + 1, 10):
            if clock.now == reset_at:
                notes.reset()
            notes.look(cores=cores, free=lambda: free)
    finally:
        logger.removeHandler(handler)
    return said


@pytest.mark.parametrize("cores", [0, 4])
def test_waiting_is_said_after_half_a_minute_and_ever_more_rarely(cores: int) -> None:
    assert notes_until(500, cores=cores, free=0) == [30, 90, 210, 450]


def test_a_result_puts_it_off() -> None:
    assert notes_until(120, cores=4, free=0, reset_at=20) == [50, 110]


def test_nothing_is_said_where_a_core_is_free() -> None:
    assert notes_until(500, cores=4, free=1) == []


def test_the_longest_silence_is_ten_minutes() -> None:
    said = notes_until(4000, cores=0, free=0)
    assert [late - early for early, late in zip(said[-3:], said[-2:], strict=False)] == [600, 600]


def test_a_cluster_without_cores_is_said_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    notes = WaitingNotes(clock=clock)
    clock.now = 31.0
    notes.look(cores=0, free=lambda: 0)
    assert "has 0 cores: no shard was done for 31 seconds" in caplog.text
    caplog.clear()
    clock.now = 100.0
    notes.look(cores=4, free=lambda: 0.5)
    assert (
        "no node has a free core (all 4 are taken, by this run or others); waiting" in caplog.text
    )
