import pytest
import torch

from signseq.training.tracking import throughput
from signseq.training.tracking.throughput import StepMeter

CPU = torch.device("cpu")


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def meter(clock):
    return StepMeter(clock)


def batches(clock, *, waits, frames=(3, 1)):
    """Batches of clips of so many frames, each handed over after so many seconds."""
    mask = (torch.arange(max(frames)) < torch.tensor(frames)[:, None]).long()
    for seconds in waits:
        clock.now += seconds
        yield {"attention_mask": mask}


def test_waiting_is_a_share_of_the_time_that_steps_take(meter, clock):
    for _ in meter.timed(batches(clock, waits=(1.0, 3.0))):
        clock.now += 6.0

    assert meter.read(device=CPU)["data_wait_share"] == pytest.approx(4 / 16)


def test_what_evaluation_takes_is_not_counted(meter, clock):
    source = batches(clock, waits=(1.0, 1.0))
    next(meter.timed(source))
    clock.now += 1.0
    meter.stop()
    clock.now += 1000.0
    next(meter.timed(source))
    clock.now += 1.0

    found = meter.read(device=CPU)

    assert found["samples_per_second"] == pytest.approx(4 / 4)
    assert found["data_wait_share"] == pytest.approx(0.5)


def test_starting_the_loader_counts_as_waiting(meter, clock):
    meter.begin_epoch()
    clock.now += 2.0
    next(meter.timed(batches(clock, waits=(1.0,))))
    clock.now += 1.0

    assert meter.read(device=CPU)["data_wait_share"] == pytest.approx(3 / 4)


def test_padding_is_no_frame(meter, clock):
    for _ in meter.timed(batches(clock, waits=(0.0,), frames=(4, 1, 1))):
        clock.now += 2.0
    found = meter.read(device=CPU)

    assert found["frames_per_second"] == pytest.approx(6 / 2)
    assert found["samples_per_second"] == pytest.approx(3 / 2)
    assert found["padding_share"] == pytest.approx(6 / 12)


def test_each_reading_begins_anew(meter, clock):
    for _ in meter.timed(batches(clock, waits=(1.0, 1.0))):
        clock.now += 1.0
        meter.read(device=CPU)
    found = meter.read(device=CPU)

    assert "samples_per_second" not in found
    assert found["memory_mib"] > 1


def test_figures_are_those_of_all_processes_together(meter, clock, monkeypatch):
    """A second process did the same in the double time, without waiting, and took 8 MiB."""
    monkeypatch.setattr(
        throughput,
        "_gather",
        lambda own, **_: [own, [*own[:3], 0.0, 2 * own[4], 8 * 2**20]],
    )
    monkeypatch.setattr(throughput, "peak_memory", lambda: 2**20)
    for _ in meter.timed(batches(clock, waits=(3.0,))):
        clock.now += 2.0
    found = meter.read(device=CPU, world_size=2)

    assert found["samples_per_second"] == pytest.approx(4 / 10)
    assert found["frames_per_second"] == pytest.approx(8 / 10)
    assert found["data_wait_share"] == pytest.approx(3 / 15)
    assert found["memory_mib"] == 8
