"""Drawing sentences of the small signed language, with names, so that no split knows another's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import cycle

from signseq.data.signed_english import (
    ADJECTIVES,
    FEELINGS,
    MANY,
    NAME_MARK,
    NOT,
    PEOPLE,
    PLACES,
    PRONOUNS,
    QUESTION,
    THINGS,
    TIMES,
    VERBS,
    to_english,
)
from signseq.errors import DataError

__all__ = ["Sentence", "draw_sentences", "given_names"]

HELD_OUT_NAMES = 0.1  # of the names, for each split but train
MOST_TRIES = 1000  # for a sentence that is new; far more are possible than anyone asks for

TIME_SHARE, PLACE_SHARE = 0.6, 0.45
ADJECTIVE_SHARE, MANY_SHARE = 0.35, 0.2
NOT_SHARE, QUESTION_SHARE = 0.2, 0.2
NAME_IS_SUBJECT_SHARE = 0.65
PERSON_ADJECTIVES = ("OLD", "NEW")

_THING_VERBS = tuple(gloss for gloss, verb in VERBS.items() if verb.things)
_PERSON_VERBS = tuple(gloss for gloss, verb in VERBS.items() if verb.takes_people)
_OTHER_VERBS = tuple(gloss for gloss, verb in VERBS.items() if verb.takes_nothing)


@dataclass(frozen=True)
class Sentence:
    """A sentence in both languages.

    Attributes:
        glosses: The signs in order.
        text: Its English.
        name: The name in it; empty where there is none.
    """

    glosses: tuple[str, ...]
    text: str
    name: str


@lru_cache(maxsize=1)
def given_names() -> tuple[str, ...]:
    """Given names from many cultures, letters A to Z only, in alphabetical order."""
    text = resources.files("signseq.data").joinpath("given_names.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def draw_sentences(sizes: Mapping[str, int], *, seed: int) -> dict[str, list[Sentence]]:
    """Draw different sentences for each split; every second one has a name.

    No sentence occurs twice, and no name of one split occurs in another.

    Args:
        sizes: How many sentences each split has.
        seed: The same seed draws the same sentences.

    Raises:
        DataError: If so many different sentences can't be found.
    """
    names = list(given_names())
    random.Random(f"names {seed}").shuffle(names)
    share = int(HELD_OUT_NAMES * len(names))
    seen: set[str] = set()
    drawn = {}
    for split in sorted(sizes, key="train".__eq__):  # train last: it takes the names that are left
        pool, names = (names, []) if split == "train" else (names[:share], names[share:])
        drawn[split] = _draw_split(split, sizes[split], names=pool, seen=seen, seed=seed)
    return {split: drawn[split] for split in sizes}


def _draw_split(
    split: str, size: int, *, names: list[str], seen: set[str], seed: int
) -> list[Sentence]:
    rng = random.Random(f"sentences {split} {seed}")
    following_name = cycle(names)
    sentences = []
    for number in range(size):
        name = next(following_name) if number % 2 == 0 else ""
        for _ in range(MOST_TRIES):
            glosses = _draw_glosses(rng, name)
            text = to_english(glosses)
            if text not in seen:
                break
        else:
            raise DataError(
                f"{split}: after {number} sentences none was found that is new. Ask for fewer."
            )
        seen.add(text)
        sentences.append(Sentence(glosses, text, name))
    rng.shuffle(sentences)
    return sentences


def _draw_glosses(rng: random.Random, name: str) -> tuple[str, ...]:
    time = [rng.choice(tuple(TIMES))] if rng.random() < TIME_SHARE else []
    place = [rng.choice(tuple(PLACES))] if rng.random() < PLACE_SHARE else []
    kinds = (_act_on_thing, _act_on_person, _act, _feel, _describe_thing)
    (kind,) = rng.choices(kinds, weights=(50, 22, 12, 12, 0 if name else 4))
    if kind is _describe_thing:
        place = []
    end = [NOT] if rng.random() < NOT_SHARE else []
    end += [QUESTION] if rng.random() < QUESTION_SHARE else []
    spelled = f"{NAME_MARK}{name.upper()}" if name else None
    return (*time, *place, *kind(rng, spelled), *end)


def _act_on_thing(rng: random.Random, name: str | None) -> list[str]:
    verb = rng.choice(_THING_VERBS)
    thing = [rng.choice(VERBS[verb].things), *_draw_adjective(rng, tuple(ADJECTIVES))]
    if rng.random() < MANY_SHARE:
        thing.append(MANY)
    return [*thing, *_draw_person(rng, name), verb]


def _act_on_person(rng: random.Random, name: str | None) -> list[str]:
    one = _draw_person(rng, name)
    other = _draw_person(rng, None)
    while other[0] == one[0] or {one[0], other[0]} == {"I", "WE"}:
        other = _draw_person(rng, None)
    subject_first = rng.random() < NAME_IS_SUBJECT_SHARE
    people = [*other, *one] if subject_first else [*one, *other]
    return [*people, rng.choice(_PERSON_VERBS)]


def _act(rng: random.Random, name: str | None) -> list[str]:
    return [*_draw_person(rng, name), rng.choice(_OTHER_VERBS)]


def _feel(rng: random.Random, name: str | None) -> list[str]:
    return [*_draw_person(rng, name), rng.choice(tuple(FEELINGS))]


def _describe_thing(rng: random.Random, name: str | None) -> list[str]:
    said, other = rng.sample(tuple(ADJECTIVES), 2)
    thing = rng.choice(tuple(THINGS))
    return [thing, other, said] if rng.random() < ADJECTIVE_SHARE else [thing, said]


def _draw_person(rng: random.Random, name: str | None) -> list[str]:
    if name:
        return [name]
    person = rng.choice((*PRONOUNS, *PEOPLE))
    return [person, *(_draw_adjective(rng, PERSON_ADJECTIVES) if person in PEOPLE else ())]


def _draw_adjective(rng: random.Random, adjectives: tuple[str, ...]) -> list[str]:
    return [rng.choice(adjectives)] if rng.random() < ADJECTIVE_SHARE else []
