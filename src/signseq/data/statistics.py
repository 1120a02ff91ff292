"""What a clip adds to the statistics of its store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signseq.poses.sequence import PoseSequence

__all__ = ["count_unusable", "mean_and_spread", "sum_up"]


def sum_up(packed: NDArray[np.float16]) -> NDArray[np.float64]:
    """Count, sum and sum of squares of the visible points: (3, K, C).

    Args:
        packed: A packed pose (T, K, C + 1), C-contiguous; the coordinates of missing points are 0.
    """
    # Missing points change no sum; with all numbers of a frame in one axis, numpy reads them in one go.
    numbers = packed.reshape(len(packed), -1).astype(np.float64)
    points, channels = packed.shape[1:]
    result = np.empty((3, points, channels - 1))
    result[0] = (packed.view(np.uint16)[..., -1] > 0).sum(axis=0, dtype=np.int32)[:, None]
    result[1] = numbers.sum(axis=0).reshape(points, channels)[:, :-1]
    result[2] = np.einsum("tn,tn->n", numbers, numbers).reshape(points, channels)[:, :-1]
    return result


def mean_and_spread(
    sums: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (K, C) of each coordinate, from what `sum_up` gives for all clips."""
    count = np.maximum(sums[0], 1)
    mean = sums[1] / count
    return mean, np.sqrt(np.maximum(sums[2] / count - mean**2, 0))


def count_unusable(raw: PoseSequence) -> int:
    """Points that the estimator gave, but as NaN or infinite."""
    finite = np.isfinite(raw.data)
    if finite.all():  # as nearly always, and found much faster than in which points
        return 0
    return int((~finite.all(axis=2) & (raw.confidence > 0)).sum())
