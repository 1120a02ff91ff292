import json

import pytest

from signseq.errors import DataError
from signseq.poses.sources.source import PoseFormat
from signseq.translation.listing import list_clips, read_clip_table


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def paths(clips, folder):
    return [clip.path.removeprefix(f"{folder}/") for clip in clips]


def test_a_folder_gives_its_poses_and_videos_by_their_paths(tmp_path):
    touch(tmp_path, "b.pose", "a.mp4", "in/c.pose.zst", "notes.txt", ".hidden.pose", "B.MOV")

    assert paths(list_clips([str(tmp_path)]), tmp_path) == [
        *("B.MOV", "a.mp4", "b.pose", "in/c.pose.zst")
    ]


def test_a_video_beside_its_poses_is_left_out(tmp_path):
    touch(tmp_path, "a.mp4", "a.pose", "b.mp4")

    assert paths(list_clips([str(tmp_path)]), tmp_path) == ["a.pose", "b.mp4"]


def test_a_folder_of_openpose_frames_is_one_clip(tmp_path):
    touch(tmp_path, "one/one_000_keypoints.json", "one/one_001_keypoints.json", "two.pose")

    assert paths(list_clips([str(tmp_path)]), tmp_path) == ["one", "two.pose"]
    assert paths(list_clips([str(tmp_path / "one")]), tmp_path) == ["one"]


def test_names_keep_their_order_and_globs_are_sorted(tmp_path):
    touch(tmp_path, "b.pose", "a.pose", "z.pose")
    names = [str(tmp_path / "z.pose"), str(tmp_path / "[ab].pose")]

    assert paths(list_clips(names), tmp_path) == ["z.pose", "a.pose", "b.pose"]


@pytest.mark.parametrize("name", ["", "*.pose"])
def test_a_place_with_nothing_in_it_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match="no poses or videos there"):
        list(list_clips([str(tmp_path / name)]))


def test_a_format_that_is_named_picks_its_files_only(tmp_path):
    touch(tmp_path, "a.npy", "a.pose", "a.mp4")
    clips = list(list_clips([str(tmp_path)], pose_format=PoseFormat("npy")))

    assert paths(clips, tmp_path) == ["a.npy"]
    assert clips[0].pose_format == PoseFormat("npy")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "uid,start,end\na,1.5,2\nb,,\n"),
        ("t.tsv", "uid\tstart\tend\na\t1.5\t2\nb\t\t\n"),
        ("t.jsonl", '{"uid": "a", "start": 1.5, "end": 2}\n\n{"uid": "b"}\n'),
    ],
)
def test_a_table_names_clips_by_uid_with_times(tmp_path, name, content):
    touch(tmp_path, "poses/a.pose", "poses/b.mp4")
    (tmp_path / name).write_text(content)

    a, b = read_clip_table(tmp_path / name)

    assert (a.name, a.path) == ("a", str(tmp_path / "poses/a.pose"))
    assert (a.start, a.end) == (1.5, 2.0)
    assert (b.path, b.start, b.end) == (str(tmp_path / "poses/b.mp4"), 0.0, None)


def test_a_folder_that_is_not_there_is_told_once_and_not_for_each_row(tmp_path):
    (tmp_path / "t.csv").write_text("uid\na\nb\n")

    with pytest.raises(DataError, match="nowhere: no such folder"):
        list(list_clips([str(tmp_path / "t.csv")], pose_dir=tmp_path / "nowhere"))


def test_a_table_may_name_paths_instead(tmp_path):
    (tmp_path / "there").mkdir()
    table = tmp_path / "t.csv"
    table.write_text("path,end\nin/a.pose,3\n")

    [clip] = list_clips([str(table)], pose_dir=tmp_path / "there")

    assert (clip.name, clip.path) == ("in/a.pose", str(tmp_path / "there/in/a.pose"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,text\na,b\n", "no column 'uid'"),
        ("uid,start\na,soon\n", "'soon' is no time in seconds"),
        ("uid,start\n,1\n", "neither a uid nor a path"),
    ],
)
def test_a_malformed_table_is_an_error_with_its_place(tmp_path, content, message):
    table = tmp_path / "t.csv"
    table.write_text(content)

    with pytest.raises(DataError, match=message):
        list(read_clip_table(table))


def test_a_malformed_json_line_is_an_error_with_its_line(tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text(json.dumps({"uid": "a"}) + "\n{\n")

    with pytest.raises(DataError, match=r"t\.jsonl, line 2: no JSON"):
        list(read_clip_table(table))


def test_parts_of_one_file_get_names_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_text("path,start,end\na.pose,0,1.5\na.pose,1.5,\nb.pose,,\n")

    names = [clip.name for clip in read_clip_table(tmp_path / "t.csv")]

    assert names == ["a.pose#t=0,1.5", "a.pose#t=1.5", "b.pose"]
