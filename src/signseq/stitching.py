"""`signseq stitch`: sentences composed of a lexicon's clips, to pretrain on where data are few.

lexicon, texts -> plan (which clips sign which sentence) -> poses, in parallel -> table.csv
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from signseq.data.glossing import (
    MISSING,
    Gap,
    Missing,
    Phrase,
    SignedSentence,
    describe_gaps,
    plan_sentence,
)
from signseq.data.joining import PICTURE
from signseq.data.lexicon import Clip, Lexicon, read_lexicon
from signseq.data.phrases import read_phrases
from signseq.data.processes import run_chunks
from signseq.data.signed_clips import Joining, join_clips, load_clip
from signseq.errors import DataError
from signseq.poses.sequence import write_pose
from signseq.progress import track

__all__ = ["Joining", "StitchReport", "stitch"]

TABLE, LACKING, SETTINGS, POSES = "table.csv", "missing.csv", "stitch.json", "poses"
GENERATOR = 1  # raise it with every change that changes what is written
CHUNK = 20  # sentences that a process joins at a time


@dataclass(frozen=True)
class StitchReport:
    """What `stitch` wrote, and what the lexicon lacked.

    Attributes:
        folder: Where it is.
        sentences: How many were stitched, those that were there already included.
        phrases: How many were asked for.
        gaps: What the lexicon lacked.
    """

    folder: Path
    sentences: int
    phrases: int
    gaps: Sequence[Gap]

    def describe(self) -> str:
        """The report, a line each."""
        lines = [
            f"{self.sentences} of {self.phrases} sentences are in {self.folder / TABLE}, "
            f"their poses in {self.folder / POSES}."
        ]
        if self.gaps:
            lines.append(describe_gaps(self.gaps))
            lines.append(f"They are listed in {self.folder / LACKING}.")
        return "\n".join(lines)


def stitch(
    lexicon: str | Path,
    texts: str | Path,
    out: str | Path,
    *,
    glosses: str | Path | None = None,
    letters: str | Path | None = None,
    missing: Missing = "skip",
    takes_first: bool = False,
    joining: Joining | None = None,
    spoken_language: str | None = None,
    signed_language: str | None = None,
    seed: int = 42,
    workers: int = 1,
    overwrite: bool = False,
) -> StitchReport:
    """Compose sentences of a lexicon's clips: `poses/<uid>.pose`, `table.csv` and `missing.csv`.

    The same arguments write the same bytes, whatever `workers` is. What was killed goes on where it
    was: poses are written whole or not at all, the table last.

    Args:
        lexicon: A folder with spoken-to-signed's `index.csv`, or of `<gloss>.pose`.
        texts: A table with `uid`, `text` and optionally `glosses`, or a file with a sentence a line.
        out: Where to write; made if need be.
        glosses: For a file of sentences, one with their glosses, line by line.
        letters: A lexicon to spell with; None takes the single characters of the first one.
        missing: What a word that the lexicon lacks does: `skip` the sentence, `drop` the word, `spell` it.
        takes_first: Of several clips take the one of best priority, instead of any.
        joining: How clips are joined; None is `Joining()`.
        spoken_language: As the index spells it; needed where it has several.
        signed_language: The same.
        seed: Chooses among clips.
        workers: Processes; more than one are started afresh, so a script needs a main guard.
        overwrite: Replace what was stitched into `out` with other settings.

    Returns:
        How many sentences there are, and what the lexicon lacks.

    Raises:
        DataError: If the lexicon or the texts can't be used, nothing can be signed, or `out` holds other
            things.
    """
    out, joining = Path(out), joining or Joining()
    if missing not in MISSING or seed < 0:
        raise DataError(
            f"missing is {missing!r} and seed {seed}; expected one of {', '.join(MISSING)}, and 0 or more."
        )
    signs = read_lexicon(
        Path(lexicon), spoken_language=spoken_language, signed_language=signed_language
    )
    alphabet = _read_letters(Path(letters), signs) if letters else signs.letters
    if missing == "spell" and not alphabet:
        raise DataError(
            f"{lexicon}: has no clips of single letters to spell with. Name a lexicon of them with --letters."
        )
    phrases = read_phrases(Path(texts), Path(glosses) if glosses else None)
    sentences, gaps = _plan(
        phrases, signs, letters=alphabet, missing=missing, takes_first=takes_first, seed=seed
    )
    if not sentences:
        raise DataError(
            f"{texts}: no sentence can be signed with {lexicon}. {describe_gaps(gaps)} "
            "With --missing drop or spell such words are left out or spelled."
        )
    sizes = _check_clips(sentences, joining)
    settings = {
        "generator": GENERATOR,
        "joining": asdict(joining),
        "sentences": _digest(sentences, sizes),
    }
    try:
        _make_room(out, settings, overwrite=overwrite)
        _write(out / LACKING, _as_csv(asdict(gap) for gap in gaps) or "uid,word,outcome\n")
        work = partial(_write_poses, folder=out / POSES, joining=joining)
        workers = min(workers, -(-len(sentences) // CHUNK))  # a process takes a second to start
        done = run_chunks(work, sentences, chunk=CHUNK, workers=workers, caller="stitch")
        for _ in track(done, total=len(sentences), label="Stitching", unit="sentence"):
            pass
        _write(out / TABLE, _as_csv(_row(sentence, signs) for sentence in sentences))
    except OSError as fault:
        raise DataError(f"{out}: can't be written ({fault.strerror}).") from fault
    return StitchReport(out, len(sentences), len(phrases), gaps)


def _plan(
    phrases: Sequence[Phrase],
    lexicon: Lexicon,
    *,
    letters: Mapping[str, Sequence[Clip]],
    missing: Missing,
    takes_first: bool,
    seed: int,
) -> tuple[list[SignedSentence], list[Gap]]:
    """The clips of every sentence, each drawn for itself, and what the lexicon lacks."""
    sentences: list[SignedSentence] = []
    gaps: list[Gap] = []
    for phrase in track(phrases, total=len(phrases), label="Looking words up", unit="sentence"):
        plan = plan_sentence(
            phrase,
            lexicon,
            letters=letters,
            missing=missing,
            takes_first=takes_first,
            rng=np.random.default_rng([seed, *phrase.uid.encode()]),
        )
        gaps += plan.gaps
        if plan.sentence is not None:
            sentences.append(plan.sentence)
    return sentences, gaps


def _read_letters(folder: Path, signs: Lexicon) -> Mapping[str, Sequence[Clip]]:
    """A lexicon to spell with, in the languages of the other one where those are known."""
    lexicon = read_lexicon(
        folder,
        spoken_language=signs.spoken_language or None,
        signed_language=signs.signed_language or None,
    )
    return lexicon.spelling


def _check_clips(sentences: Sequence[SignedSentence], joining: Joining) -> dict[Path, int]:
    """The sizes of all files that are used; every clip can be read, and all show the same points."""
    clips = dict.fromkeys(clip for sentence in sentences for clip in sentence.clips)
    first: tuple[Path, tuple[str, ...], int] | None = None
    sizes = {}
    for clip in track(clips, total=len(clips), label="Checking the clips", unit="clip"):
        pose = load_clip(clip, joining.keypoints)
        points, dimensions = len(pose.keypoints), pose.data.shape[-1]
        first = first or (clip.path, pose.keypoints, dimensions)
        if (pose.keypoints, dimensions) != first[1:]:
            others = f"{first[0]} has {len(first[1])} of {first[2]}"
            raise DataError(
                f"{clip.path} has {points} points of {dimensions} coordinates, {others}"
                f"{', other ones or in another order' if points == len(first[1]) else ''}. "
                "A lexicon needs one skeleton: name a keypoint set that both have with --keypoints, or extract "
                "the poses with one estimator."
            )
        sizes[clip.path] = clip.path.stat().st_size
    return sizes


def _digest(sentences: Sequence[SignedSentence], sizes: Mapping[Path, int]) -> str:
    """What the poses depend on, besides how clips are joined; the same wherever the lexicon is.

    Of a clip's file the name and the size: to read tens of gigabytes on every run would cost too much.
    """

    def facts(clip: Clip) -> list[Any]:
        place = [clip.path.name, sizes[clip.path], clip.start, clip.end]
        return [*place, clip.segment, clip.is_letter]

    digest = hashlib.sha256()
    for sentence in sentences:
        row = [sentence.uid, [facts(clip) for clip in sentence.clips]]
        digest.update(f"{json.dumps(row)}\n".encode())
    return digest.hexdigest()


def _make_room(out: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Leave what these settings wrote; remove what others of them did, if that is wished."""
    stated = _load(out / SETTINGS)
    poses = out / POSES
    if stated is None:
        foreign = [path for path in (out / TABLE, poses) if path.exists()]
        if foreign:
            raise DataError(
                f"{foreign[0]}: is there already, and was not stitched. Choose another folder."
            )
    elif stated != json.loads(json.dumps(settings)):
        if not overwrite:
            changed = [name for name in settings if stated.get(name) != settings[name]]
            raise DataError(
                f"{out}: was stitched with other settings or of other sentences (changed: {', '.join(changed)}). "
                "Use --overwrite, or another folder."
            )
        (out / TABLE).unlink(missing_ok=True)
        for path in poses.glob("*.pose"):
            path.unlink()
    poses.mkdir(parents=True, exist_ok=True)
    _write(out / SETTINGS, json.dumps(settings, indent=2) + "\n")


def _load(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stated if isinstance(stated, dict) and "generator" in stated else None


def _write_poses(sentences: Sequence[SignedSentence], *, folder: Path, joining: Joining) -> None:
    for sentence in sentences:
        path = folder / f"{sentence.uid}.pose"
        if not path.exists():  # poses are written whole or not at all, so this one is right
            write_pose(path, join_clips(sentence.clips, joining), size=PICTURE)


def _row(sentence: SignedSentence, lexicon: Lexicon) -> dict[str, str]:
    row = {"uid": sentence.uid, "text": sentence.text, "glosses": " ".join(sentence.glosses)}
    if lexicon.signed_language:
        row["source_language"] = lexicon.signed_language
    if lexicon.spoken_language:
        row["target_language"] = lexicon.spoken_language
    return row


def _as_csv(rows: Iterable[Mapping[str, str]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8", newline="")
    part.replace(path)
