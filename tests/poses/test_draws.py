from __future__ import annotations

import numpy as np
import pytest

from signseq.poses.draws import uniforms

# The first outputs of SplitMix64 seeded with 0 and with 1234567, as in the reference implementation.
OF_ZERO = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)


def test_the_parts_of_a_key_choose_outputs_of_splitmix64() -> None:
    assert uniforms(np.arange(3)).tolist() == [(output >> 11) / 2**53 for output in OF_ZERO]


def test_a_key_gives_the_same_number_alone_and_among_others() -> None:
    clips = np.arange(1000)
    together = uniforms(7, 3, clips[:, None], np.arange(4))
    assert together.shape == (1000, 4)
    assert uniforms(7, 3, 512, 2) == together[512, 2]


def test_every_part_of_a_key_counts_at_its_place() -> None:
    keys = [(1, 2, 3), (1, 3, 2), (2, 2, 3), (1, 2, 4), (1, 2), (1, 2, 3, 0)]
    assert len({float(uniforms(*key)[0]) for key in keys}) == len(keys)


@pytest.mark.parametrize("part", range(3))
def test_numbers_are_uniform_and_independent_along_each_part(part: int) -> None:
    key: list[int | np.ndarray] = [42, 5, 1]
    key[part] = np.arange(40_000)
    drawn = uniforms(*key)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert counts == pytest.approx([2000] * 20, abs=200)  # more than four standard deviations
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02
