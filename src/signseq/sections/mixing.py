"""`data.mix`: further training corpora, each given by another experiment's YAML file, by its own keys, or both."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signseq.errors import ConfigError
from signseq.sections.data import DataConfig
from signseq.settings import parse_yaml, read_text

__all__ = ["find_mix_faults", "resolve_mix"]

# What must be the same, as one pose encoder reads all of them.
RECIPE = ("keypoints", "normalize", "fill_gaps", "dimensions", "fps")
# What is a corpus's own. All else of `data` (lengths, augmentation, ...) is the experiment's.
TAKEN = (
    *("corpus", "train_path", "columns", "time_unit", "pose_dir", "video_dir", "pose_files"),
    *("allow_pickle", "store", "max_skipped", "target_language", "prompt", *RECIPE),
)


def resolve_mix(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings in which each corpus of `data.mix` stands with its own keys, read from its file where it names one.

    Raises:
        ConfigError: If a file can't be read or has no data section, or a key is none of a corpus's.
    """
    data = settings.get("data")
    mix = data.get("mix") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(mix, list):
        return settings
    inherited = {key: data[key] for key in RECIPE if key in data}
    corpora = [
        _resolve(entry, inherited, place=f"data.mix, corpus {number}")
        if isinstance(entry, Mapping)
        else entry
        for number, entry in enumerate(mix, start=1)
    ]
    return {**settings, "data": {**data, "mix": corpora}}


def _resolve(
    entry: Mapping[str, Any], inherited: Mapping[str, Any], *, place: str
) -> dict[str, Any]:
    own = {key: value for key, value in entry.items() if key != "config"}
    for key in own:
        if key not in TAKEN:
            near = difflib.get_close_matches(str(key), TAKEN, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: config, {', '.join(TAKEN)}."
            raise ConfigError(f"{place}: {key} is no key of a mixed corpus; {hint}")
    if "config" not in entry:
        return {**inherited, **own}
    path = Path(str(entry["config"]))
    try:
        read = parse_yaml(read_text(path), place=str(path))
    except ConfigError as fault:
        raise ConfigError(f"{place}: {fault}") from fault
    section = read.get("data") if isinstance(read, Mapping) else None
    if not isinstance(section, Mapping):
        raise ConfigError(f"{place}: {path} has no data section.")
    if section.get("mix"):
        raise ConfigError(
            f"{place}: {path} mixes corpora itself. List each of them under data.mix here."
        )
    return {key: value for key, value in section.items() if key in TAKEN} | own


def find_mix_faults(data: DataConfig) -> list[str]:
    """Why the corpora of `data.mix` can't be mixed into an experiment's data; nothing where they can."""
    faults, taken = [], {str(data.store): "data.store"}
    for corpus in data.mixed_corpora:
        name = f"data.mix, {corpus.train_path or corpus.store}"
        faults += [
            f"{name}: {key} is {getattr(corpus, key)!r}, and data.{key} is {getattr(data, key)!r}. All corpora need "
            f"the same poses: give this one data.{key}'s value and a store of its own for them, or change data.{key}."
            for key in RECIPE
            if getattr(corpus, key) != getattr(data, key)
        ]
        if corpus.train_path is None:
            faults.append(f"{name}: train_path is missing.")
        other = taken.setdefault(str(corpus.store), name)
        if other != name:
            faults.append(f"{name}: its store is that of {other}; each corpus needs its own.")
        if any("://" in str(store) for store in (data.store, corpus.store)):
            faults.append(
                f"{name}: only stores on this machine can be mixed, not {data.store} with {corpus.store}. Copy them "
                "into folders, and name those."
            )
    return faults
