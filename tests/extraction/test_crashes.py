"""Videos that end the process that works on them: that is never this one a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from signseq.errors import PoseError
from signseq.extraction import run as extraction
from signseq.extraction.journal import Journal, Record
from signseq.extraction.run import extract_poses
from signseq.poses.estimation.estimator import ESTIMATORS
from videos import KilledByBlue, draw, walk, write_video


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video at which the process of an earlier run ended."""
    monkeypatch.setitem(ESTIMATORS, "mediapipe_holistic", KilledByBlue)
    path = write_video(tmp_path / "videos" / "bad.mp4", [draw(None, None, (20, 20))] * 3)
    (tmp_path / "poses").mkdir()
    Journal(tmp_path / "poses").add(Record("bad.mp4", "", ""))
    return path


def test_a_video_that_was_begun_only_is_worked_on_in_a_process_of_its_own(bad, monkeypatch):
    out = bad.parents[1] / "poses"

    with pytest.raises(PoseError, match=r"bad\.mp4: the process that worked on it ended twice"):
        extract_poses(bad, out, workers=1)

    # and that is the last of it until the video changes
    monkeypatch.setattr(extraction, "run_each", None)
    with pytest.raises(PoseError, match="ended twice"):
        extract_poses(bad, out, workers=1)


def test_a_crash_is_tried_again_apart_where_all_is_done_anew(bad):
    out = bad.parents[1] / "poses"
    Journal(out).add(Record("bad.mp4", "", "", reason=extraction.CRASHED, is_done=True))

    with pytest.raises(PoseError, match="ended twice"):
        extract_poses(bad, out, workers=1, overwrite=True)


def test_a_video_that_was_mended_is_done(bad):
    out = bad.parents[1] / "poses"
    Journal(out).add(Record("bad.mp4", "1 1", "x", reason=extraction.CRASHED, is_done=True))
    write_video(bad, walk(7))

    assert extract_poses(bad, out, workers=1).records[0].frames == 7
