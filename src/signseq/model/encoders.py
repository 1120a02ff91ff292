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

from torch import Tensor, nn
from torch.nn import functional as F

from signseq.model.ctc import CtcHead
from signseq.model.encoder_output import Output
from signseq.model.features import KeypointFeatures
from signseq.model.part_gcn import PartGraphs

__all__ = [
    "ConvEncoder",
    "LinearEncoder",
    "PartGcnEncoder",
    "PoseEncoder",
    "build_encoder",
    "count_inputs",
    "output_length",
]


class PoseEncoder(Protocol):
    """What a pose encoder is; see the module's docstring."""

    def __call__(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, K, C + 1) and (B, T) to (B, T', D) and (B, T')."""
        ...


def output_length(frames: int, stride: int) -> int:
    """How many embeddings a clip of T frames becomes; registers come besides."""
    return -(-frames // stride)


def count_inputs(settings: Mapping[str, Any], frames: int) -> int:
    """How many inputs T' of the text model a clip becomes, its registers included.

    Args:
        settings: The pose encoder's; see `build_encoder`.
        frames: T.
    """
    registers: int = settings.get("registers", 0)
    return registers + output_length(frames, settings.get("stride", 1))


class LinearEncoder(nn.Module):
    """One linear projection of each frame; as many embeddings as frames.

    Args:
        keypoints: K.
        dimensions: C.
        embedding_size: D, the text model's width.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions.
        registers: Learned embeddings in front; see `Output`.
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
        registers: int = 0,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.features = KeypointFeatures(keypoints, dimensions, channels=channels, names=names)
        self.output = Output(
            self.features.size,
            embedding_size,
            scale=scale,
            positions=positions,
            registers=registers,
        )

    def forward(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the module's docstring."""
        embedded: tuple[Tensor, Tensor] = self.output(self.features(poses, mask).flatten(2), mask)
        return embedded


class ConvEncoder(nn.Module):
    """Convolutions over time, each halving the frames: T / stride embeddings, rounded up.

    Args:
        keypoints: K.
        dimensions: C.
        embedding_size: D, the text model's width.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions.
        stride: Frames per output position: 1, 2, 4 or 8.
        width: Channels between the convolutions.
        kernel: Frames that each convolution sees, odd.
        layers: Further convolutions, which keep the length; each adds to what it reads.
        dropout: Probability.
        registers: Learned embeddings in front; see `Output`.
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
        layers: int = 0,
        dropout: float = 0.0,
        registers: int = 0,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.features = KeypointFeatures(keypoints, dimensions, channels=channels, names=names)
        self.steps = steps = [*([2] * int(math.log2(stride)) or [1]), *([1] * layers)]
        self.layers = layers
        sizes = [self.features.size] + [width] * len(steps)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, stride=step, padding=kernel // 2)
            for before, after, step in zip(sizes, sizes[1:], steps, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in steps)
        self.dropout = nn.Dropout(dropout)
        self.output = Output(
            width, embedding_size, scale=scale, positions=positions, registers=registers
        )

    def forward(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the module's docstring."""
        hidden = self.features(poses, mask).flatten(2)
        shortening = len(self.steps) - self.layers
        for number, (convolution, norm, step) in enumerate(
            zip(self.convolutions, self.norms, self.steps, strict=True)
        ):
            before = hidden
            hidden = convolution(hidden.transpose(1, 2)).transpose(1, 2)
            mask = mask[:, ::step]  # follow the convolution, or padding leaks into attention
            hidden = self.dropout(F.gelu(norm(hidden))) * mask[..., None]
            if number >= shortening:
                hidden = before + hidden
        embedded: tuple[Tensor, Tensor] = self.output(hidden, mask)
        return embedded


class PartGcnEncoder(nn.Module):
    """A graph convolutional network for each body part, side by side: T / stride embeddings, rounded up.

    Parts see nothing of each other before the text model does; see `PartGraphs`.

    Args:
        keypoints: K.
        dimensions: C.
        embedding_size: D, the text model's width.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions.
        stride: Frames per output position: 1, 2, 4 or 8.
        width: Channels that each part ends with.
        kernel: Frames that each temporal convolution sees, odd.
        layers: Further blocks, which keep the length.
        dropout: Probability.
        registers: Learned embeddings in front; see `Output`.
        channels: What to compute of the poses; see `KeypointFeatures`.
        names: The K names of the keypoints, which tell parts and bones.

    Raises:
        ModelError: If no body part is among the keypoints.
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
        layers: int = 0,
        dropout: float = 0.0,
        registers: int = 0,
        channels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.features = KeypointFeatures(keypoints, dimensions, channels=channels, names=names)
        self.parts = PartGraphs(
            names,
            dimensions,
            features=self.features.per_point,
            anchors=self.features.offset_anchors,
            width=width,
            kernel=kernel,
            stride=stride,
            layers=layers,
            dropout=dropout,
        )
        self.output = Output(
            self.parts.size, embedding_size, scale=scale, positions=positions, registers=registers
        )

    def forward(self, poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the module's docstring."""
        embedded: tuple[Tensor, Tensor] = self.output(*self.parts(self.features(poses, mask), mask))
        return embedded


def build_encoder(
    settings: Mapping[str, Any],
    *,
    keypoints: int,
    dimensions: int,
    embedding_size: int,
    names: Sequence[str] = (),
    ctc: Mapping[str, Any] | None = None,
) -> LinearEncoder | ConvEncoder | PartGcnEncoder:
    """Build the pose encoder that a checkpoint's config describes.

    Args:
        settings: `type` (`linear`, `conv` or `part_gcn`), and that encoder's own arguments.
        keypoints: K.
        dimensions: C.
        embedding_size: D.
        names: The K names of the keypoints, where the settings ask for them.
        ctc: Of the head for the auxiliary loss, which trains and is saved with the encoder; see `CtcTargets`.
    """
    settings = dict(settings)
    encoders: dict[str, type[LinearEncoder] | type[ConvEncoder] | type[PartGcnEncoder]] = {
        "linear": LinearEncoder,
        "conv": ConvEncoder,
        "part_gcn": PartGcnEncoder,
    }
    encoder = encoders[settings.pop("type")](
        keypoints, dimensions, embedding_size=embedding_size, names=names, **settings
    )
    if ctc is not None:
        encoder.ctc = CtcHead(
            embedding_size, classes=len(ctc["classes"]), rows=ctc["rows"], longest=ctc["longest"]
        )
    return encoder
