import csv
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from signseq.data import composition, joining
from signseq.data.composition import Piece, compose, draw_style
from signseq.data.fingerspelling import MOVEMENTS, SIZES, write_corpus
from signseq.data.recordings import KEYPOINTS, load_recordings
from signseq.data.samples import draw_samples
from signseq.data.signs import SIGNS
from signseq.data.word_list import draw_words, english_words
from signseq.errors import DataError, MissingExtraError
from signseq.poses.keypoints import get_keypoint_set, mirror_name
from signseq.poses.sequence import PoseFile

TINY = {"train": 6, "val": 2, "test": 2}
LETTERS = tuple(("ase", letter) for letter in "ABL")
WRISTS = [KEYPOINTS.index(f"{side}_HAND_LANDMARKS.WRIST") for side in ("LEFT", "RIGHT")]
RIGHT_WRIST = WRISTS[1]


def read_bytes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences")
    write_corpus("sentences", folder, sizes=TINY)
    return folder


@pytest.fixture
def spell(monkeypatch):
    """Spell with real letters, without noise and lost hands."""
    monkeypatch.setattr(composition, "DETECTOR_NOISE", 0)
    monkeypatch.setattr(composition, "LOST_SHARE", 0)

    def spell(word, *, is_mirrored=False, seed=0):
        rng = np.random.default_rng(seed)
        upright = np.eye(3, dtype=np.float32)
        still = np.zeros(2, np.float32)
        style = replace(draw_style(rng), rotation=upright, shift=still, scale=1.0, speed=1.0)
        return compose(
            [Piece(("ase", letter), is_letter=True) for letter in word],
            load_recordings(LETTERS),
            body=("ase", "A"),
            neutral=np.zeros((21, 3), np.float32),
            style=replace(style, is_mirrored=is_mirrored),
            rng=rng,
        )

    return spell


def test_the_same_seed_writes_the_same_bytes(corpus, tmp_path):
    write_corpus("sentences", tmp_path, sizes=TINY)
    assert read_bytes(tmp_path) == read_bytes(corpus)


def test_another_seed_writes_other_poses(corpus, tmp_path):
    write_corpus("sentences", tmp_path, sizes=TINY, seed=2)
    uid = "poses/train_00000.pose"
    assert read_bytes(tmp_path)[uid] != read_bytes(corpus)[uid]


