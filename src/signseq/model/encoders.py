"""Pose encoders: from keypoints over time to the input embeddings of a text model.

The contract, which a class meets by having it (no base class):

    encoder(poses (B, T, K, C + 1), mask (B, T)) -> (embeddings (B, T', D), mask (B, T'))

where the last channel of `poses` is the confidence, and nothing in a padded frame may change
anything in an unpadded one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signseq.model.features import KeypointFeatures

__all__ = ["ConvEncoder", "LinearEncoder", "PoseEncoder", "build_encoder", "output_length"]


class PoseEncoder(Protocol):
    """What a pose encoder is; see the module's docstring."""

    def __call__(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, K, C + 1) and (B, T) to (B, T', D) and (B, T')."""
        ...


def output_length(frames: int, stride: int) -> int:
    """How many embeddings T' a clip of T frames becomes."""
    return -(-frames // stride)


class Output(nn.Module):
    """Projects to the text model's width, at the size of its own token embeddings.

    Args:
        width: Width of what comes in.
        embedding_size: D.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions, for text models that have none of their own.
    """

    def __init__(self, width: int, embedding_size: int, *, scale: float, positions: bool) -> None:
        super().__init__()
        self.project = nn.Linear(width, embedding_size)
        self.norm = nn.LayerNorm(embedding_size)
        nn.init.constant_(self.norm.weight, scale)
        self.positions = positions

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T', W) to (B, T', D); zero where padded."""
        embeddings: Tensor = self.norm(self.project(hidden))
        if self.positions:
            size = self.norm.weight.abs().mean()
            embeddings = embeddings + size * sinusoids(hidden.shape[1], embeddings).to(
                embeddings.dtype
            )
        return embeddings * mask[..., None]


def sinusoids(length: int, like: Tensor) -> Tensor:
    """Sinusoidal positions (length, D) with root mean square 1 (Vaswani et al., arXiv:1706.03762)."""
    half = like.shape[-1] // 2
    rates = torch.exp(
        torch.arange(half, device=like.device) * (-math.log(10_000) / max(half - 1, 1))
    )
    angles = torch.arange(length, device=like.device)[:, None] * rates
    waves = math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)
    return F.pad(waves, (0, like.shape[-1] - waves.shape[1]))


class LinearEncoder(nn.Module):
    """One linear projection of each frame; T' = T.

    Args:
        keypoints: K.
        dimensions: C.
        embedding_size: D, the text model's width.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions.
        channels: What to compute of the poses; see `KeypointFeatures`.
        names: The K names of the keypoints, where a channel asks for them.
    """

    def __init__(
        self,
        keypoints: int,
        dimensions: int,
        *,
        embedding_size: int,
        scale: float = 1.0,
        positions: bool = False,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.features = KeypointFeatures(keypoints, dimensions, channels=channels, names=names)
        self.output = Output(self.features.size, embedding_size, scale=scale, positions=positions)

    def forward(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the module's docstring."""
        return self.output(self.features(poses, mask).flatten(2), mask), mask


class ConvEncoder(nn.Module):
    """Convolutions over time, each halving the frames; T' = T / stride, rounded up.

    Args:
        keypoints: K.
        dimensions: C.
        embedding_size: D, the text model's width.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions.
        stride: Frames per output position: 1, 2, 4 or 8.
        width: Channels between the convolutions.
        kernel: Frames that each convolution sees, odd.
        dropout: Probability.
        channels: What to compute of the poses; see `KeypointFeatures`.
        names: The K names of the keypoints, where a channel asks for them.
    """

    def __init__(
        self,
        keypoints: int,
        dimensions: int,
        *,
        embedding_size: int,
        scale: float = 1.0,
        positions: bool = False,
        stride: int = 2,
        width: int = 256,
        kernel: int = 5,
        dropout: float = 0.0,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.features = KeypointFeatures(keypoints, dimensions, channels=channels, names=names)
        self.steps = steps = [2] * int(math.log2(stride)) or [1]
        sizes = [self.features.size] + [width] * len(steps)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, stride=step, padding=kernel // 2)
            for before, after, step in zip(sizes, sizes[1:], steps, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in steps)
        self.dropout = nn.Dropout(dropout)
        self.output = Output(width, embedding_size, scale=scale, positions=positions)

    def forward(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the module's docstring."""
        hidden = self.features(poses, mask).flatten(2)
        for convolution, norm, step in zip(self.convolutions, self.norms, self.steps, strict=True):
            hidden = convolution(hidden.transpose(1, 2)).transpose(1, 2)
            mask = mask[:, ::step]  # follow the convolution, or padding leaks into attention
            hidden = self.dropout(F.gelu(norm(hidden))) * mask[..., None]
        return self.output(hidden, mask), mask


def build_encoder(
    settings: Mapping[str, Any],
    *,
    keypoints: int,
    dimensions: int,
    embedding_size: int,
    names: Sequence[str] = (),
) -> LinearEncoder | ConvEncoder:
    """Build the pose encoder that a checkpoint's config describes.

    Args:
        settings: `type` (`linear` or `conv`), and that encoder's own arguments.
        keypoints: K.
        dimensions: C.
        embedding_size: D.
        names: The K names of the keypoints, where the settings name channels that ask for them.
    """
    settings = dict(settings)
    encoders: dict[str, type[LinearEncoder] | type[ConvEncoder]] = {
        "linear": LinearEncoder,
        "conv": ConvEncoder,
    }
    return encoders[settings.pop("type")](
        keypoints, dimensions, embedding_size=embedding_size, names=names, **settings
    )
