"""Graph convolutions over the skeleton of each body part, and convolutions over time.

A block is that of ST-GCN (Yan et al. 2018, "Spatial Temporal Graph Convolutional Networks for
Skeleton-Based Action Recognition", arXiv:1801.07455), with a learned addition to the graph (Shi et al.
2019, "Two-Stream Adaptive Graph Convolutional Networks", arXiv:1805.07694). That each part has a network
of its own, which both hands share, is Uni-Sign's way (Li et al. 2025, arXiv:2501.15187).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signseq.errors import ModelError
from signseq.poses.keypoints import (
    FACE,
    NOSE,
    SHOULDERS,
    find_parts,
    mirror_name,
    skeleton_edges,
)

__all__ = ["GraphBlock", "PartGraphs", "adjacency", "part_edges"]

# What hangs on no bone is tied to the first of these that is there: the nose, or its tip in the mesh.
ROOTS = (NOSE, f"{FACE}.1", f"{FACE}.4")
NETWORKS = {"body": "body", "right_hand": "hand", "left_hand": "hand", "face": "face"}


def part_edges(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of points of one part that are joined: by a bone, or, where none reaches, to its middle.

    Args:
        names: Of the part's points.
    """
    edges = list(skeleton_edges(tuple(names)))
    index = {name: i for i, name in enumerate(names)}
    root = next((index[name] for name in ROOTS if name in index), 0)
    on_bones = {point for edge in edges for point in edge}
    edges += [(root, i) for i in range(len(names)) if i not in on_bones and i != root]
    if NOSE in index:
        edges += [(index[NOSE], index[name]) for name in SHOULDERS if name in index]
    return tuple(edges)


def adjacency(points: int, edges: Sequence[tuple[int, int]]) -> Tensor:
    """The graph with a loop at each point, normalised from both sides: D^-1/2 (A + I) D^-1/2, (P, P).

    Args:
        points: P.
        edges: Pairs of points.
    """
    graph = torch.eye(points)
    for a, b in edges:
        graph[a, b] = graph[b, a] = 1
    degrees = graph.sum(1).rsqrt()
    return degrees[:, None] * graph * degrees


