"""`signseq inspect`: what is in a corpus, what is wrong with it, and which settings fit it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.charts import Measure
from signseq.config import Config, parse_config
from signseq.data import limits as lengths
from signseq.data.diagnosis import diagnose_split, diagnose_splits
from signseq.data.doctor import Finding, Severity
from signseq.data.limits import Limits
from signseq.data.splits import normalize_text
from signseq.data.survey import Survey, read_packed, survey_split
from signseq.errors import DataError, SignSeqError
from signseq.inspection_report import Inspection, ShownClip, SplitSummary
from signseq.poses.drawing import draw_pose
from signseq.preparation import build_recipe
from signseq.progress import Progress

__all__ = ["config_of_folder", "inspect"]

SAMPLE = 200  # files of a split to read where there is no store
CLIPS_SHOWN = 6
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


def config_of_folder(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """A config for a folder that has none: its tables, its poses, and defaults for all else.

    Args:
        folder: Holds `train`, `val` and `test` as .csv or .tsv, some of them at least, and the poses in
            `poses` or beside the tables.
        overrides: Dotted settings.

    Raises:
        DataError: If there is no table.
    """
    tables = {
        split: path
        for split in ("train", "val", "test")
        for path in (folder / f"{split}.tsv", folder / f"{split}.csv")
        if path.is_file()
    }
    if not tables:
        raise DataError(
            f"{folder}: no train, val or test as .csv or .tsv there. Name a config instead, which says where they are."
        )
    poses = folder / "poses"
    data = {f"{split}_path": str(path) for split, path in tables.items()}
    data["corpus"] = "tsv" if all(path.suffix == ".tsv" for path in tables.values()) else "csv"
    data["pose_dir"] = str(poses if poses.is_dir() else folder)
    data["store"] = str(folder / "store")
    settings = {
        "data": data,
        "model": {"name": "t5-small"},
        "training": {"checkpoint_dir": str(folder / "run")},
    }
    return parse_config(settings, overrides, place=str(folder))


def inspect(config: Config, *, sample: int = SAMPLE) -> Inspection:
    """Look a corpus over; nothing is written, and nothing is fetched from a network.

    Where the store is prepared, it is read; of a split without one a sample of its pose files is.

    Args:
        config: The experiment.
        sample: Files of a split to read where there is no store.

    Raises:
        DataError: If the config names no table.
    """
    data = config.data
    if not data.split_paths:
        raise DataError(
            "The config names no table: set data.train_path, data.val_path or data.test_path."
        )
    recipe = build_recipe(data)
    progress = Progress(total=len(data.split_paths) + 3, label="Inspecting", unit="step")
    surveys = []
    for split in data.split_paths:
        surveys.append(survey_split(data, split, recipe=recipe, sample=sample, seed=config.seed))
        progress.advance(note=split)
    limits, tokens, problems = _measure_texts(config, surveys)
    progress.advance(note="texts")
    findings = [
        Finding("note", "unknown", text, "model", "Where it is there, inspect again.")
        for text in problems
    ]
    for survey in surveys:
        findings += diagnose_split(data, survey)
        findings += lengths.find_cut(
            survey.frames,
            tokens.get(survey.split),
            limits,
            split=survey.split,
            uids=survey.uids,
        )
    findings += lengths.find_beyond_model(limits)
    progress.advance(note="findings")
    findings += diagnose_splits(data, surveys)
    progress.advance(note="splits")
    progress.close()
    trained = next((each for each in surveys if len(each.frames)), surveys[0])
    return Inspection(
        splits=tuple(_summary(survey, tokens.get(survey.split)) for survey in surveys),
        measures=tuple(_measures(surveys, tokens, limits)),
        findings=tuple(sorted(findings, key=lambda each: ORDER.index(each.severity))),
        advice=tuple(
            lengths.advise(trained.frames, trained.seconds, tokens.get(trained.split), limits)
        ),
        clips=tuple(_show_clips(config, surveys)),
    )


def _measure_texts(
    config: Config, surveys: Sequence[Survey]
) -> tuple[Limits, dict[str, NDArray[np.int64]], Sequence[str]]:
    """What the run takes, and the tokens of the texts of each split; and what can't be known here."""
    from signseq.model.architectures import is_causal, position_limit
    from signseq.model.local import count_tokens, find_local_text_side

    data, encoder, training = config.data, config.model.encoder, config.training
    train = [example.text for example in surveys[0].examples if example.text]
    side = find_local_text_side(config.model, train)
    causal = side.config is not None and is_causal(side.config)
    limit = position_limit(side.config) if side.config else None
    limits = Limits(
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        too_long=data.too_long,
        max_length=data.max_length,
        stride=encoder.frames_per_input,
        positions=limit and max(limit - encoder.registers, 0),
        text_positions=position_limit(side.config, "decoder")
        if side.config and not causal
        else None,
        shares_positions=causal,
        batch_size=training.batch_size,
        frames_per_batch=training.frames_per_batch,
    )
    tokens = {}
    if side.tokenizer is not None:
        for survey in surveys:
            texts = [example.text for example in survey.examples if example.text]
            tokens[survey.split] = count_tokens(side.tokenizer, texts)
    return limits, tokens, side.problems


