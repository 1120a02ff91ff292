"""`signseq average`: the mean of the weights of several checkpoints of one run.

The last checkpoints of a run lie around one minimum, and their mean is often better than each of them
(Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization",
arXiv:1803.05407; Vaswani et al. 2017, arXiv:1706.03762, average the last 5 to 20).
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from signseq.errors import CheckpointError
from signseq.model.checkpoint import check_folder, holds_adapters, read_settings, written_aside

__all__ = ["average"]

WEIGHTS = "*.safetensors"
# What a checkpoint is besides its weights; the state of the trainer is no part of it.
KEPT = ("*.json", "*.yaml", "*.model", "*.txt", "*.jinja")
NOT_KEPT = ("trainer_state.json", "data.json", "windows.json", "scores*.json", "average.json")


def average(checkpoints: Sequence[str | Path], out: str | Path) -> Path:
    """Write a checkpoint whose weights are the mean of those of others; all else is the last one's.

    It is summed up in float32, a tensor at a time.

    Args:
        checkpoints: Two or more full checkpoints of one run, or of runs with the same settings.
        out: A folder that isn't there yet, or is empty.

    Returns:
        `out`.

    Raises:
        CheckpointError: If there are fewer than two, one is named twice, can't be read or holds
            adapters, if they differ in more than their weights, or if `out` can't be written.
    """
    folders, out = [Path(folder) for folder in checkpoints], Path(out)
    if len({folder.resolve() for folder in folders}) < 2:
        raise CheckpointError(
            f"{folders[0] if folders else 'Nothing'}: the mean of one checkpoint is itself. Name two or more of a run; "
            "training.save_total_limit says how many it keeps."
        )
    for folder in folders:
        check_folder(folder)
        if holds_adapters(folder):
            raise CheckpointError(
                f"{folder}: holds adapters, whose mean is not that of what they add. Write full checkpoints of all "
                f"first, with: signseq merge {folder} OUT"
            )
    for one, other in combinations(folders, 2):
        _check_not_the_same(one, other)
    for folder in folders[1:]:
        _check_alike(folders[0], folder)
    with written_aside(out) as aside:
        for path in _kept(folders[-1]):
            shutil.copyfile(path, aside / path.name)
        for path in sorted(folders[-1].glob(WEIGHTS)):
            _write_mean([folder / path.name for folder in folders], aside / path.name)
    return out


def _kept(folder: Path) -> list[Path]:
    dropped = {path for pattern in NOT_KEPT for path in folder.glob(pattern)}
    return sorted({path for pattern in KEPT for path in folder.glob(pattern)} - dropped)


def _check_not_the_same(one: Path, other: Path) -> None:
    """Make sure that no checkpoint counts twice: by two names, or as what its run's folder holds."""
    places = one.resolve(), other.resolve()
    if places[0] == places[1]:
        raise CheckpointError(f"{one} and {other} are one checkpoint. Name each once.")
    if places[0] not in places[1].parents and places[1] not in places[0].parents:
        return
    names = sorted(path.name for path in one.glob(WEIGHTS))
    if filecmp.cmpfiles(one, other, names, shallow=False)[0] != names:
        return
    raise CheckpointError(
        f"{one} and {other} hold the same weights: a run's folder holds those of its best checkpoint. Name one of them."
    )


def _check_alike(first: Path, other: Path) -> None:
    """Make sure that two checkpoints are the same but for their weights."""
    settings = [read_settings(folder / "config.json") for folder in (first, other)]
    for key in sorted(settings[0].keys() | settings[1].keys()):
        was, now = (each.get(key) for each in settings)
        if was != now and key != "transformers_version":
            raise CheckpointError(
                f"{other}: differs from {first} in {key} ({_short(now)}, not {_short(was)}), so the mean of their "
                "weights means nothing. Name checkpoints of one run."
            )
    tokenizers = [folder / "tokenizer.json" for folder in (first, other)]
    if all(path.exists() for path in tokenizers):
        one, two = (path.read_bytes() for path in tokenizers)
        if one != two:
            raise CheckpointError(
                f"{other}: has another tokenizer than {first}. Name checkpoints of one run."
            )
    names = [{path.name for path in folder.glob(WEIGHTS)} for folder in (first, other)]
    if names[0] != names[1]:
        raise CheckpointError(
            f"{other}: its weights are in other files than those of {first}: {', '.join(sorted(names[1]))}."
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _write_mean(paths: Sequence[Path], out: Path) -> None:
    """Of files with the same tensors.

    Raises:
        CheckpointError: If one is damaged or holds other tensors.
    """
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
            names = sorted(files[0].keys())
            for path, file in zip(paths, files, strict=True):
                if sorted(file.keys()) != names:
                    raise CheckpointError(f"{path}: holds other tensors than {paths[0]}.")
            means = {name: _mean([file.get_tensor(name) for file in files], name) for name in names}
            save_file(means, out, metadata=files[0].metadata())
    except SafetensorError as fault:
        raise CheckpointError(
            f"{paths[0].parent} and others: the weights are damaged or can't be written ({fault})."
        ) from fault


def _mean(tensors: Sequence[Tensor], name: str) -> Tensor:
    first = tensors[0]
    if any(tensor.shape != first.shape for tensor in tensors):
        raise CheckpointError(
            f"{name} has other shapes in other checkpoints; they aren't of one run."
        )
    if not first.is_floating_point():
        if any(not tensor.equal(first) for tensor in tensors):
            raise CheckpointError(
                f"{name} isn't the same in all checkpoints; they aren't of one run."
            )
        return first
    total = torch.zeros_like(first, dtype=torch.float32)
    for tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(first.dtype)
