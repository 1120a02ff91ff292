import threading
import time

import numpy as np
import pytest

from signseq.translation.results import PackedClip, Translation
from signseq.translation.streaming import ReadAhead, choose_batch, translate_in_order


def clip(frames):
    return PackedClip(np.zeros((frames, 1, 3), np.float16), frames / 25)


def as_texts(clips):
    return [Translation(str(len(each)), 0.0, each.seconds) for each in clips]


def run(reads, *, batch_size=4, translate=as_texts):
    ahead = ReadAhead(
        reads, lambda read: ("", clip(read) if isinstance(read, int) else read), room=batch_size
    )
    found = translate_in_order(ahead, translate, batch_size=batch_size, tell=lambda *_: None)
    return [one.error or one.text for one in found]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_every_clip_comes_once_and_in_order(batch_size):
    lengths = np.random.default_rng(0).integers(1, 300, 200).tolist()

    assert run(lengths, batch_size=batch_size) == [str(length) for length in lengths]


def test_errors_keep_their_places():
    failed = Translation("", 0.0, 0.0, error="no pose")

    assert run([failed, 3, failed, failed, 5, failed]) == [
        *("no pose", "3", "no pose", "no pose", "5", "no pose")
    ]


def test_a_batch_holds_the_first_clip_and_the_nearest_to_it():
    lengths = {10: 50, 11: 300, 12: 48, 13: 10, 14: 52, 15: 290}

    assert choose_batch(lengths, 3) == [14, 10, 12]
    assert choose_batch(lengths, 1) == [10]
    assert choose_batch(lengths, 99) == [11, 15, 14, 10, 12, 13]


def test_mixed_lengths_are_hardly_padded():
    lengths = np.random.default_rng(1).integers(10, 400, 400).tolist()
    frames, shown = [], []

    def translate(clips):
        frames.append(sum(map(len, clips)))
        shown.append(len(clips) * max(map(len, clips)))
        return as_texts(clips)

    run(lengths, batch_size=16, translate=translate)

    assert sum(frames) / sum(shown) > 0.8


def test_what_a_source_raises_is_raised_where_results_are_taken():
    def broken():
        yield 3
        raise OSError("the drive is gone")

    with pytest.raises(OSError, match="the drive is gone"):
        run(broken())


def test_a_result_comes_before_the_next_source_does():
    asked, go_on = [], threading.Event()

    def slow():
        yield 3
        asked.append(True)
        assert go_on.wait(10)
        yield 4

    ahead = ReadAhead(slow(), lambda frames: ("", clip(frames)), room=4)
    found = translate_in_order(ahead, as_texts, batch_size=4, tell=lambda *_: None)

    assert next(found).text == "3"
    assert asked
    go_on.set()
    assert next(found).text == "4"


def test_closing_ends_the_thread():
    def endless():
        while True:
            yield 3

    ahead = ReadAhead(endless(), lambda frames: ("", clip(frames)), room=2)
    assert ahead.take(patience=None) is not None
    ahead.close()
    ahead._thread.join(5)

    assert not ahead._thread.is_alive()


def test_no_more_is_read_than_there_is_room_for():
    read = []

    def count():
        for number in range(1000):
            read.append(number)
            yield 3

    ahead = ReadAhead(count(), lambda frames: ("", clip(frames)), room=4)
    deadline = time.monotonic() + 5
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    ahead.close()

    assert len(read) == 5
