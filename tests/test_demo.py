import logging

import pytest

from signseq import demo
from signseq.errors import CheckpointError, ConfigError

TINY = [
    "training.max_steps=3",
    "training.batch_size=8",
    "model.size.width=16",
    "model.encoder.width=16",
    "generation.max_new_tokens=6",
]


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty folder to work in, and a quick corpus that is quicker still."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "QUICK_SIZES", {"train": 16, "val": 6, "test": 6})
    return tmp_path


def test_the_demo_goes_the_whole_way_and_says_each_step(in_folder, caplog):
    with caplog.at_level(logging.INFO, logger="signseq"):
        evaluation = demo.run_demo(overrides=TINY, quick=True)

    assert evaluation.scores.count == 6
    assert set(evaluation.blind) >= {"poses zeroed", "poses of other clips"}
    for step in ("1/5 Corpus", "2/5 Prepare", "3/5 Train", "4/5 Evaluate", "5/5 Translate"):
        assert step in caplog.text
    assert "of 3 exactly right" in caplog.text  # half of the test sentences have a name
    assert caplog.text.count("translated: ") == demo.SHOWN
    assert (in_folder / "checkpoints/demo_quick/predictions.tsv").exists()
    assert (in_folder / "checkpoints/demo_quick/report.html").exists()
    assert "Report, to look at in a browser: checkpoints/demo_quick/report.html" in caplog.text


def test_the_demo_of_words_scores_the_unseen_signer_too(in_folder, caplog):
    with caplog.at_level(logging.INFO, logger="signseq"):
        demo.run_demo(demo.demo_config().with_name("fingerspelling.yaml"), TINY, quick=True)

    assert (in_folder / "checkpoints/demo_quick/scores_test_unseen_signer.json").exists()
    assert "n/a: no reference has that many words" in caplog.text


def test_the_demo_refuses_a_corpus_that_is_not_embedded(in_folder):
    with pytest.raises(ConfigError, match="sentences or words"):
        demo.run_demo(overrides=["data.corpus=csv"], quick=True)


def test_the_demo_runs_again_but_replaces_no_other_run(in_folder):
    demo.run_demo(overrides=TINY, quick=True)
    demo.run_demo(overrides=TINY, quick=True)

    with pytest.raises(CheckpointError, match="holds a run already"):
        demo.run_demo(overrides=[*TINY, "training.learning_rate=1e-4"], quick=True)
