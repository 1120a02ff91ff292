"""The poses of a lexicon's clips, and a sentence that is joined of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from signseq.data.joining import (
    REPEAT_SECONDS,
    find_arm,
    find_held_part,
    find_shown_part,
    lay_in_row,
    mix_rows,
    place_in_picture,
    plan_slides,
    smooth,
)
from signseq.data.lexicon import Clip
from signseq.errors import DataError, SignSeqError
from signseq.poses.keypoints import BODY, SHOULDERS, WRISTS, get_keypoint_set, index_of
from signseq.poses.sequence import PoseFile, PoseSequence
from signseq.poses.skeletons import WORLD
from signseq.poses.transforms import mask_unusable, normalize_shoulders, select

__all__ = ["Joining", "find_raised_part", "join_clips", "load_clip"]

RAISE_SECONDS = (
    0.2  # kept before a hand is over its elbow and after: it may be on its way in a sign
)
ARMS = tuple((f"{BODY}.{side}_WRIST", f"{BODY}.{side}_ELBOW") for side in ("LEFT", "RIGHT"))
NEEDED = (*SHOULDERS, *WRISTS, *ARMS[0], *ARMS[1])  # to place and cut a clip
SEAM_FRAMES = 2  # smoothed on either side of a transition


@dataclass(frozen=True)
class Joining:
    """How clips become a sentence.

    Attributes:
        fps: Frames per second of what comes out.
        transition_seconds: From the end of a clip to the start of the next.
        sign_seconds: A sign that lasts longer is played faster, to last so long; 0 leaves all as they are.
        letter_seconds: The same for letters.
        keypoints: Name of the keypoint set that is kept; None keeps all but world coordinates.
    """

    fps: float = 25.0
    transition_seconds: float = 0.12
    sign_seconds: float = 0.8
    letter_seconds: float = 0.3
    keypoints: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 1000:
            raise DataError(f"{self.fps:g} frames per second; expected 1 to 1000.")
        for name, seconds in (
            ("transition_seconds", self.transition_seconds),
            ("sign_seconds", self.sign_seconds),
            ("letter_seconds", self.letter_seconds),
        ):
            if not 0 <= seconds <= 60:
                raise DataError(f"{name} is {seconds:g}; expected 0 to 60.")
        if self.keypoints is not None:
            get_keypoint_set(self.keypoints)  # says which there are


@lru_cache(maxsize=256)  # about 100 MB of whole-body clips
def load_clip(clip: Clip, keypoints: str | None = None) -> PoseSequence:
    """Read a clip, cut to what is signed, in shoulder widths around the shoulders' midpoint.

    Raises:
        DataError: If it can't be read or used.
    """
    try:
        file = PoseFile.open(clip.path)
        names = _names_of(file, keypoints)
        present = index_of(file.keypoints)
        wanted = [name for name in dict.fromkeys((*names, *NEEDED)) if name in present]
        pose = file.read(
            keypoints=None if keypoints is None else wanted,
            start_frame=int(np.floor(round(clip.start * file.fps, 6))),
            end_frame=None if clip.end is None else int(np.ceil(round(clip.end * file.fps, 6))),
        )
        pose = normalize_shoulders(mask_unusable(pose))
        kept = _find_signed_part(pose, clip)
        pose = select(pose, names)
    except SignSeqError as fault:
        where = "" if str(clip.path) in str(fault) else f"{clip.path}: "
        raise DataError(
            f"The clip of {clip.gloss!r} can't be used; mend it, or take it out of the lexicon. {where}{fault}"
        ) from fault
    return replace(pose, data=pose.data[kept], confidence=pose.confidence[kept])


def _names_of(file: PoseFile, keypoints: str | None) -> tuple[str, ...]:
    if keypoints is not None:
        return get_keypoint_set(keypoints).keypoints
    return tuple(name for name in file.keypoints if not name.startswith(f"{WORLD}."))


def _find_signed_part(pose: PoseSequence, clip: Clip) -> slice:
    if clip.segment is not None:
        first, last = (round((time - clip.start) * pose.fps) for time in clip.segment)
        first, last = max(first, 0), min(last, len(pose))
        return slice(first, last) if first < last else slice(0, len(pose))
    index = index_of(pose.keypoints)
    wrists = [index[name] for name in WRISTS if name in index]
    if clip.is_letter and wrists:
        return find_held_part(pose, wrists)
    raised = find_raised_part(pose)
    if not wrists:
        return raised
    shown = find_shown_part(pose, wrists)
    start, stop = max(raised.start, shown.start), min(raised.stop, shown.stop)
    return slice(start, stop) if start < stop else raised


def find_raised_part(pose: PoseSequence) -> slice:
    """From where a wrist first is above its elbow to where it last is: without the resting ends.

    All of it where no wrist ever is, or the pose has no arms. Source: `get_signing_boundary` of
    spoken-to-signed, which keeps five frames more at either end.
    """
    index, raised = index_of(pose.keypoints), np.zeros(len(pose), np.bool_)
    for names in ARMS:
        if all(name in index for name in names):
            wrist, elbow = (index[name] for name in names)
            seen = (pose.confidence[:, wrist] > 0) & (pose.confidence[:, elbow] > 0)
            raised |= seen & (pose.data[:, wrist, 1] < pose.data[:, elbow, 1])
    frames = np.flatnonzero(raised)
    if not len(frames):
        return slice(0, len(pose))
    return slice(int(frames[0]), int(frames[-1]) + 1)


def join_clips(clips: Sequence[Clip], joining: Joining) -> PoseSequence:
    """Sign the clips one after the other, as one person of one size in one place.

    Raises:
        DataError: If a clip can't be used.
    """
    poses = [load_clip(clip, joining.keypoints) for clip in clips]
    most = [joining.letter_seconds if clip.is_letter else joining.sign_seconds for clip in clips]
    ends = np.cumsum([len(pose) for pose in poses])
    spans = np.stack([ends - [len(pose) for pose in poses], ends], axis=1)
    # From the first frame to the last one; a clip of one frame is held for as long as that lasts.
    lengths = [max(len(pose) - 1, 1) / pose.fps for pose in poses]
    holds = [min(long, cap) if cap else long for long, cap in zip(lengths, most, strict=True)]
    repeats = np.array([False, *(a == b and b.is_letter for a, b in pairwise(clips))])
    pause = max(joining.transition_seconds, REPEAT_SECONDS)
    moves = np.where(repeats[1:], pause, joining.transition_seconds)
    row = lay_in_row(spans, np.array(holds), moves=moves, fps=joining.fps)
    data, confidence = mix_rows(
        np.concatenate([pose.data for pose in poses]),
        np.concatenate([pose.confidence for pose in poses]),
        row,
    )
    _slide_aside(data, confidence, names=poses[0].keypoints, slide=plan_slides(repeats, row))
    seams = _near_seams(row.clip, row.is_moving)
    data[seams] = smooth(data, confidence)[seams]
    data = place_in_picture(data, confidence)
    return PoseSequence(data, confidence, joining.fps, poses[0].keypoints, poses[0].estimator)


def _slide_aside(
    data: NDArray[np.float32],
    confidence: NDArray[np.float32],
    *,
    names: tuple[str, ...],
    slide: NDArray[np.float32],
) -> None:
    """Move the hand that spells away from the body, in place, where a letter is spelled again."""
    if not slide.any():
        return
    left, right = find_arm(names, "LEFT"), find_arm(names, "RIGHT")
    if confidence[:, left].sum() > confidence[:, right].sum():
        data[:, left, 0] += slide[:, None]
    else:
        data[:, right, 0] -= slide[:, None]  # the signer's right is the picture's left


def _near_seams(clip: NDArray[np.int64], is_moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The frames of the transitions, and those around; all others stay as they were recorded."""
    seams = is_moving.copy()
    seams[1:] |= clip[1:] != clip[:-1]
    for _ in range(SEAM_FRAMES):
        seams[1:] |= seams[:-1].copy()
        seams[:-1] |= seams[1:].copy()
    return seams
