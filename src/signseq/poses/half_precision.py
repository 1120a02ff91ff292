"""Rounding to float16: numpy converts a number at a time, this all of them step by step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["round_to_half"]

EXPONENT = np.uint32(0xFF << 23)  # of a float32; the number without the rest is a power of two
LEAST = np.uint32(113 << 23)  # 2**-14; below it float16 has the same steps as there
STEPS = np.uint32(13 << 23)  # 2**13: so many steps more a float32 has where a float16 has one
BIAS = np.uint32(113 << 10)


def round_to_half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """The same as `values.astype(np.float16)`, about twice as fast.

    A number of 2**13 times the size is added, so that the processor rounds to the steps of float16,
    and what it left of the number counts them.

    Args:
        values: Of any shape, C-contiguous; all finite and below 65,520, where float16 ends.
    """
    bits = values.view(np.uint32)
    powers = bits & EXPONENT
    np.maximum(powers, LEAST, out=powers)
    large = powers + STEPS
    sums = np.abs(values)
    sums += large.view(np.float32)
    counts = sums.view(np.uint32)
    counts -= large
    powers >>= 13
    powers -= BIAS
    counts += powers
    sign = bits >> np.uint32(16)
    sign &= np.uint32(0x8000)
    counts |= sign
    return counts.astype(np.uint16).view(np.float16)
