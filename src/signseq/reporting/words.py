"""A text as words to look at: which differ from another text's, and which of them a token belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from signseq.metrics.tokenization import splitter

__all__ = ["Difference", "align_words", "cut_words", "find_difference", "words_of_tokens"]


@dataclass(frozen=True)
class Difference:
    """An output beside its reference, word by word.

    Attributes:
        reference: Its words.
        output: Its words.
        missing: Of each word of the reference, whether the output lacks it.
        extra: Of each word of the output, whether the reference lacks it.
    """

    reference: list[str]
    output: list[str]
    missing: list[bool]
    extra: list[bool]


def cut_words(text: str) -> list[str]:
    """What stands between spaces; of a script without them, each character."""
    kind, _ = splitter("13a", [text])
    return text.split() if kind == "whitespace" else [each for each in text if not each.isspace()]


def align_words(reference: Sequence[str], output: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of words that stand for each other, equal or not; "" where one side has nothing."""
    pairs = []
    matcher = SequenceMatcher(a=reference, b=output, autojunk=False)
    for _, start, end, other_start, other_end in matcher.get_opcodes():
        own, other = list(reference[start:end]), list(output[other_start:other_end])
        longest = max(len(own), len(other))
        own += [""] * (longest - len(own))
        other += [""] * (longest - len(other))
        pairs += list(zip(own, other, strict=True))
    return pairs


def find_difference(reference: str, output: str) -> Difference:
    """Mark the words that only one of two texts has, by their longest common blocks."""
    own, other = cut_words(reference), cut_words(output)
    missing, extra = [True] * len(own), [True] * len(other)
    for block in SequenceMatcher(a=own, b=other, autojunk=False).get_matching_blocks():
        missing[block.a : block.a + block.size] = [False] * block.size
        extra[block.b : block.b + block.size] = [False] * block.size
    return Difference(own, other, missing, extra)


def words_of_tokens(words: Sequence[str], prefixes: Sequence[str]) -> list[list[int]]:
    """Which words each token has a part in.

    Args:
        words: Of a text.
        prefixes: That text decoded up to each of its L tokens.

    Returns:
        For each token the numbers of its words; none for tokens that write nothing.
    """
    ends, total = [], 0
    for word in words:
        total += len(word)
        ends.append(total)
    found, before = [], 0
    for prefix in prefixes:
        written = len("".join(prefix.split()))
        spans = enumerate(zip([0, *ends], ends, strict=False))
        found.append([number for number, (start, end) in spans if start < written and end > before])
        before = max(before, written)
    return found
