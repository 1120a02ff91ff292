import json
import logging
import os
import sys
import threading

import pytest
from safetensors.torch import load_file

from conftest import tiny_config
from signseq.errors import ConfigError, MissingExtraError
from signseq.training import arguments
from signseq.training.arguments import check_settings
from signseq.training.run import train
from signseq.training.tracking import trackers as tracking
from signseq.training.tracking.reporting import tracked
from signseq.training.tracking.trackers import (
    OPENERS,
    RunFacts,
    Trackers,
    check_trackers,
    open_trackers,
)


class Recorder:
    """A tracker that remembers what it is told."""

    def __init__(self, run_id="id-1"):
        self.run_id, self.calls = run_id, []

    def start(self, facts, *, run_id, step, keep):
        self.calls.append(("start", facts, run_id, step))
        keep(self.run_id)

    def log(self, values, *, step):
        self.calls.append(("log", values, step))

    def show_examples(self, examples, *, step):
        self.calls.append(("examples", examples, step))

    def finish(self, *, failed):
        self.calls.append(("finish", failed))

    def told(self, kind):
        return [call[1:] for call in self.calls if call[0] == kind]


class Broken(Recorder):
    """A tracker that raises when it is called in one way."""

    def __init__(self, method, fault):
        super().__init__()
        setattr(self, method, self.fail)
        self.fault = fault

    def fail(self, *_, **__):
        raise self.fault


class Hanging(Recorder):
    """A tracker that never comes back from being started."""

    def start(self, facts, **_):
        threading.Event().wait()


def facts_of(folder):
    rows = [("encoder", 1000, 0), ("head", 20, 20)]
    return RunFacts("project", "name", folder, {"seed": 1}, "Model()", rows)


@pytest.fixture
def use_trackers(monkeypatch):
    """Let trackers of a test take the places of real ones."""

    def use(**trackers):
        monkeypatch.setattr(arguments, "check_trackers", lambda names: None)
        for name, tracker in trackers.items():
            monkeypatch.setitem(OPENERS, name, lambda tracker=tracker: tracker)
        return f"training.report_to=[{', '.join(trackers)}]"

    return use


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------ what is told


@pytest.fixture(scope="module")
def tracked_run(prepared, tmp_path_factory):
    """A run, and what its tracker was told."""
    recorder, folder = Recorder(), tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "check_trackers", lambda names: None)
        patch.setitem(OPENERS, "mlflow", lambda: recorder)
        settings = ("best_metric=cer", "report_to=[mlflow]", "encoder_learning_rate=1e-3")
        place = f"training.checkpoint_dir={folder}"
        config = tiny_config(prepared, place, *(f"training.{setting}" for setting in settings))
        train(config)
    return folder, recorder


def test_a_tracker_is_told_what_the_run_is(tracked_run):
    folder, recorder = tracked_run
    [(facts, run_id, step)] = recorder.told("start")

    assert (facts.name, facts.project) == (folder.name, "sign-language-translation")
    assert facts.config["training"]["num_epochs"] == 2
    assert "sweep" not in facts.config
    assert "BartEncoder" in facts.architecture
    assert (run_id, step) == (None, 0)


def test_a_tracker_gets_every_value_of_the_log(tracked_run):
    folder, recorder = tracked_run
    logged = recorder.told("log")
    names = {name for values, _ in logged for name in values}

    assert {f"train/{name}" for name in ("loss", "grad_norm", "learning_rate")} <= names
    assert {f"train/{name}_per_second" for name in ("samples", "frames")} <= names
    assert {"train/padding_share", "train/data_wait_share", "train/memory_mib", "epoch"} <= names
    assert {f"eval/{name}" for name in ("loss", "bleu1", "rouge_l", "wer", "cer", "chrf")} <= names
    assert [step for _, step in logged] == [entry["step"] for entry in log(folder)]
    assert logged[0][0]["train/loss"] == log(folder)[0]["loss"]


def test_what_is_not_counted_is_not_logged(tracked_run):
    folder, recorder = tracked_run
    told = {name for values, _ in recorder.told("log") for name in values}

    assert "train_runtime" in log(folder)[-1]  # the Trainer's last entry, where FLOPs stand
    assert not any("total_flos" in name for name in (*told, *log(folder)[-1]))


