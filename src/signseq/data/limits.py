"""How long clips and texts are against what a run takes: what would be cut, and which settings fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.data.doctor import Finding, Severity, name_some, share_of

__all__ = ["Limits", "advise", "find_beyond_model", "find_cut"]

FEW = 0.01  # as many clips or texts may be cut without a warning
WHOLE = 99  # percent of the clips that should fit
SLOWEST = 10.0  # frames a second; the advice on step_frames goes no lower


@dataclass(frozen=True)
class Limits:
    """What a config and its text model take.

    Attributes:
        step_frames: Every so-manieth frame is read.
        max_frames: Frames of a clip, after `step_frames`.
        too_long: What becomes of longer clips: `truncate`, `skip` or `error`.
        max_length: Tokens of a text.
        stride: Frames that become one input of the text model.
        positions: Inputs that the text model takes; None where there is no limit or it isn't known.
        text_positions: Tokens that its decoder takes, likewise.
        shares_positions: Whether poses and text stand in one sequence.
        batch_size: Clips in a batch; None with `frames_per_batch`.
        frames_per_batch: Padded frames in a batch; None with `batch_size`.
    """

    step_frames: int
    max_frames: int
    too_long: str
    max_length: int
    stride: int = 1
    positions: int | None = None
    text_positions: int | None = None
    shares_positions: bool = False
    batch_size: int | None = None
    frames_per_batch: int | None = None

    @property
    def most_frames(self) -> int | None:
        """Frames, after `step_frames`, that the text model takes; None where there is no limit."""
        if self.positions is None:
            return None
        return self.stride * (self.positions - (self.max_length if self.shares_positions else 0))


def find_cut(
    frames: NDArray[np.int64],
    tokens: NDArray[np.int64] | None,
    limits: Limits,
    *,
    split: str,
    uids: Sequence[str],
) -> Iterator[Finding]:
    """Clips and texts that are longer than a run takes.

    Args:
        frames: Of each clip, before `step_frames`, (N,).
        tokens: Of each text, (N,); None where they can't be counted.
        limits: What the run takes.
        split: Theirs.
        uids: Of the clips, N.
    """
    if len(frames):
        lengths = -(-frames // limits.step_frames)
        count = int((lengths > limits.max_frames).sum())
        what = {"skip": "left out", "error": "refused by train"}.get(limits.too_long, "cut")
        if count:
            level: Severity = "warning" if count > FEW * len(frames) else "note"
            order = np.argsort(-lengths, kind="stable")[:count].tolist()
            longest = name_some(f"{uids[i]} with {int(lengths[i]):,}" for i in order)
            yield Finding(
                "error" if limits.too_long == "error" else level,
                "long_clips",
                f"{share_of(count, len(frames))} clips have more than data.max_frames = {limits.max_frames} frames at "
                f"data.step_frames = {limits.step_frames} and are {what}: {longest}.",
                split,
                "Raise data.max_frames or data.step_frames: the end of a cut clip is not seen, but its whole text "
                "is asked for."
                if what == "cut"
                else "Raise data.max_frames or data.step_frames.",
            )
    if tokens is not None and len(tokens):
        count = int((tokens > limits.max_length).sum())
        if count:
            yield Finding(
                "warning" if count > FEW * len(tokens) else "note",
                "long_texts",
                f"{share_of(count, len(tokens))} texts have more than data.max_length = {limits.max_length} tokens and "
                f"are cut; the longest has {int(tokens.max()):,}.",
                split,
                "Raise data.max_length, and generation.max_new_tokens with it.",
            )


def find_beyond_model(limits: Limits) -> Iterator[Finding]:
    """Settings that ask for more than the text model's positions; training refuses them."""
    most = limits.most_frames
    if most is not None and limits.max_frames > most:
        besides = f" beside {limits.max_length} tokens" if limits.shares_positions else ""
        yield Finding(
            "error",
            "model_limit",
            f"data.max_frames = {limits.max_frames} is more than the {max(most, 0):,} frames that the text model takes"
            f"{besides} ({limits.positions:,} positions, {limits.stride} frames each).",
            "config",
            "Lower data.max_frames, or raise model.encoder.stride; with a higher data.step_frames less is cut.",
        )
    if limits.text_positions is not None and limits.max_length > limits.text_positions:
        yield Finding(
            "error",
            "model_limit",
            f"data.max_length = {limits.max_length} is more than the {limits.text_positions:,} tokens that the text "
            "model's decoder takes.",
            "config",
            "Lower data.max_length and generation.max_new_tokens.",
        )


