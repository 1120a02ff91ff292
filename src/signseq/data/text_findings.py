"""What can be wrong with the rows of a corpus: uids, texts, and what stands in two splits."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from signseq.data.doctor import Finding, Severity, name_some, share_of
from signseq.data.splits import find_repeats, normalize_text

__all__ = [
    "find_leaking_texts",
    "find_odd_texts",
    "find_repeated_texts",
    "find_repeated_uids",
    "find_shared_values",
]

# What an odd text may hold: (what it is called, whether a text does).
ODD: Mapping[str, Callable[[str], object]] = {
    "have a replacement character (U+FFFD)": lambda text: "\ufffd" in text,
    "look like UTF-8 read as Latin-1": re.compile(
        "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|\u00e0[\u00a4\u00a5]"
    ).search,
    "hold control characters": re.compile(r"[\x00-\x1f\x7f-\x9f]").search,
    "hold markup": re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-z]{2,8}|#\d+);").search,
    "hold a web address": re.compile(r"https?://|www\.").search,
    "have no letter": lambda text: not any(unicodedata.category(c)[0] == "L" for c in text),
}


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
