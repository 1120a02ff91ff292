"""signseq view: pose files as a page, as GIFs and as MP4s."""

from __future__ import annotations

import json
import shutil
import sys
import webbrowser
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import make_pose
from signseq.__main__ import app
from signseq.errors import DataError, MissingExtraError, PoseError
from signseq.poses.sequence import write_pose
from signseq.viewing import movies
from signseq.viewing.clips import view_clip
from signseq.viewing.run import view

HAS_FFMPEG = shutil.which("ffmpeg") is not None


@pytest.fixture
def poses(tmp_path):
    (tmp_path / "poses").mkdir()
    for number in range(3):
        write_pose(tmp_path / "poses" / f"{number}.pose", make_pose(frames=50, seed=number))
    return tmp_path / "poses"


def data_of(page):
    text = page.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def test_a_folder_becomes_one_page_with_each_file(poses, tmp_path):
    assert view([poses], out=tmp_path / "page.html").files == (tmp_path / "page.html",)

    data = data_of(tmp_path / "page.html")
    assert [clip["name"] for clip in data["clips"]] == ["0.pose", "1.pose", "2.pose"]
    assert [clip["pose"]["seconds"] for clip in data["clips"]] == [2, 2, 2]
    assert len(data["skeletons"]) == 1
    assert ["seconds", "2.0"] in data["clips"][0]["facts"]


def test_the_page_asks_no_other_host(poses, tmp_path):
    view([poses], out=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert "$player" not in text
    assert "default-src 'none'" in text


def test_a_name_cannot_break_out_of_the_page(poses, tmp_path):
    shutil.copy(poses / "0.pose", poses / "<script>x.pose")
    view([poses / "<script>x.pose"], out=tmp_path / "page.html")
    assert "<script>x" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_only_the_seconds_asked_for_are_shown_and_it_says_so(poses):
    clip = view_clip(poses / "0.pose", start=0.4, seconds=1.0)
    assert len(clip.pose.points) == 25
    assert clip.notes == ("1.0 s from 0.4 s on are shown, of 2.0 s.",)
    assert not view_clip(poses / "0.pose").notes


def test_what_cannot_be_read_is_listed_and_the_rest_is_shown(poses, tmp_path, caplog):
    (poses / "broken.pose").write_bytes(b"no pose")
    view([poses], out=tmp_path / "page.html")
    assert len(data_of(tmp_path / "page.html")["clips"]) == 3
    assert "broken.pose" in caplog.text
    assert "broken.pose" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_file_that_cannot_be_read_gives_exit_code_1(poses, tmp_path, is_broken):
    if is_broken:
        (poses / "broken.pose").write_bytes(b"no pose")

    done = CliRunner().invoke(app, ["view", str(poses), "--out", str(tmp_path / "page.html")])

    assert done.exit_code == is_broken
    assert ("1 of the files could not be shown" in done.output) == is_broken
    assert len(data_of(tmp_path / "page.html")["clips"]) == 3


def test_a_pose_in_which_nothing_is_seen_is_an_error(tmp_path):
    pose = make_pose()
    write_pose(tmp_path / "empty.pose", replace(pose, confidence=np.zeros_like(pose.confidence)))
    with pytest.raises(DataError, match=r"empty\.pose: no point is seen"):
        view([tmp_path / "empty.pose"], out=tmp_path / "page.html")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.pose", "no such file"),
        ("*.nothing", "no .pose"),
        ("clip.mp4", "signseq pose makes one"),
    ],
)
def test_what_is_no_pose_file_is_an_error(poses, tmp_path, name, message):
    (poses / "clip.mp4").write_bytes(b"video")
    with pytest.raises(DataError, match=message):
        view([poses / name], out=tmp_path / "page.html")


def test_more_files_than_the_limit_are_counted(poses, tmp_path, caplog):
    view([poses], out=tmp_path / "page.html", limit=2)
    assert len(data_of(tmp_path / "page.html")["clips"]) == 2
    assert "The first 2 of 3 files" in caplog.text


