"""Checkpoints that are whole or not there: written to the side, then renamed.

A run may be killed at any moment, also between two files, and a disk may fill up. So nothing is
ever written where it will be looked for: a checkpoint grows in a folder that no one reads, and gets
its name when all of it is on the disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signseq.training.safety.run_data import FACTS, saved_processes

__all__ = [
    "ASIDE",
    "STATE",
    "all_checkpoints",
    "clear_leftovers",
    "copy_model",
    "count_processes",
    "last_checkpoint",
    "publish",
    "remove_old_checkpoints",
    "write_aside",
]

STATE = "trainer_state.json"  # the trainer writes it last
ASIDE = ".unfinished"  # what is being written, and what is being deleted
ONLY_FOR_TRAINING = (STATE, FACTS, "windows.json")
WEIGHTS = (".safetensors", ".safetensors.index.json")


def all_checkpoints(folder: Path) -> list[Path]:
    """The trainer's own folders of checkpoints, oldest first; nothing else that is called alike."""
    numbered = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted(filter(Path.is_dir, numbered), key=lambda path: int(path.name[11:]))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    whole = [path for path in all_checkpoints(folder) if (path / STATE).exists()]
    return whole[-1] if whole else None


def count_processes(checkpoint: Path) -> int:
    """How many processes wrote a checkpoint; older ones tell only by states of random numbers."""
    if (processes := saved_processes(checkpoint)) is not None:
        return processes
    return len(list(checkpoint.glob("rng_state*.pth"))) or 1


@contextmanager
def write_aside(folder: Path, *, owner: bool) -> Iterator[Path]:
    """A fresh folder beside the checkpoints; what is still in it when this ends is deleted.

    Args:
        folder: Of the run.
        owner: Whether this process makes and deletes it; the others must wait until it has.
    """
    aside = folder / ASIDE / "checkpoint"
    if owner:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    try:
        yield aside
    finally:
        if owner:
            shutil.rmtree(aside.parent, ignore_errors=True)


def publish(aside: Path, folder: Path) -> None:
    """Give a folder that was written aside its name; or, where that is there, give it the new files.

    The files of a folder that is there already are replaced one by one, the weights last, and what
    marks a whole checkpoint after them. All is on the disk before the first of them.
    """
    for path in aside.rglob("*"):
        _flush(path)
    _flush(aside)
    if folder.exists():
        files = [path for path in aside.rglob("*") if path.is_file()]
        for path in sorted(
            files, key=lambda path: (path.name == STATE, path.name.endswith(WEIGHTS))
        ):
            place = folder / path.relative_to(aside)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
    else:
        aside.rename(folder)
    _flush(folder.parent)


def copy_model(checkpoint: Path, folder: Path) -> None:
    """Copy what translating needs of a checkpoint, and nothing that only training does."""
    for path in checkpoint.iterdir():
        if path.name in ONLY_FOR_TRAINING or path.suffix in (".pt", ".pth", ".bin"):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copyfile(path, folder / path.name)


def remove_old_checkpoints(folder: Path, *, limit: int, best: Path | None, recent: int = 1) -> None:
    """Delete the oldest checkpoints beyond a number of them, but never the last ones or the best.

    Args:
        folder: Of the run.
        limit: How many to keep.
        best: The best one.
        recent: How many of the last ones are kept in any case.
    """
    found = all_checkpoints(folder)
    kept = {path.name for path in (*found[-recent:], *filter(None, [best]))}
    old = [path for path in found if path.name not in kept]
    for path in old[: max(0, len(found) - max(limit, len(kept)))]:
        delete_folder(path)


def delete_folder(path: Path) -> None:
    """Delete a checkpoint; when this is cut short, half of one never stands under its name."""
    aside = path.parent / ASIDE / path.name
    aside.parent.mkdir(exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Delete what a run that was killed left half-written."""
    shutil.rmtree(folder / ASIDE, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have a file or folder on the disk itself, so that its name does not outlive it in a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
