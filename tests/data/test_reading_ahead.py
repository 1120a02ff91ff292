import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import signseq.data.reading_ahead
from signseq.data.batching import BATCHES_AHEAD, BucketBatchSampler, collate
from signseq.data.reading_ahead import BatchesAhead, BatchReader
from signseq.errors import DataError
from signseq.training.safety.stopping import WORKER_SECONDS

LENGTHS = np.random.default_rng(0).integers(5, 60, 40)
BAD_CLIP = 7


class Clips:
    """Clips of random numbers, labelled with their epoch, their number and the process that read them."""

    def __init__(self, lengths=LENGTHS, *, bad=None):
        self.lengths, self.bad = lengths, bad

    def __len__(self):
        return len(self.lengths)

    def __getitems__(self, keys):
        if self.bad in [key[1] for key in keys]:
            raise DataError(f"Clip {self.bad} is damaged.")
        return [self.clip(*key) for key in keys]

    def clip(self, epoch, number):
        rng = np.random.default_rng((epoch, number))
        poses = rng.standard_normal((self.lengths[number], 3, 3)).astype(np.float16)
        return {"poses": poses, "labels": np.array([epoch, number, os.getpid()], np.int32)}


@pytest.fixture
def open_reader():
    with contextlib.ExitStack() as opened:

        def make(clips=None, *, workers=2, slot_bytes=2**20, **options):
            reader = BatchReader(
                clips or Clips(), collate, workers=workers, slot_bytes=slot_bytes, **options
            )
            opened.callback(reader.close)
            return reader

        yield make


def sampler_of(lengths=LENGTHS, **options):
    return BucketBatchSampler(lengths, batch_size=4, **options)


def load(reader, sampler):
    ahead = BatchesAhead(sampler, reader)
    return DataLoader(reader, batch_sampler=ahead, collate_fn=lambda batch: batch)


def readers_of(batches):
    """The processes that read the batches."""
    return {int(batch["labels"][0, 2]) for batch in batches}


def assert_are_read(batches, sampler, clips=None):
    clips = clips or Clips()
    expected = [collate(clips.__getitems__(keys)) for keys in sampler]
    assert len(batches) == len(expected)
    for batch, own in zip(batches, expected, strict=True):
        assert batch.keys() == own.keys()
        for name, tensor in own.items():
            assert batch[name].dtype == tensor.dtype
            seen = (
                (batch[name][:, :2], tensor[:, :2]) if name == "labels" else (batch[name], tensor)
            )
            assert torch.equal(*seen)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_the_batches_of_the_sampler_in_its_order_epoch_after_epoch(
    open_reader, workers
):
    sampler, reader = sampler_of(), open_reader(workers=workers)
    loader = load(reader, sampler)
    seen = set()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(loader)  # all are kept, while their slots are used again
        assert_are_read(batches, sampler)
        seen |= readers_of(batches)
    assert len(seen) == workers  # the same ones in each epoch
    assert os.getpid() not in seen


def test_a_batch_that_is_too_large_for_its_slot_is_made_here(open_reader):
    sampler, reader = sampler_of(), open_reader(slot_bytes=4 * 20 * 3 * 3 * 2)
    batches = list(load(reader, sampler))
    assert_are_read(batches, sampler)
    long = [batch for batch in batches if batch["poses"].shape[1] > 20]
    assert readers_of(long) == {os.getpid()}
    assert long != batches


def test_where_batches_are_copied_anyway_they_lie_where_the_worker_wrote_them(open_reader):
    sampler, reader = sampler_of(), open_reader(is_copied=True)
    copies, batches = [], []
    for batch in load(reader, sampler):
        batches.append(batch)
        copies.append({name: tensor.clone() for name, tensor in batch.items()})
    assert_are_read(copies, sampler)
    places = {batch["poses"].data_ptr() for batch in batches}
    assert len(batches) > len(places) == reader.most_ahead


def test_each_worker_is_asked_for_some_batches_ahead_and_no_more(open_reader, monkeypatch):
    asked = []
    ask = BatchReader.ask
    monkeypatch.setattr(
        BatchReader, "ask", lambda self, keys: (asked.append(keys), ask(self, keys))
    )
    sampler, reader = sampler_of(), open_reader(workers=2)
    for number, _ in enumerate(load(reader, sampler)):
        assert len(asked) == min(number + 2 * BATCHES_AHEAD, len(sampler))


def test_what_was_done_before_is_not_read_again(open_reader, monkeypatch):
    asked = []
    ask = BatchReader.ask
    monkeypatch.setattr(
        BatchReader, "ask", lambda self, keys: (asked.append(keys), ask(self, keys))
    )
    sampler, reader = sampler_of(), open_reader()
    sampler.done = 3
    batches = [reader.__getitems__(keys) for keys in islice(BatchesAhead(sampler, reader), 3, None)]
    assert asked == list(sampler)[3:]
    assert os.getpid() not in readers_of(batches)


