"""The embedded corpora: real recordings of single letters, composed into sentences and words.

`sentences` is translation from a small signed language with a grammar (`signed_english.py`); names
are spelled. `words` is fingerspelled English. Both are written as .pose files and tables, the form
in which users bring their own data: nothing after this module knows where they come from.

    write_corpus -> samples (text only) -> poses (each from its own seed) -> tables -> corpus.json
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signseq.data.processes import run_chunks
from signseq.errors import DataError, PoseError
from signseq.progress import track

if TYPE_CHECKING:
    from signseq.data.samples import Sample

# What composes and draws is imported where it is used: a corpus that is there costs milliseconds.

__all__ = ["CORPORA", "write_corpus"]

CORPORA = ("sentences", "words")
SIZES = {
    "sentences": {"train": 4000, "val": 300, "test": 300},
    "words": {"train": 8000, "val": 300, "test": 300, "test_unseen_signer": 300},
}
GENERATOR = 1  # raise it with every change that changes what is written
SOURCE = "spoken-to-signed"
DONE, SETTINGS = "corpus.json", ".corpus_settings.json"
CHUNK = 40  # samples that a process composes at a time

MOVEMENTS = {
    "sentences": "Signs of an invented language with a grammar of its own. Each of its 56 signs is a "
    "real recording of one letter of the Croatian, Czech or Estonian finger alphabet; names are "
    "spelled with real letters of American Sign Language and of four alphabets much like it (asq, "
    "gsg, sgg, ssp). Recordings are joined by computed transitions. Nobody signs like this.",
    "words": "English words, spelled with real recordings of the letters of American Sign Language "
    "and of alphabets much like it (asq, gsg, sgg, ssp; mfs in test_unseen_signer), one person "
    "each, joined by computed transitions. Letters that differ between the alphabets differ here.",
}


def write_corpus(
    kind: str,
    folder: Path,
    *,
    sizes: Mapping[str, int] | None = None,
    seed: int = 1,
    workers: int = 1,
) -> None:
    """Write an embedded corpus: `poses/<uid>.pose`, a table for each split, and last `corpus.json`.

    The same seed writes the same bytes, whatever `workers` is. A corpus that is already there with
    these settings is left as it is; one with other settings, and written by this function, is
    replaced. What was killed goes on where it was.

    Args:
        kind: `sentences` or `words`.
        folder: Where to write; made if need be.
        sizes: The splits and how many samples each has; None takes the corpus' own.
        seed: Of everything that is drawn.
        workers: Processes; more than one are started afresh, so a script needs a main guard.

    Raises:
        DataError: If there is no such corpus or split, if the folder holds such files of somebody
            else, or if it can't be written.
        MissingExtraError: If the recordings or the words are not installed.
    """
    sizes = _check(kind, sizes)
    settings = {"kind": kind, "seed": seed, "sizes": sizes, "generator": GENERATOR}
    if _states(folder / DONE, settings):
        return
    from signseq.data.recordings import find_lexicon
    from signseq.data.samples import draw_samples

    find_lexicon()  # says what is missing before anything is written
    samples = draw_samples(kind, sizes, seed=seed)
    settings["source"] = f"{SOURCE} {_version(SOURCE)}"
    try:
        _make_room(folder, settings)
        (folder / "poses").mkdir(exist_ok=True)
        compose = partial(_write_poses, kind=kind, folder=folder / "poses", seed=seed)
        done = run_chunks(compose, samples, chunk=CHUNK, workers=workers, caller="write_corpus")
        for _ in track(done, total=len(samples), label=f"Composing {kind}", unit="pose"):
            pass
        _write_tables(folder, sizes, [sample.row() for sample in samples])
        _write(folder / DONE, _as_json({**settings, "movements": MOVEMENTS[kind]}))
    except (OSError, PoseError) as fault:
        raise DataError(f"{folder}: the corpus can't be written: {fault}") from fault


def _check(kind: str, sizes: Mapping[str, int] | None) -> dict[str, int]:
    if kind not in SIZES:
        near = difflib.get_close_matches(kind, CORPORA, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"No embedded corpus {kind!r}; there are: {', '.join(CORPORA)}.{hint}")
    sizes = dict(SIZES[kind] if sizes is None else sizes)
    wrong = [split for split in sizes if split not in SIZES[kind] or sizes[split] < 1]
    if wrong or not sizes:
        raise DataError(
            f"The corpus {kind!r} can't have the sizes {sizes}: expected a positive number for some of "
            f"{', '.join(SIZES[kind])}."
        )
    return sizes


def _states(path: Path, settings: Mapping[str, Any]) -> bool:
    stated = _load(path)
    return stated is not None and all(stated.get(key) == settings[key] for key in settings)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(stated, dict) and {"generator", "sizes"} <= stated.keys()
    return stated if is_ours else None


def _make_room(folder: Path, settings: Mapping[str, Any]) -> None:
    """Remove what another run of this module left, and say first whose files follow."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _load(folder / SETTINGS) or _load(folder / DONE)
    if before is None:
        foreign = [path for path in (folder / DONE, *_files(folder, settings)) if path.exists()]
        if foreign:
            raise DataError(
                f"{foreign[0]} is there already and was not written by this corpus. "
                f"Choose another folder, or move it away."
            )
    else:
        _write(folder / SETTINGS, _as_json(before))  # a kill between here and the end is no harm
        (folder / DONE).unlink(missing_ok=True)
        if before != settings:
            for path in _files(folder, before):
                path.unlink(missing_ok=True)
    _write(folder / SETTINGS, _as_json(settings))


def _files(folder: Path, settings: Mapping[str, Any]) -> Iterator[Path]:
    from signseq.data.samples import make_uid

    for split, size in settings["sizes"].items():
        yield folder / f"{split}.csv"
        yield from (folder / "poses" / f"{make_uid(split, number)}.pose" for number in range(size))


def _write_poses(samples: Sequence[Sample], *, kind: str, folder: Path, seed: int) -> None:
    from signseq.data.joining import PICTURE
    from signseq.data.samples import compose_sample
    from signseq.poses.sequence import write_pose

    for sample in samples:
        path = folder / f"{sample.uid}.pose"
        if not path.exists():  # poses are written whole or not at all, so this one is right
            write_pose(path, compose_sample(sample, kind=kind, seed=seed), size=PICTURE)


def _write_tables(folder: Path, sizes: Mapping[str, int], rows: Sequence[dict[str, str]]) -> None:
    start = 0
    for split, size in sizes.items():
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, fieldnames=list(rows[start]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[start : start + size])
        _write(folder / f"{split}.csv", table.getvalue())
        start += size


def _as_json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8", newline="")
    part.replace(path)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
