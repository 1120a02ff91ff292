"""What stands in a report, and what becomes of runs that lack something."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from signseq.__main__ import app
from signseq.config import load_config, save_config
from signseq.errors import DataError
from signseq.reporting import looking
from signseq.reporting import page as page_module
from signseq.reporting.clips import choose_clips, clip_scores
from signseq.reporting.run import report

HOSTILE = '</script><img src=x onerror="alert(1)"> & <!-- data --> $title مرحبا'


class Page(HTMLParser):
    """A page's tags with their attributes, and its texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def data_of(page):
    """What the page's script reads."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def write_predictions(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([("uid", "reference", "hypothesis"), *rows])
    return path


def read_rows(folder):
    with (folder / "predictions.tsv").open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t")]


@pytest.fixture
def copy(evaluated, tmp_path):
    """A copy of the evaluated run's folder, to be changed at will."""
    return Path(shutil.copytree(evaluated, tmp_path / "copy"))


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    return report([evaluated], out=tmp_path_factory.mktemp("page") / "report.html", n_best=2)


# ------------------------------------------------------------------------------- what it shows


def test_every_clip_has_its_texts_poses_and_score(page, evaluated):
    data, rows = data_of(page), read_rows(evaluated)

    assert [clip["uid"] for clip in data["clips"]] == [uid for uid, _, _ in rows]
    for clip, (_, reference, hypothesis) in zip(data["clips"], rows, strict=True):
        assert clip["text"] == reference
        assert clip["words"] == reference.split()
        (output,) = clip["outputs"]
        assert output["text"] == hypothesis
        assert ("1" in output["extra"] + output["missing"]) == (reference != hypothesis)
        assert clip["pose"]["frames"] >= 1
    assert data["points"] == 53
    assert len(data["hands"]) == 42


def test_each_output_has_its_n_best_and_attention(page):
    for clip in data_of(page)["clips"]:
        (output,) = clip["outputs"]
        assert len(output["best"]) == 2
        assert output["best"][0][0] == output["text"]
        assert output["best"][0][1] >= output["best"][1][1]
        bins = clip["pose"]["seconds"] / output["seconds"]
        assert 0.5 < bins <= 1  # the last position may reach beyond the clip's end
        weights = np.frombuffer(base64.b64decode(output["attention"]), np.uint8)
        assert (weights.reshape(len(output["words"]), -1).max(axis=1) == 255).all()


