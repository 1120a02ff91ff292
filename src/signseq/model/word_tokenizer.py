"""A tokenizer for small corpora: frequent words whole, everything else spelled."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

__all__ = ["train_tokenizer"]

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def train_tokenizer(texts: Iterable[str], *, frequent: float = 0.005) -> PreTrainedTokenizerFast:
    """Make a tokenizer of whole frequent words and single characters.

    For small corpora: what is said often is one token; what is rare, names above all, is spelled.

    Args:
        texts: The training texts.
        frequent: Words in at least this share of the texts become tokens.
    """
    words: Counter[str] = Counter()
    characters: set[str] = set()
    count = 0
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        characters.update(text)
        words.update(re.findall(r" ?\w+", text))
        count += 1
    common = [
        word
        for word, times in words.items()
        if len(word.strip()) > 1 and times >= max(2, frequent * count)
    ]
    pieces = sorted(
        common, key=lambda word: (-len(word), word)
    )  # the pattern tries the longest first
    vocabulary = {
        piece: i
        for i, piece in enumerate((PAD, START, END, UNKNOWN, *sorted(characters), *sorted(common)))
    }
    whole = [("" if piece.startswith(" ") else r"(?<!\w)") + piece + r"(?!\w)" for piece in pieces]
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("|".join([*whole, r"[\s\S]"])), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, vocabulary[END])]
    )
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
