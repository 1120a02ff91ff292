"""The folder of a run: what it holds, whether a run may begin or go on there, and what can't be written."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signseq.config import Config, load_config, save_config
from signseq.errors import CheckpointError, SignSeqError
from signseq.settings import flatten
from signseq.training.mean_of_last import AVERAGE, VERDICT
from signseq.training.safety.checkpoints import (
    STATE,
    all_checkpoints,
    clear_leftovers,
    count_processes,
    last_checkpoint,
)
from signseq.training.safety.run_data import FACTS
from signseq.training.safety.run_lock import check_unlocked
from signseq.training.safety.step_watch import NAN_LOG

__all__ = [
    "describe_result",
    "failed_writes_named",
    "find_start",
    "interruption_explained",
    "make_folder",
    "may_change",
    "save_windows",
    "saved_windows",
]

logger = logging.getLogger(__name__)

# What a run leaves besides its checkpoints; a new run must not be mistaken for having made it.
RESULTS = ("model*.safetensors*", "adapter_*", "predictions*.tsv", "scores*.json")
WINDOWS = "windows.json"  # in checkpoints of a run whose store lies elsewhere
# What is left beside them, which no run goes on from: its log, and what is drawn and said of it.
RECORDS = (
    *("metrics.jsonl", "curves.svg", "examples.*", "model.txt"),
    *("trackers.json", "tensorboard", "wandb", "report.html", NAN_LOG, VERDICT),
)

# All else must stay as it was when a run goes on: it changes what is learned, or when.
MAY_CHANGE = (
    *(f"data.{key}" for key in ("corpus", "val_path", "test_path", "other_paths")),
    *(f"data.{key}" for key in ("pose_dir", "video_dir")),
    *(
        "data.store",
        "data.mix",  # which clips they are is in each checkpoint's facts
        "data.cache_dir",
        "data.cache_gib",
        "data.max_skipped",
        "generation",
        "evaluation",
    ),
    *(f"training.{key}" for key in ("checkpoint_dir", "num_workers", "mixed_precision")),
    *("training.gradient_checkpointing", "model.attention"),
    *(f"training.{key}" for key in ("eval_batch_size", "eval_epochs", "eval_beams")),
    *(f"training.{key}" for key in ("early_stopping_patience", "save_total_limit")),
    *(f"training.{key}" for key in ("save_steps", "average_last", "on_nan", "fsdp")),
    *(f"training.{key}" for key in ("report_to", "use_wandb", "project_name")),
    *("training.run_name", "training.example_clips", "sweep"),
)
HF_MAY_CHANGE = tuple(
    f"training.hf.{prefix}"
    for prefix in ("logging_", "save_", "eval_", "dataloader_", "report_to", "ddp_")
)

TRAIN_TABLE = "data.train_path"  # may change where the clips and texts themselves are compared
ACCUMULATION = "training.gradient_accumulation_steps"
FAILED_WRITES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than allowed",
    errno.EROFS: "it may only be read from",
}
# safetensors and torch write files themselves, and raise no OSError; torch doesn't even say why.
UNTOLD = "the disk is full, or a limit is reached"
SIGNS_OF_A_FAILED_WRITE = {
    "No space left on device": FAILED_WRITES[errno.ENOSPC],
    "Disk quota exceeded": FAILED_WRITES[errno.EDQUOT],
    "File too large": FAILED_WRITES[errno.EFBIG],
    "Read-only file system": FAILED_WRITES[errno.EROFS],
    **dict.fromkeys(("iostream error", "PytorchStreamWriter failed", "unexpected pos"), UNTOLD),
}


def find_start(config: Config, *, resume: bool, overwrite: bool) -> Path | None:
    """The checkpoint that a run goes on from; None where it starts anew. Nothing is changed.

    Raises:
        CheckpointError: If the folder can't be written, holds a run and neither `resume` nor
            `overwrite` is set, has nothing to go on from, or was made with other settings.
    """
    folder = config.training.checkpoint_dir
    _check_writable(folder)
    check_unlocked(folder)
    last = last_checkpoint(folder)
    if resume and last is not None:
        _check_unchanged(config, last)
        return last
    held = last or _first_result(folder)
    if held is None:
        return None
    if resume and not overwrite:
        raise CheckpointError(
            f"{folder}: no whole checkpoint to go on from, though {held.name} is there. To start anew and delete "
            "what the run left, use --overwrite; to keep it, set another training.checkpoint_dir."
        )
    if not overwrite:
        raise CheckpointError(
            f"{folder}: holds a run already ({held.name}). Go on with --resume, start anew with --overwrite, "
            "or set another training.checkpoint_dir."
        )
    return None


def make_folder(folder: Path, config: Config, *, clear: bool) -> None:
    """Make the folder of a run, with its config; `clear` deletes what another run left there."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    if clear:
        for path in all_checkpoints(folder):
            shutil.rmtree(path)
        for path in (path for pattern in (*RESULTS, *RECORDS) for path in folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    save_config(config, folder / "config.yaml")


def describe_result(folder: Path) -> str:
    """Whose weights a run that is done has left in its folder, in words."""
    verdict = folder / VERDICT
    if verdict.exists():
        told = json.loads(verdict.read_text(encoding="utf-8"))
        if told["weights"] == AVERAGE:
            return f"the mean of {', '.join(told['average_of'])}"
    last = last_checkpoint(folder)
    state = {} if last is None else json.loads((last / STATE).read_text(encoding="utf-8"))
    best = f"checkpoint-{state.get('best_global_step')}"
    return f"the best checkpoint, {best}" if (folder / best).is_dir() else "the last checkpoint"


def save_windows(checkpoint: Path, count: int) -> None:
    """Note how many windows the training store is read in, on which the order of the batches depends."""
    (checkpoint / WINDOWS).write_text(json.dumps({"windows": count}), encoding="utf-8")


def saved_windows(checkpoint: Path) -> int:
    """How many windows the run has read its training store in; one where the store was not far away."""
    path = checkpoint / WINDOWS
    return int(json.loads(path.read_text(encoding="utf-8"))["windows"]) if path.exists() else 1


@contextmanager
def interruption_explained(folder: Path) -> Iterator[None]:
    """Say after Ctrl-C what the run will go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if (last := last_checkpoint(folder)) is None:
            logger.warning("%s: stopped before the first checkpoint was saved.", folder)
        else:
            logger.warning("Stopped. --resume will go on from %s.", last)
        raise


@contextmanager
def failed_writes_named(folder: Path) -> Iterator[None]:
    """Say where there is no room left, which neither torch nor safetensors does.

    Raises:
        CheckpointError: If a file of the run could not be written.
    """
    try:
        yield
    except Exception as fault:
        reason = None if isinstance(fault, SignSeqError) else _failed_write(fault, folder)
        if reason is None:
            raise
        raise CheckpointError(
            f"{folder} (training.checkpoint_dir): a file could not be written there: {reason}; {_free_space(folder)}. "
            "Make room, then go on with --resume; finished checkpoints are kept."
        ) from fault


def _first_result(folder: Path) -> Path | None:
    """Something that took work to make; the log alone is what an early Ctrl-C leaves."""
    found = (path for pattern in RESULTS for path in sorted(folder.glob(pattern)))
    return next(iter([*all_checkpoints(folder)[-1:], *found]), None)


def _check_writable(folder: Path) -> None:
    place = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        reason = "may not be written to" if place.is_dir() else "is a file"
        raise CheckpointError(
            f"{folder}: can't be written ({place} {reason}). Set another training.checkpoint_dir."
        )


def _check_unchanged(config: Config, checkpoint: Path) -> None:
    saved = checkpoint / "config.yaml"
    if not saved.exists():
        return
    was, now = (flatten(each.model_dump(mode="json")) for each in (load_config(saved), config))
    changed = [
        f"{key}: {was.get(key)} -> {now.get(key)}"
        for key in dict.fromkeys([*was, *now])
        if was.get(key) != now.get(key)
        and not may_change(key)
        and not (key == TRAIN_TABLE and (checkpoint / FACTS).exists())
    ]
    # what one process accumulates, several may share: the steps are the same
    processes, earlier = int(os.environ.get("WORLD_SIZE", "1")), count_processes(checkpoint)
    share, earlier_share = now[ACCUMULATION], was[ACCUMULATION]
    changed = [line for line in changed if not line.startswith(ACCUMULATION)]
    if processes * share != earlier * earlier_share:
        changed.append(
            f"processes x {ACCUMULATION}: {earlier} x {earlier_share} -> {processes} x {share}"
        )
    if changed:
        raise CheckpointError(
            f"{checkpoint}: was made with other settings, so the run can't go on from it:\n"
            + "\n".join(f"  - {line}" for line in changed)
            + "\nSet them back; or start anew with --overwrite, or in another training.checkpoint_dir."
        )


def may_change(key: str) -> bool:
    """Whether a run can go on with another value of a setting, given by its dotted key."""
    inside = any(key == allowed or key.startswith(f"{allowed}.") for allowed in MAY_CHANGE)
    return inside or key.startswith(HF_MAY_CHANGE)


def _failed_write(fault: BaseException | None, folder: Path) -> str | None:
    """Why a file of the run could not be written, if that is what went wrong."""
    likely: str | None = None
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in FAILED_WRITES:
            inside = not fault.filename or _is_inside(Path(str(fault.filename)), folder)
            return FAILED_WRITES[fault.errno] if inside else likely
        likely = _told_by(str(fault)) or likely
        fault = fault.__cause__ or fault.__context__
    return likely


def _told_by(message: str) -> str | None:
    if "DataLoader worker" in message:  # it writes nothing but shared memory
        return None
    signs = SIGNS_OF_A_FAILED_WRITE.items()
    return next((reason for sign, reason in signs if sign in message), None)


def _is_inside(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def _free_space(folder: Path) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "its free space is not known"
    # never rounded up: what is said to be free would be missed
    return f"{math.floor(free / 2**20 * 10) / 10:,.1f} MiB are free"
