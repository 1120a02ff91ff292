import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest

from conftest import write_rows
from signseq import evaluation
from signseq.config import load_config
from signseq.controls import derange
from signseq.errors import CheckpointError, ConfigError, DataError, ModelError
from signseq.evaluation import (
    Evaluation,
    evaluate,
    format_scores,
    translate_store,
    write_evaluation,
)
from signseq.metrics import PLAIN, score
from signseq.preparation import open_split
from signseq.translation import load_checkpoint

BLIND = {"poses zeroed", "poses of other clips", "most frequent training sentence"}


@pytest.fixture(scope="module")
def result(trained):
    return evaluate(trained)


@pytest.fixture
def make_evaluation(tmp_path):
    def make(hypotheses, references, *, split="test", blind=None):
        uids = [f"clip-{i}" for i in range(len(references))]
        scores = score(hypotheses, references)
        return Evaluation(split, scores, blind or {}, uids, references, hypotheses, tmp_path)

    return make


def read_predictions(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_scores_stand_beside_blind_baselines(result):
    assert set(result.blind) == BLIND
    assert result.scores.exact_match > 90
    assert max(scores.exact_match for scores in result.blind.values()) < 50


def test_scores_file_has_every_score(result):
    facts = json.loads((result.folder / "scores.json").read_text(encoding="utf-8"))

    names = {*PLAIN, "count", "signatures", "normalize", "tokenize"}
    about = {"controls", "losses", "outputs", "training_overlap", "warnings"}
    assert set(facts) == names | about | {"split", "blind", "intervals", "confidence"}
    assert set(facts["blind"]) == BLIND
    assert all(set(scores) == names for scores in facts["blind"].values())
    low, high = facts["intervals"]["cer"]
    assert low <= facts["cer"] <= high
    assert facts["cer"] == result.scores.cer


def test_predictions_file_has_a_row_per_clip(result):
    rows = read_predictions(result.folder / "predictions.tsv")

    assert [row["uid"] for row in rows] == result.uids == [f"test-{i}" for i in range(12)]
    assert [row["reference"] for row in rows] == result.references
    assert [row["hypothesis"] for row in rows] == result.hypotheses


def test_the_scores_are_those_of_the_predictions(result):
    rows = read_predictions(result.folder / "predictions.tsv")
    texts = ([row[column] for row in rows] for column in ("hypothesis", "reference"))

    assert score(*texts, resamples=1000) == result.scores


def test_how_texts_are_scored_can_be_chosen_afterwards(run_folder):
    settings = ["evaluation.normalize=lower", "evaluation.tokenize=char", "evaluation.resamples=0"]
    result = evaluate(run_folder, split="val", blind=False, overrides=settings)

    assert (result.scores.normalize, result.scores.tokenize) == ("lower", "char")
    assert "|tok:char|" in result.scores.signatures["bleu4"]
    assert result.scores.intervals == {}


def test_a_metric_that_cannot_be_computed_is_noticed_before_translating(run_folder, monkeypatch):
    monkeypatch.setattr(evaluation, "translate_store", lambda *a, **k: pytest.fail("translated"))
    with pytest.raises(ModelError, match=r"evaluation\.bleurt"):
        evaluate(run_folder, overrides=["evaluation.bleurt=./gone"])


def test_scoring_twice_gives_the_same(result, trained):
    again = evaluate(trained)

    assert (again.scores, again.blind) == (result.scores, result.blind)


def test_other_splits_name_their_files(run_folder):
    evaluate(run_folder, split="val", blind=False)

    assert len(read_predictions(run_folder / "predictions_val.tsv")) == 12
    assert json.loads((run_folder / "scores_val.json").read_text())["split"] == "val"
    assert not (run_folder / "predictions.tsv").exists()


def test_blind_baselines_can_be_left_out(run_folder):
    assert evaluate(run_folder, split="val", blind=False).blind == {}


def test_an_unknown_split_names_those_there_are(run_folder):
    with pytest.raises(DataError, match=r"No split 'dev'.*train, val, test"):
        evaluate(run_folder, split="dev")


def test_further_splits_can_be_added_by_an_override(run_folder, tmp_path, prepared):
    write_rows(tmp_path / "more.csv", [{"uid": "test-0", "text": "we eat"}])
    overrides = [f"data.other_paths={{more: '{tmp_path}/more.csv'}}", f"data.store={tmp_path}/s"]

    result = evaluate(run_folder, split="more", overrides=overrides)

    assert result.references == ["we eat"]
    assert "poses of other clips" not in result.blind  # there is no other clip
    assert (run_folder / "scores_more.json").exists()


def test_a_checkpoint_without_config_names_what_is_missing(run_folder):
    (run_folder / "config.yaml").unlink()

    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        evaluate(run_folder)


# ----------------------------------------------------------------------------------- controls


def test_zeroed_poses_hide_everything_but_the_length(trained, prepared):
    model, tokenizer = load_checkpoint(trained)
    config = load_config(trained / "config.yaml")
    store = open_split(config.data, "test")

    texts = translate_store(model, tokenizer, store, settings=config.generation, control="zeroed")

    of_length = {}
    for frames, text in zip(store.frames, texts, strict=True):
        of_length.setdefault(int(frames), set()).add(text)
    assert len(of_length) == 3
    assert all(len(found) == 1 for found in of_length.values())


def test_shuffled_poses_give_the_translations_of_other_clips(trained):
    model, tokenizer = load_checkpoint(trained)
    config = load_config(trained / "config.yaml")
    store = open_split(config.data, "test")
    settings = {"settings": config.generation}

    own = translate_store(model, tokenizer, store, **settings)
    shuffled = translate_store(model, tokenizer, store, control="shuffled", seed=3, **settings)

    others = derange(np.arange(len(store)), seed=3)
    assert shuffled == [own[other] for other in others]


def test_clips_can_be_chosen(trained):
    model, tokenizer = load_checkpoint(trained)
    config = load_config(trained / "config.yaml")
    store = open_split(config.data, "test")

    everything = translate_store(model, tokenizer, store, settings=config.generation)
    chosen = np.array([7, 2, 3])
    some = translate_store(model, tokenizer, store, settings=config.generation, clips=chosen)
    none = translate_store(model, tokenizer, store, settings=config.generation, clips=chosen[:0])

    assert some == [everything[7], everything[2], everything[3]]
    assert none == []


def test_without_training_data_that_baseline_is_left_out_with_a_warning(
    run_folder, prepared, tmp_path, caplog
):
    overrides = [
        f"data.train_path={tmp_path}/gone.csv",
        f"data.store={tmp_path}/store",
    ]

    result = evaluate(run_folder, split="val", overrides=overrides)

    assert set(result.blind) == BLIND - {"most frequent training sentence"}
    assert "gone.csv" in caplog.text


# -------------------------------------------------------------------------------------- files


def test_odd_characters_do_not_break_the_predictions_file(make_evaluation, tmp_path):
    texts = ["a\tb", 'she said "no"', "two\nlines", "it's", "نحن 🍞", '"', "a\r\nb"]
    write_evaluation(make_evaluation([text + "!" for text in texts], texts))

    rows = read_predictions(tmp_path / "predictions.tsv")

    assert [row["reference"] for row in rows] == texts
    assert [row["hypothesis"] for row in rows] == [text + "!" for text in texts]


def test_a_folder_that_cannot_be_written_is_a_checkpoint_error(make_evaluation, tmp_path):
    (tmp_path / "predictions.tsv").mkdir()

    with pytest.raises(CheckpointError, match="scores can't be written"):
        write_evaluation(make_evaluation(["a"], ["a"]))


def test_a_full_disk_leaves_the_earlier_scores(make_evaluation, tmp_path, monkeypatch):
    write_evaluation(make_evaluation(["a"], ["a"]))
    before = (tmp_path / "scores.json").read_text()

    def fail(path, text, **settings):
        path.write_bytes(text.encode()[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        write_evaluation(make_evaluation(["a"], ["a"]))

    assert (tmp_path / "scores.json").read_text() == before
    assert not list(tmp_path.glob(".*part"))


def test_scores_that_cannot_be_written_are_shown_all_the_same(run_folder, monkeypatch, caplog):
    def fail(found):
        raise CheckpointError("the disk is full")

    monkeypatch.setattr(evaluation, "write_evaluation", fail)
    with pytest.raises(CheckpointError, match="the disk is full"):
        evaluate(run_folder, blind=False)

    assert "BLEU-4" in caplog.text
    assert "model" in caplog.text


def test_a_folder_that_cannot_be_written_is_noticed_before_translating(run_folder, monkeypatch):
    def refuse(path, *arguments, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(evaluation, "translate_store", lambda *a, **k: pytest.fail("translated"))
    with pytest.raises(CheckpointError, match="could not be written there"):
        evaluate(run_folder)


@pytest.mark.parametrize("key", ["data.step_frames=2", "model.name=t5", "training.batch_size=1"])
def test_what_a_checkpoint_was_trained_with_can_not_be_overridden(run_folder, key):
    with pytest.raises(ConfigError, match=r"belongs to the training of a checkpoint"):
        evaluate(run_folder, overrides=[key])


def test_the_table_shows_the_model_first_and_names_the_signature(result):
    lines = format_scores(result).splitlines()

    assert lines[0].split()[:3] == ["test,", "12", "clips"]
    assert lines[1].startswith("model ")
    assert lines[2].startswith("  half of its 95% interval")
    assert lines[2].count("±") == 9 - sum(
        getattr(result.scores, f"bleu{n}") is None for n in range(1, 5)
    )
    assert [line.startswith("blind: ") for line in lines[3:6]] == [True] * 3
    assert lines[-1].startswith("sacreBLEU signature: nrefs:1|")


def test_the_table_says_why_a_score_is_missing(result):
    assert result.scores.bleu4 is None
    assert "n/a" in format_scores(result).splitlines()[1]
    assert "n/a: no reference has that many words" in format_scores(result)


@pytest.mark.parametrize("blind", [False, True])
def test_the_columns_of_the_table_line_up(make_evaluation, blind):
    baselines = {"a long name of a baseline": score(["a"], ["b"])} if blind else {}
    table = format_scores(make_evaluation(["a b c d"], ["a b c d"], blind=baselines))

    assert len({len(line) for line in table.splitlines()[: 2 + blind]}) == 1


def test_evaluation_needs_no_scores_of_the_search(trained, monkeypatch):
    """They would hold the probabilities of every token of the vocabulary at every step."""
    seen = []
    generate_texts = evaluation.generate_texts
    monkeypatch.setattr(
        evaluation,
        "generate_texts",
        lambda *given, **named: seen.append(named) or generate_texts(*given, **named),
    )

    model, tokenizer = load_checkpoint(trained)
    config = load_config(trained / "config.yaml")
    translate_store(model, tokenizer, open_split(config.data, "val"), settings=config.generation)

    assert all(named["scored"] is False for named in seen)
