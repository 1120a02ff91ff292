"""Divides clips into groups that scores are compared in: by length, rare words, names, or a table's column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

from signseq.errors import DataError
from signseq.metrics.tokenization import choose_tokenizer, splitter
from signseq.predictions import Predictions, read_table, read_texts

__all__ = [
    "Groups",
    "find_groups",
    "group_by_column",
    "group_by_length",
    "group_by_names",
    "group_by_rarity",
]

Groups = dict[str, list[int]]  # numbers of clips, by the group's name

LENGTHS = ((1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, None))
RARE = 5  # occurrences in training up to which a word is rare
FREQUENT = 50
MOST_GROUPS = 50
ENDS = (".", "!", "?", ":", '"', "“", "”", "«", "»")


def group_by_length(references: Sequence[str]) -> Groups:
    """By words of the reference; by its tokens where words have no spaces between them."""
    counts = list(map(len, _words(references)))
    groups: Groups = {}
    for low, high in LENGTHS:
        name = f"{low} to {high} words" if high else f"{low} words or more"
        groups[name] = [
            n
            for n, count in enumerate(counts)
            if max(count, 1) >= low and (not high or count <= high)
        ]
    return {name: clips for name, clips in groups.items() if clips}


def group_by_rarity(references: Sequence[str], training: Sequence[str]) -> Groups:
    """By how often the reference's rarest word stands in the training texts, case and punctuation aside."""
    known = Counter(map(_bare, chain.from_iterable(_words(training))))
    groups: Groups = {
        "a word never seen": [],
        f"rarest word 1 to {RARE} times": [],
        f"rarest word {RARE + 1} to {FREQUENT} times": [],
        f"all words more than {FREQUENT} times": [],
    }
    never, rare, some, frequent = groups.values()
    for number, words in enumerate(_words(references)):
        least = min((known[_bare(word)] for word in words if _bare(word)), default=FREQUENT + 1)
        group = (
            never
            if not least
            else rare
            if least <= RARE
            else some
            if least <= FREQUENT
            else frequent
        )
        group.append(number)
    return {name: clips for name, clips in groups.items() if clips}


def group_by_names(references: Sequence[str], training: Sequence[str] = ()) -> Groups:
    """By whether the reference holds a name: a word inside a sentence with a capital that no text has without.

    In German, whose nouns all have one, this finds most nouns.

    Raises:
        DataError: If no reference has such a word.
    """
    words = _words(references)
    lower = {
        _bare(word)
        for word in chain.from_iterable((*words, *_words(training)))
        if word[:1].islower()
    }
    named = [
        number
        for number, text in enumerate(words)
        if any(_bare(word) not in lower for word in _inner_capitals(text))
    ]
    if not named:
        raise DataError(
            "--by names: no reference has a word with a capital inside a sentence, so names can't be told. "
            "Give a table with a column for it: --table TABLE --by COLUMN."
        )
    others = sorted(set(range(len(references))) - set(named))
    groups = {"with a name": named, "without a name": others}
    return {name: clips for name, clips in groups.items() if clips}


def group_by_column(uids: Sequence[str], values: Mapping[str, str], *, column: str) -> Groups:
    """By the value that a table gives each clip.

    Raises:
        DataError: If clips are missing in the table, or there are as many values as to say nothing.
    """
    missing = [uid for uid in uids if uid not in values]
    if missing:
        raise DataError(
            f"--by {column}: the table lacks {len(missing)} of {len(uids)} clips, the first {missing[0]!r}."
        )
    groups: Groups = {}
    for number, uid in enumerate(uids):
        groups.setdefault(values[uid] or "(empty)", []).append(number)
    if len(groups) > MOST_GROUPS:
        raise DataError(
            f"--by {column}: {len(groups)} different values for {len(uids)} clips; {MOST_GROUPS} are the most."
        )
    return dict(sorted(groups.items()))


def _words(texts: Sequence[str]) -> list[list[str]]:
    if not texts:
        return []
    _, cut = splitter(choose_tokenizer("auto", texts), texts)
    return list(map(cut, texts))


def _bare(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word).lower()


def _inner_capitals(words: Sequence[str]) -> list[str]:
    """Words with a capital that don't begin a sentence, `I` and its forms left out."""
    return [
        word
        for before, word in pairwise(words)
        if word[:1].isupper() and not before.endswith(ENDS) and len(re.split(r"\W", word)[0]) > 1
    ]


def find_groups(
    by: str,
    predictions: Predictions,
    *,
    table: Path | None = None,
    train: Path | None = None,
    training: Sequence[str] = (),
) -> Groups:
    """Groups as the command line names them.

    Args:
        by: `length`, `rare`, `names`, or a column of the table.
        predictions: Whose clips.
        table: With uid and the column; without, `by` must be one of the three.
        train: A table of the training texts, in a column `text`.
        training: The same as texts, where there is no table; `rare` needs one of the two.

    Raises:
        DataError: If a table is missing or lacks something.
    """
    training = read_texts(train, ["text"]) if train else training
    if table is not None:
        rows = read_table(table, ("uid", by))
        values = {row.values["uid"]: row.values[by] for row in rows}
        return group_by_column(predictions.uids, values, column=by)
    if by == "length":
        return group_by_length(predictions.references)
    if by == "names":
        return group_by_names(predictions.references, training)
    if by == "rare":
        if not training:
            raise DataError(
                "--by rare: which words are rare, the training texts say, and the run doesn't tell them; "
                "name them: --train TABLE."
            )
        return group_by_rarity(predictions.references, training)
    raise DataError(
        f"--by {by}: expected length, rare or names; or, for a column, its table: --table TABLE."
    )
