"""How long the others wait for a process that says nothing."""

import time

import torch.distributed as dist

from signseq.training.safety import heartbeat
from signseq.training.safety.heartbeat import Heartbeat


def silent_for(seconds, *, store):
    """What the first of two processes says when the other one was silent for so long; None if nothing."""
    heart = Heartbeat(rank=0, world_size=2, store=store)
    heart.stop()
    (other,) = heart.others
    other.since = time.monotonic() - seconds
    return other.describe_silence() if other.is_lost else None


def test_a_process_that_was_never_heard_of_has_minutes_to_begin():
    assert silent_for(200, store=dist.HashStore()) is None
    assert silent_for(301, store=dist.HashStore()) == ("process 1 in the first 300 seconds")


def test_a_process_that_was_heard_of_is_lost_after_45_seconds():
    store = dist.HashStore()
    store.set("beat/1", "7 4321 some-machine")

    assert silent_for(44, store=store) is None
    assert silent_for(46, store=store) == ("process 1 (pid 4321 on some-machine) for 45 seconds")


def test_a_first_word_is_said_at_once(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 3600.0)
    store = dist.HashStore()
    Heartbeat(rank=1, world_size=2, store=store)

    store.wait(["beat/1"])
