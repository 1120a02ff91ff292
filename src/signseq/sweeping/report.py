"""What a sweep found: a table on the terminal, `sweep.csv`, `sweep.html` and `best.yaml`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import mean, stdev

from signseq.charts import Curve, Panel, draw_bars, draw_panels
from signseq.config import Config, save_config
from signseq.sweeping.records import TrialRecord, ranked
from signseq.sweeping.space import Choice, Range, Space, as_text, trial_overrides
from signseq.sweeping.trials import trial_config, trial_folder

__all__ = ["SweepReport"]

SHOWN = 10  # trials on the terminal
SEED = "seed"  # the key whose values are no setting to choose among


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found so far.

    Attributes:
        config: The sweep's.
        space: What was tried.
        metric: What trials were judged by.
        maximize: Whether higher is better.
        records: All trials.
        importances: How much each parameter matters, by key; may be empty.
    """

    config: Config
    space: Space
    metric: str
    maximize: bool
    records: Sequence[TrialRecord]
    importances: Mapping[str, float]

    @property
    def best(self) -> TrialRecord | None:
        """The best trial; None if none is complete."""
        return next(iter(ranked(self.records, maximize=self.maximize)), None)

    @property
    def folder(self) -> Path:
        """Where the sweep keeps its files."""
        return self.config.training.checkpoint_dir

    def describe(self) -> str:
        """The report as text for a terminal: the best trials, and where all of them are."""
        counts = Counter(record.state for record in self.records)
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        lines = [f"{len(self.records)} trials: {said or 'none yet'}."]
        keys = [each.key for each in self.space.parameters]
        rows = [["trial", self.metric, *keys]]
        for record in ranked(self.records, maximize=self.maximize)[:SHOWN]:
            rows.append([f"{record.number:04d}", f"{record.score:.4g}", *_texts(record, keys)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if len(rows) > 1:
            lines += [
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
                for row in rows
            ]
        lines += self._over_seeds()
        reasons = Counter(record.reason for record in self.records if record.reason)
        lines += [f"failed ({count}): {reason}" for reason, count in reasons.most_common(3)]
        if self.importances:
            shares = ", ".join(f"{key} {share:.2f}" for key, share in self.importances.items())
            lines.append(f"importance: {shares}")
        lines.append(f"All trials: {self.folder / 'sweep.csv'}, {self.folder / 'sweep.html'}")
        if self.best is not None:
            place = self.folder / "best.yaml"
            lines.append(
                f"The best one's weights: {trial_folder(self.config, self.best.number)}; its config: {place}"
            )
        return "\n".join(lines)

    def _over_seeds(self) -> list[str]:
        """Where seeds were tried, too: mean and standard deviation over them, of each of the other values."""
        groups: dict[str, list[float]] = {}
        for record in ranked(self.records, maximize=self.maximize):
            if SEED in record.values and record.score is not None:
                others = {key: each for key, each in record.values.items() if key != SEED}
                groups.setdefault(", ".join(trial_overrides(others)), []).append(record.score)
        return [
            f"{self.metric} over {len(scores)} seeds{f' with {others}' if others else ''}: "
            f"mean {mean(scores):.4g}, standard deviation {stdev(scores):.2g}"
            for others, scores in sorted(
                groups.items(), key=lambda group: mean(group[1]), reverse=self.maximize
            )
            if len(scores) > 1
        ]

    def write(self) -> None:
        """Write the files into the sweep's folder."""
        _write_whole(self.folder / "sweep.csv", self._table())
        _write_whole(self.folder / "sweep.html", self._page())
        if self.best is not None:
            config = trial_config(
                self.config,
                self.best.values,
                folder=self.folder / "best",
                metric=self.metric,
            )
            partial = self.folder / ".best.yaml.part"
            save_config(config, partial)
            partial.replace(self.folder / "best.yaml")

    def _table(self) -> str:
        keys = [each.key for each in self.space.parameters]
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(
            ["trial", "state", self.metric, *keys, "evaluations", "seconds", "attempts", "reason"]
        )
        for record in self.records:
            score = "" if record.score is None else f"{record.score:.6g}"
            seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
            writer.writerow(
                [
                    record.number,
                    record.state,
                    score,
                    *_texts(record, keys),
                    len(record.scores),
                    seconds,
                    record.attempts,
                    record.reason or "",
                ]
            )
        return table.getvalue()

    def _page(self) -> str:
        keys = [each.key for each in self.space.parameters]
        heads = "".join(
            f"<th>{escape(name)}</th>" for name in ("trial", "state", self.metric, *keys, "reason")
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{escape(cell)}</td>"
                for cell in (
                    f"{record.number:04d}",
                    record.state,
                    "" if record.score is None else f"{record.score:.4g}",
                    *_texts(record, keys),
                    record.reason or "",
                )
            )
            + "</tr>"
            for record in [
                *ranked(self.records, maximize=self.maximize),
                *(record for record in self.records if record.score is None),
            ]
        )
        importance = (
            draw_bars(self.importances, label="Importance of each parameter")
            if self.importances
            else "<p>Not known: it takes two parameters, and trials whose scores differ.</p>"
        )
        panels = [self._history(), *map(self._effect, self.space.parameters)]
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sweep</title><style>'
            "body{font:16px/1.4 sans-serif;max-width:72em;margin:1em auto;padding:0 1em}"
            "svg{width:100%;height:auto}table{border-collapse:collapse}"
            "td,th{text-align:left;padding:.1em .8em;border-bottom:1px solid #ccc}</style>"
            f"<h1>Sweep</h1><pre>{escape(self.describe())}</pre>"
            f"{draw_panels(panels, label='Scores of the trials')}<h2>Importance</h2>{importance}"
            f"<h2>Trials</h2><table><tr>{heads}</tr>{rows}</table></html>\n"
        )

    def _history(self) -> Panel:
        better = max if self.maximize else min
        done = [record for record in self.records if record.score is not None]
        scores = [record.score for record in done if record.score is not None]
        best = [
            (float(record.number), better(scores[: place + 1])) for place, record in enumerate(done)
        ]
        points = [(float(r.number), score) for r, score in zip(done, scores, strict=True)]
        pruned = [
            (float(record.number), better(record.scores.values()))
            for record in self.records
            if record.state == "pruned" and record.scores
        ]
        labels = [f"trial {record.number}" for record in done]
        return Panel(
            "History",
            [
                Curve("best so far", best),
                Curve(self.metric, points, is_line=False, labels=labels),
                Curve("pruned", pruned, is_line=False),
            ],
            x_name="trial",
        )

    def _effect(self, parameter: Choice | Range) -> Panel:
        """The scores by a parameter's values; what is no number is numbered."""
        options = parameter.options or ()
        are_numbers = isinstance(parameter, Range) or all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in options
        )
        spread = [abs(value) for value in options if value] if are_numbers else []
        is_log = (isinstance(parameter, Range) and parameter.is_log) or (
            are_numbers
            and isinstance(parameter, Choice)
            and all(value > 0 for value in options)
            and max(spread) >= 10 * min(spread)
        )
        points, labels = [], []
        for record in self.records:
            if record.score is not None:
                value = record.values[parameter.key]
                place = float(value) if are_numbers else float(options.index(value))
                points.append((place, record.score))
                labels.append(f"trial {record.number}: {as_text(value)}")
        x_name = (
            "" if are_numbers else ", ".join(f"{i} {as_text(o)}" for i, o in enumerate(options))
        )
        curve = Curve(self.metric, points, is_line=False, labels=labels)
        return Panel(parameter.key, [curve], x_name=x_name[:60], is_log=is_log)


def _texts(record: TrialRecord, keys: Sequence[str]) -> list[str]:
    return [as_text(record.values[key]) if key in record.values else "" for key in keys]


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
