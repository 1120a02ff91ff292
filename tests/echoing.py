"""A translator without a model: its text says what it was given."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from signseq.errors import PoseError
from signseq.poses.keypoints import get_keypoint_set
from signseq.poses.sequence import PoseSequence
from signseq.poses.transforms import PoseRecipe
from signseq.translation import PackedClip, Translation

KEYPOINTS = get_keypoint_set("upper_body_hands").keypoints


class EchoTranslator:
    """Packs poses as a real one does, and calls each clip by the number of its frames.

    Args:
        gate: What it waits for before it answers.
        fault: What it raises instead of an answer.
    """

    def __init__(
        self, *, gate: threading.Event | None = None, fault: Exception | None = None
    ) -> None:
        self.recipe = PoseRecipe(keypoints="upper_body_hands", normalize="shoulders")
        self.settings = SimpleNamespace(num_beams=4)
        config = SimpleNamespace(
            language_place=None,
            language_id=None,
            max_frames=10_000,
            step_frames=1,
            estimators=("mediapipe_holistic",),
            text_model={"model_type": "echo"},
        )
        self.model = SimpleNamespace(config=config, parameters=list)
        self.gate, self.fault = gate, fault
        self.beams: list[int | None] = []

    def pack(self, pose: PoseSequence) -> PackedClip:
        packed = self.recipe.pack(pose)
        if not (packed[..., -1] > 0).any():
            raise PoseError("the pose: nobody is in view.")
        return PackedClip(np.ascontiguousarray(packed), pose.seconds, ())

    def translate_clips(
        self, clips: Sequence[PackedClip], *, num_beams: int | None = None, **_: Any
    ) -> list[Translation]:
        if self.gate is not None:
            self.gate.wait(10)
        if self.fault is not None:
            raise self.fault
        self.beams.append(num_beams)
        return [Translation(f"{len(clip)} frames", -0.5, clip.seconds) for clip in clips]
