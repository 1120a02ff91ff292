"""Poses of one video are never replaced by another's without a word."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from signseq.data.scratch import try_to_lock
from signseq.errors import DataError, PoseError
from signseq.extraction.claims import Claims
from signseq.extraction.journal import Journal, Record
from signseq.extraction.listing import Task, list_videos
from signseq.extraction.locking import LOCK
from signseq.extraction.run import extract_poses
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.sequence import read_pose
from videos import SquareFinder, draw, walk, write_video


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ESTIMATORS, "mediapipe_holistic", SquareFinder)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A video of 5 frames, whose poses are in `poses`."""
    path = write_video(tmp_path / "one" / "x.mp4", walk(5))
    extract_poses(path, tmp_path / "poses")
    return path


@pytest.mark.parametrize("other", ["two/x.mp4", "one/x.mov", "two/x.mov"])
def test_another_video_of_the_same_name_is_refused(other, first, tmp_path):
    video, pose = write_video(tmp_path / other, walk(9)), tmp_path / "poses" / "x.pose"

    with pytest.raises(PoseError, match=r"would replace those of .*one/x\.mp4.*--overwrite"):
        extract_poses(video, tmp_path / "poses")
    assert len(read_pose(pose)) == 5

    extract_poses(video, tmp_path / "poses", overwrite=True)
    assert len(read_pose(pose)) == 9


def test_what_was_replaced_is_not_taken_for_done(first, tmp_path):
    extract_poses(
        write_video(tmp_path / "one" / "x.mov", walk(9)), tmp_path / "poses", overwrite=True
    )

    with pytest.raises(PoseError, match=r"would replace those of .*x\.mov"):
        extract_poses(first, tmp_path / "poses")


def test_a_folder_of_other_videos_is_refused_with_each_of_them_named(first, tmp_path):
    write_video(tmp_path / "two" / "x.mp4", walk(9))

    with pytest.raises(DataError, match=r"would replace those of .*one/x\.mp4"):
        extract_poses(tmp_path / "two", tmp_path / "poses", workers=1)


def test_the_same_video_by_another_path_is_done_already(first, tmp_path, monkeypatch):
    monkeypatch.chdir(first.parent)

    assert extract_poses("x.mp4", tmp_path / "poses").done_before == 1


def test_a_video_that_was_moved_is_done_already(first, tmp_path):
    first.parent.rename(tmp_path / "moved")

    assert extract_poses(tmp_path / "moved" / "x.mp4", tmp_path / "poses").done_before == 1


def test_a_video_that_was_written_anew_in_another_form_is_done(first, tmp_path):
    first.unlink()
    video = write_video(first.with_suffix(".mov"), walk(9))

    extract_poses(video, tmp_path / "poses")

    assert len(read_pose(tmp_path / "poses" / "x.pose")) == 9


def test_a_journal_without_sources_is_read(first, tmp_path):
    journal = tmp_path / "poses" / "extraction.jsonl"
    lines = journal.read_text().replace(f', "source": "{first}"', "")
    assert "source" not in lines
    journal.write_text(lines)

    assert extract_poses(first, tmp_path / "poses").done_before == 1


# -------------------------------------------------------------------------------------- several people


def test_a_video_named_as_the_second_person_of_another_is_not_replaced_by_that(tmp_path):
    folder, out = tmp_path / "videos", tmp_path / "poses"
    write_video(folder / "x.mp4", [draw((30, 30), (200, 30), size=(260, 80))] * 30)
    write_video(folder / "x.person2.mp4", walk(7))

    report = extract_poses(folder, out, people="all", workers=1, max_skipped=0.5)

    reason = "its poses would have the names of those of the other people in x.mp4"
    assert report.skipped == (("x.person2.mp4", reason),)
    assert len(read_pose(out / "x.person2.pose")) == 30

    # where only the largest is followed, both have a place
    assert extract_poses(folder, out, workers=1).skipped == ()
    assert len(read_pose(out / "x.person2.pose")) == 7


def test_so_many_people_as_may_be_written_take_a_name(tmp_path):
    for name in ("x.mp4", "x.person2.mp4", "x.person3.mp4", "y.person2.mp4"):
        (tmp_path / name).touch()

    def doubles(clips: int | None) -> list[str]:
        return [task.name for task, _ in list_videos(tmp_path, tmp_path, clips=clips).doubles]

    assert doubles(1) == []
    assert doubles(2) == ["x.person2.mp4"]
    assert doubles(None) == ["x.person2.mp4", "x.person3.mp4"]


def test_the_second_person_of_a_video_does_not_replace_another_run_s(tmp_path):
    out = tmp_path / "poses"
    extract_poses(write_video(tmp_path / "x.person2.mp4", walk(7)), out)
    video = write_video(tmp_path / "x.mp4", walk(9))

    with pytest.raises(PoseError, match=r"would replace those of .*x\.person2\.mp4"):
        extract_poses(video, out, people="all")


# -------------------------------------------------------------------------------------- leftovers, locks


def test_only_a_video_s_own_leftovers_are_removed(tmp_path):
    names = ("clip.mp4", "clip.1.mp4", "clip.person3.mp4")
    tasks = [Task(name, tmp_path / name, tmp_path / f"{name[:-4]}.pose") for name in names]
    for name in (".clip.pose.7", ".clip.person2.pose.7", ".clip.1.pose.7", ".clip.person3.pose.7"):
        (tmp_path / name).touch()
    journal = Journal(tmp_path)
    journal.add(Record("clip.mp4", "", ""))

    Claims(journal, tasks, everybody=False).clear(tasks[0])

    left = sorted(path.name for path in tmp_path.glob(".*"))
    assert left == [".clip.1.pose.7", ".clip.person3.pose.7"]


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    video, out = write_video(tmp_path / "x.mp4", walk(5)), tmp_path / "poses"
    out.mkdir()
    with (out / LOCK).open("a") as file:
        assert try_to_lock(file)
        with pytest.raises(
            DataError, match=r"poses: another `signseq pose` or .* is writing poses"
        ):
            extract_poses(video, out)
        assert not (out / "x.pose").exists()

    extract_poses(video, out)
    assert (out / "x.pose").exists()


# ------------------------------------------------------------------------------------ links, skipped.csv


def test_links_to_folders_are_followed_and_those_that_lead_back_are_counted(tmp_path):
    write_video(tmp_path / "elsewhere" / "a.mp4", walk(5))
    folder = tmp_path / "videos"
    write_video(folder / "b.mp4", walk(5))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "self").symlink_to(folder)

    listing = list_videos(folder, tmp_path / "poses")

    assert [task.name for task in listing.tasks] == ["b.mp4", "again/a.mp4", "link/a.mp4"]
    assert sum(listing.others.values()) == 3


def test_one_video_keeps_what_is_said_of_others(first, tmp_path):
    for name in ("bad.mp4", "worse.mp4"):
        (tmp_path / name).write_text("no video")
        with pytest.raises(PoseError):
            extract_poses(tmp_path / name, tmp_path / "poses")
    listed = tmp_path / "poses" / "skipped.csv"
    with listed.open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["bad.mp4", "worse.mp4"]

    for name in ("bad.mp4", "worse.mp4"):
        extract_poses(write_video(tmp_path / name, walk(5)), tmp_path / "poses")
    assert not listed.exists()
