"""What `signseq compare` prints: a table per metric, and one per metric and grouping."""

from __future__ import annotations

from signseq.comparison import Comparison, SystemScore
from signseq.metrics import ERRORS, METRICS

__all__ = ["format_comparison"]

HEADER = f"{'95% interval':>18}{'difference':>12}{'p (boot)':>10}{'p (rand)':>10}"


def format_comparison(found: Comparison) -> str:
    """The comparison as text for a terminal, its groups for the first metric."""
    width = max(map(len, (*found.systems, *found.groups, "baseline")))
    lines = [f"{found.count} clips; normalize: {found.normalize}, tokenize: {found.tokenize}"]
    for metric, systems in found.scores.items():
        less = " (less is better)" if metric in ERRORS else ""
        lines += [
            "",
            f"{METRICS[metric] + less:<{width + 10}}" + HEADER,
        ]
        for name, score in systems.items():
            lines.append(_row(name, score, width))
            if score.spread is not None:
                spread = score.spread
                lines.append(
                    f"{'':<{width}}  over {len(found.systems[name])} runs: {spread.mean:.2f} ± {spread.deviation:.2f} "
                    f"({spread.least:.2f} to {spread.most:.2f})"
                )
    undefined = [METRICS[name] for name in found.signatures if name not in found.scores]
    if undefined:
        lines += ["", f"{', '.join(undefined)}: 0 by definition, as no reference is long enough."]
    lines += _groups(found, width)
    settings = found.settings
    lines += [
        "",
        *(f"{METRICS[name]}: {signature}" for name, signature in found.signatures.items()),
        f"p (boot): paired bootstrap of {settings['resamples']:,} resamples; p (rand): paired approximate "
        f"randomisation of {settings['trials']:,} trials; seed {settings['seed']}. A verdict needs both below 0.05.",
    ]
    if len(found.systems) > 2:
        lines.append("p-values are of single comparisons, not corrected for there being several.")
    return "\n".join(lines)


def _row(name: str, score: SystemScore, width: int) -> str:
    low, high = score.interval
    line = f"{name:<{width}}{score.score:>10.2f}{f'[{low:.2f}, {high:.2f}]':>18}"
    if score.difference is None:
        return line
    found = score.difference
    swapped = "n/a" if found.p_randomization is None else f"{found.p_randomization:.4f}"
    return (
        f"{line}{found.difference:>+12.2f}{found.p_bootstrap:>10.4f}{swapped:>10}  {score.verdict}"
    )


def _groups(found: Comparison, width: int) -> list[str]:
    if not found.groups or not found.scores:
        return []
    metric = next(iter(found.scores))
    lines = ["", f"{METRICS[metric]} by group"]
    for group, part in found.groups.items():
        lines.append(f"{group} ({part.count} clips)")
        if metric not in part.scores:
            lines.append("  no reference here is long enough")
            continue
        lines += [f"  {_row(name, score, width)}" for name, score in part.scores[metric].items()]
    return lines
