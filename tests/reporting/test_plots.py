"""Plots as files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from signseq.errors import DataError, MissingExtraError
from signseq.reporting import plots
from signseq.reporting.run import report

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def folder(evaluated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    other = Path(shutil.copytree(evaluated, folder / "other"))
    report([evaluated, other], out=folder / "page.html", plots=folder / "plots")
    return folder / "plots"


def test_each_plot_is_there_in_both_formats(folder):
    names = {"score_by_length"}
    names |= {f"{kind}_{run}" for kind in ("curves", "confusion", "attention") for run in (1, 2)}
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_plots_are_drawn_without_a_screen(folder):
    assert folder.exists()
    assert "matplotlib.pyplot" not in sys.modules


def test_words_that_became_others_are_counted():
    references = ["we eat bread", "we eat fish", "you eat"]
    outputs = ["we see bread", "we eat", "we eat now"]

    words, names, counts = plots.confuse_words(references, outputs, most=2)

    assert words == ["eat", "we"]
    assert names == ["eat", "we", plots.OTHER, plots.NOTHING]
    assert counts.tolist() == [[2, 0, 1, 0], [0, 2, 0, 0]]


def test_words_that_are_left_out_became_nothing():
    _, _, counts = plots.confuse_words(["we eat", "we"], ["", "we"], most=1)
    assert counts.tolist() == [[1, 0, 1]]


def test_without_matplotlib_the_extra_is_named_before_anything_is_done(
    evaluated, tmp_path, monkeypatch
):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"signseq\[plots\]"):
        report([evaluated], out=tmp_path / "page.html", plots=tmp_path / "plots")
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_cannot_be_made_is_a_data_error(evaluated, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="plots can't be written"):
        report([evaluated], out=tmp_path / "page.html", n_best=0, plots=tmp_path / "file")
