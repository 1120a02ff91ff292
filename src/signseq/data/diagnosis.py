"""What is wrong with a config's data, said of what a survey of each split has shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from signseq.config import DataConfig
from signseq.data.doctor import (
    Finding,
    Severity,
    find_files_without_row,
    find_in_report,
    find_rare_values,
    find_unreadable,
    find_unseen_hands,
    share_of,
)
from signseq.data.pose_files import find_unmatched
from signseq.data.splits import video_of
from signseq.data.survey import Survey
from signseq.data.text_findings import (
    find_leaking_texts,
    find_odd_texts,
    find_repeated_texts,
    find_repeated_uids,
    find_shared_values,
)
from signseq.errors import SignSeqError

__all__ = ["diagnose_split", "diagnose_splits"]

# Divided by their makers: what leaks there is a fact to state, not a mistake to mend.
OFFICIAL = {"how2sign", "phoenix", "csl_daily", "openasl", "youtube_asl_h5"}


def diagnose_split(data: DataConfig, survey: Survey) -> Iterator[Finding]:
    """What one split shows by itself."""
    split, most = survey.split, data.max_skipped
    for problem in survey.problems:
        yield Finding(
            "warning" if survey.examples and survey.store else "error",
            "unreadable_table_or_store",
            problem,
            split,
            "Mend what is named. Stores, and embedded corpora, are written by signseq prepare CONFIG.",
        )
    if survey.store is None and survey.examples:
        yield Finding(
            "note",
            "sample",
            f"No finished store fits the config; {share_of(survey.tried, len(survey.examples))} clips were read from "
            "their files, and what is said of lengths, hands and people is of these.",
            split,
            "signseq prepare CONFIG, then inspect again: then all clips are counted.",
        )
    texts = [example.text for example in survey.examples]
    uids = [example.id for example in survey.examples]
    yield from find_odd_texts(uids, texts, split=split)
    yield from find_repeated_texts(texts, split=split)
    unreadable = [
        (uid, reason)
        for uid, reason in survey.unreadable
        if reason != "The text is empty." and not reason.endswith(": no such file.")
    ]
    yield from find_unreadable(
        unreadable,
        seen=survey.tried,
        split=split,
        most=most,
        kind="unreadable_clips",
        verb="can't be read",
    )
    rates = {f"{rate} fps": count for rate, count in survey.rates.items()}
    if data.fps is None:
        yield from find_rare_values("frame rates", rates, split=split)
    yield from find_rare_values("picture sizes", survey.sizes, split=split)
    several = sum(count for people, count in survey.people.items() if people not in ("0", "1"))
    counted = {"clips": survey.opened, "several_people": several}
    report = survey.store.facts["report"] if survey.store else counted
    yield from find_in_report(report, split=split)
    yield from find_unseen_hands(survey.hands, split=split)
    if survey.unusable_points:
        yield Finding(
            "warning",
            "unusable_points",
            f"{survey.unusable_points:,} points have NaN or infinite coordinates.",
            split,
            "They are treated as missing; if they are many, extract the poses again.",
        )


def diagnose_splits(data: DataConfig, surveys: Sequence[Survey]) -> Iterator[Finding]:
    """What the splits show side by side, and beside the pose files; the first is trained on."""
    severity: Severity = "warning" if data.corpus in OFFICIAL else "error"
    rows = {survey.split: survey.examples for survey in surveys if survey.examples}
    uids = {split: [each.id for each in own] for split, own in rows.items()}
    texts = {split: [each.text for each in own] for split, own in rows.items()}
    yield from find_repeated_uids(uids)
    yield from find_leaking_texts(texts, uids, severity=severity)
    videos = {
        split: [video_of(each.id) if video_of(each.id) != each.id else None for each in own]
        for split, own in rows.items()
    }
    yield from find_shared_values("video", videos, severity=severity)
    signers = {split: [each.signer for each in own] for split, own in rows.items()}
    first = next(iter(signers), "")
    for split in list(signers)[1:]:
        pair = {first: signers[first], split: signers[split]}
        yield from find_shared_values("signer", pair, severity="warning")
    examples = [each for own in rows.values() for each in own]
    try:
        unmatched = find_unmatched(examples, data.pose_dir)
    except SignSeqError as fault:
        yield Finding(
            "error", "pose_files", str(fault), str(data.pose_dir), "Mend it, or set data.pose_dir."
        )
        return
    for survey in surveys:
        yield from _about_missing(survey, unmatched.uids, most=data.max_skipped)
    yield from find_files_without_row(unmatched.files, rows=len(examples), place=str(data.pose_dir))


def _about_missing(survey: Survey, missing: frozenset[str], *, most: float) -> Iterator[Finding]:
    own = [example.id for example in survey.examples if example.id in missing]
    if survey.store is not None and len(own) > len(survey.examples) / 2:
        yield Finding(
            "note",
            "rows_without_file",
            f"{share_of(len(own), len(survey.examples))} pose files are not there any more; the store stands "
            "without them.",
            survey.split,
            "Keep the store: it can't be made again without them.",
        )
        return
    yield from find_unreadable(
        [(uid, "") for uid in own],
        seen=len(survey.examples),
        split=survey.split,
        most=most,
        kind="rows_without_file",
        verb="have no pose file",
    )