def _summary(survey: Survey, tokens: NDArray[np.int64] | None) -> SplitSummary:
    rows = survey.examples

    def count(values: Sequence[str | None]) -> Mapping[str, int]:
        return dict(Counter(value or "not said" for value in values).most_common())

    return SplitSummary(
        split=survey.split,
        rows=len(rows),
        clips=len(survey.frames),
        is_sample=not survey.from_store and survey.tried < len(rows),
        hours=float(survey.seconds.sum()) / 3600,
        frames=int(survey.frames.sum()),
        tokens=None if tokens is None else int(tokens.sum()),
        signers=len({each.signer for each in rows if each.signer}),
        signed_languages=count([each.source_language for each in rows]),
        text_languages=count([each.target_language for each in rows]),
        rates=dict(survey.rates.most_common()),
        sizes=dict(survey.sizes.most_common()),
        people=dict(sorted(survey.people.items())),
        files_opened=survey.opened,
        frames_without_hands=float(1 - survey.hands.mean()) if len(survey.hands) else None,
    )


def _measures(
    surveys: Sequence[Survey], tokens: Mapping[str, NDArray[np.int64]], limits: Limits
) -> Iterator[Measure]:
    frames = np.concatenate([survey.frames for survey in surveys])
    seconds = np.concatenate([survey.seconds for survey in surveys])
    marks = {"data.max_frames": float(limits.max_frames)}
    if limits.most_frames:
        marks["the text model's limit"] = float(limits.most_frames)
    yield Measure("Seconds a clip", seconds)
    yield Measure(
        f"Frames a clip, at data.step_frames = {limits.step_frames}",
        -(-frames // limits.step_frames),
        marks,
    )
    if tokens:
        every = np.concatenate(list(tokens.values()))
        yield Measure("Tokens a text", every, {"data.max_length": float(limits.max_length)})
    else:
        texts = [example.text for survey in surveys for example in survey.examples]
        words = np.array([len(normalize_text(text).split()) for text in texts], dtype=np.int64)
        yield Measure("Words a text (tokens can't be counted here)", words)
    hands = np.concatenate([survey.hands for survey in surveys])
    yield Measure("Share of frames with a visible hand, % (clips looked at)", 100 * hands)


def _show_clips(config: Config, surveys: Sequence[Survey]) -> Iterator[ShownClip]:
    """A few clips of every split, short to long."""
    recipe = build_recipe(config.data)
    each = max(1, CLIPS_SHOWN // len(surveys))
    for survey in surveys:
        order = np.argsort(survey.frames, kind="stable")
        places = np.linspace(0.1, 0.9, each) * (len(order) - 1)
        for number in dict.fromkeys(
            order[places.round().astype(int)].tolist() if len(order) else []
        ):
            try:
                packed = read_packed(survey, number, recipe)
            except SignSeqError:
                continue
            fps = float(survey.frames[number] / max(survey.seconds[number], 1e-6))
            drawn = draw_pose(packed, recipe.names, normalize=recipe.normalize, fps=fps)
            yield ShownClip(survey.uids[number], survey.split, survey.texts[number], drawn)
