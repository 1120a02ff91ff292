"""A small signed language with a grammar, and the English that its sentences mean.

Words come in the order of signed languages: time, place, what is talked about, who acts, and late
the verb; negation and question last. There are no articles, no copula and no inflection. Adjectives
and MANY follow their noun. Names are spelled, written `fs-MARIA`:

    YESTERDAY GARDEN BOOK OLD fs-MARIA READ NOT QUESTION
    Did Maria not read an old book in the garden yesterday?

The English is a function of the signs, so that every sentence has one right translation. The
language is invented, and its signs are letters of other alphabets (`signs.py`): it resembles what
translation asks for, and teaches nobody to sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signseq.errors import DataError

__all__ = [
    "ADJECTIVES",
    "FEELINGS",
    "NAME_MARK",
    "PEOPLE",
    "PLACES",
    "PRONOUNS",
    "THINGS",
    "TIMES",
    "VERBS",
    "to_english",
]

NAME_MARK = "fs-"  # the usual mark of a fingerspelled word among glosses
NOT, QUESTION, MANY = "NOT", "QUESTION", "MANY"

# What a time says, and the tense that it asks for; OFTEN stands before the verb.
TIMES = {
    "YESTERDAY": ("yesterday", "past"),
    "LAST-WEEK": ("last week", "past"),
    "TOMORROW": ("tomorrow", "future"),
    "NOW": ("now", "progressive"),
    "EVERY-DAY": ("every day", "present"),
    "OFTEN": ("", "present"),
}
PLACES = {
    "SCHOOL": "at school",
    "HOME": "at home",
    "GARDEN": "in the garden",
    "PARK": "in the park",
    "KITCHEN": "in the kitchen",
    "STATION": "at the station",
}
PRONOUNS = {  # as subject and as object
    "I": ("I", "me"),
    "YOU": ("you", "you"),
    "HE": ("he", "him"),
    "SHE": ("she", "her"),
    "WE": ("we", "us"),
    "THEY": ("they", "them"),
}
PEOPLE = {
    "TEACHER": "teacher",
    "DOCTOR": "doctor",
    "GIRL": "girl",
    "BOY": "boy",
    "CHILDREN": "children",
}
THINGS = {  # one and many
    "BOOK": ("book", "books"),
    "LETTER": ("letter", "letters"),
    "APPLE": ("apple", "apples"),
    "EGG": ("egg", "eggs"),
    "CAKE": ("cake", "cakes"),
    "DOG": ("dog", "dogs"),
    "CAR": ("car", "cars"),
    "UMBRELLA": ("umbrella", "umbrellas"),
    "PICTURE": ("picture", "pictures"),
}
ADJECTIVES = {
    "OLD": "old",
    "NEW": "new",
    "BIG": "big",
    "SMALL": "small",
    "RED": "red",
    "EXPENSIVE": "expensive",
}
FEELINGS = {"HAPPY": "happy", "TIRED": "tired", "HUNGRY": "hungry"}


@dataclass(frozen=True)
class Verb:
    """A verb's English forms, and what it may be done to.

    Attributes:
        base, third, past, progressive: `eat`, `eats`, `ate`, `eating`.
        things: Objects that make sense.
        takes_people: Whether a person may be the object.
        takes_nothing: Whether it may stand without an object.
        preposition: What English puts before the object.
        is_stative: Whether it has no progressive: "she wants it now".
    """

    base: str
    third: str
    past: str
    progressive: str
    things: tuple[str, ...] = ()
    takes_people: bool = False
    takes_nothing: bool = False
    preposition: str = ""
    is_stative: bool = False


_ANYTHING = tuple(THINGS)
VERBS = {
    "READ": Verb("read", "reads", "read", "reading", things=("BOOK", "LETTER")),
    "WRITE": Verb("write", "writes", "wrote", "writing", things=("BOOK", "LETTER")),
    "BUY": Verb("buy", "buys", "bought", "buying", things=_ANYTHING),
    "EAT": Verb("eat", "eats", "ate", "eating", things=("APPLE", "EGG", "CAKE")),
    "SEE": Verb("see", "sees", "saw", "seeing", _ANYTHING, takes_people=True, is_stative=True),
    "WANT": Verb("want", "wants", "wanted", "wanting", things=_ANYTHING, is_stative=True),
    "BRING": Verb("bring", "brings", "brought", "bringing", things=_ANYTHING),
    "HELP": Verb("help", "helps", "helped", "helping", takes_people=True),
    "MEET": Verb("meet", "meets", "met", "meeting", takes_people=True),
    "WAIT": Verb(
        *("wait", "waits", "waited", "waiting"),
        takes_people=True,
        takes_nothing=True,
        preposition="for",
    ),
    "SLEEP": Verb("sleep", "sleeps", "slept", "sleeping", takes_nothing=True),
    "WORK": Verb("work", "works", "worked", "working", takes_nothing=True),
}
_HEADS = {*PRONOUNS, *PEOPLE, *THINGS}


@dataclass(frozen=True)
class _Clause:
    time: str | None
    place: str | None
    nouns: tuple[tuple[str, ...], ...]  # the object, if there is one, and the subject
    comment: str  # a verb, an adjective or a feeling
    is_negated: bool
    is_question: bool


def to_english(glosses: Sequence[str]) -> str:
    """Say in English what a sequence of signs means.

    Args:
        glosses: Signs in the order in which they are signed.

    Raises:
        DataError: If they are no sentence of the language.
    """
    clause = _parse(glosses)
    subject = clause.nouns[-1]
    adverb, tense = TIMES[clause.time] if clause.time else ("", "present")
    auxiliary, main = _predicate(clause, _agreement(subject), tense)
    said_subject = _subject(subject)
    negation = "not" if clause.is_negated else ""
    often = "often" if clause.time == "OFTEN" else ""
    opening = (auxiliary, said_subject) if clause.is_question else (said_subject, auxiliary)
    place = PLACES[clause.place] if clause.place else ""
    words = (*opening, negation, often, main, _object(clause), place, adverb)
    sentence = " ".join(word for word in words if word)
    return sentence[0].upper() + sentence[1:] + ("?" if clause.is_question else ".")


def _parse(glosses: Sequence[str]) -> _Clause:
    rest = list(glosses)
    is_question = rest[-1:] == [QUESTION] and bool(rest.pop())
    is_negated = rest[-1:] == [NOT] and bool(rest.pop())
    time = rest.pop(0) if rest and rest[0] in TIMES else None
    place = rest.pop(0) if rest and rest[0] in PLACES else None
    comment = rest.pop() if rest else ""
    nouns: list[tuple[str, ...]] = []
    for gloss in rest:
        if gloss in _HEADS or gloss.startswith(NAME_MARK):
            nouns.append((gloss,))
        elif nouns and (gloss in ADJECTIVES or gloss == MANY):
            nouns[-1] += (gloss,)
        else:
            raise DataError(f"{' '.join(glosses)}: {gloss!r} stands in a place where it can't.")
    objects = 2 if comment in VERBS else 1
    if not 1 <= len(nouns) <= objects or comment not in {*VERBS, *ADJECTIVES, *FEELINGS}:
        raise DataError(f"{' '.join(glosses)!r} is no sentence of the signed language.")
    return _Clause(time, place, tuple(nouns), comment, is_negated, is_question)


def _agreement(noun: tuple[str, ...]) -> str:
    if noun[0] == "I":
        return "I"
    is_many = noun[0] in ("YOU", "WE", "THEY", "CHILDREN") or MANY in noun
    return "they" if is_many else "she"


_BE = {
    "present": {"I": "am", "she": "is", "they": "are"},
    "past": {"I": "was", "she": "was", "they": "were"},
}


def _predicate(clause: _Clause, agreement: str, tense: str) -> tuple[str, str]:
    """The auxiliary, which may be empty, and the rest of the verb with what is said of the subject."""
    quality = {**ADJECTIVES, **FEELINGS}.get(clause.comment)
    if quality is not None:
        if tense == "future":
            return "will", f"be {quality}"
        return _BE["past" if tense == "past" else "present"][agreement], quality
    verb = VERBS[clause.comment]
    if tense == "future":
        return "will", verb.base
    if tense == "progressive" and not verb.is_stative:
        return _BE["present"][agreement], verb.progressive
    is_third = agreement == "she"
    if clause.is_negated or clause.is_question:
        return "did" if tense == "past" else "does" if is_third else "do", verb.base
    return "", verb.past if tense == "past" else verb.third if is_third else verb.base


def _subject(noun: tuple[str, ...]) -> str:
    if noun[0] in PRONOUNS:
        return PRONOUNS[noun[0]][0]
    return _described(noun, article="the")


def _object(clause: _Clause) -> str:
    if len(clause.nouns) == 1:
        return ""
    noun = clause.nouns[0]
    if noun[0] in PRONOUNS:
        said = PRONOUNS[noun[0]][1]
    else:
        said = _described(noun, article="the" if noun[0] in PEOPLE else "a")
    return f"{VERBS[clause.comment].preposition} {said}".strip()


def _described(noun: tuple[str, ...], *, article: str) -> str:
    head, *modifiers = noun
    if head.startswith(NAME_MARK):
        return head.removeprefix(NAME_MARK).capitalize()
    is_many = MANY in modifiers
    word = THINGS[head][is_many] if head in THINGS else PEOPLE[head]
    words = [*(ADJECTIVES[m] for m in modifiers if m != MANY), word]
    if is_many:
        return " ".join(["many", *words])
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return " ".join([article, *words])
