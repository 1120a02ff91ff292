"""What a pose encoder reads of each frame: coordinates, confidence, and what is computed of them.

It is computed here, on the device, so that stores hold the poses alone and one store serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signseq.errors import ModelError
from signseq.poses.keypoints import BODY, NOSE, SHOULDERS

__all__ = ["OFFSET_POINTS", "Channel", "KeypointFeatures"]

Channel = Literal["motion", "hand_offsets"]
BODY_WRISTS = (f"{BODY}.LEFT_WRIST", f"{BODY}.RIGHT_WRIST")
OFFSET_POINTS = (*BODY_WRISTS, NOSE, *SHOULDERS)  # what `hand_offsets` looks at


class KeypointFeatures(nn.Module):
    """Standardised coordinates and confidence of each frame; missing points become 0.

    `motion` adds how far each point has moved since the frame before, in units of its spread; 0 where
    either frame misses it, and in the first frame. `hand_offsets` adds six points to the others: from
    the nose, the shoulder of the same side and the other wrist to each wrist, in units of the wrist's
    spread. The wrists are the body's: where hands are normalised by themselves, only those tell where
    a hand is.

    Args:
        keypoints: K.
        dimensions: C.
        channels: What to add: `motion`, `hand_offsets`.
        names: The K names of the keypoints; only `hand_offsets` asks for them.

    Raises:
        ModelError: If there is no such channel, or `hand_offsets` lacks a point.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        keypoints: int,
        dimensions: int,
        *,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        unknown = [channel for channel in channels if channel not in get_args(Channel)]
        if unknown:
            raise ModelError(
                f"model.encoder.channels: no channel {unknown[0]!r}; there are: {', '.join(get_args(Channel))}."
            )
        self.register_buffer("mean", torch.zeros(keypoints, dimensions))
        self.register_buffer("spread", torch.ones(keypoints, dimensions))
        self.has_motion = "motion" in channels
        self.offsets = find_offsets(names) if "hand_offsets" in channels else ()

    @property
    def per_point(self) -> int:
        """Features F of each point: coordinates, confidence, motion."""
        dimensions = self.mean.shape[1]
        return dimensions + 1 + (dimensions if self.has_motion else 0)

    @property
    def size(self) -> int:
        """Features per frame."""
        return (len(self.mean) + len(self.offsets)) * self.per_point

    @property
    def offset_anchors(self) -> tuple[int, ...]:
        """The wrist that each point which `hand_offsets` adds belongs to, as its position among the K."""
        return tuple(wrist for wrist, _ in self.offsets)

    def forward(self, poses: Tensor, mask: Tensor) -> Tensor:
        """(B, T, K, C + 1) to (B, T, P, F): P is K and the offsets, F is C + 1 and the motion."""
        poses = poses.to(self.mean.dtype)
        confidence = poses[..., -1:]
        seen = (confidence > 0) & mask[:, :, None, None].bool()
        # where, not a product: padding may hold anything, NaN included
        coordinates = torch.where(seen, (poses[..., :-1] - self.mean) / self.spread, 0)
        confidence = torch.where(seen, confidence, 0)
        if self.offsets:
            offsets, sureness = self._measure_offsets(poses, confidence)
            coordinates = torch.cat([coordinates, offsets], dim=2)
            confidence = torch.cat([confidence, sureness], dim=2)
        if not self.has_motion:
            return torch.cat([coordinates, confidence], dim=-1)
        is_known = torch.minimum(confidence[:, 1:], confidence[:, :-1]) > 0
        motion = torch.where(is_known, coordinates[:, 1:] - coordinates[:, :-1], 0)
        motion = F.pad(motion, (0, 0, 0, 0, 1, 0))
        return torch.cat([coordinates, confidence, motion], dim=-1)

    def _measure_offsets(self, poses: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """The way between the points of each pair, (B, T, P, C), and how sure the less sure is, (B, T, P, 1)."""
        ends, starts = (list(points) for points in zip(*self.offsets, strict=True))
        ways = (poses[:, :, ends, :-1] - poses[:, :, starts, :-1]) / self.spread[ends, :]
        sureness = torch.minimum(confidence[:, :, ends], confidence[:, :, starts])
        return torch.where(sureness > 0, ways, 0), sureness


def find_offsets(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Positions of the pairs that `hand_offsets` measures: a wrist, and what it is seen from.

    Raises:
        ModelError: If one of their points is not among the keypoints.
    """
    index = {name: i for i, name in enumerate(names)}
    missing = [name for name in OFFSET_POINTS if name not in index]
    if missing:
        raise ModelError(
            f"model.encoder.channels: hand_offsets needs the keypoint {missing[0]}, which data.keypoints doesn't hold. "
            "Choose a set with the upper body, for example upper_body_hands, or leave hand_offsets out."
        )
    pairs = [
        (wrist, anchor)
        for (side, wrist), anchor in product(enumerate(BODY_WRISTS), OFFSET_POINTS)
        if anchor in (NOSE, SHOULDERS[side], BODY_WRISTS[1 - side])
    ]
    return tuple((index[wrist], index[anchor]) for wrist, anchor in pairs)
