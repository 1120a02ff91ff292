"""Lexicons of sign clips: in the layout of spoken-to-signed, or a folder of `<gloss>.pose`.

spoken-to-signed's layout is a folder with an `index.csv`: path (relative to the folder),
spoken_language, signed_language, start and end (milliseconds; an end of 0 is the end of the file),
words, glosses, priority (0 is the best), and optionally segment_start and segment_end, between which
the sign itself is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from signseq.data.readers.tables import Row, parse_number, read_rows
from signseq.data.splits import normalize_text
from signseq.errors import DataError

__all__ = ["INDEX", "Clip", "Lexicon", "Term", "read_index", "read_lexicon", "term_of"]

INDEX = "index.csv"
REQUIRED = ("path", "spoken_language", "signed_language", "words", "glosses")
NUMBERED = re.compile(r"_\d+$")  # HELLO_2.pose is another clip of HELLO

Term = tuple[str, ...]


@dataclass(frozen=True)
class Clip:
    """One sign, and where its poses are.

    Attributes:
        path: Its file.
        gloss: What to call it in tables.
        start: Where it begins in the file, in seconds.
        end: Where it ends; None is the end of the file.
        segment: From where to where there is signing, in seconds, where the lexicon knows.
        priority: The lower, the better.
        is_letter: Whether it spells.
    """

    path: Path
    gloss: str
    start: float = 0.0
    end: float | None = None
    segment: tuple[float, float] | None = None
    priority: float = 0.0
    is_letter: bool = False


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Clips by what they mean.

    Attributes:
        folder: Where it is.
        words: Clips by the word of the spoken language, as `term_of` gives it.
        glosses: The same by gloss.
        spoken_language, signed_language: What the index says; empty where there is none.
    """

    folder: Path
    words: Mapping[Term, Sequence[Clip]]
    glosses: Mapping[Term, Sequence[Clip]]
    spoken_language: str = ""
    signed_language: str = ""

    @cached_property
    def longest(self) -> int:
        """How many parts the longest entry has."""
        return max(len(term) for term in (*self.words, *self.glosses))

    @property
    def letters(self) -> dict[str, Sequence[Clip]]:
        """The clips whose gloss is a single letter."""
        letters: dict[str, Sequence[Clip]] = {}
        for term, clips in (*self.words.items(), *self.glosses.items()):
            if len(term) == 1 and len(term[0]) == 1 and (spelling := _letters_of(clips)):
                letters[term[0]] = spelling
        return letters

    @property
    def spelling(self) -> dict[str, Sequence[Clip]]:
        """The clips of a lexicon that only spells, digraphs included."""
        return {
            "".join(term): [replace(clip, is_letter=True) for clip in clips]
            for term, clips in (*self.glosses.items(), *self.words.items())
        }


def term_of(text: str) -> Term:
    """A word or gloss as it is looked up: its parts, without case and punctuation."""
    return tuple(normalize_text(text).split())


def read_index(folder: Path) -> list[Row]:
    """The rows of a lexicon's index.

    Raises:
        DataError: If there is none, it lacks a column, or is empty.
    """
    rows = list(read_rows(folder / INDEX, delimiter=",", required=REQUIRED, key="path"))
    if not rows:
        raise DataError(f"{folder / INDEX}: names no clips. Expected a row for each sign.")
    return rows


def read_lexicon(
    folder: Path, *, spoken_language: str | None = None, signed_language: str | None = None
) -> Lexicon:
    """Read a lexicon; its clips stay where they are.

    Args:
        folder: With an `index.csv`, or with .pose files named after their glosses (HELLO.pose; further
            clips of it HELLO_2.pose, ...).
        spoken_language: As the index spells it; needed where it has several.
        signed_language: The same.

    Raises:
        DataError: If there is no lexicon, it is empty, or which languages are meant is not clear.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Expected a lexicon: {INDEX}, or <gloss>.pose.")
    if not (folder / INDEX).is_file():
        return _read_folder(folder)
    rows = read_index(folder)
    wanted = {"spoken_language": spoken_language, "signed_language": signed_language}
    for column, language in sorted(wanted.items(), key=lambda item: item[1] is None):
        rows = _rows_in(rows, column, language, folder)
    words: dict[Term, list[Clip]] = defaultdict(list)
    glosses: dict[Term, list[Clip]] = defaultdict(list)
    for row in rows:
        clip = _build_clip(row, folder)
        for terms, column in ((words, "words"), (glosses, "glosses")):
            term = term_of(row.values[column])
            if term:
                terms[term].append(clip)
    if not words and not glosses:
        raise DataError(f"{folder / INDEX}: no row has a word or a gloss.")
    spoken, signed = (rows[0].values[column].strip() for column in wanted)
    return Lexicon(folder, words, glosses, spoken, signed)


def _read_folder(folder: Path) -> Lexicon:
    glosses: dict[Term, list[Clip]] = defaultdict(list)
    for path in sorted(folder.glob("*.pose")):
        name = NUMBERED.sub("", path.stem)
        if term := term_of(name):
            glosses[term].append(Clip(path, name, is_letter=_is_letter(name)))
    if not glosses:
        raise DataError(
            f"{folder}: neither {INDEX} nor .pose files named after their glosses. Expected a lexicon."
        )
    return Lexicon(folder, {}, glosses)


def _rows_in(rows: Sequence[Row], column: str, wanted: str | None, folder: Path) -> list[Row]:
    """The rows of the language that is wanted, or of the only one there is."""
    there = sorted({row.values[column].strip() for row in rows})
    if wanted is None and len(there) == 1:
        return list(rows)
    if wanted is None or wanted not in there:
        said = f"no {column} {wanted!r}" if wanted else f"several in the column {column}"
        raise DataError(
            f"{folder / INDEX}: {said}; it has {', '.join(there)}. "
            f"Name one of them with --{column.replace('_', '-')}."
        )
    return [row for row in rows if row.values[column].strip() == wanted]


def _build_clip(row: Row, folder: Path) -> Clip:
    numbers = {
        name: parse_number(row.values.get(name) or "0", where=row.where, unit="milliseconds")
        for name in ("start", "end", "segment_start", "segment_end", "priority")
    }
    start, end = numbers["start"] / 1000, numbers["end"] / 1000
    if start < 0 or (end and end <= start):
        raise DataError(f"{row.where}: it ends ({end:g} s) before it starts ({start:g} s).")
    segment = (numbers["segment_start"] / 1000, numbers["segment_end"] / 1000)
    is_known = segment[1] > segment[0] and segment != (start, end)
    gloss = row.values["glosses"].strip() or row.values["words"].strip()
    return Clip(
        path=folder / row.values["path"].strip(),
        gloss="-".join(gloss.split()),
        start=start,
        end=end or None,
        segment=segment if is_known else None,
        priority=numbers["priority"],
        is_letter=_is_letter(gloss),
    )


def _letters_of(clips: Sequence[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.is_letter]


def _is_letter(gloss: str) -> bool:
    return len(gloss) == 1 and gloss.isalpha()