def advise(
    frames: NDArray[np.int64],
    seconds: NDArray[np.float64],
    tokens: NDArray[np.int64] | None,
    limits: Limits,
) -> list[str]:
    """Which settings fit, in sentences with the numbers behind them.

    Args:
        frames: Of each training clip, before `step_frames`, (N,).
        seconds: How long these last, (N,).
        tokens: Of each training text; None where they can't be counted.
        limits: What the run takes now.
    """
    if not len(frames):
        return []
    rate = float(frames.sum() / max(float(seconds.sum()), 1e-9))
    step = _fitting_step(frames, rate, limits)
    lengths = -(-frames // step)
    whole = int(np.percentile(lengths, WHOLE, method="inverted_cdf"))
    most = limits.most_frames
    max_frames = min(8 * math.ceil(whole / 8), most if most and most > 0 else whole + 8)
    said = [
        f"data.step_frames: {step} ({_versus(step, limits.step_frames)}): {rate / step:.3g} of the clips' {rate:.3g} "
        f"frames a second are read; half of the clips then have at most {int(np.median(lengths)):,} frames, {WHOLE}% "
        f"at most {whole:,}."
    ]
    cut = int((lengths > max_frames).sum())
    bound = (
        f", the most that the text model takes at stride {limits.stride}"
        if max_frames == most
        else ""
    )
    said.append(
        f"data.max_frames: {max_frames} ({_versus(max_frames, limits.max_frames)}){bound}: "
        f"{share_of(cut, len(frames))} clips are longer; the longest has {int(lengths.max()):,} frames."
    )
    if tokens is not None and len(tokens):
        length = int(np.percentile(tokens, 99.5, method="inverted_cdf"))
        length = max(8 * math.ceil(length / 8), 8)
        if limits.text_positions is not None:
            length = min(length, limits.text_positions)
        said.append(
            f"data.max_length: {length} ({_versus(length, limits.max_length)}): half of the texts have at most "
            f"{int(np.median(tokens))} tokens, the longest has {int(tokens.max()):,}; "
            f"{share_of(int((tokens > length).sum()), len(tokens))} are longer."
        )
    said.append(_about_batch(np.minimum(lengths, max_frames), limits))
    return said


def _versus(advised: int, current: int) -> str:
    return "as it is" if advised == current else f"now {current}"


def _fitting_step(frames: NDArray[np.int64], rate: float, limits: Limits) -> int:
    """The current step, or the next higher one at which nearly all clips fit the text model.

    Not so high that fewer than `SLOWEST` frames a second are left.
    """
    most, step = limits.most_frames, limits.step_frames
    if most is None or most <= 0:
        return step
    while np.percentile(-(-frames // step), WHOLE) > most and rate / (step + 1) >= SLOWEST:
        step += 1
    return step


def _about_batch(lengths: NDArray[np.int64], limits: Limits) -> str:
    mean, longest = float(lengths.mean()), int(lengths.max())
    if limits.frames_per_batch is not None:
        clips = limits.frames_per_batch / mean
        return (
            f"training.frames_per_batch: {limits.frames_per_batch} holds about {clips:.0f} clips of the mean length "
            f"of {mean:.0f} frames, and {limits.frames_per_batch // longest} of the longest ({longest})."
        )
    size = limits.batch_size or 32
    budget = 100 * math.ceil(size * mean / 100)
    said = (
        f"training.batch_size: {size} gives batches of {size * mean:,.0f} frames on average and of {size * longest:,} "
        f"where the clips are longest; the latter decide the memory."
    )
    if longest > 2 * mean:
        said += f" training.frames_per_batch: {budget} instead holds as many clips on average, and never more frames."
    return said
