"""The queue in front of a model, with a model that is a plain function."""

import asyncio
import threading
import time

import pytest

from signseq.serving.choosing import Options
from signseq.serving.faults import QueueFullError, ServiceError, SupersededError
from signseq.serving.queue import BatchQueue


class Recorder:
    """A model: answers each clip with its name in capitals, and remembers its batches.

    While `is_held`, it waits with the first batch.
    """

    def __init__(self, *, is_held=False):
        self.batches, self.options = [], []
        self.going = threading.Event()
        if not is_held:
            self.going.set()

    def __call__(self, clips, options):
        self.batches.append(list(clips))
        self.options.append(options)
        assert self.going.wait(5)
        for clip in clips:
            if clip.startswith("bad"):
                raise ValueError("a bad clip")
            if clip.startswith("huge"):
                raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")
        return [clip.upper() for clip in clips]


def run(model, work, **settings):
    """Run `work(queue)` with a queue in front of the model."""
    given = {"length": len, "batch_size": 8, "max_wait_ms": 0, "queue_size": 100, **settings}

    async def whole():
        queue = BatchQueue(model, **given)
        queue.start()
        try:
            return await asyncio.wait_for(work(queue), 10)
        finally:
            model.going.set()
            await queue.close()

    return asyncio.run(whole())


async def submit(queue, clip, options=Options(), **more):  # noqa: B008
    return (await queue.submit(clip, options, **more))[0]


async def hold(queue, model):
    """Keep the model busy with one clip, so that what comes next waits."""
    task = asyncio.create_task(submit(queue, "first"))
    while not model.batches:
        await asyncio.sleep(0.001)
    return task


async def wait_for(queue, count):
    while len(queue) != count:
        await asyncio.sleep(0.001)


def submitted(queue, clips, **more):
    return [asyncio.create_task(submit(queue, clip, **more)) for clip in clips]


def test_every_client_gets_the_answer_to_its_own_clip():
    names = [f"{'x' * (number % 7)}{number}" for number in range(200)]

    async def work(queue):
        return await asyncio.gather(*submitted(queue, names))

    model = Recorder()
    assert run(model, work, queue_size=200) == [name.upper() for name in names]
    assert max(map(len, model.batches)) <= 8
    assert sorted(clip for batch in model.batches for clip in batch) == sorted(names)


def test_what_waits_together_runs_together_with_the_most_similar():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        tasks = submitted(queue, ["aaaa", "b" * 90, "ccc", "d" * 80, "eeeee"])
        await wait_for(queue, 5)
        model.going.set()
        await asyncio.gather(first, *tasks)

    run(model, work, batch_size=3)
    assert model.batches[1:] == [["aaaa", "ccc", "eeeee"], ["b" * 90, "d" * 80]]


def test_a_clip_waits_for_others_that_are_announced():
    model = Recorder()

    async def work(queue):
        with queue.announce():
            tasks = submitted(queue, ["early"])
            await asyncio.sleep(0.05)
            tasks += submitted(queue, ["late"])
            await wait_for(queue, 2)
        await asyncio.gather(*tasks)

    run(model, work, max_wait_ms=5000)
    assert model.batches == [["early", "late"]]


def test_an_announced_clip_that_never_comes_is_waited_for_no_longer_than_the_bound():
    async def work(queue):
        with queue.announce():
            return await submit(queue, "early")

    assert run(Recorder(), work, max_wait_ms=20) == "EARLY"


def test_clients_that_ask_again_at_once_share_batches_again():
    model = Recorder()

    async def client(queue, number):
        for turn in range(5):
            await submit(queue, f"{number}-{turn}")
            await asyncio.sleep(0.002 * number)

    async def work(queue):
        await asyncio.gather(*(client(queue, number) for number in range(8)))

    run(model, work, max_wait_ms=2000)
    assert [len(batch) for batch in model.batches] == [8] * 5


def test_a_lone_client_that_asks_again_waits_for_nobody():
    async def work(queue):
        begun = time.monotonic()
        for number in range(5):
            await submit(queue, f"clip{number}")
        return time.monotonic() - begun

    assert run(Recorder(), work, max_wait_ms=60_000) < 5


def test_only_equal_options_share_a_batch():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        tasks = [
            asyncio.create_task(submit(queue, f"clip{number}", Options(num_beams=number % 2 + 1)))
            for number in range(6)
        ]
        await wait_for(queue, 6)
        model.going.set()
        await asyncio.gather(first, *tasks)

    run(model, work)
    assert model.batches[1:] == [["clip0", "clip2", "clip4"], ["clip1", "clip3", "clip5"]]
    assert [options.num_beams for options in model.options[1:]] == [1, 2]


def test_one_bad_clip_harms_no_other():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        tasks = submitted(queue, ["good1", "bad", "good2"])
        await wait_for(queue, 3)
        model.going.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = run(model, work)
    assert (found[0], found[2]) == ("GOOD1", "GOOD2")
    assert isinstance(found[1], ValueError)


def test_a_clip_that_does_not_fit_the_memory_is_a_503_and_the_others_are_answered():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        tasks = submitted(queue, ["huge", "good"])
        await wait_for(queue, 2)
        model.going.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    fault, answer = run(model, work)
    assert answer == "GOOD"
    assert (fault.status, fault.code) == (503, "out_of_memory")
    assert fault.retry_after > 0


def test_the_queue_goes_on_after_a_model_that_gave_too_few_answers():
    class Forgetful(Recorder):
        def __call__(self, clips, options):
            return super().__call__(clips, options)[: len(self.batches) - 1]

    async def work(queue):
        with pytest.raises(RuntimeError, match="1 clips got 0 answers"):
            await submit(queue, "first")
        return await submit(queue, "second")

    assert run(Forgetful(), work) == "SECOND"


