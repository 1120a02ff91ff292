"""The token ids of a corpus's texts, kept in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenTexts"]

Text = TypeVar("Text")


class TokenTexts(Sequence[NDArray[np.int32]]):
    """The token ids of many texts, end to end in one array: 4 bytes a token are all it takes.

    Args:
        texts: The texts, in order, or whatever `encode` takes.
        encode: Turns a list of texts into lists of token ids; called a thousand at a time.
    """

    def __init__(
        self, texts: Iterable[Text], encode: Callable[[list[Text]], list[list[int]]]
    ) -> None:
        source = iter(texts)
        ids, lengths = array("i"), array("q", [0])
        while chunk := list(islice(source, 1000)):
            for text_ids in encode(chunk):
                ids.extend(text_ids)
                lengths.append(len(text_ids))
        self._ids = np.frombuffer(ids, dtype=np.int32)
        self._ends = np.cumsum(np.frombuffer(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: Any) -> Any:
        place = range(len(self))[number]  # negative from the end, IndexError beyond it
        return self._ids[self._ends[place] : self._ends[place + 1]]