class GraphBlock(nn.Module):
    """Mixes the points of a frame along the graph, then the frames of a point; adds what it read.

    Args:
        before: Channels in.
        after: Channels out.
        graph: (P, P).
        kernel: Frames that the temporal convolution sees, odd.
        step: Its stride.
        dropout: Probability.
    """

    graph: Tensor

    def __init__(
        self, before: int, after: int, *, graph: Tensor, kernel: int, step: int, dropout: float
    ) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("graph", graph.clone())
        self.learned = nn.Parameter(torch.zeros_like(graph))
        self.spatial = nn.Linear(before, after)
        self.spatial_norm = nn.LayerNorm(after)  # per point: a batch's statistics would see padding
        self.temporal = nn.Conv2d(
            after, after, (kernel, 1), stride=(step, 1), padding=(kernel // 2, 0)
        )
        self.temporal_norm = nn.LayerNorm(after)
        self.residual = nn.Identity() if before == after else nn.Linear(before, after, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, P, W) and (B, T) to (B, T', P, W') and (B, T'); zero where padded."""
        mixed = torch.einsum("vw,btwc->btvc", self.graph + self.learned, hidden)
        mixed = F.gelu(self.spatial_norm(self.spatial(mixed))) * mask[:, :, None, None]
        moved = self.temporal(mixed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mask = mask[:, :: self.step]
        moved = self.dropout(F.gelu(self.temporal_norm(moved)))
        total = self.residual(hidden[:, :: self.step]) + moved
        return total * mask[:, :, None, None], mask


class PartGraph(nn.Module):
    """One part: (B, T, P, F) to one vector per T', the mean over the points that are seen.

    Args:
        names: Of the part's P points.
        features: F.
        further: Points besides, each named by the place of the one that it hangs on.
        width: Channels that it ends with.
        kernel: Frames that each temporal convolution sees, odd.
        stride: Frames per output position.
        layers: Further blocks, which keep the length.
        dropout: Probability.
    """

    def __init__(
        self,
        names: Sequence[str],
        features: int,
        *,
        further: Sequence[int] = (),
        width: int,
        kernel: int,
        stride: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        count = len(names) + len(further)
        hanging = [(anchor, len(names) + i) for i, anchor in enumerate(further)]
        graph = adjacency(count, [*part_edges(names), *hanging])
        narrow = max(width // 4, 1)
        self.stride = stride
        # Each point has a projection of its own: the network that follows is the same for all points, and
        # their mean would not tell one finger from another.
        bound = features**-0.5
        self.embed = nn.Parameter(torch.empty(count, features, narrow).uniform_(-bound, bound))
        # narrow where there are many frames: the last block alone costs as much as all before it
        sizes = [narrow, narrow, max(width // 2, 1), width, *([width] * layers)]
        steps = [2] * int(math.log2(stride))
        steps += [1] * (len(sizes) - 1 - len(steps))
        self.blocks = nn.ModuleList(
            GraphBlock(before, after, graph=graph, kernel=kernel, step=step, dropout=dropout)
            for before, after, step in zip(sizes, sizes[1:], steps, strict=False)
        )

    def forward(self, features: Tensor, seen: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, T, P, F), which points are seen (B, T, P), mask (B, T) to (B, T', W), (B, T')."""
        hidden = torch.einsum("btpf,pfw->btpw", features, self.embed) * seen[..., None]
        for block in self.blocks:
            hidden, mask = block(hidden, mask)
        # a point counts where it was seen in any of the frames that became one
        short = -features.shape[1] % self.stride
        windows = F.pad(seen, (0, 0, 0, short)).reshape(len(seen), -1, self.stride, seen.shape[2])
        weights = windows.amax(2)[..., None]
        return (hidden * weights).sum(2) / weights.sum(2).clamp(min=1), mask


class PartGraphs(nn.Module):
    """A `PartGraph` for each of body, hands and face that the keypoints have; what they say is put in a row.

    The hands share one: the left is seen as in a mirror, so that it looks like a right hand.

    Args:
        names: Of the K keypoints.
        dimensions: C; the first of a point's features are its coordinates.
        features: F, with C more at the end where there is motion.
        anchors: Of the points besides the K, the wrist of the body that each hangs on.
        **settings: What `PartGraph` takes.

    Raises:
        ModelError: If no part is among the keypoints, or one hand has other points than the other.
    """

    mirror: Tensor

    def __init__(
        self,
        names: Sequence[str],
        dimensions: int,
        *,
        features: int,
        anchors: Sequence[int] = (),
        width: int,
        kernel: int,
        stride: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        parts = find_parts(tuple(names))
        self.points = {
            "body": [*parts.body, *range(len(names), len(names) + len(anchors))],
            "right_hand": list(parts.right_hand),
            "left_hand": _in_the_order_of(parts.right_hand, parts.left_hand, names),
            "face": list(parts.face),
        }
        self.points = {part: points for part, points in self.points.items() if points}
        if not self.points:
            raise ModelError(
                "model.encoder.type: part_gcn needs keypoints of body, hands or face, by MediaPipe's names; the first "
                f"of data.keypoints is {names[0] if names else 'unnamed'!r}. Take conv for others."
            )
        self.graphs = nn.ModuleDict(
            {
                NETWORKS[part]: PartGraph(
                    [names[i] for i in points if i < len(names)],
                    features,
                    further=[points.index(anchor) for anchor in anchors] if part == "body" else (),
                    width=width,
                    kernel=kernel,
                    stride=stride,
                    layers=layers,
                    dropout=dropout,
                )
                for part, points in self.points.items()
                if part != "left_hand" or "right_hand" not in self.points
            }
        )
        self.size = width * len(self.points)
        self.confidence = dimensions
        mirror = torch.ones(features)
        mirror[0] = -1
        mirror[dimensions + 1 : dimensions + 2] = -1  # of the motion, where there is one
        self.register_buffer("mirror", mirror)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, T, P, F) and mask (B, T) to (B, T', W) and (B, T')."""
        seen = (features[..., self.confidence] > 0).to(features.dtype)
        found: list[Tensor] = []
        for network, graph in self.graphs.items():
            parts = [part for part in self.points if NETWORKS[part] == network]
            each = [features[:, :, self.points[part]] for part in parts]
            each = [
                x * self.mirror if part == "left_hand" else x
                for part, x in zip(parts, each, strict=True)
            ]
            seen_each = torch.cat([seen[:, :, self.points[part]] for part in parts])
            both, shorter = graph(torch.cat(each), seen_each, mask.repeat(len(parts), 1))
            found += both.chunk(len(parts))
        return torch.cat(found, dim=-1), shorter[: len(mask)]


def _in_the_order_of(hand: Sequence[int], other: Sequence[int], names: Sequence[str]) -> list[int]:
    """The points of the other hand, each where its mirror image stands in this one.

    Raises:
        ModelError: If they don't have the same points, so that one network can't read both.
    """
    if not (hand and other):
        return list(other)
    index = {mirror_name(names[i]): i for i in other}
    if len(hand) != len(other) or any(names[i] not in index for i in hand):
        raise ModelError(
            "model.encoder.type: part_gcn has one network for both hands, and data.keypoints holds other points of the "
            "left hand than of the right. Choose the same of both, or take conv."
        )
    return [index[names[i]] for i in hand]