def test_learning_rates_are_logged_by_group_where_they_differ(tracked_run):
    entry = next(entry for entry in log(tracked_run[0]) if "loss" in entry)

    assert entry["learning_rate_text_model"] == pytest.approx(entry["learning_rate"])
    assert entry["learning_rate_pose_encoder"] == pytest.approx(entry["learning_rate"] / 3)


def test_a_tracker_gets_examples_of_every_evaluation(tracked_run):
    folder, recorder = tracked_run
    told = recorder.told("examples")
    scored = [entry["step"] for entry in log(folder) if "eval_cer" in entry]

    assert [step for _, step in told] == scored == [12, 24]
    assert all(len(examples) == 4 for examples, _ in told)
    assert [example.uid for example in told[0][0]] == [example.uid for example in told[1][0]]


def test_the_end_of_a_run_is_told(tracked_run):
    assert tracked_run[1].calls[-1] == ("finish", False)


def test_a_run_describes_its_model_in_its_folder(tracked_run):
    text = (tracked_run[0] / "model.txt").read_text()
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:6]}
    total = int(rows.pop("all")[0].replace(",", ""))

    assert "pose_encoder" in rows
    assert total == sum(int(size.replace(",", "")) for size, _ in rows.values())
    assert "BartDecoder" in text


def test_a_run_that_fails_says_so_to_its_trackers(run_config, use_trackers, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(
        "signseq.training.trainer.SignTrainer._sum_losses", lambda *_: [float("nan"), 1.0]
    )
    setting = use_trackers(wandb=recorder)

    with pytest.raises(Exception, match="loss is nan"):
        train(run_config(setting))

    assert recorder.calls[-1] == ("finish", True)


def test_looking_on_changes_nothing_of_what_is_learned(run_config, tmp_path, use_trackers):
    lively = ("training.num_epochs=1", "model.dropout=0.1")

    def weights(name, *overrides):
        place = f"training.checkpoint_dir={tmp_path}/{name}"
        return load_file(train(run_config(*lively, place, *overrides)) / "model.safetensors")

    silent = weights("silent", "training.example_clips=0")
    seen = weights("seen", use_trackers(wandb=Recorder()))

    assert not (tmp_path / "silent/examples.jsonl").exists()
    assert all(weight.equal(silent[name]) for name, weight in seen.items())


def test_values_that_are_no_numbers_are_not_tracked():
    found = tracked({"loss": float("nan"), "eval_cer": 3, "name": "x", "train_runtime": 2.0})

    assert found == {"eval/cer": 3.0, "run/runtime": 2.0}


def test_the_mean_of_the_last_checkpoints_is_no_curve_of_training():
    found = tracked({"averaged": [5, 10], "average_cer": 3.0})

    assert found == {"average/cer": 3.0}


# ----------------------------------------------------------------------- trackers that fail


@pytest.mark.parametrize("method", ["start", "log", "show_examples", "finish"])
@pytest.mark.parametrize("fault", [ConnectionError("no route"), SystemExit(3)])
def test_a_tracker_that_raises_is_named_once_and_left_out(tmp_path, caplog, method, fault):
    broken, whole = Broken(method, fault), Recorder()
    with Trackers({"wandb": broken, "mlflow": whole}) as trackers:
        trackers.start(facts_of(tmp_path), step=0)
        for step in (1, 2, 3):
            trackers.log({"train/loss": 1.0}, step=step)
            trackers.show_examples([], step=step)

    assert caplog.text.count("wandb (training.report_to) failed") == 1
    assert type(fault).__name__ in caplog.text
    assert len(whole.calls) == 8


def test_a_run_goes_on_without_a_tracker_that_fails(run_config, use_trackers, caplog):
    setting = use_trackers(wandb=Broken("log", RuntimeError("disk quota")))

    folder = train(run_config("training.num_epochs=1", setting))

    assert "wandb (training.report_to) failed (RuntimeError: disk quota)" in caplog.text
    assert (folder / "model.safetensors").exists()


def test_a_tracker_that_hangs_holds_nothing_up(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 5)
    trackers = Trackers({"wandb": Hanging()}, finish_seconds=0.01)
    trackers.start(facts_of(tmp_path), step=0)
    for step in range(20):
        trackers.log({"train/loss": 1.0}, step=step)
    trackers.close(failed=False)

    assert caplog.text.count("wandb (training.report_to) does not keep up") == 1


def test_a_tracker_that_does_not_finish_is_waited_for_only_so_long(tmp_path, caplog):
    trackers = Trackers({"wandb": Hanging()}, finish_seconds=0.01)
    trackers.start(facts_of(tmp_path), step=0)
    trackers.close(failed=False)

    assert "did not finish" in caplog.text


def test_the_wait_that_trackers_share_is_told_of_each(tmp_path, caplog):
    trackers = Trackers({"wandb": Hanging(), "mlflow": Hanging()}, finish_seconds=0.6)
    trackers.start(facts_of(tmp_path), step=0)
    trackers.close(failed=False)

    assert caplog.text.count("did not finish in 1 s") == 2


def test_a_tracker_that_cannot_be_imported_is_left_out(monkeypatch, caplog):
    def fail():
        raise RuntimeError("built for another protobuf")

    monkeypatch.setitem(OPENERS, "wandb", fail)

    assert open_trackers(["wandb"]) == {}
    assert "wandb (training.report_to) could not be loaded" in caplog.text


# -------------------------------------------------------------------------------- going on


def test_a_resumed_run_is_the_same_run_in_its_tracker(tmp_path):
    with Trackers({"wandb": Recorder("abc")}) as trackers:
        trackers.start(facts_of(tmp_path), step=0)
    again, anew = Recorder("abc"), Recorder("def")
    with Trackers({"wandb": again}) as trackers:
        trackers.start(facts_of(tmp_path), step=12)
    with Trackers({"wandb": anew}) as trackers:
        trackers.start(facts_of(tmp_path), step=0)

    assert again.told("start")[0][1:] == ("abc", 12)
    assert anew.told("start")[0][1:] == (None, 0)


def test_an_id_is_kept_beside_those_of_other_trackers(tmp_path):
    with Trackers({"wandb": Recorder("a"), "mlflow": Recorder("b")}) as trackers:
        trackers.start(facts_of(tmp_path), step=0)

    assert json.loads((tmp_path / "trackers.json").read_text()) == {"wandb": "a", "mlflow": "b"}


def test_a_damaged_file_of_ids_is_no_obstacle(tmp_path):
    (tmp_path / "trackers.json").write_text('{"wandb": "a')
    recorder = Recorder()
    with Trackers({"wandb": recorder}) as trackers:
        trackers.start(facts_of(tmp_path), step=12)

    assert recorder.told("start")[0][1] is None


# --------------------------------------------------------------------------------- the config


def test_use_wandb_is_wandb_in_the_list(make_config):
    config = make_config("training.use_wandb=true", "training.report_to=[mlflow, wandb]")

    assert make_config("training.use_wandb=true").training.trackers == ("wandb",)
    assert config.training.trackers == ("mlflow", "wandb")


def test_one_tracker_needs_no_list(make_config):
    assert make_config("training.report_to=mlflow").training.trackers == ("mlflow",)
    with pytest.raises(ConfigError, match=r"report_to\.0 = 'wandbb'.*did you mean wandb"):
        make_config("training.report_to=wandbb")


def test_an_unknown_tracker_names_the_nearest(make_config):
    with pytest.raises(ConfigError, match=r"report_to\.0 = 'wandbb'.*did you mean wandb"):
        make_config("training.report_to=[wandbb]")


@pytest.mark.parametrize("name", sorted(OPENERS))
def test_a_missing_package_names_the_extra(make_config, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=rf"report_to.*pip install 'signseq\[{name}\]'"):
        check_settings(make_config(f"training.report_to=[{name}]"))


def test_a_folder_of_a_trackers_files_is_not_taken_for_its_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    with pytest.raises(MissingExtraError, match="wandb"):
        check_trackers(["wandb"])


# ------------------------------------------------------------------------------ real trackers


def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        with Trackers(open_trackers(["tensorboard"])) as trackers:
            trackers.start(facts_of(tmp_path), step=start)
            for step in steps:
                trackers.log({"train/loss": float(step)}, step=step)

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert "run/parameters/text_summary" in events.Tags()["tensors"]


def test_wandb_without_a_login_is_kept_offline(run_config, monkeypatch, caplog):
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nowhere")

    with caplog.at_level(logging.INFO):
        folder = train(run_config("training.num_epochs=1", "training.use_wandb=true"))

    assert "wandb: not logged in" in caplog.text
    assert "failed" not in caplog.text
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert list(folder.glob("wandb/artifacts/staging/*"))  # pictures, until they are sent
    assert "WANDB_DATA_DIR" not in os.environ
