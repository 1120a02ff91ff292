"""The pieces of a unigram vocabulary (Kudo 2018, arXiv:1804.10959), the same in every process.

By sentencepiece, because the trainer of `tokenizers` gives other pieces each time it runs. Both take
only those strings for candidates after which texts go on in different ways, so that a word which is
part of no other word never becomes a piece, however frequent. So the candidates are counted here.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import sentencepiece

__all__ = ["find_repeats", "train_unigram"]

SPACE = "▁"  # sentencepiece's own sign for it
LONGEST = 16  # characters of a piece, as sentencepiece has it
CANDIDATES = 20  # for each piece that is wanted; more only take time


def train_unigram(counts: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    """The pieces that spell the texts best, with their log probabilities.

    Args:
        counts: How often each word stands in the texts, with the space before it, if any.
        size: The most pieces; at least the number of different characters.

    Returns:
        All characters, in order, then longer pieces, the likeliest first.
    """
    alphabet = sorted(set().union(*counts))
    # tabs and line ends would be read as columns and rows; nothing can be learned of them anyway
    words = {word: times for word, times in sorted(counts.items()) if not word.isspace()}
    found = dict(_maximize_likelihood(words, size)) if words else {}
    lowest = min(found.values(), default=0.0)
    longer = [(piece, score) for piece, score in found.items() if len(piece) > 1]
    return [
        *((character, found.get(character, lowest)) for character in alphabet),
        *longer[: size - len(alphabet)],
    ]


def find_repeats(counts: Mapping[str, int], *, longest: int = LONGEST) -> Counter[str]:
    """Count every string of 1 to `longest` characters that stands in the words twice or more.

    Length by length: what holds a rare string is rare itself, so few are ever in memory.
    """
    repeats: Counter[str] = Counter()
    shorter: Mapping[str, int] = {"": 0}
    for length in range(1, longest + 1):
        level: Counter[str] = Counter()
        for word, times in counts.items():
            for start in range(len(word) - length + 1):
                end = start + length
                if word[start : end - 1] in shorter and word[start + 1 : end] in shorter:
                    level[word[start:end]] += times
        shorter = {string: times for string, times in level.items() if times > 1}
        if not shorter:
            break
        repeats.update(shorter)
    return repeats


def _maximize_likelihood(words: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    repeats = find_repeats(words)
    candidates = sorted(repeats, key=lambda piece: (-len(piece) * repeats[piece], piece))
    candidates = candidates[: CANDIDATES * size]
    seeds = {character: max(1, repeats[character]) for character in sorted(set().union(*words))}
    seeds |= {piece: repeats[piece] for piece in candidates}
    written = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.tsv"
        rows = (f"{_escape(piece)}\t{times}\n" for piece, times in seeds.items())
        path.write_text("".join(rows), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{_escape(word)}\t{times}" for word, times in words.items()),
            input_format="tsv",
            seed_sentencepieces_file=str(path),
            model_writer=written,
            model_type="unigram",
            vocab_size=size + 1,  # and its own <unk>
            hard_vocab_limit=False,  # a small corpus can't fill it
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_whitespace=False,  # they are split already
            split_by_unicode_script=False,
            split_by_number=False,
            max_sentence_length=1 << 30,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    ids = range(1, model.get_piece_size())
    return [(model.id_to_piece(i).replace(SPACE, " "), model.get_score(i)) for i in ids]


def _escape(text: str) -> str:
    return text.replace(" ", SPACE)
