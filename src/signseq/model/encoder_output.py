"""What all pose encoders end with: embeddings of the text model's width, positions, registers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Output", "sinusoids"]


class Output(nn.Module):
    """Projects to the text model's width, at the size of its own token embeddings.

    Registers are learned embeddings in front of the clip's own, the same for every clip: room where
    a transformer can put what it knows of the whole (Darcet et al., arXiv:2309.16588).

    Args:
        width: Width of what comes in.
        embedding_size: D.
        scale: Root mean square that the embeddings start at.
        positions: Add sinusoidal positions, for text models that have none of their own.
        registers: How many.
    """

    def __init__(
        self,
        width: int,
        embedding_size: int,
        *,
        scale: float,
        positions: bool,
        registers: int = 0,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(width, embedding_size)
        self.norm = nn.LayerNorm(embedding_size)
        nn.init.constant_(self.norm.weight, scale)
        self.positions = positions
        self.registers = (
            nn.Parameter(scale * torch.randn(registers, embedding_size)) if registers else None
        )

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T', W) to embeddings, zero where padded, and their mask; registers come first."""
        embeddings: Tensor = self.norm(self.project(hidden))
        if self.positions:
            size = self.norm.weight.abs().mean()
            embeddings = embeddings + size * sinusoids(hidden.shape[1], embeddings).to(
                embeddings.dtype
            )
        embeddings = embeddings * mask[..., None]
        if self.registers is None:
            return embeddings, mask
        registers = self.registers.to(embeddings.dtype).expand(len(mask), -1, -1)
        count = registers.shape[1]
        return torch.cat([registers, embeddings], dim=1), F.pad(mask, (count, 0), value=1)


def sinusoids(length: int, like: Tensor) -> Tensor:
    """Sinusoidal positions (length, D) with root mean square 1 (Vaswani et al., arXiv:1706.03762)."""
    half = like.shape[-1] // 2
    rates = torch.exp(
        torch.arange(half, device=like.device) * (-math.log(10_000) / max(half - 1, 1))
    )
    angles = torch.arange(length, device=like.device)[:, None] * rates
    waves = math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)
    return F.pad(waves, (0, like.shape[-1] - waves.shape[1]))
