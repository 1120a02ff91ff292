"""ROUGE-L in the three forms that papers call by that name, each under its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rouge_score.tokenizers import DefaultTokenizer

from signseq.metrics.measured import Floats, Measured, mean
from signseq.metrics.texts import Texts
from signseq.metrics.tokenization import Tokenizer, main_script

__all__ = ["measure_rouge"]

# rouge-score's tokenizer keeps a to z and digits: of other scripts it would leave nothing
READABLE = ("LATIN", "")
BETA = 1.2  # of coco-caption's rouge.py, which sign language papers copied: recall counts more

Words = list[list[str]]


def measure_rouge(texts: Texts, tokenizer: str, tokenize: Tokenizer) -> dict[str, Measured]:
    """Mean F of the longest common subsequence of words, (N, 2): its sum and how many.

    `rouge_l` is rouge-score's F1, `rouge_l_lcs` the F1 of words between spaces, `rouge_l_beta` the
    form of Neural Sign Language Translation (Camgoz et al., CVPR 2018) and most papers after it.

    Args:
        texts: What is scored.
        tokenizer: `whitespace`, or what cuts up a language without spaces.
        tokenize: The same as a function.
    """
    plain = [list(map(tokenize, stream)) for stream in texts.streams()]
    google, name = plain, tokenizer
    if tokenizer == "whitespace" and main_script(texts.references[0]) in READABLE:
        known, name = _GoogleWords(), "default"
        google = [
            [list(chain.from_iterable(map(known.__getitem__, words))) for words in stream]
            for stream in plain
        ]
    spaces = (
        [[text.split(" ") for text in stream] for stream in texts.streams()]
        if tokenizer == "whitespace"
        else [[words or [""] for words in stream] for stream in plain]
    )
    refs = f"nrefs:{texts.reference_count or 'var'}"
    return {
        "rouge_l": _measured(
            _best_f1(texts, google),
            f"rouge-score|rougeL|f1|{refs}|tok:{name}|stem:no|version:{version('rouge-score')}",
        ),
        "rouge_l_lcs": _measured(_best_f1(texts, plain), f"lcs|f1|{refs}|tok:{tokenizer}"),
        "rouge_l_beta": _measured(_coco(texts, spaces), f"lcs|beta:{BETA}|{refs}|tok:{tokenizer}"),
    }


def _measured(values: Floats, signature: str) -> Measured:
    return Measured(np.column_stack((values, np.ones(len(values)))), mean, signature)


class _GoogleWords(dict[str, list[str]]):
    """rouge-score's tokens of what stands between spaces, as words come again."""

    def __init__(self) -> None:
        super().__init__()
        self._tokenize: Callable[[str], list[str]] = DefaultTokenizer().tokenize

    def __missing__(self, word: str) -> list[str]:
        self[word] = tokens = self._tokenize(word)
        return tokens


def _common(streams: Sequence[Words]) -> tuple[Floats, Floats, Floats]:
    """Longest common subsequences (R, N), lengths of hypotheses (N,) and of references (R, N)."""
    hypotheses, *references = streams
    similarity: Callable[..., int] = LCSseq.similarity
    common = [list(map(similarity, hypotheses, stream)) for stream in references]
    return (
        np.array(common, np.float64),
        np.array(list(map(len, hypotheses)), np.float64),
        np.array([list(map(len, stream)) for stream in references], np.float64),
    )


def _divide(above: Floats, below: Floats) -> NDArray[np.float64]:
    shape = np.broadcast(above, below).shape
    quotient: Floats = np.divide(above, below, out=np.zeros(shape), where=below > 0)
    return quotient


def _best_f1(texts: Texts, streams: Sequence[Words]) -> Floats:
    """F1 with the reference that gives the highest, as rouge-score takes it."""
    common, own, other = _common(streams)
    precision, recall = _divide(common, own[None]), _divide(common, other)
    f1 = _divide(2 * precision * recall, precision + recall)
    best: Floats = np.where(texts.is_there, f1, 0.0).max(axis=0)
    return best


def _coco(texts: Texts, streams: Sequence[Words]) -> Floats:
    """Highest precision and highest recall over the references, which need not be of the same one."""
    common, own, other = _common(streams)
    precision = np.where(texts.is_there, _divide(common, own[None]), 0.0).max(axis=0)
    recall = np.where(texts.is_there, _divide(common, other), 0.0).max(axis=0)
    return _divide((1 + BETA**2) * precision * recall, recall + BETA**2 * precision)
