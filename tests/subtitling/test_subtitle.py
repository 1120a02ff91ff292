"""The whole way: a recording in, subtitles out."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import srt

from conftest import KEYPOINTS, make_pose, sign_pose
from signers import record_signer
from signseq import __main__ as cli
from signseq.errors import DataError, ModelError, PoseError
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.segmentation import Segment, SegmenterOptions
from signseq.poses.sequence import PoseSequence, read_pose, write_pose
from signseq.poses.skeletons import SKELETONS
from signseq.subtitling.cutting import cut_segments
from signseq.subtitling.given import GivenSegments, read_segments
from signseq.subtitling.run import subtitle
from signseq.translation import Translator
from videos import SquareFinder, draw, write_video

TWO = (("rest", 2), ("sign", 3), ("rest", 1), ("sign", 2), ("rest", 2))
SENTENCES = ("we eat bread", "you", "you see water", "see bread")
CLIPS = tuple(sign_pose(text, seed=70 + number) for number, text in enumerate(SENTENCES))


@pytest.fixture(scope="module")
def translator(trained):
    return Translator.from_pretrained(trained)


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the command in this process: exit code and standard output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["signseq", "subtitle", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, capsys.readouterr().out

    return run


@pytest.fixture
def recording(tmp_path):
    return put(tmp_path / "two.pose", record_signer(*TWO))


@pytest.fixture
def sentences(tmp_path):
    """Sentences that the trained model knows, a second of nothing between, and where they are."""
    poses, spans, begin = [], [], 0.0
    for clip in CLIPS:
        poses += [make_pose(frames=25), clip]
        spans.append((begin + 1, begin + 1 + poses[-1].seconds))
        begin = spans[-1][1]
    places = [{"start": start, "end": end} for start, end in spans]
    (tmp_path / "given.json").write_text(json.dumps({"segments": places}))
    joined = replace(
        poses[0],
        data=np.concatenate([pose.data for pose in poses]),
        confidence=np.concatenate([pose.confidence for pose in poses]),
    )
    return put(tmp_path / "known.pose", joined), tmp_path / "given.json"


def put(path, pose):
    write_pose(path, pose, size=(500, 500))
    return path


def near(*spans):
    return [pytest.approx(span, abs=0.25) for span in spans]


def test_the_segments_alone_need_no_checkpoint(recording, tmp_path):
    report = subtitle(None, recording, tmp_path / "a.json")

    assert [(cue.start, cue.end) for cue in report.subtitles.cues] == near((2, 5), (6, 8))
    assert {cue.text for cue in report.subtitles.cues} == {None}
    assert report.subtitles.seconds == 10
    assert report.describe().startswith("2 segments, 5 s of 10 s.")
    assert json.loads((tmp_path / "a.json").read_text())["segments"][0]["text"] is None


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_each_sentence_is_translated_as_it_is_alone(translator, sentences, batch_size):
    path, given = sentences

    found = subtitle(translator, path, segments=given, context=0, batch_size=batch_size)

    cues = found.subtitles.cues
    alone = [translator.translate(clip) for clip in CLIPS]
    assert [cue.text for cue in cues] == [each.text for each in alone]
    scores = [each.score for each in alone]
    assert [cue.score for cue in cues] == pytest.approx(scores, abs=1e-3)
    assert cues[1].text == SENTENCES[1]
    assert all(0 < cue.confidence <= 1 for cue in cues)


def test_all_formats_are_written_at_once(trained, sentences, tmp_path):
    path, given = sentences
    files = [tmp_path / f"a{suffix}" for suffix in (".srt", ".vtt", ".eaf", ".TextGrid", ".json")]

    report = subtitle(trained, path, files, segments=given, context=0, n_best=2)

    assert report.files == tuple(files)
    facts = json.loads(files[-1].read_text())
    texts = [each["text"] for each in facts["segments"]]
    assert [each.content for each in srt.parse(files[0].read_text())] == texts
    assert facts["checkpoint"] == str(trained)
    assert [len(each["n_best"]) for each in facts["segments"]] == [2] * 4


def test_segments_corrected_in_an_eaf_file_are_used(recording, tmp_path):
    """What is written can be read again."""
    first = subtitle(None, recording, tmp_path / "a.eaf")
    again = subtitle(None, recording, segments=tmp_path / "a.eaf")

    assert again.subtitles.cues == first.subtitles.cues


def test_segments_are_no_longer_than_the_checkpoint_reads(translator, tmp_path, caplog):
    """The model of the tests reads 64 frames, 2.56 s at 25 frames a second."""
    path = put(tmp_path / "long.pose", record_signer(("rest", 1), ("sign", 8), ("rest", 1)))

    with caplog.at_level("INFO", logger="signseq"):
        cues = subtitle(translator, path, context=0.2).subtitles.cues

    assert max(cue.end - cue.start for cue in cues) <= 2.16 + 1e-9
    assert "Segments are cut after 2.2 s" in caplog.text


def test_a_segment_that_can_not_be_translated_is_told_and_the_others_are(translator, sentences):
    path, given = sentences
    pose = read_pose(path)
    shoulders = [k for k, name in enumerate(KEYPOINTS) if name.endswith("SHOULDER")]
    pose.confidence[: 25 + 18, shoulders] = 0
    put(path, pose)

    report = subtitle(translator, path, segments=given, context=0)

    assert [cue.text == "" for cue in report.subtitles.cues] == [True, False, False, False]
    assert "shoulders" in report.failed[0].error
    assert "error: 1.0 s to 1.7 s: " in report.describe()


def test_no_signing_writes_an_empty_file_and_says_so(tmp_path):
    path = put(tmp_path / "a.pose", record_signer(("rest", 3)))

    report = subtitle(None, path, tmp_path / "a.srt")

    assert (tmp_path / "a.srt").read_text() == ""
    assert "No signing was found in 3 s" in report.describe()


@pytest.mark.parametrize("kind", ["broken", "hidden", "turned"])
def test_poses_that_show_nothing_hold_no_signing(tmp_path, kind):
    path = put(tmp_path / "a.pose", record_signer((kind, 2)))

    assert subtitle(None, path).subtitles.cues == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"out": "a.str"}, r"Did you mean \.srt"),
        ({"out": "no/a.srt"}, "no folder no"),
        ({"out": "a.srt", "kind": "ass"}, "No format 'ass'"),
        ({"context": -1}, "context is -1"),
        ({"segments": "a.txt"}, r"\.eaf and \.json"),
        ({"poses": "b.pose"}, "is a .pose file already"),
        ({"estimator": "magic"}, "No estimator 'magic'"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_the_work(recording, settings, said):
    with pytest.raises(DataError, match=said):
        subtitle(None, recording, **settings)


def test_what_is_there_is_not_written_over(recording, tmp_path):
    (tmp_path / "a.srt").write_text("mine")

    with pytest.raises(DataError, match="is there already"):
        subtitle(None, recording, tmp_path / "a.srt")
    subtitle(None, recording, tmp_path / "a.srt", overwrite=True)
    assert "[signing]" in (tmp_path / "a.srt").read_text()


def test_what_is_no_file_is_not_replaced_either(recording, tmp_path):
    os.mkfifo(tmp_path / "a.srt")

    with pytest.raises(DataError, match="isn't an ordinary file"):
        subtitle(None, recording, tmp_path / "a.srt", overwrite=True)


def test_one_segment_is_not_called_segments(recording, tmp_path):
    (tmp_path / "a.json").write_text('{"segments": [{"start": 0, "end": 1}]}')

    assert (
        subtitle(None, recording, segments=tmp_path / "a.json").describe().startswith("1 segment,")
    )


def test_segments_of_another_estimator_than_in_training_say_so(translator, tmp_path):
    keypoints = SKELETONS["openpose"].names
    path = put(tmp_path / "a.pose", make_pose(frames=50, keypoints=keypoints))
    (tmp_path / "a.json").write_text('{"segments": [{"start": 0, "end": 2}]}')

    [cue] = subtitle(translator, path, segments=tmp_path / "a.json").subtitles.cues

    assert "poses of openpose; the checkpoint was trained on poses of mediapipe" in cue.warnings[0]


def test_a_language_that_the_model_has_not_is_told_before_the_work(translator, recording):
    with pytest.raises(ModelError, match="language"):
        subtitle(translator, recording, target_language="de")


def test_a_context_that_leaves_no_room_is_refused(translator, recording):
    with pytest.raises(DataError, match=r"reads 2\.6 s at once"):
        subtitle(translator, recording, context=1.2)


def test_something_else_than_a_recording_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()

    with pytest.raises(DataError, match=r"neither a \.pose file nor a video"):
        subtitle(None, tmp_path / "a.txt")
    with pytest.raises(DataError, match="no such file"):
        subtitle(None, tmp_path / "a.mp4")


def test_poses_without_the_checkpoints_points_are_refused(translator, tmp_path):
    world = "POSE_LANDMARKS.LEFT_SHOULDER POSE_LANDMARKS.RIGHT_SHOULDER FACE_LANDMARKS.1".split()
    pose = PoseSequence(
        np.ones((5, 1, 3), np.float32), np.ones((5, 1), np.float32), 25, (world[2],)
    )

    with pytest.raises(PoseError, match="no keypoint of the set"):
        subtitle(translator, put(tmp_path / "a.pose", pose))


def test_context_takes_the_frames_around_a_segment_and_ends_with_the_recording():
    pose = make_pose(frames=100)
    pose.data[:, 0, 0] = np.arange(100)
    finder = GivenSegments([(0.04, 0.4), (2.0, 2.4), (3.6, 4.0)], fps=25)
    pieces = [
        replace(pose, data=pose.data[i : i + 7], confidence=pose.confidence[i : i + 7])
        for i in range(0, 100, 7)
    ]

    cuts = list(cut_segments(pieces, finder, context_frames=5, keypoints=pose.keypoints))

    assert [cut.segment for cut in cuts] == [Segment(1, 10), Segment(50, 60), Segment(90, 100)]
    frames = [cut.pose.data[:, 0, 0].astype(int).tolist() for cut in cuts]
    assert frames == [list(range(15)), list(range(45, 65)), list(range(85, 100))]


def test_given_segments_that_overlap_or_lie_beyond_the_end_are_cut():
    pose = make_pose(frames=50)
    finder = GivenSegments([(0.0, 1.6), (0.4, 0.8), (1.8, 9.0), (5.0, 6.0)], fps=25)

    cuts = list(cut_segments([pose], finder, context_frames=0, keypoints=pose.keypoints))

    assert [(cut.segment.start, cut.segment.end) for cut in cuts] == [(0, 40), (10, 20), (45, 50)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "expected"),
        ("a.json", '{"segments": [{"start": 3, "end": 2}]}', "from 3 s to 2 s"),
        ("a.json", '{"segments": [{"start": NaN, "end": 2}]}', "from nan s"),
        ("a.eaf", "<a", "no .eaf file"),
        ("a.eaf", "<a/>", "which tier"),
        ("a.eaf", '<a><TIER TIER_ID="SENTENCE"><ALIGNABLE_ANNOTATION/></TIER></a>', "has no times"),
    ],
)
def test_segments_that_are_wrong_are_told(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)

    with pytest.raises(DataError, match=said):
        read_segments(tmp_path / name)


@pytest.fixture
def squares(monkeypatch):
    """Videos of squares: the estimator finds points around one, with the shoulders and hands nowhere near."""
    monkeypatch.setitem(ESTIMATORS, "squares", SquareFinder)
    return "squares"


def test_a_videos_poses_are_kept_and_read_again(tmp_path, squares):
    path = write_video(tmp_path / "a.mp4", [draw((30, 30))] * 60)
    kept = tmp_path / "kept.pose"

    first = subtitle(None, path, poses=kept, estimator=squares)
    assert len(read_pose(kept)) == 60
    path.write_bytes(b"no video")
    os.utime(path, (1, 1))
    again = subtitle(None, path, poses=kept, estimator=squares)

    assert again.subtitles == first.subtitles


def test_poses_that_are_older_than_their_video_are_refused(tmp_path, squares):
    path = write_video(tmp_path / "a.mp4", [draw((30, 30))] * 10)
    os.utime(put(tmp_path / "kept.pose", make_pose()), (1, 1))

    with pytest.raises(DataError, match="is older than"):
        subtitle(None, path, poses=tmp_path / "kept.pose", estimator=squares)


def test_a_video_that_breaks_off_is_subtitled_as_far_as_it_goes(tmp_path, monkeypatch, squares):
    path = write_video(tmp_path / "a.mp4", [draw((30, 30))] * 120)

    def breaks(*_):
        yield record_signer(*TWO)
        raise PoseError("cut off")

    monkeypatch.setattr("signseq.poses.estimation.following._pieces", lambda *_, **__: breaks())
    report = subtitle(
        None, path, tmp_path / "a.srt", poses=tmp_path / "kept.pose", estimator=squares
    )

    assert len(report.subtitles.cues) == 2
    assert "ends early, after 10 s: cut off" in report.describe()
    assert not (tmp_path / "kept.pose").exists()


def test_options_of_the_segmenter_are_heeded(recording):
    found = subtitle(None, recording, options=SegmenterOptions(min_seconds=2.5))

    assert len(found.subtitles.cues) == 1


def test_the_command_writes_beside_the_recording_and_prints_what_it_found(recording, call):
    code, out = call(recording, "--segments-only")

    assert (code, out.splitlines()[0]) == (0, "2 segments, 5 s of 10 s.")
    assert len(list(srt.parse(recording.with_suffix(".srt").read_text()))) == 2


def test_the_command_writes_several_files(recording, tmp_path, call):
    files = [tmp_path / "a.eaf", tmp_path / "a.TextGrid"]

    code, _ = call("x", recording, "--segments-only", *(f"--out={file}" for file in files))

    assert (code, [file.exists() for file in files]) == (0, [True, True])


def test_the_command_ends_with_1_where_a_sentence_failed(trained, sentences, call):
    path, given = sentences
    put(path, replace(read_pose(path), confidence=np.zeros_like(read_pose(path).confidence)))

    code, out = call(trained, path, f"--segments={given}")

    assert (code, out.count("error: ")) == (1, 4)


@pytest.mark.parametrize("names", [[], ["a", "b", "c"]])
def test_names_that_are_lacking_or_too_many_are_usage_errors(recording, call, names):
    assert call(*names, recording)[0] == 2


def test_the_tier_of_the_public_segmenter_is_read(tmp_path):
    """As its `segments_to_eaf` writes it: a tier of signs, and one of sentences."""
    pympi = pytest.importorskip("pympi")
    eaf = pympi.Elan.Eaf(author="sign-language-processing/segmentation")
    for tier, spans in (("SIGN", [(0, 400), (500, 900)]), ("SENTENCE", [(0, 900), (1200, 2000)])):
        eaf.add_tier(tier)
        for start, end in spans:
            eaf.add_annotation(tier, start, end)
    eaf.to_file(str(tmp_path / "a.eaf"))

    assert read_segments(tmp_path / "a.eaf") == [(0.0, 0.9), (1.2, 2.0)]


def test_what_may_have_spoilt_a_sentence_is_in_its_json(translator, tmp_path):
    """The model of the tests reads 64 frames."""
    path = put(
        tmp_path / "long.pose",
        record_signer(
            ("sign", 4),
        ),
    )
    (tmp_path / "given.json").write_text('{"segments": [{"start": 0, "end": 3.5}]}')

    subtitle(translator, path, tmp_path / "a.json", segments=tmp_path / "given.json", context=0)

    (segment,) = json.loads((tmp_path / "a.json").read_text())["segments"]
    assert [text.startswith("cut after 64 frames") for text in segment["warnings"]] == [True]
