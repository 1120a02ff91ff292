"""Sentences found by another program; a shell script stands in for it.

Its arguments and the tiers of its file are those of sign-language-processing/segmentation, commit 22ca3a6.
"""

from __future__ import annotations

import os

import pytest

from conftest import make_pose
from signers import record_signer
from signseq.errors import DataError
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.segmentation import SegmenterOptions
from signseq.poses.sequence import read_pose, write_pose
from signseq.subtitling import pose_to_segments
from signseq.subtitling.run import subtitle
from videos import SquareFinder, draw, write_video

SIGN = '<TIER TIER_ID="SIGN"><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"/></TIER>'
EAF = f"""<ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="500" /><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="1500" />
<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="1200" /><TIME_SLOT TIME_SLOT_ID="d" TIME_VALUE="2000" />
</TIME_ORDER><TIER TIER_ID="default" />{SIGN}
<TIER TIER_ID="SENTENCE"><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="c" TIME_SLOT_REF2="d"/></TIER>
</ANNOTATION_DOCUMENT>"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a script of this body on the PATH as the program."""

    def put(body):
        program = tmp_path / "bin" / "pose_to_segments"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.fixture
def recording(tmp_path):
    write_pose(tmp_path / "-a b;.pose", record_signer(("rest", 3)), size=(500, 500))
    return tmp_path / "-a b;.pose"


def writes(tmp_path, eaf):
    """The body of a program that notes its arguments and writes this file."""
    (tmp_path / "answer").write_text(eaf)
    return f'printf "%s\\n" "$@" > {tmp_path}/arguments; cat {tmp_path}/answer > "$4"'


def find(path, **settings):
    found = subtitle(None, path, segmenter="pose_to_segments", **settings)
    return [(cue.start, cue.end) for cue in found.subtitles.cues]


def test_the_sentences_that_the_program_finds_are_taken_and_not_its_signs(
    install, recording, tmp_path
):
    install(writes(tmp_path, EAF))

    assert find(recording) == [(1.2, 2.0)]
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[:3] == ["--pose", str(recording), "--elan"]
    assert not os.path.exists(arguments[3])


def test_a_name_that_looks_like_an_option_is_none(install, recording, tmp_path, monkeypatch):
    install(writes(tmp_path, EAF))
    monkeypatch.chdir(tmp_path)

    assert find(recording.name) == [(1.2, 2.0)]


def test_a_program_that_is_not_there_is_told_before_the_work(recording, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(DataError, match=r"isn't on the PATH.*pip install git.*--segmenter rules"):
        find(recording)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("seq 9; echo model not found >&2; exit 3", "exit code 3.*:\n6\n7\n8\n9\nmodel not found$"),
        ("echo done", "wrote no file. It said:\ndone"),
        ("true", r"wrote no file. It said:\n\(nothing\)"),
        ("echo '<a' > \"$4\"", "is damaged, or no .eaf file"),
    ],
)
def test_a_program_that_fails_says_why(install, recording, body, said):
    install(body)

    with pytest.raises(DataError, match=said):
        find(recording)


@pytest.mark.parametrize(
    ("eaf", "said"),
    [
        (f"<a>{SIGN}</a>", r"no tier 'SENTENCE'; it has SIGN\.$"),
        (f'<a>{SIGN}<TIER TIER_ID="SENTENCE" /></a>', "tier 'SENTENCE' is empty"),
    ],
)
def test_signs_are_never_taken_for_sentences(install, recording, tmp_path, eaf, said):
    install(writes(tmp_path, eaf))

    with pytest.raises(DataError, match=said):
        find(recording)


def test_a_program_that_does_not_end_is_stopped(install, recording, monkeypatch):
    monkeypatch.setattr(pose_to_segments, "LONGEST_RUN", 0.1)
    install("exec sleep 60")

    with pytest.raises(DataError, match=r"had not ended after 0\.1 s"):
        find(recording)


def test_a_videos_poses_are_found_first_and_kept(install, tmp_path, monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "squares", SquareFinder)
    video = write_video(tmp_path / "a.mp4", [draw((30, 30))] * 60)
    kept = tmp_path / "kept.pose"
    install(writes(tmp_path, EAF))

    assert find(video, poses=kept, estimator="squares") == [(1.2, 2.0)]
    assert len(read_pose(kept)) == 60
    assert (tmp_path / "arguments").read_text().splitlines()[1] == str(kept)
    assert find(video, poses=kept, estimator="squares") == [(1.2, 2.0)]


def test_a_video_whose_poses_are_not_kept_is_refused(install, tmp_path):
    install("false")

    with pytest.raises(DataError, match="Say with --poses"):
        find(write_video(tmp_path / "a.mp4", [draw((30, 30))] * 10))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"options": SegmenterOptions()}, "are about the rules"),
        ({"segments": "a.eaf"}, "leave out either"),
        ({"segmenter": "magic"}, "No segmenter 'magic'; there are: rules, pose_to_segments"),
        ({"segmenter": "rules", "segments": "a.eaf", "options": SegmenterOptions()}, "the rules"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(install, tmp_path, settings, said):
    install("false")
    write_pose(tmp_path / "a.pose", make_pose(), size=(500, 500))

    with pytest.raises(DataError, match=said):
        subtitle(None, tmp_path / "a.pose", **{"segmenter": "pose_to_segments"} | settings)
