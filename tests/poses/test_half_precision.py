from __future__ import annotations

import numpy as np
import pytest

from signseq.poses.half_precision import round_to_half

# Every positive float16 but infinity, as float32.
HALVES = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
BETWEEN = ((HALVES[1:].astype(np.float64) + HALVES[:-1]) / 2).astype(np.float32)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(HALVES, id="float16 itself"),
        pytest.param(BETWEEN, id="midway"),
        pytest.param(np.nextafter(BETWEEN, np.float32(0)), id="below midway"),
        pytest.param(np.nextafter(BETWEEN, np.float32(np.inf)), id="above midway"),
        pytest.param(np.float32([0, 1e-45, 1e-38, 2**-25, 2**-24, 65_519]), id="the ends"),
    ],
)
def test_rounding_is_numpy_s_bit_by_bit(values: np.ndarray, sign: int) -> None:
    values = np.float32(sign) * values
    expected = values.astype(np.float16)
    np.testing.assert_array_equal(
        round_to_half(values).view(np.uint16), expected.view(np.uint16), strict=True
    )


def test_rounding_keeps_the_shape_and_what_it_is_given() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    before = values.copy()
    assert round_to_half(values).shape == (5, 4, 3)
    np.testing.assert_array_equal(values, before)
