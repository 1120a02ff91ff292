"""`signseq report`: what runs score and how their clips fare, on one page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from signseq.comparison import compare
from signseq.errors import DataError
from signseq.reporting.clips import gather_clips
from signseq.reporting.page import Report, write_html
from signseq.reporting.runs import read_run
from signseq.systems import parse_systems, read_systems

__all__ = ["report"]


def report(
    runs: Sequence[str | Path],
    *,
    out: str | Path = "report.html",
    split: str = "test",
    clips: int = 500,
    n_best: int = 3,
    plots: str | Path | None = None,
    trust_remote_code: bool = False,
) -> Path:
    """Write one HTML file with scores, controls, curves and clips of runs that were evaluated.

    Args:
        runs: Run folders, or tables of predictions; the others are compared with the first. Those
            that differ by seed alone are compared as one system.
        out: Where the page goes.
        split: Whose predictions, of run folders.
        clips: How many to show: the best, the worst, and some between.
        n_best: Outputs of each clip to search for with the checkpoints, which gives the attention
            too; 0 loads none.
        plots: A folder for plots as files too, by matplotlib; None draws none.
        trust_remote_code: Run code of the text model's author, as training did.

    Returns:
        Where the page is.

    Raises:
        DataError: If a run has no predictions, runs are of different clips, or the page can't be written.
        MissingExtraError: If plots are wanted and matplotlib is missing.
    """
    names = [str(run) for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{twice!r} is named twice.")
    if clips < 1:
        raise DataError(f"{clips} clips: expected 1 or more.")
    if plots is not None:  # what is missing is said before the model runs
        from signseq.reporting.plots import check_matplotlib

        check_matplotlib()
    systems = read_systems({name: [Path(name)] for name in names}, split=split)
    found = [
        read_run(name, Path(name), predictions=predictions, split=split)
        for name, [predictions] in systems.items()
    ]
    shown = gather_clips(
        found, split=split, count=clips, n_best=n_best, trust_remote_code=trust_remote_code
    )
    first = found[0].scores
    comparison = (
        compare(
            {
                name: [systems[place][0] for place in places]
                for name, places in _together(names).items()
            },
            normalize=first.get("normalize", "none"),
            tokenize=first.get("tokenize", "auto"),
        )
        if len(found) > 1
        else None
    )
    write_html(Report(found, split, shown, comparison), Path(out))
    if plots is not None:
        from signseq.reporting.plots import write_plots

        write_plots(found, shown, Path(plots))
    return Path(out)


def _together(names: Sequence[str]) -> dict[str, list[str]]:
    """What is compared: runs that differ by seed alone together."""
    own = {Path(name): name for name in names}
    return {
        system: [own[place] for place in places] for system, places in parse_systems(names).items()
    }
