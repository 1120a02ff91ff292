"""From a long recording to subtitles: find where signing is, translate it, write it down."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from signseq.errors import DataError, PoseError
from signseq.poses.hand_motion import KEYPOINTS
from signseq.poses.segmentation import Segmenter, SegmenterOptions
from signseq.poses.sequence import PoseSequence
from signseq.subtitling.cues import Cue, Subtitles, in_order
from signseq.subtitling.cutting import CutSegment, Finder, cut_segments
from signseq.subtitling.given import GivenSegments, read_segments
from signseq.subtitling.pose_to_segments import PROGRAM, check_program, find_sentences
from signseq.subtitling.recordings import Meter, OpenRecording, open_recording
from signseq.subtitling.writing import FORMATS, check_outputs, format_of, write_subtitles

if TYPE_CHECKING:
    from signseq.translation import Translation, Translator

__all__ = ["SubtitleReport", "subtitle"]

logger = logging.getLogger(__name__)

LONGEST_CONTEXT = 10.0  # seconds
Translate = Callable[[Sequence[PoseSequence]], "Iterator[Translation]"]


@dataclass(frozen=True)
class SubtitleReport:
    """What was found and written.

    Attributes:
        subtitles: The cues.
        files: What was written.
        fault: Why the recording ended early; empty where it didn't.
    """

    subtitles: Subtitles
    files: tuple[Path, ...]
    fault: str = ""

    @property
    def failed(self) -> tuple[Cue, ...]:
        """The segments that could not be translated."""
        return tuple(cue for cue in self.subtitles.cues if cue.error is not None)

    def describe(self) -> str:
        """The report, a line each."""
        cues, seconds = self.subtitles.cues, self.subtitles.seconds
        signed = sum(cue.end - cue.start for cue in cues)
        ending = "" if len(cues) == 1 else "s"
        lines = [f"{len(cues)} segment{ending}, {signed:.0f} s of {seconds:.0f} s."]
        if not cues:
            lines = [
                f"No signing was found in {seconds:.0f} s; see docs/subtitles.md for what counts as it."
            ]
        lines += [f"Written: {path}" for path in self.files]
        lines += [
            f"error: {cue.start:.1f} s to {cue.end:.1f} s: {cue.error}" for cue in self.failed
        ]
        if self.fault:
            lines.append(f"error: the recording ends early, after {seconds:.0f} s: {self.fault}")
        return "\n".join(lines)


def subtitle(
    checkpoint: str | Path | Translator | None,
    recording: str | Path,
    out: str | Path | Sequence[str | Path] = (),
    *,
    kind: str | None = None,
    segmenter: Literal["rules", "pose_to_segments"] = "rules",
    options: SegmenterOptions | None = None,
    segments: str | Path | None = None,
    context: float = 0.1,
    poses: str | Path | None = None,
    estimator: str = "mediapipe_holistic",
    n_best: int = 1,
    num_beams: int | None = None,
    batch_size: int = 16,
    target_language: str | None = None,
    trust_remote_code: bool = False,
    overwrite: bool = False,
) -> SubtitleReport:
    """Find the signed segments of a recording, translate them, and write subtitles.

    Frames are read once and in order; what is held doesn't grow with the recording.

    Args:
        checkpoint: The folder that training wrote, or a Translator; None only finds the segments.
        recording: A .pose file or a video.
        out: Files to write; none returns the cues only.
        kind: The format, a key of `FORMATS`; None goes by each file's suffix.
        segmenter: What finds the segments: our rules, or the program of this name, which isn't ours.
        options: What counts as signing by the rules; lengths the checkpoint can't read are cut.
        segments: An .eaf or .json file that says where the segments are.
        context: Seconds before and after each segment that are translated with it.
        poses: Of a video: keep its poses in this file, or read them from it if it is there.
        estimator: What finds poses in videos.
        n_best: How many translations to give of each segment.
        num_beams: Beams to search with, instead of the checkpoint's setting.
        batch_size: Segments in a batch.
        target_language: What to write, with a multilingual text model, instead of its own.
        trust_remote_code: Run the code that came with the text model, where it was trained so.
        overwrite: Replace files that are there.

    Raises:
        DataError: If the recording is of no known kind, a file can't be written, or the program isn't there or fails.
        PoseError: If the recording can't be read, or lacks points that are needed.
        CheckpointError: If the checkpoint can't be used.
        MissingExtraError: If a package for videos isn't installed.
    """
    files = [Path(each) for each in ([out] if isinstance(out, str | Path) else out)]
    kinds = _choose_kinds(files, kind)
    check_outputs(files, overwrite=overwrite)
    if not 0 <= context <= LONGEST_CONTEXT:
        raise DataError(f"context is {context} s; expected 0 to {LONGEST_CONTEXT:g}.")
    recording, poses = Path(recording), None if poses is None else Path(poses)
    _check_segmenter(segmenter, recording, poses=poses, options=options, segments=segments)
    given = None if segments is None else read_segments(segments)
    translator = _load(checkpoint, trust_remote_code=trust_remote_code)
    translate: Translate | None = None
    if translator is not None:
        translate = partial(
            translator.stream,
            n_best=n_best,
            num_beams=num_beams,
            batch_size=batch_size,
            keep_errors=True,
            target_language=target_language,
        )
        list(translate([]))  # an unknown language is told before the work, not after it
    opened = _open(recording, translator, poses=poses, estimator=estimator)
    if segmenter == PROGRAM:
        whole = poses or recording
        if not whole.exists():
            _keep_poses(opened)
            opened = _open(recording, translator, poses=poses, estimator=estimator)
        given = find_sentences(whole)
    meter = Meter(opened)
    cuts = cut_segments(
        meter.count(),
        _build_finder(opened, translator, options=options, given=given, context=context),
        context_frames=round(context * opened.fps),
        keypoints=() if translator is None else translator.recipe.needed,
    )
    cues = in_order(_make_cues(cuts, translate, fps=opened.fps, batch_size=batch_size))
    found = Subtitles(
        cues,
        seconds=meter.frames / opened.fps,
        fps=opened.fps,
        recording=str(recording),
        checkpoint=str(checkpoint) if isinstance(checkpoint, str | Path) else None,
        language=target_language,
    )
    for path, each in zip(files, kinds, strict=True):
        write_subtitles(path, found, kind=each)
    return SubtitleReport(found, tuple(files), opened.fault)


def _choose_kinds(files: Sequence[Path], kind: str | None) -> list[str]:
    if kind is not None and kind not in FORMATS:
        raise DataError(f"No format {kind!r}; there are: {', '.join(FORMATS)}.")
    return [kind or format_of(path) for path in files]


def _check_segmenter(
    segmenter: str,
    recording: Path,
    *,
    poses: Path | None,
    options: SegmenterOptions | None,
    segments: str | Path | None,
) -> None:
    if segmenter not in ("rules", PROGRAM):
        raise DataError(f"No segmenter {segmenter!r}; there are: rules, {PROGRAM}.")
    if segmenter == PROGRAM and segments is not None:
        raise DataError(
            f"{segments} says already where the sentences are; leave out either --segments or --segmenter {PROGRAM}."
        )
    if options is not None and (segmenter == PROGRAM or segments is not None):
        raise DataError(
            "--pause and --max-seconds (in Python, options) are about the rules, and here something else says where "
            "the sentences are. Leave them out."
        )
    if segmenter == PROGRAM:
        check_program(recording, poses)


def _keep_poses(opened: OpenRecording) -> None:
    """Find all poses of a video, for a program that reads whole files."""
    deque(Meter(opened, label="Finding poses").count(), maxlen=0)
    if opened.fault:
        raise PoseError(f"{opened.fault} {PROGRAM} reads whole recordings only.")


def _load(
    checkpoint: str | Path | Translator | None, *, trust_remote_code: bool
) -> Translator | None:
    if not isinstance(checkpoint, str | Path):
        return checkpoint
    from signseq.translation import Translator

    return Translator.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)


def _open(
    recording: Path, translator: Translator | None, *, poses: Path | None, estimator: str
) -> OpenRecording:
    needed = translator.recipe.needed if translator is not None else ()
    opened = open_recording(
        recording,
        poses=poses,
        estimator=estimator,
        wanted=tuple(dict.fromkeys((*needed, *KEYPOINTS))),
    )
    if translator is not None and not set(translator.recipe.names) & set(opened.keypoints):
        raise PoseError(
            f"{recording}: has no keypoint of the set {translator.recipe.keypoints!r}, which the checkpoint reads. "
            "Extract the poses with the estimator it was trained with."
        )
    return opened


def _build_finder(
    opened: OpenRecording,
    translator: Translator | None,
    *,
    options: SegmenterOptions | None,
    given: Sequence[tuple[float, float]] | None,
    context: float,
) -> Finder:
    if given is not None:
        return GivenSegments(given, fps=opened.fps)
    options = options or SegmenterOptions()
    if translator is not None:
        config, rate = translator.model.config, translator.recipe.fps or opened.fps
        longest = config.max_frames * config.step_frames / rate - 2 * context
        if longest < 2 * options.min_seconds:
            raise DataError(
                f"context is {context} s; the checkpoint reads {longest + 2 * context:.1f} s at once, "
                "which leaves nothing for a sentence. Make it shorter."
            )
        if longest < options.max_seconds:
            logger.info("Segments are cut after %.1f s, the longest the checkpoint reads.", longest)
            options = replace(options, max_seconds=longest)
    return Segmenter(options, fps=opened.fps, keypoints=opened.keypoints)


def _make_cues(
    cuts: Iterator[CutSegment], translate: Translate | None, *, fps: float, batch_size: int
) -> Iterator[Cue]:
    """The cues of the segments, translated batch by batch; of the recording only a batch is held."""
    while batch := list(islice(cuts, batch_size)):
        cues = [Cue(cut.segment.start / fps, cut.segment.end / fps) for cut in batch]
        if translate is None:
            yield from cues
            continue
        found = translate([cut.pose for cut in batch])
        for cue, said in zip(cues, found, strict=True):
            if said.error is not None:
                yield replace(cue, text="", error=said.error)
            else:
                yield replace(
                    cue,
                    text=said.text,
                    score=said.score,
                    alternatives=said.alternatives,
                    warnings=said.warnings,
                )
