"""What metrics read: hypotheses and references, all normalised alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signseq.errors import DataError
from signseq.metrics.normalization import NORMALIZERS, find_normalizer

__all__ = ["Texts", "gather_texts"]


@dataclass(frozen=True)
class Texts:
    """N hypotheses with R references each.

    Attributes:
        hypotheses: N texts; may be empty.
        references: R streams of N texts each.
        is_there: Which of them exist, (R, N); a text may have fewer references than others.
    """

    hypotheses: list[str]
    references: list[list[str]]
    is_there: NDArray[np.bool_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.hypotheses)

    @property
    def reference_count(self) -> int | None:
        """How many references each hypothesis has; None where that varies."""
        counts = set(self.is_there.sum(axis=0).tolist())
        return counts.pop() if len(counts) == 1 else None

    def streams(self) -> list[list[str]]:
        """The hypotheses, then each reference stream."""
        return [self.hypotheses, *self.references]


def gather_texts(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, normalize: str = "none"
) -> Texts:
    """Check hypotheses and references, and normalise both alike.

    Where there are several streams of references, an empty one of them counts as not there, as
    None does in sacreBLEU.

    Args:
        hypotheses: N texts; may be empty strings.
        references: R streams of N texts each; every hypothesis needs one that isn't empty.
        normalize: A name of `NORMALIZERS`.

    Raises:
        DataError: If the numbers differ, there are none, or a hypothesis has no reference.
        ConfigError: If the normalisation is unknown.
    """
    for stream in references:
        if len(hypotheses) != len(stream):
            raise DataError(
                f"{len(hypotheses)} hypotheses for {len(stream)} references; each needs one."
            )
    if not references or not references[0]:
        raise DataError("There is nothing to score: no references.")
    is_there = np.array([[bool(text.strip()) for text in stream] for stream in references])
    lacking = np.flatnonzero(~is_there.any(axis=0))
    if len(lacking):
        others = f" ({len(lacking)} are empty)" if len(lacking) > 1 else ""
        raise DataError(
            f"Reference {lacking[0] + 1} is empty{others}; a clip without a text can't be scored."
        )
    change = find_normalizer(normalize)
    if normalize != "none":
        hypotheses = [change(text) for text in hypotheses]
        references = [[change(text) for text in stream] for stream in references]
        if not any(text for stream in references for text in stream):
            raise DataError(
                f"Nothing is left of the references after normalize: {normalize} ({NORMALIZERS[normalize].about}); "
                "choose another."
            )
    return Texts(list(hypotheses), [list(stream) for stream in references], is_there)
