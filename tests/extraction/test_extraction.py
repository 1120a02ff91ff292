"""`signseq pose`: from videos to .pose files, with squares for people."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from signseq.__main__ import app
from signseq.errors import ConfigError, DataError, PoseError
from signseq.extraction import run as extraction
from signseq.extraction.locking import LOCK
from signseq.extraction.report import ExtractionReport
from signseq.extraction.run import extract_poses
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.sequence import read_pose
from videos import KilledByBlue, SquareFinder, draw, walk, write_sound, write_video

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ESTIMATORS, "mediapipe_holistic", SquareFinder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos, one in a folder inside."""
    for number, name in enumerate(("a.mp4", "b.mkv", "in/c.webm")):
        codec = "libvpx" if name.endswith("webm") else "libx264rgb"
        write_video(tmp_path / "videos" / name, walk(5 + number), codec=codec)
    return tmp_path / "videos"


def extract(folder: Path, **settings: object) -> ExtractionReport:
    return extract_poses(folder, folder.parent / "poses", **{"workers": 1, **settings})


def read_skipped(out: Path) -> dict[str, str]:
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def poses_in(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.pose"))
    }


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that are really worked on."""
    names: list[str] = []
    real = extraction.run_each

    def note(work, items, **settings):
        for task, found in real(work, items, **settings):
            names.append(task.name)
            yield task, found

    monkeypatch.setattr(extraction, "run_each", note)
    return names


# --------------------------------------------------------------------------------------- what is written


def test_folders_inside_are_mirrored(folder):
    report = extract(folder)

    out = folder.parent / "poses"
    assert [*poses_in(out)] == ["a.pose", "b.pose", "in/c.pose"]
    assert [len(read_pose(out / name)) for name in poses_in(out)] == [5, 6, 7]
    assert (report.videos, report.done_before, report.skipped) == (3, 0, ())
    assert not (out / "skipped.csv").exists()


def test_one_video_may_be_named(folder):
    report = extract_poses(folder / "a.mp4", folder.parent / "poses")

    assert [*poses_in(folder.parent / "poses")] == ["a.pose"]
    assert report.videos == 1


def test_several_processes_write_the_same(folder, tmp_path):
    extract(folder)
    extract_poses(folder, tmp_path / "other", workers=2)

    assert poses_in(tmp_path / "other") == poses_in(tmp_path / "poses")


def test_everybody_gets_a_clip(folder):
    both = [draw((30, 30), (200, 30), size=(260, 80))] * 30
    write_video(folder / "both.mp4", both)

    report = extract(folder, people="all")

    names = [*poses_in(folder.parent / "poses")]
    assert names == ["a.pose", "b.pose", "both.person2.pose", "both.pose", "in/c.pose"]
    assert "Several people are in view in 1 of them; they got 2 poses" in report.describe()


def test_other_files_are_counted(folder):
    for name in ("notes.txt", "more.txt", "._a.mp4", "README"):
        (folder / name).write_text("x")

    report = extract(folder)

    assert report.others == {".txt": 2, ".mp4": 1, "README": 1}
    assert "2 x .txt" in report.describe()
    assert report.videos == 3


def test_videos_of_one_name_do_not_replace_each_other(folder):
    write_video(folder / "a.mov", walk(9))

    report = extract(folder, max_skipped=0.5)

    assert report.skipped == (
        ("a.mp4", "its poses would replace those of a.mov, which has the same name"),
    )


# ----------------------------------------------------------------------------------------------- again


def test_what_is_done_is_kept(folder, extracted):
    extract(folder)
    before = poses_in(folder.parent / "poses")

    report = extract(folder)

    assert extracted == ["a.mp4", "b.mkv", "in/c.webm"]
    assert (report.done_before, report.videos) == (3, 3)
    assert "3 of them were done before" in report.describe()
    assert poses_in(folder.parent / "poses") == before


def test_a_video_that_has_changed_is_done_anew(folder, extracted):
    extract(folder)
    write_video(folder / "a.mp4", walk(20))

    extract(folder)

    assert extracted[3:] == ["a.mp4"]
    assert len(read_pose(folder.parent / "poses" / "a.pose")) == 20


def test_other_settings_do_all_anew_and_leave_nothing_of_the_old(folder, extracted):
    write_video(folder / "b.mkv", [draw((30, 30), (200, 30), size=(260, 80))] * 30)
    extract(folder, people="all")
    assert "b.person2.pose" in poses_in(folder.parent / "poses")

    extract(folder)

    assert len(extracted) == 6
    assert [*poses_in(folder.parent / "poses")] == ["a.pose", "b.pose", "in/c.pose"]


def test_a_pose_that_was_removed_is_made_again(folder, extracted):
    extract(folder)
    (folder.parent / "poses" / "b.pose").unlink()

    extract(folder)

    assert extracted[3:] == ["b.mkv"]


def test_poses_of_others_are_left_unless_overwrite_is_said(folder):
    out = folder.parent / "poses"
    out.mkdir()
    (out / "a.pose").write_bytes(b"mine")

    report = extract(folder)

    assert (report.foreign, (out / "a.pose").read_bytes()) == (1, b"mine")
    assert "1 .pose files were there already" in report.describe()
    extract(folder, overwrite=True)
    assert len(read_pose(out / "a.pose")) == 5


def test_what_can_not_be_used_is_not_tried_again_until_it_changes(folder, extracted):
    (folder / "bad.mp4").write_text("no video")
    extract(folder, max_skipped=1)

    report = extract(folder, max_skipped=1)
    assert extracted.count("bad.mp4") == 1
    assert [name for name, _ in report.skipped] == ["bad.mp4"]

    write_video(folder / "bad.mp4", walk(8))
    assert extract(folder).skipped == ()
    assert not (folder.parent / "poses" / "skipped.csv").exists()


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(folder, extracted):
    extract(folder)
    journal = folder.parent / "poses" / "extraction.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])

    extract(folder)

    assert extracted[3:] == ["in/c.webm"]


def test_a_finished_folder_is_not_written_again(folder):
    (folder / "text.mp4").write_text("uid,text")
    extract(folder, max_skipped=1)
    out = folder.parent / "poses"

    def written() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.iterdir()}

    before = written()

    extract(folder, max_skipped=1)

    assert written() == before


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from videos import SquareFinder
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.extraction.run import extract_poses

class Killer(SquareFinder):
    seen = 0
    def find_faces(self, image):
        Killer.seen += 1
        if Killer.seen == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find_faces(image)

ESTIMATORS["mediapipe_holistic"] = Killer
extract_poses({folder!r}, {out!r}, workers=1)
"""


