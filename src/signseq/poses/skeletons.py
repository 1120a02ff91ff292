"""The skeletons of the field's pose estimators, all in one naming, so that corpora can be mixed.

The names are MediaPipe Holistic's (`COMPONENT.POINT`). A skeleton lists its points in the order of
its format; a point that two estimators share has one name, a point that only one has gets a name of
its own. So whatever works by name works on poses of every estimator, and what one doesn't give is
missing (confidence 0).

Hands are the same 21 points everywhere. The 68 face contour points of OpenPose and COCO-WholeBody
are named after the points of MediaPipe's face mesh that lie nearest to them, which is approximate:
on the jaw they may be a few per cent of the face's width apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from signseq.errors import PoseError
from signseq.poses.keypoints import (
    BODY,
    BODY_POINTS,
    FACE,
    HAND_POINTS,
    KEYPOINT_SETS,
    LEFT_HAND,
    RIGHT_HAND,
)

__all__ = [
    "SKELETONS",
    "Skeleton",
    "canonical_names",
    "describe_change",
    "guess_estimator",
    "recognize",
    "share_of",
]

WORLD = "POSE_WORLD_LANDMARKS"
MESH, REFINED_MESH = 468, 478  # the latter with five points for each iris

# COCO-WholeBody's own 17 + 6 points, and OpenPose's BODY_25, in their orders.
COCO_BODY = (
    "NOSE LEFT_EYE RIGHT_EYE LEFT_EAR RIGHT_EAR LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW "
    "LEFT_WRIST RIGHT_WRIST LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE "
    "LEFT_BIG_TOE LEFT_SMALL_TOE LEFT_HEEL RIGHT_BIG_TOE RIGHT_SMALL_TOE RIGHT_HEEL"
).split()
OPENPOSE_BODY = (
    "NOSE NECK RIGHT_SHOULDER RIGHT_ELBOW RIGHT_WRIST LEFT_SHOULDER LEFT_ELBOW LEFT_WRIST MID_HIP "
    "RIGHT_HIP RIGHT_KNEE RIGHT_ANKLE LEFT_HIP LEFT_KNEE LEFT_ANKLE RIGHT_EYE LEFT_EYE RIGHT_EAR "
    "LEFT_EAR LEFT_BIG_TOE LEFT_SMALL_TOE LEFT_HEEL RIGHT_BIG_TOE RIGHT_SMALL_TOE RIGHT_HEEL"
).split()

# The 68 points of iBUG 300-W (doi:10.1016/j.imavis.2016.01.002), from the signer's right to the left.
# Public tables from them to the mesh differ by a neighbour here and there, for example
# github.com/PeizhiYan/Mediapipe_2_Dlib_Landmarks. Of the candidates stand here those that are mirror
# images of each other, and of these the ones that keypoint sets of the field use.
FACE_CONTOUR = (
    "127 234 132 58 172 150 149 148 152 377 378 379 397 288 361 454 356 "  # jaw
    "70 63 105 66 107 336 296 334 293 300 "  # brows
    "168 197 5 1 98 97 2 326 327 "  # bridge, tip and wings of the nose
    "33 160 158 133 153 144 362 385 387 263 373 380 "  # eyes
    "61 39 37 0 267 269 291 405 314 17 84 181 "  # outer lips
    "78 81 13 311 308 402 14 178"  # inner lips
).split()
PUPILS = ("468", "473")  # the right one first, as OpenPose has them


@dataclass(frozen=True)
class Skeleton:
    """The points that a format holds.

    Attributes:
        name: Its name.
        names: What its points are called here, in the format's own order.
        source: Where that order comes from.
        estimator: The family of pose estimators that gives it.
    """

    name: str
    names: tuple[str, ...]
    source: str
    estimator: str


def _name(*components: tuple[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(f"{component}.{point}" for component, points in components for point in points)


def _holistic(face_points: int, *, world: bool = False) -> tuple[str, ...]:
    """As pose-format writes MediaPipe Holistic's points."""
    return _name(
        (BODY, BODY_POINTS),
        (FACE, [str(i) for i in range(face_points)]),
        (LEFT_HAND, HAND_POINTS),
        (RIGHT_HAND, HAND_POINTS),
        *([(WORLD, BODY_POINTS)] if world else []),
    )


HOLISTIC_SOURCE = "MediaPipe Holistic's landmarks in the order of pose-format's utils/holistic.py"
SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        Skeleton("mediapipe_holistic", _holistic(MESH), HOLISTIC_SOURCE, "mediapipe"),
        Skeleton(
            "mediapipe_holistic_world", _holistic(MESH, world=True), HOLISTIC_SOURCE, "mediapipe"
        ),
        Skeleton(
            "mediapipe_holistic_refined", _holistic(REFINED_MESH), HOLISTIC_SOURCE, "mediapipe"
        ),
        Skeleton(
            "mediapipe_holistic_refined_world",
            _holistic(REFINED_MESH, world=True),
            HOLISTIC_SOURCE,
            "mediapipe",
        ),
        Skeleton(
            "mediapipe_tasks",
            _name(
                (FACE, [str(i) for i in range(REFINED_MESH)]),
                (BODY, BODY_POINTS),
                (LEFT_HAND, HAND_POINTS),
                (RIGHT_HAND, HAND_POINTS),
            ),
            "image landmarks of HolisticLandmarkerResult (mediapipe.tasks.python.vision), in the order of its "
            "fields; the same points as Holistic's, the face always with irises",
            "mediapipe",
        ),
        Skeleton(
            "openpose",
            _name(
                (BODY, OPENPOSE_BODY),
                (FACE, [*FACE_CONTOUR, *PUPILS]),
                (LEFT_HAND, HAND_POINTS),
                (RIGHT_HAND, HAND_POINTS),
            ),
            "OpenPose's BODY_25, face and hands (arXiv:1812.08008), in the order pose_keypoints_2d, "
            "face_keypoints_2d, hand_left_keypoints_2d, hand_right_keypoints_2d",
            "openpose",
        ),
        Skeleton(
            "coco_wholebody",
            _name(
                (BODY, COCO_BODY),
                (FACE, FACE_CONTOUR),
                (LEFT_HAND, HAND_POINTS),
                (RIGHT_HAND, HAND_POINTS),
            ),
            "COCO-WholeBody's 133 points (arXiv:2007.11858): 17 body, 6 feet, 68 face, 21 + 21 hands",
            "coco_wholebody",
        ),
        Skeleton(
            "youtube_asl_104",
            KEYPOINT_SETS["youtube_asl_104"].keypoints,
            KEYPOINT_SETS["youtube_asl_104"].source,
            "mediapipe",
        ),
    )
}


