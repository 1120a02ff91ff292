"""MediaPipe Holistic: the only module that knows mediapipe.

Its models of complexity 1 are inside the package, so nothing is downloaded; versions from 0.10.30 on
have none. Points, units and confidences are those of pose-format's `video_to_pose`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import MissingExtraError, ModelError, PoseError
from signseq.poses.estimation.estimator import Image, Region
from signseq.poses.estimation.people import without_repeats
from signseq.poses.skeletons import SKELETONS

__all__ = ["MediaPipeHolistic"]

SKELETON = SKELETONS["mediapipe_holistic_world"]
BODY, FACE, HAND = 33, 468, 21  # points
FAR_RANGE = 1  # the face detector for up to 5 m; the other one is for selfies
QUARTER = 0.6  # of the width and of the height
DEPRECATION = r"SymbolDatabase\.GetPrototype\(\) is deprecated"  # protobuf's, about mediapipe
SILENCE = Lock()  # two that redirect descriptor 2 at once would leave it redirected


class MediaPipeHolistic:
    """The estimator of most published .pose files.

    MediaPipe's C++ writes to file descriptor 2 when a network starts. While one does, in each video for a fraction of a
    second, the descriptor leads nowhere in the whole process: what other threads write to it then is lost. The command
    line's own messages have another descriptor.
    """

    def __init__(self) -> None:
        """Look whether the package is there; it is imported when the first picture comes.

        Raises:
            MissingExtraError: If mediapipe isn't installed.
        """
        if importlib.util.find_spec("mediapipe") is None:
            no_wheel = "mediapipe 0.10.14 has no wheel for Python 3.13; use 3.11 or 3.12."
            raise MissingExtraError(
                package="mediapipe",
                extra="video",
                purpose="Finding poses in videos",
                note=no_wheel if sys.version_info >= (3, 13) else "",
            )

    @property
    def keypoints(self) -> tuple[str, ...]:
        """576 points: body, face mesh, both hands, and the body in metres."""
        return SKELETON.names

    def find_faces(self, image: Image) -> NDArray[np.float32]:
        """See `Estimator`; the picture's quarters are looked at too, for small faces."""
        height, width = image.shape[:2]
        boxes: list[NDArray[np.float32]] = []
        for view in _views(width, height):
            part = np.ascontiguousarray(image[view.top : view.bottom, view.left : view.right])
            for found in self._faces.process(part).detections or ():
                share = found.location_data.relative_bounding_box
                box = (share.xmin, share.ymin, share.xmin + share.width, share.ymin + share.height)
                sides = (part.shape[1], part.shape[0]) * 2
                corner = (view.left, view.top) * 2
                boxes.append((np.array(box) * sides + corner).astype(np.float32))
        return without_repeats(np.array(boxes, np.float32).reshape(-1, 4))

    def new_tracker(self) -> HolisticTracker:
        """See `Estimator`."""
        solutions = self._solutions
        return HolisticTracker(_Network(lambda: solutions.holistic.Holistic(model_complexity=1)))

    @cached_property
    def _faces(self) -> _Network:
        solutions = self._solutions
        return _Network(lambda: solutions.face_detection.FaceDetection(0.5, FAR_RANGE))

    @cached_property
    def _solutions(self) -> Any:
        # With every picture; for good, as to change the filters for a while is not safe beside other threads.
        warnings.filterwarnings("ignore", DEPRECATION, UserWarning)
        with _quiet():
            import mediapipe

            try:
                return mediapipe.solutions
            except AttributeError as fault:
                raise ModelError(
                    f"mediapipe {version('mediapipe')} has no models inside. Install the version that has: "
                    "pip install 'signseq[video]'"
                ) from fault


def _views(width: int, height: int) -> list[Region]:
    """The whole picture, then its quarters, which overlap by the size of a face."""
    wide, high = round(QUARTER * width), round(QUARTER * height)
    corners = [(left, top) for top in (0, height - high) for left in (0, width - wide)]
    return [Region(0, 0, width, height)] + [
        Region(left, top, left + wide, top + high) for left, top in corners
    ]


class HolisticTracker:
    """One person's keypoints, frame after frame, smoothed over time."""

    def __init__(self, holistic: _Network) -> None:
        self._holistic = holistic

    def follow(self, image: Image, region: Region | None = None) -> NDArray[np.float32]:
        """See `Tracker`."""
        height, width = image.shape[:2]
        part = region or Region(0, 0, width, height)
        view = np.ascontiguousarray(image[part.top : part.bottom, part.left : part.right])
        found = self._holistic.process(view)
        # In the picture, x and y are shares of the view's sides, and z one of its width.
        scale = (view.shape[1], view.shape[0], view.shape[1] / width)
        corner = (part.left, part.top, 0)
        return np.concatenate(
            [
                _read(found.pose_landmarks, BODY, scale, corner, has_visibility=True),
                _read(found.face_landmarks, FACE, scale, corner),
                _read(found.left_hand_landmarks, HAND, scale, corner),
                _read(found.right_hand_landmarks, HAND, scale, corner),
                # In metres, multiplied all the same: so pose-format has it.
                _read(found.pose_world_landmarks, BODY, (width, height, 1), has_visibility=True),
            ]
        )

    def close(self) -> None:
        """See `Tracker`."""
        self._holistic.close()


class _Network:
    """One of mediapipe's solutions; it starts with its first picture, and is silenced until that is done.

    Args:
        build: Makes it.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        with _quiet():
            self._solution = build()
        self._has_begun = False

    def process(self, image: Image) -> Any:
        """What it finds in a picture.

        Raises:
            PoseError: If it fails.
        """
        with nullcontext() if self._has_begun else _quiet():
            try:
                found = self._solution.process(image)
            except (RuntimeError, ValueError) as fault:
                size = f"{image.shape[1]} x {image.shape[0]}"
                raise PoseError(
                    f"mediapipe failed on a picture of {size} pixels: {fault}"
                ) from fault
        self._has_begun = True
        return found

    def close(self) -> None:
        """Free what it holds."""
        self._solution.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what mediapipe's C++ writes to descriptor 2."""
    with SILENCE, open(os.devnull, "wb") as nowhere:
        before = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def _read(
    component: Any,
    points: int,
    scale: tuple[float, float, float],
    corner: tuple[float, float, float] = (0, 0, 0),
    *,
    has_visibility: bool = False,
) -> NDArray[np.float32]:
    """The points of one part, (points, 4); all zero where it wasn't found."""
    if component is None:
        return np.zeros((points, 4), np.float32)
    places = np.array([(point.x, point.y, point.z) for point in component.landmark])
    sure = [point.visibility if has_visibility else 1.0 for point in component.landmark]
    return np.column_stack([places * scale + corner, sure]).astype(np.float32)