def test_without_a_place_the_page_is_opened(poses, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    [page] = view([poses]).files
    assert opened == [page.resolve().as_uri()]
    shutil.rmtree(page.parent)


def test_a_gif_shows_the_skeleton_for_as_long_as_the_pose(poses, tmp_path):
    assert view([poses / "0.pose"], gif=tmp_path / "a.gif").files == (tmp_path / "a.gif",)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 25
        seconds = 0
        for frame in range(image.n_frames):
            image.seek(frame)
            seconds += image.info["duration"] / 1000
        assert seconds == pytest.approx(2.0)
        shown = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(shown, axis=0)) > 2


def test_several_gifs_go_into_a_folder(poses, tmp_path):
    found = view([poses], gif=tmp_path / "gifs", seconds=0.1).files
    assert [path.name for path in found] == ["0.gif", "1.gif", "2.gif"]
    with pytest.raises(DataError, match="Name a folder instead"):
        view([poses], gif=tmp_path / "one.gif")


def test_a_start_after_the_end_says_how_long_the_file_is(poses):
    with pytest.raises(PoseError, match=r"lasts 2\.0 s, and 2 s was asked for"):
        view_clip(poses / "0.pose", start=2)


def test_a_misspelt_suffix_makes_no_folder(poses, tmp_path):
    with pytest.raises(DataError, match=r"v\.gifx: neither a name that ends in \.gif nor a folder"):
        view([poses], gif=tmp_path / "v.gifx")

    (tmp_path / "clips.v2").mkdir()
    assert view([poses], gif=tmp_path / "clips.v2").files[0].parent == tmp_path / "clips.v2"
    assert not (tmp_path / "v.gifx").exists()


def test_two_files_of_one_name_are_not_drawn_over_each_other(poses, tmp_path):
    (poses / "more").mkdir()
    shutil.copy(poses / "0.pose", poses / "more" / "0.pose")
    with pytest.raises(DataError, match="two files of this name"):
        view([poses], gif=tmp_path / "gifs")
    assert not (tmp_path / "gifs").exists()


def test_without_ffmpeg_an_mp4_says_what_to_install(poses, tmp_path, monkeypatch):
    monkeypatch.setattr(movies.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="apt install ffmpeg"):
        view([poses], mp4=tmp_path / "a.mp4")


def test_without_pillow_a_gif_names_the_extra(poses, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.ImageDraw", None)
    with pytest.raises(MissingExtraError, match=r"signseq\[view\]"):
        view([poses], gif=tmp_path / "a.gif")


@pytest.mark.skipif(not HAS_FFMPEG, reason="no ffmpeg on this machine")
def test_an_mp4_has_every_frame(poses, tmp_path):
    import av

    view([poses / "0.pose"], mp4=tmp_path / "a.mp4")
    with av.open(tmp_path / "a.mp4") as video:
        stream = video.streams.video[0]
        assert (stream.frames, float(stream.average_rate)) == (50, 25)


def test_what_ffmpeg_says_is_told(poses, tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no encoder here >&2\nexit 8\n")
    program.chmod(0o755)
    monkeypatch.setattr(movies.shutil, "which", lambda name: str(program))
    with pytest.raises(DataError, match="ffmpeg ended with 8: no encoder here"):
        view([poses / "0.pose"], mp4=tmp_path / "a.mp4")
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    "given", [{"seconds": float("nan")}, {"seconds": 0}, {"start": float("inf")}, {"limit": 0}]
)
def test_times_that_can_not_be_are_an_error(poses, given):
    with pytest.raises(DataError, match="expected 0 or more"):
        view([poses], **given)


def test_hidden_files_of_a_folder_are_left_out_and_an_empty_name_is_no_folder(poses, tmp_path):
    shutil.copy(poses / "0.pose", poses / ".hidden.pose")
    view([poses], out=tmp_path / "page.html")

    assert len(data_of(tmp_path / "page.html")["clips"]) == 3
    with pytest.raises(DataError, match="empty name"):
        view([""])
