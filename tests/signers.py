"""Recordings of somebody who rests and signs, with times that are known by construction."""

from __future__ import annotations

import numpy as np

from conftest import KEYPOINTS
from signseq.poses.sequence import PoseSequence

WIDTH, MIDDLE = 200.0, np.array([250.0, 250.0])  # of the shoulders, in pixels
DEPTHS = {"rest": 2.0, "lap": 1.35, "hidden": 2.0}  # of resting hands, in shoulder widths
CIRCLE_HZ, CIRCLE = 1.5, 0.15  # how a hand signs: turns a second, radius in shoulder widths


def record_signer(
    *parts: tuple[str, float], fps: float = 25.0, hand: str = "RIGHT", noise: float = 0.005
) -> PoseSequence:
    """Frames of the given parts, each a kind and its seconds.

    `sign` moves a hand, `spell` only its fingers; `hold` keeps it raised and still; `rest` and `lap`
    are resting places, `hidden` is one that is out of view; `lost` signs with no hand found, `turned`
    with no shoulders, `broken` with NaN everywhere.
    """
    rng = np.random.default_rng(0)
    kinds = np.concatenate([[kind] * round(seconds * fps) for kind, seconds in parts])
    index = {name: k for k, name in enumerate(KEYPOINTS)}
    data = np.zeros((len(kinds), len(KEYPOINTS), 3))
    confidence = np.ones(data.shape[:2])
    data[:, :, :2] = MIDDLE - (0, 0.6 * WIDTH)  # the head
    for side, sign in (("LEFT", 0.5), ("RIGHT", -0.5)):
        data[:, index[f"POSE_LANDMARKS.{side}_SHOULDER"], :2] = MIDDLE + np.array([sign * WIDTH, 0])
    turn = 2 * np.pi * CIRCLE_HZ * np.arange(len(kinds)) / fps
    for side in ("LEFT", "RIGHT"):
        names = [k for name, k in index.items() if name.startswith(f"{side}_HAND")]
        wrist = index[f"POSE_LANDMARKS.{side}_WRIST"]
        depth = np.array([DEPTHS.get(kind, 0.3) for kind in kinds])
        if side != hand:
            depth[:] = DEPTHS["rest"]
        place = np.stack([np.zeros(len(kinds)), depth], axis=1)
        circle = CIRCLE * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        moves = np.isin(kinds, ["sign", "lost", "turned", "broken"]) & (side == hand)
        place += np.where(moves[:, None], circle, 0)
        data[:, [wrist, *names], :2] = (MIDDLE + WIDTH * place)[:, None]
        fingers = WIDTH * np.where((kinds == "spell") & (side == hand), 1, 0)[:, None] * circle
        data[:, [k for k in names if not KEYPOINTS[k].endswith("WRIST")], :2] += fingers[:, None]
        data[:, names, 0] += np.arange(len(names))  # a hand has a size
        confidence[
            np.isin(kinds, ["hidden", "lost"])[:, None] & np.isin(np.arange(len(KEYPOINTS)), names)
        ] = 0
        confidence[np.isin(kinds, ["hidden", "lost"]), wrist] = 0.2
    shoulders = [index[f"POSE_LANDMARKS.{side}_SHOULDER"] for side in ("LEFT", "RIGHT")]
    confidence[np.ix_(kinds == "turned", shoulders)] = 0
    data += rng.normal(scale=noise * WIDTH, size=data.shape)
    data[confidence == 0] = 0
    data[kinds == "broken"] = np.nan
    return PoseSequence(data.astype(np.float32), confidence.astype(np.float32), fps, KEYPOINTS)
