"""Tokenizers trained on a corpus: frequent words, characters, unigram, byte-pair encoding or bytes.

Each gives back exactly what it spells, because its pieces hold the spaces as they are: " bread".
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from signseq.errors import ModelError
from signseq.model.unigram import train_unigram

__all__ = ["VocabularyKind", "train_tokenizer"]

VocabularyKind = Literal["words", "characters", "unigram", "bpe", "bytes"]

PAD, START, END, UNKNOWN = SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

# Marks belong to \w; the two joiners, which stand inside words of Persian or Hindi, don't.
LETTERS = r"\w\x{200C}\x{200D}"
# A word or a run of other signs, each with the space before it; then what spaces are left.
PIECES = rf" ?[{LETTERS}]+| ?[^\s{LETTERS}][^\w\s]*|\s+(?!\S)|\s"
FREQUENT = 0.005  # words this often per text are worth a token of their own
FEW = 2  # merging what was seen once would make a token of every rare name


def train_tokenizer(
    texts: Iterable[str], *, kind: VocabularyKind = "words", size: int = 4000
) -> PreTrainedTokenizerFast:
    """Make a tokenizer of the training texts; equal texts give an equal one, in every process.

    A character that is in no training text becomes `<unk>`; only `bytes` can spell it. Tokens for
    the bytes of such characters would be in no training text either, so no model could learn them.

    Args:
        texts: The training texts; they are read once.
        kind: `words`: what is said often is one token, what is rare, names above all, is spelled.
            `characters`: everything is spelled. `unigram`, `bpe`: parts of words. `bytes`: UTF-8.
        size: Tokens of `unigram` and `bpe`, at most; the others take what they need.

    Raises:
        ModelError: If the texts are empty, or `size` has no room for each of their characters.
    """
    counts, number = _count_pieces(texts)
    if not counts:
        raise ModelError(
            "No tokenizer can be trained: the training texts are empty. Check data.train_path, or set "
            "model.tokenizer to a model's name or folder."
        )
    tokenizer = _train(kind, counts, number=number, size=size)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, SPECIAL.index(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # "</s>" in a text is four characters
    )


def _train(kind: VocabularyKind, counts: Counter[str], *, number: int, size: int) -> Tokenizer:
    match kind:
        case "words":
            return _spell_all_but(_frequent_words(counts, number), counts)
        case "characters":
            return _spell_all_but([], counts)
        case "unigram":
            return _train_unigram(counts, size)
        case "bpe":
            return _train_bpe(counts, size)
        case "bytes":
            return _spell_bytes()


def _count_pieces(texts: Iterable[str]) -> tuple[Counter[str], int]:
    """How often each piece stands in the texts, and how many texts there are."""
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    counts: Counter[str] = Counter()
    number = 0
    for text in texts:
        pieces = split.pre_tokenize_str(unicodedata.normalize("NFC", text))
        counts.update(piece for piece, _ in pieces)
        number += 1
    return counts, number


def _alphabet(counts: Counter[str]) -> list[str]:
    return sorted(set().union(*counts))


def _frequent_words(counts: Counter[str], number: int) -> list[str]:
    least = max(2, FREQUENT * number)
    return [
        piece
        for piece, times in counts.items()
        if times >= least and len(piece.strip()) > 1 and re.match(r" ?\w", piece)
    ]


def _spell_all_but(words: Iterable[str], counts: Counter[str]) -> Tokenizer:
    """These words are one token each; everything else is spelled, as by BPE without merges."""
    vocabulary = [*SPECIAL, *_alphabet(counts), *sorted(words)]
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    return _split_at_words(models.BPE(ids, [], unk_token=UNKNOWN, ignore_merges=True))


def _train_unigram(counts: Counter[str], size: int) -> Tokenizer:
    _check_room(counts, size)
    pieces = train_unigram(counts, size - len(SPECIAL))
    scores = [*((token, 0.0) for token in SPECIAL), *pieces]
    return _split_at_words(models.Unigram(scores, unk_id=SPECIAL.index(UNKNOWN)))


def _train_bpe(counts: Counter[str], size: int) -> Tokenizer:
    _check_room(counts, size)
    tokenizer = _split_at_words(models.BPE(unk_token=UNKNOWN))
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=FEW, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(([piece] * times for piece, times in counts.items()), trainer)
    return tokenizer


def _spell_bytes() -> Tokenizer:
    """256 bytes, as byte-level BPE writes them, without a merge."""
    vocabulary = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, [], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _split_at_words(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _check_room(counts: Counter[str], size: int) -> None:
    """Make sure that every character of the texts can have a token.

    Raises:
        ModelError: If `size` is too small.
    """
    characters = len(_alphabet(counts))
    least = characters + len(SPECIAL)
    if size < least:
        raise ModelError(
            f"model.vocabulary.size = {size} is too small: the training texts hold {characters} different "
            f"characters, and there are {len(SPECIAL)} special tokens. Set it to {least} or more, or "
            "model.vocabulary.type to bytes, which spells everything."
        )