def test_a_full_queue_refuses_and_says_when_to_come_back():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        tasks = submitted(queue, ["a", "b"])
        await wait_for(queue, 2)
        with pytest.raises(QueueFullError) as caught:
            await submit(queue, "c")
        model.going.set()
        await asyncio.gather(first, *tasks)
        return caught.value

    fault = run(model, work, queue_size=2)
    assert fault.status == 503
    assert 1 <= int(fault.headers["Retry-After"]) <= 60


def test_a_client_that_sends_many_clips_does_not_keep_others_waiting():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        many = submitted(queue, [f"m{number}" for number in range(8)], client="many")
        await wait_for(queue, 8)
        other = submitted(queue, ["other", "again"], client="other")
        await wait_for(queue, 10)
        model.going.set()
        await asyncio.gather(first, *many, *other)

    run(model, work, batch_size=1)
    order = [clip for (clip,) in model.batches[1:]]
    assert order[:4] == ["m0", "other", "m1", "again"]
    assert order[4:] == ["m2", "m3", "m4", "m5", "m6", "m7"]


def test_clients_that_ask_again_at_once_do_not_keep_a_second_clip_waiting():
    async def work(queue):
        second = submitted(queue, ["m0", "m1"], client="two")[1]

        async def ask_on(client):
            turns = 0
            while not second.done() and turns < 50:
                await submit(queue, client, client=client)
                turns += 1
            return turns

        return await asyncio.gather(*(ask_on(client) for client in ("a", "b", "c")))

    assert max(run(Recorder(), work, batch_size=1)) <= 3


def test_who_has_most_clips_in_a_full_queue_makes_room_for_others():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        many = submitted(queue, ["m0", "m1", "m2"], client="many")
        await wait_for(queue, 3)
        other = submitted(queue, ["other"], client="other")
        with pytest.raises(QueueFullError):
            await many[2]
        for client in ("many", "other"):  # as many as the other has by then
            with pytest.raises(QueueFullError):
                await submit(queue, "more", client=client)
        model.going.set()
        return await asyncio.gather(first, *many[:2], *other)

    assert run(model, work, queue_size=3) == ["FIRST", "M0", "M1", "OTHER"]


def test_a_client_that_leaves_takes_its_clip_along():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        gone, stays = submitted(queue, ["gone", "stays"])
        await wait_for(queue, 2)
        gone.cancel()
        await wait_for(queue, 1)
        model.going.set()
        await asyncio.gather(first, stays)

    run(model, work)
    assert model.batches[1:] == [["stays"]]


def test_a_client_that_leaves_while_its_batch_runs_harms_nobody():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        first.cancel()
        await asyncio.sleep(0.01)
        model.going.set()
        return await submit(queue, "next")

    assert run(model, work) == "NEXT"


def test_complete_clips_come_before_partial_ones():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        partial = submitted(queue, ["part"], is_partial=True, stream=object())
        await wait_for(queue, 1)
        whole = submitted(queue, ["whole"])
        await wait_for(queue, 2)
        model.going.set()
        await asyncio.gather(first, *partial, *whole)

    run(model, work, batch_size=1)
    assert model.batches[1:] == [["whole"], ["part"]]


def test_a_newer_part_of_a_stream_supersedes_the_one_that_waits():
    model, stream = Recorder(is_held=True), object()

    async def work(queue):
        first = await hold(queue, model)
        (old,) = submitted(queue, ["old"], is_partial=True, stream=stream)
        (others,) = submitted(queue, ["others"], is_partial=True, stream=object())
        await wait_for(queue, 2)
        (new,) = submitted(queue, ["new"], stream=stream)
        with pytest.raises(SupersededError):
            await old
        model.going.set()
        return await asyncio.gather(first, others, new)

    assert run(model, work) == ["FIRST", "OTHERS", "NEW"]


def test_a_partial_clip_makes_room_for_a_complete_one_but_not_for_another_partial():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        (partial,) = submitted(queue, ["part"], is_partial=True, stream=object())
        await wait_for(queue, 1)
        with pytest.raises(QueueFullError):
            await submit(queue, "another", is_partial=True, stream=object())
        (whole,) = submitted(queue, ["whole"])
        with pytest.raises(SupersededError):
            await partial
        model.going.set()
        return await asyncio.gather(first, whole)

    assert run(model, work, queue_size=1) == ["FIRST", "WHOLE"]


def test_closing_answers_what_waits_and_what_runs():
    model = Recorder(is_held=True)

    async def work(queue):
        first = await hold(queue, model)
        (waiting,) = submitted(queue, ["waits"])
        await wait_for(queue, 1)
        closing = asyncio.create_task(queue.close())
        found = await asyncio.gather(first, waiting, return_exceptions=True)
        model.going.set()
        await closing
        with pytest.raises(ServiceError, match="shutting down"):
            await submit(queue, "late")
        return found

    assert [fault.code for fault in run(model, work)] == ["shutting_down"] * 2


def test_a_worker_that_hangs_does_not_count_as_answering():
    model = Recorder(is_held=True)

    async def work(queue):
        before = queue.answers(patience=60)
        await hold(queue, model)
        time.sleep(0.01)
        return before, queue.answers(patience=60), queue.answers(patience=0.001)

    assert run(model, work) == (True, True, False)


def test_a_queue_that_was_not_started_does_not_answer():
    assert not BatchQueue(
        Recorder(), length=len, batch_size=1, max_wait_ms=0, queue_size=1
    ).answers(patience=60)
