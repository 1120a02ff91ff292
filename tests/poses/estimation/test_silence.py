"""What MediaPipe's C++ writes to descriptor 2; a module of ours stands in for it."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from threading import Event, Thread
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from signseq.poses.estimation.mediapipe_holistic import MediaPipeHolistic

IMAGE = np.zeros((8, 8, 3), np.uint8)
NOTHING = SimpleNamespace(
    pose_landmarks=None,
    face_landmarks=None,
    left_hand_landmarks=None,
    right_hand_landmarks=None,
    pose_world_landmarks=None,
)


@pytest.fixture
def install(monkeypatch):
    """Makes a module whose networks begin each picture with what `work` does, called with its number."""

    def put(work):
        class Holistic:
            def __init__(self, **_: object) -> None:
                os.write(2, b"created\n")
                self.pictures = 0

            def process(self, _: object) -> object:
                self.pictures += 1
                work(self.pictures)
                return NOTHING

            def close(self) -> None:
                pass

        module = ModuleType("mediapipe")
        module.__spec__ = ModuleSpec("mediapipe", None)
        module.solutions = SimpleNamespace(holistic=SimpleNamespace(Holistic=Holistic))
        monkeypatch.setitem(sys.modules, "mediapipe", module)
        return MediaPipeHolistic()

    return put


def test_only_what_a_network_writes_until_its_first_picture_is_kept_back(install, capfd):
    estimator = install(lambda number: os.write(2, f"picture {number}\n".encode()))

    for tracker in (estimator.new_tracker(), estimator.new_tracker()):
        tracker.follow(IMAGE)
        tracker.follow(IMAGE)
        tracker.close()

    assert capfd.readouterr().err == "picture 2\npicture 2\n"


def test_two_that_start_at_once_give_the_descriptor_back(install, capfd):
    begun, may_end = (Event(), Event()), (Event(), Event())

    def work_of(thread):
        def work(_):
            begun[thread].set()
            may_end[thread].wait(5)

        return work

    threads = []
    for thread in (0, 1):
        tracker = install(work_of(thread)).new_tracker()
        threads.append(Thread(target=tracker.follow, args=(IMAGE,)))
    threads[0].start()
    begun[0].wait(5)
    threads[1].start()
    begun[1].wait(0.2)  # it waits for the first one
    for thread in (0, 1):
        may_end[thread].set()
        threads[thread].join(5)
    os.write(2, b"still here\n")

    assert capfd.readouterr().err == "still here\n"


def test_protobufs_warning_of_each_picture_is_not_shown_and_others_are(install):
    def warn(number):
        warnings.warn("SymbolDatabase.GetPrototype() is deprecated. Please", stacklevel=2)
        if number == 2:
            warnings.warn("something else", stacklevel=2)

    tracker = install(warn).new_tracker()

    tracker.follow(IMAGE)
    with pytest.warns(UserWarning, match="something else"):
        tracker.follow(IMAGE)
