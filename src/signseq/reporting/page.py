"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from signseq.charts import Curve, Panel, draw_panels
from signseq.comparison import Comparison, SystemScore
from signseq.metrics import ERRORS, METRICS
from signseq.metrics.significance import LEVEL
from signseq.playing.pages import player_script, write_whole
from signseq.playing.skeletons import PACKED_ABSENT, PACKED_SIDE, pack_poses
from signseq.reporting.clips import Clips, Output, ReportClip
from signseq.reporting.runs import Run
from signseq.score_findings import LOSS_METRICS
from signseq.training.tracking.curves import PANELS

__all__ = ["MOST_BYTES", "Report", "points_of", "to_html", "write_html"]

MOST_BYTES = 4_900_000  # of the page, unless the texts alone are larger


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Attributes:
        runs: The first is what the others are compared with.
        split: Whose clips.
        clips: Those shown.
        comparison: Of several runs.
    """

    runs: Sequence[Run]
    split: str
    clips: Clips
    comparison: Comparison | None


def write_html(report: Report, path: Path) -> None:
    """Write the report.

    Raises:
        DataError: If it can't be written.
    """
    write_whole(to_html(report), path)


def to_html(report: Report) -> str:
    """The report as one HTML page without any reference to another file."""
    template = files("signseq.reporting").joinpath("report.html").read_text(encoding="utf-8")
    parts = {
        "player": player_script(),
        "title": escape(", ".join(run.name for run in report.runs)),
        "split": escape(report.split),
        "total": f"{report.clips.total:,}",
        "warnings": _warnings(report.runs),
        "scores": _scores(report.runs),
        "signatures": _signatures(report.runs[0].scores),
        "controls": "\n".join(filter(None, map(_controls, report.runs)))
        or "<p>None were scored: <code>signseq evaluate RUN --controls all</code></p>",
        "comparison": _comparison(report.comparison) if report.comparison else "",
        "curves": "\n".join(filter(None, map(_curves, report.runs))) or "<p>There is no log.</p>",
        "single": "" if len(report.runs) > 1 else "hidden",
        "notes": _list(
            [
                *report.clips.notes,
                *(f"{run.name}: {note}" for run in report.runs for note in run.notes),
            ]
        ),
    }
    page = Template(template).safe_substitute(parts)
    room = MOST_BYTES - len(page.encode())
    return page.replace("<!-- data -->", _script_data(report, room=room))


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _warnings(runs: Sequence[Run]) -> str:
    several = len(runs) > 1
    found = [
        f"{run.name}: {warning}" if several else str(warning)
        for run in runs
        for warning in run.scores.get("warnings", ())
    ]
    if not found:
        return ""
    return (
        '<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">'
        f'<span aria-hidden="true">\u26a0</span> Before you trust the scores</h2>{_list(found)}</section>'
    )


def _number(value: Any, ends: Sequence[float] | None = None) -> str:
    if value is None:
        return "n/a"
    span = f" <small>[{ends[0]:.2f}, {ends[1]:.2f}]</small>" if ends else ""
    return f"{value:.2f}{span}"


def _scores(runs: Sequence[Run]) -> str:
    names = [name for name in METRICS if any(name in run.scores for run in runs)]
    head = "".join(f'<th scope="col"><bdi>{escape(run.name)}</bdi></th>' for run in runs)
    rows = []
    for name in names:
        less = " <small>(less is better)</small>" if name in ERRORS else ""
        cells = "".join(
            f"<td>{_number(run.scores.get(name), run.scores.get('intervals', {}).get(name))}</td>"
            for run in runs
        )
        rows.append(f'<tr><th scope="row">{escape(METRICS[name])}{less}</th>{cells}</tr>')
    return f'<thead><tr><th scope="col">Score</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'


def _signatures(scores: Mapping[str, Any]) -> str:
    pairs = {METRICS.get(name, name): text for name, text in scores.get("signatures", {}).items()}
    pairs |= {key: str(scores.get(key, "unknown")) for key in ("normalize", "tokenize")}
    return "".join(
        f"<dt>{escape(str(name))}</dt><dd><code>{escape(str(text))}</code></dd>"
        for name, text in pairs.items()
    )


def _controls(run: Run) -> str:
    blind, seeing = run.scores.get("blind", {}), run.scores.get("controls", {})
    if not blind and not seeing:
        return ""
    losses = run.scores.get("losses", {})
    head = "".join(f'<th scope="col">{escape(METRICS[name])}</th>' for name in LOSS_METRICS)
    rows = [_control("the model", run.scores, None)]
    rows += [
        _control(name, scores, losses.get(name))
        for name, scores in (*blind.items(), *seeing.items())
    ]
    return (
        '<div class="table" role="region" aria-label="Controls" tabindex="0"><table>'
        f'<caption><bdi>{escape(run.name)}</bdi></caption><thead><tr><th scope="col">Poses</th>{head}'
        '<th scope="col">chrF, less the model\'s</th><th scope="col">p</th><th scope="col">At 95%</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _control(name: str, scores: Mapping[str, Any], losses: Mapping[str, Any] | None) -> str:
    cells = [_number(scores.get(metric)) for metric in LOSS_METRICS]
    found = (losses or {}).get("chrf")
    if found:
        p = max(found["p_bootstrap"], found["p_randomization"] or 0.0)
        verdict = (
            "no difference to be told"
            if p >= LEVEL
            else "worse than the model"
            if found["difference"] < 0
            else "better than the model"
        )
        cells += [f"{found['difference']:+.2f}", f"{p:.4f}", verdict]
    else:
        cells += [""] * 3
    body = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{body}</tr>'


def _comparison(found: Comparison) -> str:
    rows = []
    for metric, systems in found.scores.items():
        for name, score in systems.items():
            cells = [_number(score.score, score.interval) + _spread(score, found.systems[name])]
            if score.difference is None:
                cells += ["", "", "the baseline" if len(systems) > 1 else ""]
            else:
                p = max(score.difference.p_bootstrap, score.difference.p_randomization or 0.0)
                cells += [f"{score.difference.difference:+.2f}", f"{p:.4f}", escape(score.verdict)]
            body = "".join(f"<td>{cell}</td>" for cell in cells)
            rows.append(
                f'<tr><th scope="row">{escape(METRICS[metric])}</th><td><bdi>{escape(name)}</bdi></td>{body}</tr>'
            )
    return (
        '<section aria-labelledby="comparison"><h2 id="comparison">Compared</h2>'
        '<div class="table" role="region" aria-labelledby="comparison" tabindex="0"><table><thead><tr>'
        '<th scope="col">Score</th><th scope="col">Run</th><th scope="col">Value and 95% interval</th>'
        '<th scope="col">Difference</th><th scope="col">p</th><th scope="col">Verdict</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div><p><small>p: the larger of paired bootstrap and "
        "paired approximate randomisation.</small></p></section>"
    )


def _spread(score: SystemScore, runs: Sequence[str]) -> str:
    if score.spread is None:
        return ""
    own = score.spread
    told = (
        f"mean of {len(runs)} runs, \u00b1 {own.deviation:.2f} ({own.least:.2f} to {own.most:.2f})"
    )
    return f"<br><small>{told}</small>"


def points_of(log: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """A value of the log over its steps."""
    return [
        (float(entry["step"]), float(entry[key]))
        for entry in log
        if isinstance(entry.get(key), int | float) and "step" in entry
    ]


def _curves(run: Run) -> str:
    panels = [
        Panel(
            title,
            [Curve(name, points_of(run.log, key)) for name, key in curves.items()],
            x_name="step",
        )
        for title, curves in PANELS.items()
    ]
    panels = [panel for panel in panels if any(curve.points for curve in panel.curves)]
    if not panels:
        return ""
    drawn = draw_panels(panels, label=f"Learning curves of {run.name}")
    return f'<figure class="chart"><figcaption><bdi>{escape(run.name)}</bdi></figcaption>{drawn}</figure>'


def _script_data(report: Report, *, room: int) -> str:
    """The clips for the page's script; nothing in it can end the script."""
    clips = report.clips.shown
    drawn = [clip.pose for clip in clips if clip.pose is not None]
    like = drawn[0] if drawn else None
    facts: dict[str, Any] = {
        "side": PACKED_SIDE,
        "absent": PACKED_ABSENT,
        "points": like.points.shape[1] if like else 0,
        "edges": like.edges if like else [],
        "hands": like.hands if like else [],
        "runs": [run.name for run in report.runs],
        "clips": [_clip(clip) for clip in clips],
    }
    budget = room - len(_json(facts).encode()) - 60 * len(clips)
    packed = iter(pack_poses(drawn, budget=max(budget, 0)))
    for told, clip in zip(facts["clips"], clips, strict=True):
        if clip.pose is not None:
            pose = next(packed)
            told["pose"] = {
                "data": pose.data,
                "frames": pose.frames,
                "seconds": round(pose.seconds, 3),
            }
    return _json(facts)


def _json(facts: Any) -> str:
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _clip(clip: ReportClip) -> dict[str, Any]:
    first = clip.outputs[0].difference
    return {
        "uid": clip.uid,
        "text": clip.reference,
        "words": first.reference,
        "outputs": [_output(output) for output in clip.outputs],
    }


def _output(output: Output) -> dict[str, Any]:
    told: dict[str, Any] = {
        "text": output.text,
        "words": output.difference.output,
        "extra": _flags(output.difference.extra),
        "missing": _flags(output.difference.missing),
        "score": round(output.score, 1),
    }
    if output.look is not None:
        told["best"] = [[text, round(score, 3)] for text, score in output.look.n_best]
        if output.look.attention is not None:
            told["attention"] = output.look.attention.encoded
            told["seconds"] = round(output.look.attention.seconds, 3)
    return told


def _flags(values: Sequence[bool]) -> str:
    return "".join("1" if value else "0" for value in values)
