"""Sentences found by `pose_to_segments`, a learned segmenter of the user's own installation.

Source: https://github.com/sign-language-processing/segmentation. Its code and its model run in a process of
their own; what it writes is only read.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

from signseq.errors import DataError
from signseq.subtitling.given import SENTENCE, Span, read_segments

__all__ = ["PROGRAM", "check_program", "find_sentences"]

logger = logging.getLogger(__name__)

PROGRAM = "pose_to_segments"
LONGEST_RUN = 3600.0  # seconds
LAST_LINES = 5  # of what it printed, that are shown when it fails


def check_program(recording: Path, poses: Path | None) -> None:
    """See that the program is there, and will have a file to read, before the work is done.

    Args:
        recording: A .pose file or a video.
        poses: Where a video's poses are kept.

    Raises:
        DataError: If it isn't installed, or a video's poses aren't kept.
    """
    _find_program()
    if recording.suffix.lower() != ".pose" and poses is None:
        raise DataError(
            f"{recording}: {PROGRAM} reads .pose files. Say with --poses NAME.pose where the video's poses are to be "
            "kept."
        )


def _find_program() -> str:
    found = shutil.which(PROGRAM)
    if found is None:
        raise DataError(
            f"The program {PROGRAM} isn't on the PATH. It is no part of signseq; install it, with its own model: "
            "pip install git+https://github.com/sign-language-processing/segmentation. Or take the rules: "
            "--segmenter rules."
        )
    return found


def find_sentences(poses: Path) -> list[Span]:
    """Let the program find the sentences of a .pose file, in at most `LONGEST_RUN` seconds.

    Args:
        poses: Of MediaPipe Holistic, whose points its model reads.

    Returns:
        Start and end of each in seconds, in the order of time.

    Raises:
        DataError: If the program isn't there, fails, takes too long or finds no sentence.
    """
    logger.info(
        "%s looks for sentences in %s; it may take up to %.0f minutes.",
        PROGRAM,
        poses,
        LONGEST_RUN / 60,
    )
    with tempfile.TemporaryDirectory(prefix="signseq-") as folder:
        elan = Path(folder, "segments.eaf")
        said = _run([_find_program(), "--pose", str(poses.absolute()), "--elan", str(elan)], poses)
        if not elan.is_file():
            raise DataError(f"{poses}: {PROGRAM} wrote no file. It said:\n{said}")
        try:
            spans = read_segments(elan, tier=SENTENCE)
        except DataError as fault:
            raise DataError(
                f"{poses}: what {PROGRAM} wrote can't be used. {str(fault).removeprefix(f'{elan}: ')}"
            ) from fault
    if not spans:
        raise DataError(
            f"{poses}: {PROGRAM} found no sentence in it: its tier {SENTENCE!r} is empty. See whether somebody signs "
            "there (signseq view), or take the rules: --segmenter rules."
        )
    return spans


def _run(command: list[str], poses: Path) -> str:
    """Run the program to its end; returns the last lines that it printed."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST_RUN,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise DataError(
            f"{poses}: {PROGRAM} had not ended after {LONGEST_RUN:g} s and was stopped. Run it by itself, and give "
            "what it writes with --segments."
        ) from fault
    except OSError as fault:
        raise DataError(f"{command[0]}: can't be started ({fault.strerror}).") from fault
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    said = "\n".join(lines[-LAST_LINES:]) or "(nothing)"
    if ended.returncode:
        raise DataError(
            f"{poses}: {PROGRAM} failed with exit code {ended.returncode}. The last that it said:\n{said}"
        )
    return said