def test_the_page_asks_for_nothing_from_elsewhere(page):
    tags = Page(page).tags
    for tag, attributes in tags:
        assert tag not in ("link", "img", "iframe", "object", "embed")
        assert not {"src", "srcset", "action", "background"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


def test_scores_stand_there_with_intervals_and_signatures(page, evaluated):
    scores = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")

    low, high = scores["intervals"]["cer"]
    assert f"{scores['cer']:.2f} <small>[{low:.2f}, {high:.2f}]</small>" in text
    assert scores["signatures"]["chrf"] in text
    assert "hands only" in text
    assert "worse than the model" in text
    assert "Learning curves" in text
    assert "Loss" in text
    for warning in scores["warnings"]:
        assert warning.split(":")[0] in text


def test_every_control_of_the_page_has_a_name(page):
    parser = Page(page)
    labelled = 0
    for place, (tag, _) in enumerate(parser.tags):
        if tag in ("input", "select"):
            assert "label" in [name for name, _ in parser.tags[max(0, place - 1) : place]]
            labelled += 1
    assert labelled == 6
    ids = [attributes["id"] for _, attributes in parser.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {a["aria-labelledby"] for _, a in parser.tags if "aria-labelledby" in a}
    assert wanted <= set(ids)


def test_hostile_texts_stay_texts(evaluated, tmp_path):
    rows = [(uid, reference, HOSTILE) for uid, reference, _ in read_rows(evaluated)]
    place = tmp_path / "<b>&copy;.tsv"
    write_predictions(place, rows)

    page = report([place], out=tmp_path / "report.html")

    assert data_of(page)["clips"][0]["outputs"][0]["text"] == HOSTILE
    parser = Page(page)
    assert "img" not in [tag for tag, _ in parser.tags]
    assert "b" not in [tag for tag, _ in parser.tags]
    assert any("<b>&copy;.tsv" in text for text in parser.texts)


def test_the_best_the_worst_and_some_between_are_shown():
    scores = np.random.default_rng(0).permutation(1000).astype(float)

    chosen = choose_clips(scores, 50)

    found = sorted(scores[chosen])
    assert len(chosen) == 50
    assert chosen == sorted(chosen)
    assert found[:10] == list(range(10))
    assert found[-10:] == list(range(990, 1000))
    assert np.diff(found[10:-10]).max() < 40
    assert choose_clips(scores, 1000) == list(range(1000))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_as_many_clips_as_wanted_are_shown(count):
    assert len(choose_clips(np.arange(20.0), count)) == count


def test_the_score_of_a_clip_is_its_own_chrf():
    from signseq.metrics.sentence import sentence_chrf

    references = ["we eat bread", "you see water", "we see"]
    hypotheses = ["we eat water", "you see water", "bread and fish"]
    wanted = [sentence_chrf(*pair) for pair in zip(hypotheses, references, strict=True)]
    np.testing.assert_allclose(clip_scores(hypotheses, references), wanted, atol=0.05)


def test_the_page_keeps_to_its_size_by_fewer_frames(evaluated, tmp_path, monkeypatch):
    whole = report([evaluated], out=tmp_path / "whole.html", n_best=0)
    size = whole.stat().st_size
    monkeypatch.setattr(page_module, "MOST_BYTES", size - 3_000)

    small = report([evaluated], out=tmp_path / "small.html", n_best=0)

    assert small.stat().st_size <= size - 3_000
    assert len(data_of(small)["clips"]) == 12


# -------------------------------------------------------------------------------- several runs


def test_several_runs_are_compared(evaluated, copy, tmp_path):
    rows = [(uid, reference, "you") for uid, reference, _ in read_rows(copy)]
    write_predictions(copy / "predictions.tsv", rows)

    page = report([evaluated, copy], out=tmp_path / "report.html", n_best=0)

    text = page.read_text(encoding="utf-8")
    assert "Compared" in text
    assert f"worse than {evaluated} at 95%" in text
    assert all(len(clip["outputs"]) == 2 for clip in data_of(page)["clips"])


def test_runs_that_differ_by_seed_alone_are_compared_together(evaluated, copy, tmp_path):
    config = load_config(evaluated / "config.yaml")
    save_config(config.model_copy(update={"seed": config.seed + 1}), copy / "config.yaml")
    third = tmp_path / "third.tsv"
    write_predictions(third, [(uid, reference, "you") for uid, reference, _ in read_rows(copy)])

    page = report([evaluated, third, copy], out=tmp_path / "report.html", n_best=0)

    text = page.read_text(encoding="utf-8")
    assert f"<bdi>{evaluated} (2 seeds)</bdi>" in text
    assert "mean of 2 runs, \u00b1 0.00" in text
    assert f"worse than {evaluated} (2 seeds)" in text


def test_each_output_has_its_own_marks_in_the_reference(evaluated, copy, tmp_path):
    rows = [(uid, reference, "you") for uid, reference, _ in read_rows(copy)]
    write_predictions(copy / "predictions.tsv", rows)

    clips = data_of(report([evaluated, copy], out=tmp_path / "report.html", n_best=0))["clips"]
    for clip in clips:
        lacks = "".join("0" if word == "you" else "1" for word in clip["words"])
        assert clip["outputs"][1]["missing"] == lacks or clip["words"].count("you") > 1


def test_runs_of_different_clips_are_refused(evaluated, copy, tmp_path):
    write_predictions(copy / "predictions.tsv", read_rows(copy)[1:])
    with pytest.raises(DataError, match="different clips"):
        report([evaluated, copy], out=tmp_path / "report.html")


# ---------------------------------------------------------------------------- what may be missing


def test_a_run_without_predictions_names_the_command(run_folder, tmp_path):
    with pytest.raises(DataError, match=rf"signseq evaluate {run_folder}"):
        report([run_folder], out=tmp_path / "report.html")


def test_a_table_alone_gives_scores_and_texts(evaluated, tmp_path):
    place = shutil.copy(evaluated / "predictions.tsv", tmp_path / "theirs.tsv")

    page = report([place], out=tmp_path / "report.html")

    clip = data_of(page)["clips"][0]
    assert "pose" not in clip
    assert "best" not in clip["outputs"][0]
    assert "No run has poses to show." in page.read_text(encoding="utf-8")
    assert "signseq evaluate RUN --controls all" in page.read_text(encoding="utf-8")


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_rest(copy, tmp_path):
    (copy / "model.safetensors").unlink()

    page = report([copy], out=tmp_path / "report.html")

    clip = data_of(page)["clips"][0]
    assert "pose" in clip
    assert "attention" not in clip["outputs"][0]
    assert "n-best and attention are not shown" in page.read_text(encoding="utf-8")


def test_an_architecture_without_attention_is_told(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "attend", lambda model, poses, labels: None)

    page = report([evaluated], out=tmp_path / "report.html", n_best=1)

    assert "this architecture gives no attention weights" in page.read_text(encoding="utf-8")
    (output,) = data_of(page)["clips"][0]["outputs"]
    assert "attention" not in output
    assert len(output["best"]) == 1


def test_clips_that_the_store_lacks_are_counted(copy, tmp_path):
    rows = [(f"new-{uid}" if uid == "test-3" else uid, *rest) for uid, *rest in read_rows(copy)]
    write_predictions(copy / "predictions.tsv", rows)

    page = report([copy], out=tmp_path / "report.html", n_best=1)

    assert "1 of 12 clips are not in its store" in page.read_text(encoding="utf-8")
    clips = {clip["uid"]: clip for clip in data_of(page)["clips"]}
    assert "pose" not in clips["new-test-3"]
    assert "best" not in clips["new-test-3"]["outputs"][0]


def test_without_its_store_a_run_is_shown_without_poses(copy, tmp_path):
    config = (copy / "config.yaml").read_text(encoding="utf-8")
    lines = [
        f"  store: {tmp_path}/gone" if "  store:" in line else line for line in config.splitlines()
    ]
    (copy / "config.yaml").write_text("\n".join(lines), encoding="utf-8")

    page = report([copy], out=tmp_path / "report.html")

    assert "pose" not in data_of(page)["clips"][0]
    assert "poses, n-best and attention are not shown" in page.read_text(encoding="utf-8")


def test_without_scores_they_are_computed_and_the_command_is_named(copy, tmp_path):
    (copy / "scores.json").unlink()

    page = report([copy], out=tmp_path / "report.html", n_best=0)

    text = page.read_text(encoding="utf-8")
    assert "were computed for this report" in text
    assert f"signseq evaluate {copy}" in text


def test_damaged_scores_are_named(copy, tmp_path):
    (copy / "scores.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"scores\.json: can't be read"):
        report([copy], out=tmp_path / "report.html", n_best=0)


def test_one_run_twice_is_refused(evaluated, tmp_path):
    with pytest.raises(DataError, match="named twice"):
        report([evaluated, evaluated], out=tmp_path / "report.html")


def test_the_command_says_where_the_page_is(evaluated, tmp_path):
    out = tmp_path / "made" / "page.html"
    done = CliRunner().invoke(app, ["report", str(evaluated), "--out", str(out), "--n-best", "0"])

    assert done.exit_code == 0, done.output
    assert f"The report is in {out}." in done.output
    assert out.exists()
