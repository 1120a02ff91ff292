"""Random numbers that are a function of what they are for, of many clips in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Seeds", "derive_seeds", "uniforms"]

Seeds = NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio, as an odd number
STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def derive_seeds(*key: int | NDArray[np.integer[Any]], of: Seeds | None = None) -> Seeds:
    """A seed for each key; the same key gives the same seed on any machine.

    Each part of a key chooses one output of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
    pseudorandom number generators"), whose seed is the output that the part before it chose.

    Args:
        *key: Whole numbers, none of them negative: arrays that broadcast.
        of: Seeds to go on from, as if their keys stood in front; an array that broadcasts with the others.
    """
    state = np.zeros(1, np.uint64) if of is None else of
    for part in key:
        state = state + GAMMA * (np.atleast_1d(part).astype(np.uint64) + np.uint64(1))
        for shift, factor in STEPS:
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        state = state ^ (state >> np.uint64(31))
    return state


def uniforms(*key: int | NDArray[np.integer[Any]], of: Seeds | None = None) -> NDArray[np.float64]:
    """A number from 0 to below 1 for each key; see `derive_seeds`."""
    return (derive_seeds(*key, of=of) >> np.uint64(11)).astype(np.float64) * 2.0**-53
