"""What can be wrong with a corpus, found in plain rows and numbers; nothing is read here.

Every function gives `Finding`s, so that terminal, JSON and HTML say the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from signseq.data.splits import find_repeats, normalize_text

__all__ = [
    "Finding",
    "Severity",
    "find_files_without_row",
    "find_leaking_texts",
    "find_odd_texts",
    "find_rare_values",
    "find_repeated_texts",
    "find_repeated_uids",
    "find_shared_values",
    "find_unreadable",
    "find_unseen_hands",
]

Severity = Literal["error", "warning", "note"]
SHOWN = 3  # examples in a message
FEW_HANDS = 0.5  # a clip that shows a hand in less of its frames is hardly readable
MANY_CLIPS = 0.05  # that share of clips is worth a warning

# What an odd text may hold: (what it is called, whether a text does).
ODD: Mapping[str, Callable[[str], object]] = {
    "have a replacement character (U+FFFD)": lambda text: "\ufffd" in text,
    "look like UTF-8 read as Latin-1": re.compile(
        "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|\u00e0[\u00a4\u00a5]"
    ).search,
    "hold control characters": lambda text: any(unicodedata.category(c) == "Cc" for c in text),
    "hold markup": re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-z]{2,8}|#\d+);").search,
    "hold a web address": re.compile(r"https?://|www\.").search,
    "have no letter": lambda text: not any(unicodedata.category(c)[0] == "L" for c in text),
}


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
    shown, more = [], ""
    for name in names:
        if len(shown) == SHOWN:
            more = ", ..."
            break
        shown.append(name)
    return ", ".join(shown) + more


def share_of(count: int, total: int) -> str:
    """`12 of 300 (4.0%)`."""
    return f"{count:,} of {total:,} ({100 * count / max(total, 1):.1f}%)"


def find_odd_texts(
    uids: Sequence[str], texts: Sequence[str], *, split: str, empty: Severity = "error"
) -> Iterator[Finding]:
    """Texts that are empty, damaged, or hold what nobody signs.

    Args:
        uids: N.
        texts: N.
        split: Theirs.
        empty: How grave empty texts are; `prepare` leaves their clips out.
    """
    without = [uid for uid, text in zip(uids, texts, strict=True) if not text.strip()]
    if without:
        yield Finding(
            empty,
            "empty_texts",
            f"{share_of(len(without), len(uids))} texts are empty: {name_some(without)}.",
            split,
            "Write what is signed, or take the rows out of the table; prepare leaves such clips out.",
        )
    for name, is_odd in ODD.items():
        odd = [
            f"{uid} ({_shorten(text)!r})"
            for uid, text in zip(uids, texts, strict=True)
            if text.strip() and is_odd(text)
        ]
        if odd:
            yield Finding(
                "warning",
                "odd_texts",
                f"{share_of(len(odd), len(uids))} texts {name}: {name_some(odd)}.",
                split,
                "Look at them and clean the table: a model learns to write what its texts hold.",
            )


def _shorten(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def find_repeated_uids(uids: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Uids that stand twice in one split, or in two: a clip belongs to one row of one split."""
    for split, own in uids.items():
        twice = [uid for uid, count in Counter(own).items() if count > 1]
        if twice:
            yield Finding(
                "error",
                "repeated_uids",
                f"{len(twice):,} uids stand in several rows: {name_some(twice)}.",
                split,
                "Keep one row of each; prepare refuses such a table.",
            )
    for one, other in combinations(uids, 2):
        both = sorted(set(uids[one]) & set(uids[other]))
        if both:
            yield Finding(
                "error",
                "repeated_uids",
                f"{len(both):,} uids stand in both splits: {name_some(both)}.",
                f"{one}, {other}",
                "Keep each clip in one split; prepare refuses such tables.",
            )


def find_repeated_texts(texts: Sequence[str], *, split: str) -> Iterator[Finding]:
    """Texts that stand more than once within a split."""
    counts = Counter(filter(None, map(normalize_text, texts)))
    again = sum(counts.values()) - len(counts)
    if again:
        text, most = counts.most_common(1)[0]
        yield Finding(
            "note",
            "repeated_texts",
            f"{share_of(again, len(texts))} texts repeat an earlier one of the split; most often, {most:,} times, "
            f"{_shorten(text)!r}.",
            split,
            "A frequent text is what a model writes when it sees nothing; compare the blind baselines of evaluate.",
        )


def find_leaking_texts(
    texts: Mapping[str, Sequence[str]],
    uids: Mapping[str, Sequence[str]],
    *,
    severity: Severity = "error",
) -> Iterator[Finding]:
    """Texts that stand in two splits, word for word or nearly so.

    Args:
        texts: Of each split; the first is the one that is trained on.
        uids: Theirs.
        severity: Of texts with the same words; those that are only similar are a warning at most.
    """
    for one, other in combinations(texts, 2):
        repeats = find_repeats(texts[other], texts[one])
        same = [repeat for repeat in repeats if repeat.similarity == 1]
        near = [repeat for repeat in repeats if repeat.similarity < 1]
        for found, kind, level, said in (
            (same, "leaking_texts", severity, "have the same words as one of"),
            (near, "similar_texts", "warning", "are nearly the same as one of"),
        ):
            if not found:
                continue
            named = (
                f"{uids[other][repeat.number]} and {uids[one][repeat.other]} "
                f"({_shorten(texts[other][repeat.number])!r})"
                for repeat in found
            )
            yield Finding(
                level if severity == "error" else severity,
                kind,
                f"{share_of(len(found), len(texts[other]))} texts of {other} {said} {one}: {name_some(named)}.",
                f"{one}, {other}",
                "A model can know them by heart. Divide the table with: signseq split TABLE OUT --by video "
                "--by text; or, where the corpus is divided so, say the share beside the scores.",
            )


def find_shared_values(
    name: str, values: Mapping[str, Sequence[str | None]], *, severity: Severity
) -> Iterator[Finding]:
    """Videos, or signers, that stand in two splits.

    Args:
        name: `video`, or `signer`.
        values: For each split that of each row; None or empty where it isn't known.
        severity: How grave it is.
    """
    for one, other in combinations(values, 2):
        counts = Counter(value for value in values[other] if value)
        both = sorted(counts.keys() & {value for value in values[one] if value})
        if both:
            rows = sum(counts[value] for value in both)
            yield Finding(
                severity,
                f"shared_{name}s",
                f"{share_of(len(both), len(counts))} {name}s of {other} stand in {one} too: {name_some(both)}; "
                f"that is {share_of(rows, len(values[other]))} of its clips.",
                f"{one}, {other}",
                f"Scores are then of {name}s seen in training. For others: signseq split TABLE OUT --by {name}.",
            )


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
            f"{share_of(few, len(shares))} of the clips looked at show a hand in less than {100 * FEW_HANDS:g}% of their "
            f"frames; of all their frames {100 * (1 - float(shares.mean())):.1f}% show none.",
            split,
            "The estimator lost them, or the person waits; look at a few, and consider data.fill_gaps.",
        )
