"""Which runs are compared: systems of one run, or of several that differ by seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from signseq.config import load_config
from signseq.errors import DataError, SignSeqError
from signseq.predictions import Predictions, read_predictions

__all__ = ["group_seeds", "parse_systems", "read_systems"]


def parse_systems(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Systems of the command line: `RUN`, or `NAME=RUN,RUN,...` for several runs of one system.

    Runs without a name that differ only by seed are one system.

    Raises:
        DataError: If there are fewer than two runs, or two systems have one name.
    """
    systems: dict[str, list[Path]] = {}
    plain: list[str] = []
    for argument in arguments:
        name, separator, places = argument.partition("=")
        if separator and not Path(argument).exists():
            runs = [Path(place) for place in places.split(",")]
        else:
            name, runs = argument, [Path(argument)]
            plain.append(name)
        if name in systems:
            raise DataError(
                f"{name!r} is named twice; several runs of one system go as {name}=RUN,RUN."
            )
        systems[name] = runs
    if sum(map(len, systems.values())) < 2:
        raise DataError("There is one run to compare; name two or more, the baseline first.")
    grouped: dict[str, list[Path]] = {}
    groups = group_seeds(plain)
    together = {run: name for name, members in groups.items() for run in members}
    for name, runs in systems.items():
        group = together.get(runs[0]) if name in plain else None
        grouped[group or name] = groups[group] if group else runs
    return grouped


def group_seeds(runs: Sequence[str | Path]) -> dict[str, list[Path]]:
    """Runs whose configs differ by seed and folder alone, under a name for them together.

    Runs with the same seed, and those without a readable config, are not grouped.
    """
    found: dict[str, dict[int, list[Path]]] = {}
    for run in map(Path, runs):
        if not (run / "config.yaml").is_file():
            continue
        try:
            config = load_config(run / "config.yaml")
        except SignSeqError:  # said where the config is needed
            continue
        settings = config.model_dump(mode="json")
        seed = settings.pop("seed")
        for own in ("checkpoint_dir", "run_name"):
            settings["training"].pop(own)
        found.setdefault(repr(settings), {}).setdefault(seed, []).append(run)
    return {
        f"{next(iter(seeds.values()))[0]} ({len(seeds)} seeds)": [run for [run] in seeds.values()]
        for seeds in found.values()
        if len(seeds) > 1 and all(len(same) == 1 for same in seeds.values())
    }


def read_systems(
    systems: Mapping[str, Sequence[Path]], *, split: str = "test"
) -> dict[str, list[Predictions]]:
    """Read every run's predictions, all brought to the order of the first.

    Raises:
        DataError: If one has none, or they aren't of the same clips with the same references.
    """
    found = {
        name: [read_predictions(Path(place), split=split) for place in places]
        for name, places in systems.items()
    }
    first = next(iter(found.values()))[0]
    return {name: [_aligned(first, run) for run in runs] for name, runs in found.items()}


def _aligned(first: Predictions, other: Predictions) -> Predictions:
    """The other run in the order of the first one's clips."""
    places = {uid: number for number, uid in enumerate(other.uids)}
    missing = [uid for uid in first.uids if uid not in places]
    known = set(first.uids)
    more = [uid for uid in other.uids if uid not in known]
    refusal = "Scores on different test sets can't be compared: evaluate both on the same."
    if missing or more:
        of = [
            f"{len(uids)} of {run.name}, the first {uids[0]!r}"
            for run, uids in ((first, missing), (other, more))
            if uids
        ]
        raise DataError(
            f"{first.name} and {other.name} are of different clips; without a partner are "
            f"{' and '.join(of)}. {refusal}"
        )
    order = [places[uid] for uid in first.uids]
    references = [other.references[place] for place in order]
    differing = [n for n, text in enumerate(first.references) if text != references[n]]
    if differing:
        number = differing[0]
        raise DataError(
            f"{first.name} and {other.name} have different references for {len(differing)} of {len(order)} clips, the "
            f"first {first.uids[number]!r}: {first.references[number]!r} and {references[number]!r}. {refusal}"
        )
    hypotheses = [other.hypotheses[place] for place in order]
    return Predictions(other.name, first.uids, references, hypotheses)