def test_two_workers_write_what_one_writes(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("signseq.data.fingerspelling.CHUNK", 3)
    write_corpus("sentences", tmp_path, sizes=TINY, workers=2)
    assert read_bytes(tmp_path) == read_bytes(corpus)


def test_a_second_run_touches_nothing_and_imports_nothing_heavy(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    code = (
        "import sys; from pathlib import Path; from signseq.data.fingerspelling import write_corpus; "
        f"write_corpus('sentences', Path({str(corpus)!r}), sizes={TINY}); "
        "sys.exit(bool({'numpy', 'torch', 'pose_format'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_run_completes_to_the_same_bytes(corpus, tmp_path):
    write_corpus("sentences", tmp_path, sizes=TINY)
    (tmp_path / "corpus.json").unlink()
    (tmp_path / "val.csv").unlink()
    for number in (0, 3):
        (tmp_path / "poses" / f"train_{number:05d}.pose").unlink()
    write_corpus("sentences", tmp_path, sizes=TINY)
    assert read_bytes(tmp_path) == read_bytes(corpus)


def test_other_settings_replace_our_files_and_leave_others_alone(corpus, tmp_path):
    write_corpus("sentences", tmp_path, sizes={"train": 8, "val": 1}, seed=3)
    (tmp_path / "poses" / "mine.pose").write_bytes(b"mine")
    write_corpus("sentences", tmp_path, sizes=TINY)
    files = read_bytes(tmp_path)
    assert files.pop("poses/mine.pose") == b"mine"
    assert files == read_bytes(corpus)


def test_a_run_killed_while_replacing_leaves_no_pose_of_the_old_settings(corpus, tmp_path):
    write_corpus("sentences", tmp_path, sizes=TINY, seed=3)
    (tmp_path / "corpus.json").unlink()
    write_corpus("sentences", tmp_path, sizes=TINY)
    assert read_bytes(tmp_path) == read_bytes(corpus)


def test_files_of_somebody_else_are_not_overwritten(tmp_path):
    (tmp_path / "train.csv").write_text("uid,text\n1,mine\n")
    with pytest.raises(DataError, match=r"train\.csv is there already.*another folder"):
        write_corpus("sentences", tmp_path, sizes=TINY)
    assert (tmp_path / "train.csv").read_text() == "uid,text\n1,mine\n"


def test_the_tables_name_poses_that_are_there(corpus):
    rows = [row for split in TINY for row in read_rows(corpus / f"{split}.csv")]
    assert {f"{row['uid']}.pose" for row in rows} == set(os.listdir(corpus / "poses"))
    assert list(rows[0]) == [
        *("uid", "text", "signer", "source_language", "target_language", "name", "glosses")
    ]


def test_the_written_poses_are_what_the_corpus_declares(corpus):
    for path in (corpus / "poses").iterdir():
        file = PoseFile.open(path)
        pose = file.read()
        assert (file.fps, file.size, file.people) == (25.0, (500, 500), 1)
        assert pose.keypoints == KEYPOINTS
        assert pose.data.shape[2] == 3
        assert np.isfinite(pose.data).all()
        assert (pose.data[pose.confidence == 0] == 0).all()
        assert pose.confidence[:, WRISTS].any(axis=1).mean() > 0.7


def test_the_keypoints_hold_the_sets_that_configs_name():
    for name in ("hands", "upper_body_hands", "upper_body_hands_face"):
        assert set(get_keypoint_set(name).keypoints) <= set(KEYPOINTS)


def test_corpus_json_says_what_the_movements_are(corpus):
    stated = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    assert (stated["kind"], stated["seed"], stated["sizes"]) == ("sentences", 1, TINY)
    assert stated["source"] == "spoken-to-signed 0.4.0"
    assert stated["movements"] == MOVEMENTS["sentences"]


def test_equal_neighbouring_letters_stand_apart(spell):
    two = spell("LL")
    wrist = two.data[:, RIGHT_WRIST, 0]
    assert wrist[:3].mean() - wrist[-3:].mean() > 0.8 * joining.REPEAT_SLIDE * 120
    hand = [k for k, name in enumerate(KEYPOINTS) if name.startswith("RIGHT_HAND")]
    shape = two.data[:, hand] - two.data[:, hand[:1]]
    size = np.linalg.norm(shape, axis=-1).mean(axis=1)
    assert size.min() < 0.8 * size[0]  # loosened towards the neutral hand, here a point


def test_three_equal_letters_slide_on(spell):
    wrist = spell("LLL").data[:, RIGHT_WRIST, 0]
    assert wrist[:3].mean() - wrist[-3:].mean() > 1.6 * joining.REPEAT_SLIDE * 120


def test_a_letter_lasts_about_ten_frames(spell):
    assert 8 <= np.mean([len(spell("ABLABLABL", seed=seed)) / 9 for seed in range(20)]) <= 12


def test_transitions_do_not_jump(spell):
    wrist = spell("ABL").data[:, RIGHT_WRIST, :2]
    assert np.linalg.norm(np.diff(wrist, axis=0), axis=1).max() < 0.25 * 120


def test_a_mirrored_signer_has_swapped_hands(spell):
    plain, mirrored = spell("AB"), spell("AB", is_mirrored=True)
    swap = [KEYPOINTS.index(mirror_name(name)) for name in KEYPOINTS]
    np.testing.assert_array_equal(mirrored.confidence, plain.confidence[:, swap])
    expected = plain.data[:, swap].copy()
    expected[..., 0] = 500 - expected[..., 0]
    seen = mirrored.confidence > 0
    np.testing.assert_allclose(mirrored.data[seen], expected[seen], atol=1e-3)


def test_the_body_is_one_persons_while_the_hands_are_each_recordings():
    units = (("ase", "A"), *list(SIGNS.values())[:6])
    rng = np.random.default_rng(0)
    pose = compose(
        [Piece(unit, is_letter=False) for unit in units],
        load_recordings(units),
        body=("ase", "A"),
        neutral=np.zeros((21, 3), np.float32),
        style=draw_style(rng),
        rng=rng,
    )
    nose = pose.data[:, KEYPOINTS.index("POSE_LANDMARKS.NOSE"), :2]
    assert np.linalg.norm(np.diff(nose, axis=0), axis=1).max() < 0.05 * 120


def test_no_word_of_one_split_occurs_in_another():
    words = {split: set(drawn) for split, drawn in draw_words(SIZES["words"], seed=1).items()}
    assert sum(map(len, words.values())) == len(set().union(*words.values()))
    assert all(len(words[split]) == 300 for split in ("val", "test", "test_unseen_signer"))


def test_words_are_lower_case_and_spellable():
    assert len(english_words()) > 8000
    assert all(
        word.isascii() and word.islower() and 3 <= len(word) <= 9 for word in english_words()
    )


def test_the_unseen_signer_is_seen_nowhere_else():
    samples = draw_samples("words", SIZES["words"], seed=1)
    unseen = {sample.signer for sample in samples if sample.split == "test_unseen_signer"}
    assert unseen == {"mfs"}
    others = {sample.signer for sample in samples if sample.split != "test_unseen_signer"}
    assert others == {"ase", "asq", "gsg", "sgg", "ssp"}


def test_the_corpus_of_words_has_the_word_as_its_text(tmp_path):
    write_corpus("words", tmp_path, sizes={"train": 2, "test_unseen_signer": 2})
    (row, _) = read_rows(tmp_path / "test_unseen_signer.csv")
    assert (row["signer"], row["source_language"], row["target_language"]) == ("mfs", "mfs", "eng")
    assert row["text"] in english_words()
    assert len(read_bytes(tmp_path / "poses")) == 4


@pytest.mark.parametrize("kind", ["sentences", "words"])
def test_no_broken_recording_is_ever_used(kind):
    samples = draw_samples(kind, dict.fromkeys(SIZES[kind], 20), seed=1)
    languages = {piece.unit[0] for sample in samples for piece in sample.pieces()}
    assert languages <= {"ase", "asq", "gsg", "sgg", "ssp", "mfs", "csq", "cse", "eso"}


@pytest.mark.parametrize(
    ("missing", "kind"), [("spoken_to_signed", "sentences"), ("xkcdpass", "words")]
)
def test_a_missing_package_is_named_with_its_pip_line(tmp_path, monkeypatch, missing, kind):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'signseq\[demo\]'"):
        write_corpus(kind, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(DataError, match=r"'sentence'.*Did you mean 'sentences'"):
        write_corpus("sentence", None)


@pytest.mark.parametrize("sizes", [{"trian": 3}, {"train": 0}, {}])
def test_wrong_sizes_are_an_error(tmp_path, sizes):
    with pytest.raises(DataError, match="expected a positive number for some of train, val, test"):
        write_corpus("sentences", tmp_path, sizes=sizes)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"file/corpus: the corpus can't be written"):
        write_corpus("sentences", tmp_path / "file" / "corpus", sizes=TINY)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("signseq.data.fingerspelling._write_tables", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_corpus("sentences", tmp_path, sizes={"train": 1})