def _openpose_spelling() -> tuple[str, ...]:
    body = [
        point.title().replace("Right_", "R").replace("Left_", "L").replace("_", "")
        for point in OPENPOSE_BODY
    ]
    kinds = (("FB", 17), ("FEB", 10), ("FN", 9), ("FE", 12), ("FLO", 12), ("FLI", 8), ("FP", 2))
    face = [kind for kind, points in kinds for _ in range(points)]
    fingers = [f"{letter}_{joint}" for letter in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")]
    hand = ["BASE", "T_STT", "T_BCMC", "T_MCP", "T_IP", *fingers]
    return _name(
        ("pose_keypoints_2d", body),
        ("face_keypoints_2d", [f"{kind}_{i}" for i, kind in enumerate(face)]),
        ("hand_left_keypoints_2d", hand),
        ("hand_right_keypoints_2d", hand),
    )


def _coco_spelling(suffix: str) -> tuple[str, ...]:
    hand = [f"hand_{i}" for i in range(21)]
    return _name(
        (f"BODY{suffix}", [point.lower() for point in COCO_BODY]),
        (f"FACE{suffix}", [f"face-{i}" for i in range(68)]),
        (f"LEFT_HAND{suffix}", hand),
        (f"RIGHT_HAND{suffix}", hand),
    )


# How pose-format spells the points of other estimators in .pose files: its utils/openpose.py,
# cocowholebody133_header.py and alphapose_133.py.
_SPELLINGS = (
    ("openpose", _openpose_spelling()),
    ("coco_wholebody", _coco_spelling("")),
    ("coco_wholebody", _coco_spelling("_133")),
)
_CANONICAL = {
    theirs: ours
    for name, spelling in _SPELLINGS
    for theirs, ours in zip(spelling, SKELETONS[name].names, strict=True)
}
_SPELLED_BY = {
    theirs: SKELETONS[name].estimator for name, spelling in _SPELLINGS for theirs in spelling
}


def canonical_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names used here for those in a .pose file of OpenPose, COCO-WholeBody or AlphaPose-133.

    MediaPipe's, and names that nobody knows, stay as they are.
    """
    return tuple(_CANONICAL.get(name, name) for name in names)


@lru_cache(maxsize=32)
def guess_estimator(names: tuple[str, ...]) -> str | None:
    """The family of pose estimators that these points come from; None where no family gives them all.

    How a file spells them tells it. In our own spelling, a selection that MediaPipe gives in full is
    taken for MediaPipe's, and one that COCO-WholeBody and OpenPose give for COCO-WholeBody's.
    """
    spelled_by = {_SPELLED_BY[name] for name in names if name in _SPELLED_BY}
    if spelled_by:
        return spelled_by.pop() if len(spelled_by) == 1 else None
    for name in ("mediapipe_holistic_refined_world", "coco_wholebody", "openpose"):
        if set(names) <= set(SKELETONS[name].names):
            return SKELETONS[name].estimator
    return None


@lru_cache(maxsize=32)
def recognize(names: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """What `canonical_names` and `guess_estimator` say of the names in a file."""
    return canonical_names(names), guess_estimator(names)


def share_of(keypoints: Sequence[str], skeleton: str) -> float:
    """Which share of these keypoints a skeleton has, 0 to 1.

    Args:
        keypoints: Names, for example those of a keypoint set.
        skeleton: A key of `SKELETONS`.

    Raises:
        PoseError: If there is no such skeleton.
    """
    if skeleton not in SKELETONS:
        raise PoseError(f"No skeleton {skeleton!r}; there are: {', '.join(SKELETONS)}.")
    present = set(SKELETONS[skeleton].names)
    return sum(name in present for name in keypoints) / max(len(keypoints), 1)


def describe_change(estimator: str, known: Sequence[str], keypoints: Sequence[str]) -> str:
    """What to expect of poses of one estimator where a model has learned from others.

    Args:
        estimator: A family of pose estimators.
        known: Those that the model has learned from.
        keypoints: What the model reads.
    """
    skeletons = [s.name for s in SKELETONS.values() if s.estimator == estimator]
    share = max((share_of(keypoints, name) for name in skeletons), default=0.0)
    return (
        f"poses of {estimator}; the checkpoint was trained on poses of {', '.join(known)}. {estimator} gives "
        f"{100 * share:.0f}% of its {len(keypoints)} keypoints, the others count as missing, and the same point lies "
        "a little elsewhere: expect worse translations. Extract the poses with the estimator of the training, or "
        "train on poses of this one too."
    )
