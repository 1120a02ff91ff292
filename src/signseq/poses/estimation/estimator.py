"""What a pose estimator must be able to do, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ESTIMATORS", "BuildEstimator", "Estimator", "Image", "Region", "Tracker"]

Image = NDArray[np.uint8]  # (height, width, 3), red, green, blue


@dataclass(frozen=True)
class Region:
    """A part of a picture: from `left` up to `right`, from `top` up to `bottom`, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


class Tracker(Protocol):
    """Follows one person through the frames of one video."""

    def follow(self, image: Image, region: Region | None = None) -> NDArray[np.float32]:
        """The person in the next frame.

        Args:
            image: The whole picture.
            region: Where to look; None looks everywhere. The same for every frame.

        Returns:
            x, y (pixels of the whole picture), z and confidence of each keypoint, (K, 4); all 0 where it
            isn't seen.
        """

    def close(self) -> None:
        """Free what it holds."""


class Estimator(Protocol):
    """Finds people in pictures, and the keypoints of one of them."""

    @property
    def keypoints(self) -> tuple[str, ...]:
        """K names of the form `COMPONENT.POINT`, as `skeletons` spells them."""

    def find_faces(self, image: Image) -> NDArray[np.float32]:
        """The boxes of all faces, (N, 4): left, top, right, bottom in pixels."""

    def new_tracker(self) -> Tracker:
        """A tracker that has seen nothing yet."""


BuildEstimator = Callable[[], Estimator]


def _build_mediapipe_holistic() -> Estimator:
    from signseq.poses.estimation.mediapipe_holistic import MediaPipeHolistic

    return MediaPipeHolistic()


# What `--estimator` may say. Functions of a module, so that other processes find them by their names.
ESTIMATORS: dict[str, BuildEstimator] = {"mediapipe_holistic": _build_mediapipe_holistic}
