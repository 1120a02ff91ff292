"""From texts or glosses to the clips of a lexicon that sign them: pure functions, no poses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from signseq.data.lexicon import Clip, Lexicon, Term, term_of
from signseq.data.signed_english import NAME_MARK
from signseq.data.splits import UNSPACED, normalize_text

__all__ = [
    "MISSING",
    "Gap",
    "Missing",
    "Phrase",
    "Plan",
    "SignedSentence",
    "describe_gaps",
    "plan_sentence",
    "split_units",
]

Missing = Literal["skip", "drop", "spell"]
MISSING = get_args(Missing)
SHOWN = 5  # missing words in a description
EDGES = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True)
class Phrase:
    """A sentence that is to be signed.

    Attributes:
        uid: Its name, unique in the corpus.
        text: What it says.
        glosses: What is to be signed; None looks the words of the text up.
    """

    uid: str
    text: str
    glosses: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SignedSentence:
    """A sentence and the clips that sign it.

    Attributes:
        uid: Its name.
        text: What it says.
        glosses: What is signed, a spelled word as fs-WORD.
        clips: At least one.
    """

    uid: str
    text: str
    glosses: tuple[str, ...]
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Gap:
    """A word or gloss that the lexicon lacks.

    Attributes:
        uid: The sentence that it stands in.
        word: What is lacking; empty where there is nothing to sign at all.
        outcome: What came of it: the word was `dropped` or `spelled`, or the sentence `skipped`.
    """

    uid: str
    word: str
    outcome: Literal["skipped", "dropped", "spelled"]


@dataclass(frozen=True)
class Plan:
    """One sentence's plan: None where it is skipped, and what the lexicon lacks."""

    sentence: SignedSentence | None
    gaps: tuple[Gap, ...] = ()


def plan_sentence(
    phrase: Phrase,
    lexicon: Lexicon,
    *,
    letters: Mapping[str, Sequence[Clip]],
    missing: Missing,
    takes_first: bool,
    rng: np.random.Generator,
) -> Plan:
    """Choose the clips that sign a sentence.

    Words are looked up as they are, without case and punctuation, the longest entry of several words
    first; glosses likewise. Where the lexicon has an entry in both columns, words of a text are looked
    for among its words first, glosses among its glosses.

    Args:
        phrase: What to sign.
        lexicon: Where to look.
        letters: What to spell with.
        missing: Whether a word that is not there skips the sentence, is dropped, or spelled; where it
            can't be spelled the sentence is skipped. A gloss `fs-WORD` is spelled in any case.
        takes_first: Of several clips take the one of best priority, not any.
        rng: Chooses among the clips.
    """
    columns = (lexicon.words, lexicon.glosses)
    if phrase.glosses is not None:
        columns = columns[::-1]
    units = split_units(phrase)
    glosses: list[str] = []
    clips: list[Clip] = []
    gaps: list[Gap] = []
    is_skipped = False
    place = 0
    while place < len(units):
        found, used = _find(units[place:], columns, longest=lexicon.longest)
        if found:
            chosen = _choose(found, takes_first=takes_first, rng=rng)
            glosses.append(chosen.gloss)
            clips.append(chosen)
            place += used
            continue
        word, term = units[place]
        place += 1
        is_marked = word.lower().startswith(NAME_MARK)
        if is_marked:
            word = word[len(NAME_MARK) :]
            term = term_of(word)
        spelled = list(_spell("".join(term), letters)) if is_marked or missing == "spell" else []
        if spelled:
            glosses.append(NAME_MARK + "".join(term).upper())
            clips += [_choose(each, takes_first=takes_first, rng=rng) for each in spelled]
            if not is_marked:
                gaps.append(Gap(phrase.uid, word, "spelled"))
        else:
            is_skipped |= missing != "drop"
            gaps.append(Gap(phrase.uid, word, "dropped"))
    if clips and not is_skipped:
        return Plan(
            SignedSentence(phrase.uid, phrase.text, tuple(glosses), tuple(clips)), tuple(gaps)
        )
    lacking = [gap.word for gap in gaps if gap.outcome == "dropped"] or [""]
    return Plan(None, tuple(Gap(phrase.uid, word, "skipped") for word in lacking))


def describe_gaps(gaps: Sequence[Gap]) -> str:
    """How many words are lacking, which most, and what came of them."""
    outcomes = Counter(gap.outcome for gap in gaps)
    counts = Counter(gap.word for gap in gaps if gap.word)
    words = ", ".join(f"{word} ({count})" for word, count in counts.most_common(SHOWN))
    skipped = len({gap.uid for gap in gaps if gap.outcome == "skipped"})
    return (
        f"Words that the lexicon lacks: {len(counts)}{f', most often {words}' if words else ''}. "
        f"Sentences skipped: {skipped}; words dropped: {outcomes['dropped']}, spelled: {outcomes['spelled']}."
    )


def split_units(phrase: Phrase) -> list[tuple[str, Term]]:
    """What is looked up one by one: words or glosses as they stand there, and as they are looked for.

    In scripts without spaces each character is one; the lexicon's longer entries are still found.
    """
    if phrase.glosses is not None:
        return [(gloss, term_of(gloss)) for gloss in phrase.glosses if term_of(gloss)]
    units: list[tuple[str, Term]] = []
    for word in phrase.text.split():
        term = term_of(word)
        if UNSPACED.search(normalize_text(word)):
            units += [(part, (part,)) for part in term]
        elif term:
            units.append((EDGES.sub("", word).casefold(), term))
    return units


def _find(
    units: Sequence[tuple[str, Term]],
    columns: Sequence[Mapping[Term, Sequence[Clip]]],
    *,
    longest: int,
) -> tuple[Sequence[Clip], int]:
    """The clips of the longest entry that these units begin with, and how many units it takes."""
    candidates: list[Term] = []
    term: Term = ()
    for _, part in units:
        term += part
        if len(term) > longest:
            break
        candidates.append(term)
    for used in range(len(candidates), 0, -1):
        for terms in columns:
            if candidates[used - 1] in terms:
                return terms[candidates[used - 1]], used
    return (), 0


def _choose(clips: Sequence[Clip], *, takes_first: bool, rng: np.random.Generator) -> Clip:
    if takes_first:
        return min(clips, key=lambda clip: clip.priority)  # the first of the best
    return clips[int(rng.integers(len(clips)))]


def _spell(word: str, letters: Mapping[str, Sequence[Clip]]) -> Iterator[Sequence[Clip]]:
    """The clips of each letter, digraphs first; nothing where a letter is lacking."""
    spelled = []
    longest = max(map(len, letters), default=0)
    place = 0
    while place < len(word):
        for size in range(min(longest, len(word) - place), 0, -1):
            if (letter := word[place : place + size]) in letters:
                spelled.append(letters[letter])
                place += size
                break
        else:
            return iter(())
    return iter(spelled)
