from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from signseq import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is moved."""
    now = [100.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(progress, "time", Time)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_track_yields_everything(clock: Callable[[float], None]) -> None:
    assert list(progress.track(iter("abc"), total=3, label="Reading", unit="letter")) == [*"abc"]


def test_track_yields_nothing_of_nothing(clock: Callable[[float], None]) -> None:
    assert list(progress.track([], total=0, label="Reading", unit="letter")) == []


def test_track_logs_a_line_now_and_then_without_a_terminal(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "signseq")
    for _ in progress.track(range(30), total=30, label="Packing", unit="clip"):
        clock(1)
    assert caplog.messages == [
        "Packing: 10 of 30, 1 clip/s, 20 s left",
        "Packing: 20 of 30, 1 clip/s, 10 s left",
        "Packing: 30 of 30, 1 clip/s, 0 s left",
    ]


def test_what_was_done_before_is_not_counted_in_the_rate(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "signseq")
    shown = progress.Progress(total=100, label="Training", unit="step", done=50)
    clock(20)
    shown.advance(10, note="loss 1.2")
    assert caplog.messages == ["Training: 60 of 100, 0.5 step/s, 80 s left, loss 1.2"]


def test_progress_that_stands_still_tells_no_time_left(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "signseq")
    shown = progress.Progress(total=0, label="Waiting", unit="step")
    clock(20)
    shown.advance(0)
    assert caplog.messages == ["Waiting: 0 of 0, 0 step/s"]