def test_an_epoch_that_is_broken_off_leaves_nothing_in_the_next(open_reader):
    sampler, reader = sampler_of(), open_reader()
    loader = load(reader, sampler)
    for _ in islice(loader, 2):
        pass
    sampler.set_epoch(1)
    assert_are_read(list(loader), sampler)


def test_a_reader_that_was_closed_within_an_epoch_reads_the_next_with_new_workers(open_reader):
    sampler, reader = sampler_of(), open_reader()
    loader = load(reader, sampler)
    before = readers_of(islice(loader, 2))
    reader.close()
    batches = list(loader)
    assert_are_read(batches, sampler)
    assert len(before) == 2
    assert not before & readers_of(batches)


def test_keys_that_are_given_out_and_not_read_hold_nothing_up(open_reader):
    sampler, reader = sampler_of(), open_reader()
    keys = list(BatchesAhead(sampler, reader))
    assert keys == list(sampler)
    last = reader.__getitems__(keys[-1])
    assert last["labels"][:, 1].tolist() == [clip for _, clip in keys[-1]]
    assert readers_of([last]) != {os.getpid()}


def test_an_error_of_a_worker_is_raised_here_and_the_next_batches_come(open_reader):
    sampler = sampler_of()
    reader = open_reader(Clips(bad=BAD_CLIP))
    good = 0
    for keys in BatchesAhead(sampler, reader):
        if BAD_CLIP in [clip for _, clip in keys]:
            with pytest.raises(DataError, match=r"^Clip 7 is damaged\.") as caught:
                reader.__getitems__(keys)
            assert "In a worker process" in caught.value.__notes__[0]
        else:
            reader.__getitems__(keys)
            good += 1
    assert good == len(sampler) - 1


def test_a_killed_worker_is_an_error_that_says_what_to_do(open_reader):
    loader = load(open_reader(workers=1), sampler_of())
    batches = iter(loader)
    first = next(batches)
    os.kill(int(first["labels"][0, 2]), signal.SIGKILL)
    with pytest.raises(DataError, match=r"SIGKILL.*Lower training\.num_workers.*--resume"):
        list(batches)


def test_ctrl_c_is_left_to_the_parent(open_reader):
    sampler = sampler_of()
    batches = iter(load(open_reader(workers=1), sampler))
    first = next(batches)
    os.kill(int(first["labels"][0, 2]), signal.SIGINT)
    assert_are_read([first, *batches], sampler)


def test_workers_that_cannot_start_are_an_error_that_says_what_to_do(open_reader, monkeypatch):
    def refuse(*_):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(signseq.data.reading_ahead.mmap, "mmap", refuse)
    with pytest.raises(DataError, match=r"2 processes .*Cannot allocate memory.*num_workers"):
        list(load(open_reader(), sampler_of()))


def test_workers_are_there_before_the_sampler_begins(open_reader):
    class Sampler(BucketBatchSampler):
        def __iter__(self):
            assert len(multiprocessing.active_children()) == 2
            return super().__iter__()

    list(load(open_reader(workers=2), Sampler(LENGTHS, batch_size=4)))


def test_a_worker_begins_with_what_it_is_told(open_reader, tmp_path):
    noted = tmp_path / "noted"
    reader = open_reader(workers=1, begin=lambda: noted.write_text(str(os.getpid())))
    batches = list(load(reader, sampler_of()))
    assert {int(noted.read_text())} == readers_of(batches)


def is_running(process):
    """Whether a process is there and not merely unburied."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_the_end(processes):
    deadline = time.monotonic() + 20
    while any(map(is_running, processes)):
        assert time.monotonic() < deadline, "workers are left"
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_workers_end_with_their_reader(open_reader, how):
    reader = BatchReader(Clips(), collate, workers=2, slot_bytes=2**20)
    processes = readers_of(load(reader, sampler_of()))
    assert all(map(is_running, processes))
    if how == "closed":
        reader.close()
    del reader
    gc.collect()
    wait_for_the_end(processes)


@pytest.mark.parametrize("how", ["killed", "done"])
def test_workers_end_with_their_parent(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, sys
            sys.path.insert(0, {os.path.dirname(__file__)!r})
            from test_reading_ahead import *
            from signseq.training.safety.stopping import outlive_signals
            reader = BatchReader(
                Clips(), collate, workers=3, slot_bytes=2**20, begin=outlive_signals
            )
            batches = iter(load(reader, sampler_of()))
            print(*readers_of(next(batches) for _ in range(3)), flush=True)
            if {how == "killed"}:
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0), done.stderr
    processes = [int(word) for word in done.stdout.split()]
    assert len(processes) == 3
    wait_for_the_end(processes)
    assert time.monotonic() - begun < WORKER_SECONDS  # which they would outlive a signal for