def test_a_run_that_was_killed_goes_on_and_writes_the_same(folder, tmp_path, extracted):
    out = tmp_path / "killed"
    code = KILLED.format(tests=str(TESTS), folder=str(folder), out=str(out))
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert ended.returncode == -9
    done = [*poses_in(out)]
    assert done == ["a.pose", "b.pose"]
    (out / "in").mkdir()
    (out / "in" / f".c.pose.{os.getpid()}").write_bytes(b"half")  # as a killed write leaves it

    extract_poses(folder, out, workers=1)

    extract(folder)
    assert extracted == ["in/c.webm", "a.mp4", "b.mkv", "in/c.webm"]
    assert poses_in(out) == poses_in(tmp_path / "poses")
    assert [path.name for path in out.rglob(".*")] == [LOCK]


@pytest.mark.slow  # processes are started over and over
def test_a_video_that_ends_its_process_costs_only_itself(folder, monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "mediapipe_holistic", KilledByBlue)
    write_video(folder / "bad.mp4", [draw(None, None, (20, 20))] * 3)

    report = extract(folder, workers=2, max_skipped=0.5)

    assert [*poses_in(folder.parent / "poses")] == ["a.pose", "b.pose", "in/c.pose"]
    ((name, reason),) = report.skipped
    assert name == "bad.mp4"
    assert reason.startswith("the process that worked on it ended twice")


