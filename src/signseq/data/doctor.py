"""What can be wrong with the clips of a corpus, found in plain numbers; nothing is read here.

Every function gives `Finding`s, so that terminal, JSON and HTML say the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Finding",
    "Severity",
    "find_files_without_row",
    "find_in_report",
    "find_rare_values",
    "find_unreadable",
    "find_unseen_hands",
    "name_some",
    "share_of",
]

Severity = Literal["error", "warning", "note"]
SHOWN = 3  # examples in a message
FEW_HANDS = 0.5  # a clip that shows a hand in less of its frames is hardly readable
FEW = 0.01  # that share of clips is worth a warning where each is a fault
MANY_CLIPS = 0.05  # and that one where it may be as it should


@dataclass(frozen=True)
class Finding:
    """One thing that is worth knowing of a corpus.

    Attributes:
        severity: `error` for what spoils training or its scores, `warning`, or `note`.
        kind: A name for it that doesn't change, e.g. `leaking_texts`.
        what: What was found, a sentence with its numbers.
        where: The split, the splits, or the file.
        advice: What to do.
    """

    severity: Severity
    kind: str
    what: str
    where: str
    advice: str


def name_some(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    shown: list[str] = []
    more = ""
    for name in names:
        if len(shown) == SHOWN:
            more = ", ..."
            break
        shown.append(name)
    return ", ".join(shown) + more


def share_of(count: int, total: int) -> str:
    """`12 of 300 (4.0%)`."""
    return f"{count:,} of {total:,} ({100 * count / max(total, 1):.1f}%)"


def find_files_without_row(names: Sequence[str], *, rows: int, place: str) -> Iterator[Finding]:
    """Pose files that no row of any split names."""
    if names:
        yield Finding(
            "warning" if len(names) > MANY_CLIPS * rows else "note",
            "files_without_row",
            f"{len(names):,} pose files have no row in any table of the config: {name_some(names)}.",
            place,
            "They are not used. If they should be: are their uids spelled as the files are, and is a table missing?",
        )


def find_unreadable(
    faults: Sequence[tuple[str, str]], *, seen: int, split: str, most: float, kind: str, verb: str
) -> Iterator[Finding]:
    """Clips that can't be used.

    Args:
        faults: Uid and reason of each.
        seen: Clips that were looked at.
        split: Theirs.
        most: The share that may be left out: `data.max_skipped`.
        kind: The finding's name.
        verb: What is wrong with them, e.g. `have no pose file`.
    """
    if not faults:
        return
    is_grave = len(faults) > most * seen
    reasons = Counter(_without_place(reason) for _, reason in faults).most_common(3)
    said = "; ".join(f"{count:,} x {reason}" for reason, count in reasons if reason)
    yield Finding(
        "error" if is_grave else "warning",
        kind,
        f"{share_of(len(faults), seen)} clips {verb}: {name_some(uid for uid, _ in faults)}."
        + (f" Most often: {said}" if said else ""),
        split,
        f"At most {100 * most:g}% may be left out (data.max_skipped): mend them, or raise it."
        if is_grave
        else "They are left out; data.max_skipped allows it.",
    )


def _without_place(reason: str) -> str:
    """A reason without the file's name in front, so that equal ones can be counted."""
    return re.sub(r"^\S*[/\\.]\S*: ", "", reason)


def find_rare_values(
    name: str, counts: Mapping[str, int], *, split: str, common: float = 0.9
) -> Iterator[Finding]:
    """Frame rates or picture sizes that differ within a split.

    Args:
        name: What is counted, in the plural.
        counts: Clips of each value.
        split: Theirs.
        common: Where the most frequent value has less than this share, it's a warning.
    """
    if len(counts) < 2:
        return
    total, ordered = sum(counts.values()), Counter(counts).most_common()
    said = ", ".join(f"{value} ({100 * count / total:.0f}%)" for value, count in ordered[:4])
    is_mixed = ordered[0][1] < common * total
    advice = {
        "frame rates": "Set data.fps, so that the same movement takes the same number of frames.",
        "picture sizes": "Normalised poses don't depend on them; with data.normalize: none they would.",
    }
    yield Finding(
        "warning" if is_mixed and name == "frame rates" else "note",
        name.replace(" ", "_"),
        f"{len(counts):,} different {name}: {said}{', ...' if len(ordered) > 4 else ''}.",
        split,
        advice.get(name, "Look at the rare ones."),
    )


def find_unseen_hands(shares: NDArray[np.float64], *, split: str) -> Iterator[Finding]:
    """Clips whose frames show no hand.

    Args:
        shares: Of each clip that was looked at, the share of frames with a visible hand, (N,).
        split: Theirs.
    """
    if not len(shares):
        return
    few = int((shares < FEW_HANDS).sum())
    if few:
        yield Finding(
            "warning" if few > MANY_CLIPS * len(shares) else "note",
            "unseen_hands",
            f"{share_of(few, len(shares))} of the clips looked at show a hand in less than {100 * FEW_HANDS:g}% of "
            f"their frames; of all their frames {100 * (1 - float(shares.mean())):.1f}% show none.",
            split,
            "The estimator lost them, or the person waits; look at a few, and consider data.fill_gaps.",
        )


def find_in_report(report: Mapping[str, Any], *, split: str) -> Iterator[Finding]:
    """What `prepare` counted while it packed the clips, where it is worth a look.

    Args:
        report: The `report` of a store's facts.
        split: The store's.
    """
    clips = report["clips"]
    for kind, said, advice in (
        (
            "several_people",
            "clips show several people",
            "The most visible one was taken; look at some of them if signers take turns.",
        ),
        (
            "without_hands",
            "clips never show a hand",
            "Nothing can be learned from them; take them out, or extract their poses again.",
        ),
        (
            "ends_outside",
            "clips end more than a second after their file does",
            "Do the table's times belong to these files? data.time_unit says what they are.",
        ),
    ):
        count = report.get(kind, 0)
        if count:
            level: Severity = "warning" if count > FEW * clips else "note"
            yield Finding(level, kind, f"{share_of(count, clips)} {said}.", split, advice)
    if report.get("missing_frames"):
        yield Finding(
            "warning",
            "missing_frames",
            f"{share_of(report['missing_frames'], report['frames'])} frames have no file of their own.",
            split,
            "They show nobody; unpack or fetch the frames again.",
        )
    if len(report.get("estimators", {})) > 1:
        named = ", ".join(f"{name} ({count:,})" for name, count in report["estimators"].items())
        yield Finding(
            "note",
            "several_estimators",
            f"The poses come from several estimators: {named}.",
            split,
            "Points that one of them lacks are masked; docs/poses.md says which.",
        )
