"""What each sample of the embedded corpora says, who signs it, and its pose."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from signseq.data.composition import Piece, compose, draw_style
from signseq.data.recordings import HANDS, Recordings, Unit, load_recordings
from signseq.data.sentences import draw_sentences
from signseq.data.signed_english import NAME_MARK
from signseq.data.signs import SIGNS
from signseq.data.word_list import draw_words
from signseq.poses.sequence import PoseSequence

__all__ = ["Sample", "compose_sample", "draw_samples", "make_uid"]

SIGNERS = ("ase", "asq", "gsg", "sgg", "ssp")  # five people, by their language
UNSEEN_SIGNER = "mfs"
INVENTED = "qaa"  # ISO 639-3 leaves qaa to qtz to local use
ENGLISH = "eng"


@dataclass(frozen=True)
class Sample:
    """One pose file, and its row in a table.

    Attributes:
        uid: Its name, unique in the corpus.
        split: Its split.
        number: Its place in the split.
        text: The English.
        signer: Whose letters and whose body it shows.
        glosses: What is signed; None in the corpus of words.
        name: The name in it; empty where there is none.
    """

    uid: str
    split: str
    number: int
    text: str
    signer: str
    glosses: tuple[str, ...] | None = None
    name: str = ""

    def row(self) -> dict[str, str]:
        """The columns of the table."""
        row = {
            "uid": self.uid,
            "text": self.text,
            "signer": self.signer,
            "source_language": self.signer if self.glosses is None else INVENTED,
            "target_language": ENGLISH,
        }
        if self.glosses is not None:
            row |= {"name": self.name, "glosses": " ".join(self.glosses)}
        return row

    def pieces(self) -> list[Piece]:
        """The recordings that it consists of, in order."""
        if self.glosses is None:
            return self._spell(self.text)
        pieces = []
        for gloss in self.glosses:
            is_name = gloss.startswith(NAME_MARK)
            spelled = self._spell(gloss.removeprefix(NAME_MARK)) if is_name else []
            pieces += spelled or [Piece(SIGNS[gloss], is_letter=False)]
        return pieces

    def _spell(self, word: str) -> list[Piece]:
        return [Piece((self.signer, letter), is_letter=True) for letter in word.upper()]


def make_uid(split: str, number: int) -> str:
    """The name of a split's sample."""
    return f"{split}_{number:05d}"


def draw_samples(kind: str, sizes: Mapping[str, int], *, seed: int) -> list[Sample]:
    """Draw what all samples of a corpus say and who signs them; composes nothing.

    Args:
        kind: `sentences` or `words`.
        sizes: How many samples each split has.
        seed: The same seed draws the same samples.

    Returns:
        The samples, split after split in the order of `sizes`.
    """
    rng = random.Random(f"signers {kind} {seed}")
    samples = []
    if kind == "sentences":
        for split, sentences in draw_sentences(sizes, seed=seed).items():
            for number, said in enumerate(sentences):
                place = (make_uid(split, number), split, number)
                signer = rng.choice(SIGNERS)
                samples.append(Sample(*place, said.text, signer, said.glosses, said.name))
        return samples
    for split, words in draw_words(sizes, seed=seed).items():
        signers = (UNSEEN_SIGNER,) if split == "test_unseen_signer" else SIGNERS
        for number, word in enumerate(words):
            samples.append(
                Sample(make_uid(split, number), split, number, word, rng.choice(signers))
            )
    return samples


def compose_sample(sample: Sample, *, kind: str, seed: int) -> PoseSequence:
    """Compose a sample; what is drawn depends on the seed, the corpus and the sample's place only."""
    name = f"{kind} {sample.split}".encode()
    rng = np.random.default_rng([seed, sample.number, *name])
    recordings = load_recordings(_units_of(kind))
    letters = [(sample.signer, letter) for letter in ascii_uppercase]
    return compose(
        sample.pieces(),
        recordings,
        body=letters[int(rng.integers(len(letters)))],
        neutral=_neutral_hand(kind, sample.signer),
        style=draw_style(rng),
        rng=rng,
    )


@cache
def _units_of(kind: str) -> tuple[Unit, ...]:
    signers = SIGNERS if kind == "sentences" else (*SIGNERS, UNSEEN_SIGNER)
    letters = [(signer, letter) for signer in signers for letter in ascii_uppercase]
    return (*SIGNS.values(), *letters) if kind == "sentences" else tuple(letters)


@cache
def _neutral_hand(kind: str, signer: str) -> NDArray[np.float32]:
    """The mean of a signer's letters, relative to the wrist: a hand that spells nothing."""
    recordings: Recordings = load_recordings(_units_of(kind))
    rows = np.concatenate(
        [np.arange(*recordings.spans[(signer, letter)][:2]) for letter in ascii_uppercase]
    )
    hand = recordings.data[rows][:, HANDS[1]]
    neutral: NDArray[np.float32] = (hand - hand[:, :1]).mean(axis=0)
    return neutral