# ------------------------------------------------------------------------------------------- bad input


def test_what_can_not_be_used_is_listed_with_reasons_and_the_rest_is_done(folder):
    (folder / "text.mp4").write_text("uid,text")
    (folder / "empty.mp4").touch()
    write_sound(folder / "song.mp4")
    write_video(folder / "room.mp4", [draw()] * 9)
    write_video(folder / "still.mp4", walk(1))

    with pytest.raises(DataError, match=r"5 of 8 videos can't be used.*skipped\.csv") as caught:
        extract(folder)

    assert "At most 1% may be skipped" in str(caught.value)
    reasons = read_skipped(folder.parent / "poses")
    assert {name: reason.split(";")[0].split(" (")[0] for name, reason in reasons.items()} == {
        "empty.mp4": "the file is empty. Fetch it again.",
        "room.mp4": "nobody is in view.",
        "song.mp4": "no video in it, only audio.",
        "still.mp4": "holds a single frame",
        "text.mp4": "can't be opened as a video",
    }
    assert len(poses_in(folder.parent / "poses")) == 3


def test_so_many_may_be_skipped_as_is_said(folder):
    (folder / "text.mp4").write_text("uid,text")

    assert len(extract(folder, max_skipped=0.25).skipped) == 1
    with pytest.raises(DataError, match="At most 24%"):
        extract(folder, max_skipped=0.24)


def test_if_nothing_can_be_used_that_is_an_error_whatever_may_be_skipped(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.mp4").write_text("uid,text")

    with pytest.raises(DataError, match="Nothing is left"):
        extract(tmp_path / "videos", max_skipped=1)


def test_one_video_that_can_not_be_used_is_an_error_with_its_reason(tmp_path):
    path = write_video(tmp_path / "room.mp4", [draw()] * 9)

    with pytest.raises(PoseError, match=r"room\.mp4: nobody is in view"):
        extract_poses(path, tmp_path / "poses")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "videos: no such file, and no such folder"),
        (lambda folder: folder.mkdir(), "videos: no video in it, only nothing"),
        (
            lambda folder: (folder.mkdir(), (folder / "a.txt").touch()),
            "videos: no video in it, only 1 x .txt",
        ),
    ],
)
def test_a_source_without_videos_is_an_error(make, said, tmp_path):
    make(tmp_path / "videos")

    with pytest.raises(DataError, match=said):
        extract(tmp_path / "videos")


def test_an_out_that_can_not_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"file/poses: can't be written \(Not a directory\)"):
        extract_poses(folder, tmp_path / "file" / "poses", workers=1)
    with pytest.raises(DataError, match=r"a\.pose: names a file"):
        extract_poses(folder / "a.mp4", tmp_path / "a.pose")


def test_a_full_disk_ends_the_run_and_skips_nothing(folder, monkeypatch):
    def fail(path, pose, *, size):
        raise PoseError(f"{path}: can't be written (No space left on device).")

    monkeypatch.setattr("signseq.extraction.one_video.write_pose", fail)

    with pytest.raises(PoseError, match="No space left"):
        extract(folder, max_skipped=1)
    assert not (folder.parent / "poses" / "skipped.csv").exists()


def test_an_unknown_estimator_is_named_with_those_there_are(folder):
    with pytest.raises(ConfigError, match="'openpose'; there are: mediapipe_holistic"):
        extract(folder, estimator="openpose")


# ---------------------------------------------------------------------------------------- command line


def test_the_command_says_what_was_found(folder, tmp_path):
    done = CliRunner().invoke(app, ["pose", str(folder), str(tmp_path / "out"), "-j", "1"])

    assert done.exit_code == 0, done.output
    assert "The poses of 3 of 3 videos are in" in done.output
    assert "18 frames" in done.output
