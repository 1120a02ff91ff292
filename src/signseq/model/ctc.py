"""CTC on what the pose encoder gives: an auxiliary loss, in training only (Graves et al., ICML 2006).

It asks that the target's characters, or tokens, can be read off the embeddings in their order, before the
text model adds what it knows of the language. Beside a decoder's loss it is known from speech
recognition (Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from signseq.errors import ModelError

__all__ = [
    "CtcHead",
    "CtcLoss",
    "CtcMeter",
    "CtcTarget",
    "CtcTargets",
    "find_ctc_targets",
]

CtcTarget = Literal["characters", "tokens"]
BLANK = 0
NONE = -1
NO_LABEL = -100  # what the loss leaves out, by torch's convention


@dataclass(frozen=True)
class CtcTargets:
    """What the head is to write for each token of a text.

    Attributes:
        kind: `characters` or `tokens`.
        weight: Of the loss.
        classes: What each class stands for, the blank first: characters, or ids of tokens.
        of_token: The classes of each token that has any.
    """

    kind: CtcTarget
    weight: float
    classes: tuple[str | int, ...]
    of_token: Mapping[int, tuple[int, ...]]

    def settings(self, *, rows: int) -> dict[str, Any]:
        """What a checkpoint's config says of the head; `rows` is V, of the text model's tokens."""
        return {
            "target": self.kind,
            "weight": self.weight,
            "classes": list(self.classes),
            "rows": rows,
            "longest": max(map(len, self.of_token.values())),
        }


@dataclass(frozen=True)
class CtcLoss:
    """Of a batch.

    Attributes:
        total: Sum over the clips.
        classes: How many the targets have together of those that aren't too short.
        clips: How many there are.
        too_short: Clips with fewer embeddings than their target needs, which CTC can't learn from.
    """

    total: Tensor
    classes: Tensor
    clips: int
    too_short: Tensor


class CtcMeter:
    """Adds up what is to be logged of the loss; nothing is read from the device before that."""

    def __init__(self) -> None:
        self._losses: list[CtcLoss] = []

    def add(self, loss: CtcLoss) -> None:
        """Count a batch in."""
        detached = (loss.total.detach(), loss.classes, loss.clips, loss.too_short)
        self._losses.append(CtcLoss(*detached))

    def forget(self, batches: int | None = None) -> None:
        """Leave out the last batches; all, if it isn't said how many."""
        del self._losses[0 if batches is None else max(0, len(self._losses) - batches) :]

    def take(self, add_up: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """Loss per class, and the share of clips that were too short, since this was last asked for.

        Args:
            add_up: Makes of this process's sums (4,) those of all processes.
        """
        losses, self._losses = self._losses, []
        if not losses:
            return {}
        parts = [
            (loss.total.float(), loss.classes.float(), loss.too_short.float()) for loss in losses
        ]
        sums = torch.stack([torch.stack(column).sum() for column in zip(*parts, strict=True)])
        sums = torch.cat([sums, sums.new_tensor([sum(loss.clips for loss in losses)])])
        total, classes, too_short, clips = (sums if add_up is None else add_up(sums)).tolist()
        return {"ctc_loss": total / max(classes, 1), "ctc_too_short": too_short / clips}


def find_ctc_targets(
    tokenizer: PreTrainedTokenizerBase,
    labels: Iterable[NDArray[np.int32]],
    *,
    kind: CtcTarget,
    weight: float,
    leave_out: Iterable[int] = (),
) -> CtcTargets:
    """Collect the classes that the training texts need.

    Characters are lower-cased and spaces left out: neither is signed, and embeddings are scarce.

    Args:
        tokenizer: The text model's.
        labels: Token ids of each training text.
        kind: `characters` or `tokens`.
        weight: Of the loss.
        leave_out: Tokens that are no text, besides the special ones: language codes.

    Raises:
        ModelError: If the texts hold no character.
    """
    used = sorted({int(token) for ids in labels for token in np.unique(ids)})
    special = {*tokenizer.all_special_ids, *leave_out}
    plain = [token for token in used if token not in special]
    spelled: dict[int, tuple[str | int, ...]]
    if kind == "tokens":
        spelled = {token: (token,) for token in plain}
    else:
        spelled = {token: _characters(tokenizer, token) for token in plain}
    found = {part for parts in spelled.values() for part in parts}
    if not found:
        raise ModelError(
            "training.ctc_weight: the training texts have nothing that could be written. Look at the text column, or "
            "set training.ctc_weight: 0."
        )
    classes: tuple[str | int, ...] = ("", *sorted(found, key=str))
    number = {part: i for i, part in enumerate(classes)}
    of_token = {
        token: tuple(number[part] for part in parts) for token, parts in spelled.items() if parts
    }
    return CtcTargets(kind, weight, classes, of_token)


def _characters(tokenizer: PreTrainedTokenizerBase, token: int) -> tuple[str, ...]:
    """What a token spells; nothing where it is part of a character's bytes only."""
    text = str(tokenizer.decode([token])).removeprefix("##")  # WordPiece's mark inside a word
    return tuple(c for c in text.casefold() if not c.isspace() and c != "\N{REPLACEMENT CHARACTER}")


class CtcHead(nn.Module):
    """From embeddings to log probabilities of classes, and from labels to what they should be.

    Args:
        embedding_size: D.
        classes: The blank counted.
        rows: V, of the text model's tokens.
        longest: N, classes of a token at most.
    """

    table: Tensor

    def __init__(self, embedding_size: int, *, classes: int, rows: int, longest: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embedding_size)
        self.project = nn.Linear(embedding_size, classes)
        self.register_buffer("table", torch.full((rows, longest), NONE, dtype=torch.int32))

    @torch.no_grad()
    def fill(self, targets: CtcTargets) -> None:
        """Take over which classes each token has."""
        for token, classes in targets.of_token.items():
            self.table[token, : len(classes)] = torch.tensor(classes, dtype=torch.int32)

    def forward(self, embeddings: Tensor, mask: Tensor, labels: Tensor) -> CtcLoss:
        """Compute the loss.

        Args:
            embeddings: (B, T', D).
            mask: (B, T').
            labels: (B, L), -100 where padded.
        """
        scores = self.project(self.norm(embeddings)).float().log_softmax(-1)
        targets, lengths = self.targets(labels)
        inputs = mask.sum(1).long()
        losses = F.ctc_loss(
            scores.transpose(0, 1),
            targets.clamp(min=0).long(),
            inputs,
            lengths,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        repeated = ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != NONE)).sum(1)
        is_short = inputs < lengths + repeated  # a blank must stand between equal classes
        learned = lengths.masked_fill(is_short, 0).sum()
        return CtcLoss(losses.sum(), learned, len(labels), is_short.sum())

    def targets(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (B, L) to classes (B, S), -1 after the end, and how many each has, (B,)."""
        classes = self.table[labels.clamp(min=0)].masked_fill((labels < 0)[..., None], NONE)
        row = classes.flatten(1)
        order = (row == NONE).to(torch.int8).argsort(dim=1, stable=True)
        lengths = (row != NONE).sum(1)
        return row.gather(1, order)[:, : max(int(lengths.max()), 1)], lengths
