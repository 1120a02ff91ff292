"""Named selections of keypoints, by component and point name, never by number.

A keypoint's name is `COMPONENT.POINT` as MediaPipe Holistic's .pose files spell it, for example
`LEFT_HAND_LANDMARKS.WRIST` or `FACE_LANDMARKS.152`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from signseq.errors import PoseError

__all__ = [
    "KEYPOINT_SETS",
    "NOSE",
    "SHOULDERS",
    "WRISTS",
    "KeypointSet",
    "Parts",
    "find_parts",
    "get_keypoint_set",
    "index_of",
    "mirror_name",
    "skeleton_edges",
]

BODY, FACE = "POSE_LANDMARKS", "FACE_LANDMARKS"
LEFT_HAND, RIGHT_HAND = "LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS"

SHOULDERS = (f"{BODY}.LEFT_SHOULDER", f"{BODY}.RIGHT_SHOULDER")
WRISTS = (f"{LEFT_HAND}.WRIST", f"{RIGHT_HAND}.WRIST")
NOSE = f"{BODY}.NOSE"

FINGERS = ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
HAND_POINTS = (
    "WRIST",
    *(f"THUMB_{joint}" for joint in ("CMC", "MCP", "IP", "TIP")),
    *(f"{finger}_{joint}" for finger in FINGERS for joint in ("MCP", "PIP", "DIP", "TIP")),
)
BODY_POINTS = (
    "NOSE",
    *(f"{side}_EYE{place}" for side in ("LEFT", "RIGHT") for place in ("_INNER", "", "_OUTER")),
    *(f"{side}_EAR" for side in ("LEFT", "RIGHT")),
    *(f"MOUTH_{side}" for side in ("LEFT", "RIGHT")),
    *(
        f"{side}_{joint}"
        for joint in (
            *("SHOULDER", "ELBOW", "WRIST", "PINKY", "INDEX", "THUMB"),
            *("HIP", "KNEE", "ANKLE", "HEEL", "FOOT_INDEX"),
        )
        for side in ("LEFT", "RIGHT")
    ),
)
UPPER_BODY_POINTS = (
    "NOSE",
    *(
        f"{side}_{joint}"
        for joint in ("EYE", "EAR", "SHOULDER", "ELBOW", "WRIST")
        for side in ("LEFT", "RIGHT")
    ),
)

# Face mesh numbers, signer's left / right where they come in pairs (the mesh is symmetric).
FACE_PAIRS = {
    "brows": (("300", "70"), ("334", "105"), ("336", "107")),
    "lips": (("308", "78"), ("311", "81"), ("402", "178")),
    "nose": (("327", "98"),),
    "jaw": (("454", "234"), ("361", "132"), ("397", "172"), ("379", "150")),
}
FACE_MIDDLE = {"brows": (), "lips": ("13", "14"), "nose": ("1", "168"), "jaw": ("152",)}
FEW_FACE_POINTS = tuple(
    point
    for part in FACE_PAIRS
    for point in (*(p for pair in FACE_PAIRS[part] for p in pair), *FACE_MIDDLE[part])
)

# "85 landmarks": YouTube-ASL, arXiv:2306.15162, appendix. 468 and 473 are the irises, which only
# files with 478 face points have; in others they are masked.
YOUTUBE_ASL_BODY = tuple(
    f"{side}_{joint}" for joint in ("SHOULDER", "ELBOW", "HIP") for side in ("LEFT", "RIGHT")
)
YOUTUBE_ASL_FACE = tuple(
    "0 4 13 14 17 33 37 39 46 52 55 61 64 81 82 93 133 151 152 159 172 178 181 263 269 276 282 285 291 294 311 "
    "323 362 386 397 468 473".split()
)

# What github.com/zeleznyt/T5_for_SLT takes of the face (utils/keypoint_dataset.py).
YOUTUBE_ASL_104_FACE = tuple(
    "0 4 13 14 17 33 39 46 52 55 61 64 81 93 133 151 152 159 172 178 181 263 269 276 282 285 291 294 311 323 "
    "362 386 397 402 405 468 473".split()
)

# The 69 points of Uni-Sign, arXiv:2501.15187, of COCO-WholeBody's 133: body 0 and 3 to 10, hands 91 to
# 132, face 23, 25, ... 39 (jaw), 83 to 90 (inner lips), 53 (nose tip); `load_part_kp` in its datasets.py.
UNI_SIGN_BODY = (
    "NOSE",
    *(f"{side}_{j}" for j in ("EAR", "SHOULDER", "ELBOW", "WRIST") for side in ("LEFT", "RIGHT")),
)
UNI_SIGN_FACE = tuple("127 132 172 149 152 378 397 361 356 78 81 13 311 308 402 14 178 1".split())

# The 178 points that `reduce_holistic` of pose-format (utils/generic.py) leaves: shoulders, elbows,
# wrists, hips, the hands, and of the face the contours that MediaPipe draws.
REDUCED_BODY = tuple(
    f"{side}_{joint}"
    for joint in ("SHOULDER", "ELBOW", "WRIST", "HIP")
    for side in ("LEFT", "RIGHT")
)
FACE_CONTOURS = tuple(
    "0 7 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 103 105 "
    "107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 172 173 176 "
    "178 181 185 191 234 246 249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 "
    "311 312 314 317 318 321 323 324 332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 "
    "385 386 387 388 389 390 397 398 400 402 405 409 415 454 466".split()
)

# MediaPipe's face mesh is symmetric. Of its points 0 to 247 these lie on the middle line, the others on
# the signer's right; 248 to 467 are their mirror images in the same order. The irises follow.
FACE_MIDLINE = (
    *(0, 1, 2, 4, 5, 6, *range(8, 20), 94, 151, 152, 164, 168, 175, 195, 197, 199, 200),
)
FACE_RIGHT = (*(i for i in range(248) if i not in FACE_MIDLINE), *range(468, 473))
FACE_LEFT = (*range(248, 468), 473, 476, 475, 474, 477)

HAND_EDGES = tuple(
    (chain[i], chain[i + 1])
    for chain in (
        ("WRIST", "THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP"),
        *(
            ("WRIST", *(f"{finger}_{joint}" for joint in ("MCP", "PIP", "DIP", "TIP")))
            for finger in FINGERS
        ),
    )
    for i in range(len(chain) - 1)
)
BODY_EDGES = (
    ("LEFT_SHOULDER", "RIGHT_SHOULDER"),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("LEFT", "RIGHT")
        for a, b in (
            ("SHOULDER", "ELBOW"),
            ("ELBOW", "WRIST"),
            ("SHOULDER", "HIP"),
            ("HIP", "KNEE"),
            ("KNEE", "ANKLE"),
        )
    ),
    ("LEFT_HIP", "RIGHT_HIP"),
)


@dataclass(frozen=True)
class KeypointSet:
    """A named, ordered selection of keypoints.

    Attributes:
        name: The name used in `data.keypoints`.
        keypoints: K names of the form `COMPONENT.POINT`.
        source: Where the selection comes from.
    """

    name: str
    keypoints: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Parts:
    """Positions of each body part in a sequence of keypoints; empty where a part is absent."""

    body: tuple[int, ...]
    face: tuple[int, ...]
    left_hand: tuple[int, ...]
    right_hand: tuple[int, ...]


def _qualify(component: str, points: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{component}.{point}" for point in points)


_HANDS = _qualify(LEFT_HAND, HAND_POINTS) + _qualify(RIGHT_HAND, HAND_POINTS)
_UPPER_BODY_HANDS = _qualify(BODY, UPPER_BODY_POINTS) + _HANDS

KEYPOINT_SETS = {
    keypoint_set.name: keypoint_set
    for keypoint_set in (
        KeypointSet("hands", _HANDS, "both hands of MediaPipe Holistic, 21 points each"),
        KeypointSet(
            "upper_body_hands",
            _UPPER_BODY_HANDS,
            "nose, eyes, ears, shoulders, elbows, wrists and hands",
        ),
        KeypointSet(
            "upper_body_hands_face",
            _UPPER_BODY_HANDS + _qualify(FACE, FEW_FACE_POINTS),
            "upper_body_hands and 27 face points: brows, lips, nose, jaw outline",
        ),
        KeypointSet(
            "youtube_asl",
            _qualify(BODY, YOUTUBE_ASL_BODY) + _HANDS + _qualify(FACE, YOUTUBE_ASL_FACE),
            "the 85 points of YouTube-ASL (arXiv:2306.15162)",
        ),
        KeypointSet(
            "youtube_asl_104",
            _qualify(BODY, BODY_POINTS[:25])
            + _qualify(RIGHT_HAND, HAND_POINTS)
            + _qualify(LEFT_HAND, HAND_POINTS)
            + _qualify(FACE, YOUTUBE_ASL_104_FACE),
            "the 104 points of ready YouTube-ASL keypoints, in the order of github.com/zeleznyt/T5_for_SLT "
            "(utils/pose_data.py); they are normalised part by part already, so they go with `normalize: none`",
        ),
        KeypointSet(
            "uni_sign",
            _qualify(BODY, UNI_SIGN_BODY) + _HANDS + _qualify(FACE, UNI_SIGN_FACE),
            "the 69 points of Uni-Sign (arXiv:2501.15187): 9 of the body, both hands, 18 of the face",
        ),
        KeypointSet(
            "reduced_holistic",
            _qualify(BODY, REDUCED_BODY) + _qualify(FACE, FACE_CONTOURS) + _HANDS,
            "the 178 points of pose-format's reduce_holistic (arXiv:2310.09066)",
        ),
        KeypointSet(
            "all",
            _qualify(BODY, BODY_POINTS) + _qualify(FACE, [str(i) for i in range(468)]) + _HANDS,
            "all 543 image landmarks of MediaPipe Holistic",
        ),
    )
}


def get_keypoint_set(name: str) -> KeypointSet:
    """Look a keypoint set up by its name.

    Raises:
        PoseError: If there is no such set; names the nearest one.
    """
    if name not in KEYPOINT_SETS:
        near = difflib.get_close_matches(name, KEYPOINT_SETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise PoseError(f"No keypoint set {name!r}; there are: {', '.join(KEYPOINT_SETS)}.{hint}")
    return KEYPOINT_SETS[name]


@lru_cache(maxsize=32)
def index_of(keypoints: tuple[str, ...]) -> dict[str, int]:
    """The position of each keypoint's name."""
    return {name: i for i, name in enumerate(keypoints)}


