"""`signseq stitch`: from a lexicon and texts to a corpus."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import tiny_config
from lexicons import make_clip, write_folder, write_index
from signseq import stitching
from signseq.__main__ import app
from signseq.errors import DataError
from signseq.poses.sequence import PoseFile, write_pose
from signseq.preparation import prepare
from signseq.splitting import split
from signseq.stitching import Joining, stitch

LINES = ("We eat.", "You eat bread", "We see bread!", "You see water", "Eat, eat.")


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "lexicon", "WE", "YOU", "EAT", "EAT_2", "SEE", "BREAD", "A", "B")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def read_bytes(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_names_poses_that_are_there(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    report = stitch(lexicon, texts, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "table.csv")

    assert [(row["text"], row["glosses"]) for row in rows] == [
        ("We eat.", "WE EAT"),
        ("You eat bread", "YOU EAT BREAD"),
        ("We see bread!", "WE SEE BREAD"),
        ("Eat, eat.", "EAT EAT"),
    ]
    poses = {path.name for path in (tmp_path / "out" / "poses").iterdir()}
    assert poses == {f"{row['uid']}.pose" for row in rows}
    assert (report.sentences, report.phrases) == (4, 5)


def test_what_is_lacking_is_listed_and_counted(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    report = stitch(lexicon, texts, tmp_path / "out")

    assert read_rows(tmp_path / "out" / "missing.csv") == [
        {"uid": "line_000004", "word": "water", "outcome": "skipped"}
    ]
    assert "lacks: 1, most often water (1). Sentences skipped: 1; words" in report.describe()
    assert stitch(lexicon, texts, tmp_path / "drop", missing="drop").sentences == 5


def test_the_same_seed_writes_the_same_bytes_with_any_number_of_workers(
    lexicon: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stitching, "CHUNK", 2)
    stitch(lexicon, texts, tmp_path / "a")
    stitch(lexicon, texts, tmp_path / "b", workers=2)

    assert read_bytes(tmp_path / "a") == read_bytes(tmp_path / "b")


def test_another_seed_chooses_other_clips(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    written = set()
    for seed in range(4):
        stitch(lexicon, texts, tmp_path / str(seed), seed=seed)
        written.add((tmp_path / str(seed) / "poses" / "line_000001.pose").read_bytes())

    assert len(written) == 2  # EAT and EAT_2


def test_equal_sentences_are_signed_with_different_clips(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "eat.txt").write_text("Eat.\n" * 12)
    stitch(lexicon, tmp_path / "eat.txt", tmp_path / "out")

    assert len(set(read_bytes(tmp_path / "out" / "poses").values())) == 2


def test_a_sentence_is_the_same_whatever_stands_beside_it(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    stitch(lexicon, texts, tmp_path / "a")
    texts.write_text("\n".join(("Bread.", *LINES[1:])))
    stitch(lexicon, texts, tmp_path / "b")

    changed = {
        name
        for name, content in read_bytes(tmp_path / "a" / "poses").items()
        if (tmp_path / "b" / "poses" / name).read_bytes() != content
    }
    assert changed == {"line_000001.pose"}


def test_an_interrupted_run_goes_on_and_keeps_what_is_there(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stitch(lexicon, texts, out)
    whole = read_bytes(out)
    (out / "table.csv").unlink()
    (out / "poses" / "line_000003.pose").unlink()
    kept = (out / "poses" / "line_000001.pose").stat().st_mtime_ns
    stitch(lexicon, texts, out)

    assert read_bytes(out) == whole
    assert (out / "poses" / "line_000001.pose").stat().st_mtime_ns == kept


def test_other_settings_need_overwrite_and_then_leave_nothing_behind(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stitch(lexicon, texts, out, joining=Joining(fps=12))
    with pytest.raises(DataError, match=r"other settings.*changed: joining.*--overwrite"):
        stitch(lexicon, texts, out)
    texts.write_text("Bread.\n")
    stitch(lexicon, texts, out, overwrite=True)
    stitch(lexicon, texts, tmp_path / "fresh")

    assert read_bytes(out) == read_bytes(tmp_path / "fresh")


def test_a_clip_that_has_changed_is_other_sentences(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    stitch(lexicon, texts, tmp_path / "out")
    pose = make_clip(0.9)
    longer = PoseFile.open(lexicon / "WE.pose").read(end_frame=30)
    write_pose(lexicon / "WE.pose", longer, size=(500, 500))

    assert len(pose) != len(longer)
    with pytest.raises(DataError, match="changed: sentences"):
        stitch(lexicon, texts, tmp_path / "out")


def test_files_of_somebody_else_are_left_alone(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")

    with pytest.raises(DataError, match=r"table\.csv: is there already, and was not stitched"):
        stitch(lexicon, texts, tmp_path, overwrite=True)
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_languages_of_the_index_stand_in_the_table(tmp_path: Path, texts: Path) -> None:
    write_folder(tmp_path / "lexicon", "a")
    write_index(tmp_path / "lexicon", [{"words": "we"}, {"words": "eat"}])
    stitch(tmp_path / "lexicon", texts, tmp_path / "out")
    row = read_rows(tmp_path / "out" / "table.csv")[0]

    assert (row["source_language"], row["target_language"]) == ("ase", "en")


def test_words_are_spelled_with_the_letters_of_another_lexicon(
    tmp_path: Path, lexicon: Path, texts: Path
) -> None:
    write_folder(tmp_path / "letters", "W", "A", "T", "E", "R")
    stitch(lexicon, texts, tmp_path / "out", missing="spell", letters=tmp_path / "letters")

    assert read_rows(tmp_path / "out" / "table.csv")[3]["glosses"] == "YOU SEE fs-WATER"


def test_a_missing_clip_is_named_before_anything_is_written(lexicon: Path, tmp_path: Path) -> None:
    write_index(lexicon, [{"words": "we", "glosses": "WE", "path": "gone.pose"}])
    (tmp_path / "a.txt").write_text("we")

    with pytest.raises(DataError, match=r"The clip of 'WE' can't be used; .*gone\.pose: no such"):
        stitch(lexicon, tmp_path / "a.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_clip_that_shows_nobody_is_named_before_anything_is_written(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    pose = make_clip()
    pose.confidence[:] = 0
    write_pose(lexicon / "BREAD.pose", pose, size=(500, 500))

    with pytest.raises(DataError, match=r"'BREAD' can't be used; .*take it out.*shoulders"):
        stitch(lexicon, texts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_skeletons_in_one_lexicon_are_named(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    hands = PoseFile.open(lexicon / "SEE.pose")
    kept = [name for name in hands.keypoints if not name.endswith("_EYE")]
    write_pose(lexicon / "SEE.pose", hands.read(keypoints=kept), size=(500, 500))

    with pytest.raises(DataError, match=r"SEE\.pose has 51 points .*\w+\.pose has 53.*--keypoints"):
        stitch(lexicon, texts, tmp_path / "out")
    assert stitch(lexicon, texts, tmp_path / "out", joining=Joining(keypoints="hands")).sentences


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"missing": "guess"}, "missing is 'guess'.*skip, drop, spell"),
        ({"seed": -1}, "seed -1"),
        ({"lexicon": "nowhere"}, "nowhere: no such folder"),
        ({"texts": "nowhere.txt"}, r"nowhere\.txt: can't be read"),
        ({"texts": "fish.txt"}, r"no sentence can be signed.*most often fish \(1\)"),
    ],
)
def test_what_cannot_be_stitched_says_why(
    lexicon: Path, texts: Path, tmp_path: Path, arguments: dict, message: str
) -> None:
    (tmp_path / "fish.txt").write_text("Fish!")
    paths = {"lexicon": lexicon, "texts": texts} | {
        name: tmp_path / arguments.pop(name) for name in ("lexicon", "texts") if name in arguments
    }

    with pytest.raises(DataError, match=message):
        stitch(paths["lexicon"], paths["texts"], tmp_path / "out", **arguments)


def test_a_lexicon_without_letters_cannot_spell(tmp_path: Path, texts: Path) -> None:
    with pytest.raises(DataError, match=r"no clips of single letters.*--letters"):
        stitch(write_folder(tmp_path / "x", "WE"), texts, tmp_path / "out", missing="spell")


def test_what_is_stitched_can_be_split_and_prepared(
    lexicon: Path, texts: Path, tmp_path: Path
) -> None:
    stitch(lexicon, texts, tmp_path)
    split(tmp_path / "table.csv", tmp_path, shares={"train": 0.5, "val": 0.25, "test": 0.25})
    reports = prepare(tiny_config(tmp_path), workers=1)

    assert sum(report.clips for report in reports.values()) == 4


def test_the_command_line_stitches(lexicon: Path, texts: Path, tmp_path: Path) -> None:
    arguments = [
        str(lexicon),
        str(texts),
        str(tmp_path / "out"),
        "--fps",
        "12",
        "--first",
        "-j",
        "1",
    ]
    result = CliRunner().invoke(app, ["stitch", *arguments])

    assert result.exit_code == 0, result.output
    assert "4 of 5 sentences are in" in result.output
    assert PoseFile.open(tmp_path / "out" / "poses" / "line_000001.pose").fps == 12
    assert "signseq.stitching" in sys.modules
