"""What `signseq inspect` found: on the terminal, as JSON, and as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from signseq.charts import Measure, draw_measure
from signseq.data.doctor import Finding
from signseq.errors import DataError
from signseq.poses.drawing import ABSENT, SIDE, DrawnPose

__all__ = ["Inspection", "ShownClip", "SplitSummary", "write_html"]

MARK = {"error": "\u2716", "warning": "\u26a0", "note": "\u2139"}


@dataclass(frozen=True)
class SplitSummary:
    """One split in numbers.

    Attributes:
        split: Its name.
        rows: Of its table.
        clips: Those that are measured.
        is_sample: Whether these are only some.
        hours: How long they last.
        frames: Of these, before `step_frames`.
        tokens: Of all texts; None where they can't be counted.
        signers: How many the table names.
        signed_languages: Rows of each.
        text_languages: Rows of each.
        rates: Files opened of each frame rate.
        sizes: Of each picture size.
        people: Of each number of people.
        files_opened: How many these are.
        frames_without_hands: Their share, in the clips looked at; None where the keypoints have no hands.
    """

    split: str
    rows: int
    clips: int
    is_sample: bool
    hours: float
    frames: int
    tokens: int | None
    signers: int
    signed_languages: Mapping[str, int]
    text_languages: Mapping[str, int]
    rates: Mapping[str, int]
    sizes: Mapping[str, int]
    people: Mapping[str, int]
    files_opened: int
    frames_without_hands: float | None


@dataclass(frozen=True)
class ShownClip:
    """A clip that the report shows, and its text."""

    uid: str
    split: str
    text: str
    drawn: DrawnPose


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        splits: Each in numbers.
        measures: What was counted of every clip, over all splits.
        findings: The gravest first.
        advice: Which settings fit, in sentences.
        clips: A few, to be looked at.
    """

    splits: Sequence[SplitSummary]
    measures: Sequence[Measure]
    findings: Sequence[Finding]
    advice: Sequence[str]
    clips: Sequence[ShownClip]

    @property
    def spoils_training(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The findings, counted."""
        counts = Counter(finding.severity for finding in self.findings)
        said = [
            f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}"
            for severity in ("error", "warning", "note")
        ]
        return ", ".join(said)

    def describe(self) -> str:
        """The report as text for a terminal."""
        lines = [_headline(split) for split in self.splits]
        lines += [""]
        for measure in self.measures:
            quantiles = ", ".join(f"{name} {value:g}" for name, value in measure.quantiles.items())
            lines.append(f"{measure.name}: {quantiles or 'unknown'}")
        lines += ["", f"{self.verdict}."]
        for finding in self.findings:
            lines.append(f"{finding.severity} [{finding.where}] {finding.what}")
            lines.append(f"    {finding.advice}")
        if self.advice:
            lines += ["", "Settings that fit:", *(f"  {sentence}" for sentence in self.advice)]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The report as one JSON object; clips are left out, measures are given by their quantiles."""
        facts = {
            "splits": [asdict(split) for split in self.splits],
            "measures": {
                measure.name: {"quantiles": measure.quantiles, "limits": dict(measure.marks)}
                for measure in self.measures
            },
            "findings": [asdict(finding) for finding in self.findings],
            "advice": list(self.advice),
            "spoils_training": self.spoils_training,
        }
        return json.dumps(facts, ensure_ascii=False)

    def to_html(self, *, title: str) -> str:
        """The report as one HTML page without any reference to another file.

        Args:
            title: What was inspected.
        """
        page = files("signseq").joinpath("inspection.html").read_text(encoding="utf-8")
        return Template(page).substitute(
            title=escape(title),
            verdict=escape(self.verdict),
            splits=_table(self.splits),
            charts="\n".join(map(draw_measure, self.measures)),
            findings="\n".join(map(_finding, self.findings)) or "<li>Nothing.</li>",
            advice="\n".join(f"<li>{escape(each)}</li>" for each in self.advice)
            or "<li>None: no clip could be measured.</li>",
            clips="\n".join(_player(number, clip) for number, clip in enumerate(self.clips))
            or "<p>No clip could be read.</p>",
            data=_script_data(self.clips),
        )


def write_html(inspection: Inspection, path: Path, *, title: str) -> None:
    """Write the report as one HTML file.

    Raises:
        DataError: If it can't be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(inspection.to_html(title=title), encoding="utf-8")
        partial.replace(path)
    except OSError as fault:
        raise DataError(f"{path}: can't be written ({fault.strerror}).") from fault


def _headline(split: SplitSummary) -> str:
    sample = ""
    if split.is_sample and split.clips:
        sample = f" (a sample; about {split.hours * split.rows / split.clips:.3g} hours in all)"
    parts = [
        f"{split.split}: {split.rows:,} rows; {split.clips:,} clips, {split.hours:.2f} hours, "
        f"{split.frames:,} frames{sample}"
    ]
    if split.tokens is not None:
        parts.append(f"{split.tokens:,} tokens")
    parts += [f"{name} {_some(counts)}" for name, counts in _facts(split).items() if counts]
    if split.frames_without_hands is not None:
        parts.append(f"{100 * split.frames_without_hands:.1f}% of frames without hands")
    return "; ".join(parts)


def _facts(split: SplitSummary) -> dict[str, Mapping[str, int]]:
    return {
        "signed language": split.signed_languages,
        "text language": split.text_languages,
        "fps": split.rates,
        "picture": split.sizes,
        "people": split.people,
    }


def _some(counts: Mapping[str, int], most: int = 3) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    said = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:most])
    return said + (", ..." if len(counts) > most else "")


def _table(splits: Iterable[SplitSummary]) -> str:
    rows = []
    for split in splits:
        hands = split.frames_without_hands
        cells = [
            f"{split.rows:,}",
            f"{split.clips:,}{' (a sample)' if split.is_sample else ''}",
            f"{split.hours:.2f}",
            f"{split.frames:,}",
            "unknown" if split.tokens is None else f"{split.tokens:,}",
            f"{split.signers:,}" if split.signers else "not said",
            *(_some(counts) or "unknown" for counts in _facts(split).values()),
            "unknown" if hands is None else f"{100 * hands:.1f}%",
        ]
        body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(split.split)}</th>{body}</tr>')
    return "\n".join(rows)


def _finding(finding: Finding) -> str:
    return (
        f'<li class="{finding.severity}"><strong>{MARK[finding.severity]} {finding.severity}</strong> '
        f'<span class="where">{escape(finding.where)}</span> <bdi>{escape(finding.what)}</bdi>'
        f'<br><span class="advice">{escape(finding.advice)}</span></li>'
    )


def _player(number: int, clip: ShownClip) -> str:
    return (
        f'<figure class="clip"><canvas id="clip-{number}" width="320" height="320" role="img" '
        f'aria-label="A skeleton that signs the text below"></canvas>'
        f'<div><button type="button" data-clip="{number}" aria-pressed="false">Pause</button></div>'
        f'<figcaption><bdi dir="auto" class="text">{escape(clip.text)}</bdi>'
        f"<small>{escape(clip.uid)} ({escape(clip.split)}), {len(clip.drawn.points):,} frames at "
        f"{clip.drawn.fps:.3g} per second</small></figcaption></figure>"
    )


def _script_data(clips: Iterable[ShownClip]) -> str:
    """The clips' points for the page's script; nothing in it can end the script."""
    facts = {
        "side": SIDE,
        "absent": ABSENT,
        "clips": [
            {
                "points": clip.drawn.encoded,
                "count": clip.drawn.points.shape[1],
                "edges": clip.drawn.edges,
                "hands": clip.drawn.hands,
                "fps": clip.drawn.fps,
            }
            for clip in clips
        ],
    }
    return json.dumps(facts).replace("<", "\\u003c")