@lru_cache(maxsize=32)
def find_parts(keypoints: tuple[str, ...]) -> Parts:
    """Sort keypoints into body parts by their component; positions refer to `keypoints`."""

    def positions(component: str) -> tuple[int, ...]:
        return tuple(i for i, name in enumerate(keypoints) if name.startswith(f"{component}."))

    return Parts(positions(BODY), positions(FACE), positions(LEFT_HAND), positions(RIGHT_HAND))


@lru_cache(maxsize=32)
def skeleton_edges(keypoints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of positions in `keypoints` that a bone connects."""
    index = {name: i for i, name in enumerate(keypoints)}
    named = [
        (f"{hand}.{a}", f"{hand}.{b}") for hand in (LEFT_HAND, RIGHT_HAND) for a, b in HAND_EDGES
    ]
    named += [(f"{BODY}.{a}", f"{BODY}.{b}") for a, b in BODY_EDGES]
    return tuple((index[a], index[b]) for a, b in named if a in index and b in index)


_FACE_MIRROR = {
    str(point): str(other)
    for one, other_side in ((FACE_RIGHT, FACE_LEFT), (FACE_LEFT, FACE_RIGHT), (FACE_MIDLINE,) * 2)
    for point, other in zip(one, other_side, strict=True)
}


def mirror_name(keypoint: str) -> str:
    """The keypoint that takes this one's place in a mirror.

    Raises:
        PoseError: If the keypoint is a face point that the mesh doesn't have.
    """
    component, point = keypoint.split(".", 1)
    if component in (LEFT_HAND, RIGHT_HAND):
        return f"{RIGHT_HAND if component == LEFT_HAND else LEFT_HAND}.{point}"
    if component == FACE:
        if point not in _FACE_MIRROR:
            raise PoseError(f"No mirror image is known for the face point {keypoint!r}.")
        return f"{FACE}.{_FACE_MIRROR[point]}"
    swap = {"LEFT": "RIGHT", "RIGHT": "LEFT"}
    return f"{component}." + "_".join(swap.get(word, word) for word in point.split("_"))
