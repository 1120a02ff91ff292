"""Whole sweeps, most of them with a stand-in for training."""

import csv
import json
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest

optuna = pytest.importorskip("optuna")

from signseq.config import load_config  # noqa: E402
from signseq.errors import CheckpointError, ConfigError, ModelError, StoppedError  # noqa: E402
from signseq.sweeping import run, study, trials  # noqa: E402
from signseq.sweeping.run import describe_sweep, sweep  # noqa: E402

PARAMETERS = "{training.learning_rate: [1e-4, 3e-4, 5e-4], training.batch_size: [8, 16]}"
EVALUATIONS = 3


def pretend_to_train(config, *, resume=False, overwrite=False, observers=()):
    """Leave the files of a run; the error rate is best at a learning rate of 3e-4 and large batches."""
    folder = config.training.checkpoint_dir
    (folder / "checkpoint-1").mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "metrics.jsonl").write_text("")
    error = abs(config.training.learning_rate - 3e-4) * 1e5 + 16 / config.training.batch_size
    for number in range(1, EVALUATIONS + 1):
        state = SimpleNamespace(
            log_history=[{"eval_loss": 1.0}] * number, global_step=number, max_steps=EVALUATIONS
        )
        for observer in observers:
            observer.on_evaluate(None, state, None, metrics={"eval_cer": error + 3 - number})
    return folder


@pytest.fixture
def in_memory(monkeypatch):
    """Data bases without a file, which take a second to make."""
    made = defaultdict(optuna.storages.InMemoryStorage)
    monkeypatch.setattr(study, "_open_storage", lambda url: made[url])


@pytest.fixture
def sweep_config(in_file, in_memory):
    """A config of a sweep whose trials only pretend to train."""
    return in_file


@pytest.fixture
def in_file(run_config, monkeypatch):
    """The same, its trials in a file as those of any sweep."""
    monkeypatch.setattr(trials, "train", pretend_to_train)
    monkeypatch.setattr(trials, "free_memory", lambda: None)  # there is none to be freed

    def make(*overrides):
        return run_config(f"sweep={{parameters: {PARAMETERS}, trials: 4}}", *overrides)

    return make


def table(config):
    with (config.training.checkpoint_dir / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


# ----------------------------------------------------------------------------- what is found


def test_of_several_seeds_mean_and_spread_are_told(run_config, in_memory, monkeypatch):
    """One config, three seeds: the second setting is better on the whole, the first has the best run."""

    def pretend(config, *, observers=(), **_):
        error = {16: [1, 8, 9], 8: [3, 4, 5]}[config.training.batch_size][config.seed - 1]
        pretend_to_train(config)
        state = SimpleNamespace(log_history=[{"eval_loss": 1.0}], global_step=1, max_steps=1)
        observers[0].on_evaluate(None, state, None, metrics={"eval_cer": float(error)})

    monkeypatch.setattr(trials, "train", pretend)
    parameters = "{seed: [1, 2, 3], training.batch_size: [8, 16]}"
    given = f"sweep={{parameters: {parameters}, sampler: grid, pruner: none}}"

    lines = sweep(run_config(given)).describe().splitlines()

    told = [line for line in lines if "over 3 seeds" in line]
    assert told == [
        "cer over 3 seeds with training.batch_size=8: mean 4, standard deviation 1",
        "cer over 3 seeds with training.batch_size=16: mean 6, standard deviation 4.4",
    ], lines


def test_the_mean_of_a_trials_last_checkpoints_counts_as_its_score(
    run_config, in_memory, monkeypatch
):
    """By which the second setting is the better one."""

    def pretend(config, *, observers=(), **_):
        pretend_to_train(config)
        state = SimpleNamespace(log_history=[{"eval_loss": 1.0}], global_step=1, max_steps=1)
        observers[0].on_evaluate(None, state, None, metrics={"eval_cer": 5.0})
        mean = {16: 6.0, 8: 4.0}[config.training.batch_size]
        observers[0].on_log(None, state, None, logs={"averaged": [1, 2], "average_cer": mean})

    monkeypatch.setattr(trials, "train", pretend)
    given = "sweep={parameters: {training.batch_size: [16, 8]}, sampler: grid, pruner: none}"

    found = sweep(run_config(given, "training.average_last=2"))

    assert {r.values["training.batch_size"]: r.score for r in found.records} == {16: 5.0, 8: 4.0}


def test_the_best_trial_is_found_and_its_config_can_be_trained(sweep_config):
    config = sweep_config("sweep.sampler=grid", "sweep.trials=null")

    found = sweep(config)

    assert len(found.records) == 6
    assert found.best.values == {"training.learning_rate": 3e-4, "training.batch_size": 16}
    assert found.best.score == pytest.approx(1.0)
    best = load_config(found.folder / "best.yaml")
    assert (best.training.learning_rate, best.training.batch_size) == (3e-4, 16)
    assert best.training.checkpoint_dir == found.folder / "best"
    assert best.sweep is None


def test_a_sweep_leaves_a_table_and_a_report(sweep_config):
    config = sweep_config()
    found = sweep(config)

    rows = table(config)
    assert [row["state"] for row in rows] == ["complete"] * 4
    assert min(float(row["cer"]) for row in rows) == pytest.approx(found.best.score)
    page = (found.folder / "sweep.html").read_text()
    assert "History" in page
    assert "training.learning_rate" in page
    assert f"{found.best.number:04d}" in found.describe()


def test_only_the_best_weights_are_kept(sweep_config):
    found = sweep(sweep_config("sweep.keep=2"))

    kept = {path.parent.name for path in found.folder.glob("trial-*/model.safetensors")}
    ranking = sorted(found.records, key=lambda record: (record.score, record.number))
    assert kept == {f"trial-{record.number:04d}" for record in ranking[:2]}
    assert not list(found.folder.glob("trial-*/checkpoint-*"))
    assert len(list(found.folder.glob("trial-*/metrics.jsonl"))) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_trial_is_a_repetition(sweep_config, sampler):
    found = sweep(sweep_config(f"sweep.sampler={sampler}", "sweep.trials=20"))

    assert len(found.records) == len({str(record.values) for record in found.records}) == 6


def test_the_same_seed_tries_the_same(sweep_config, tmp_path):
    def tried(name, seed):
        place = f"training.checkpoint_dir={tmp_path / name}"
        ranges = "sweep.parameters={training.warmup_ratio: {low: 0.0, high: 0.5}}"
        config = sweep_config(f"seed={seed}", ranges, "sweep.trials=2", place)
        records = sweep(config).records
        return [record.values for record in records]

    assert tried("a", 1) == tried("b", 1) != tried("c", 2)


def test_importances_tell_what_matters(sweep_config):
    parameters = "{training.learning_rate: {low: 1e-5, high: 6e-4}, seed: {low: 0, high: 99}}"
    settings = ("sweep.trials=12", "sweep.sampler=random", "sweep.pruner=none")
    found = sweep(sweep_config(f"sweep.parameters={parameters}", *settings))

    assert next(iter(found.importances)) == "training.learning_rate"


# ---------------------------------------------------------------------- trials that end early


def test_hopeless_trials_are_pruned(sweep_config, monkeypatch):
    monkeypatch.setattr("signseq.sweeping.study.STARTUP_TRIALS", 1)
    found = sweep(sweep_config("sweep.sampler=grid", "sweep.trials=null"))

    pruned = [record for record in found.records if record.state == "pruned"]
    assert pruned
    assert all(len(record.scores) < EVALUATIONS for record in pruned)
    assert found.best.values == {"training.learning_rate": 3e-4, "training.batch_size": 16}


def test_a_trial_that_fails_is_named_with_its_reason_and_the_sweep_goes_on(
    sweep_config, monkeypatch
):
    def train(config, **settings):
        if config.training.batch_size == 16:
            raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    config = sweep_config("sweep.sampler=grid", "sweep.trials=null")
    found = sweep(config)

    rows = [row for row in table(config) if row["training.batch_size"] == "16"]
    assert {row["state"] for row in rows} == {"failed"}
    assert {row["reason"] for row in rows} == {
        "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"
    }
    assert found.best.values["training.batch_size"] == 8


def test_a_sweep_whose_trials_all_fail_alike_stops(sweep_config, monkeypatch):
    def train(config, **settings):
        raise ModelError("no such model")

    monkeypatch.setattr(trials, "train", train)

    with pytest.raises(ModelError, match=r"all 3 trials failed alike.*no such model"):
        sweep(sweep_config())


def test_a_full_disk_stops_the_sweep_and_the_trial_goes_on_later(sweep_config, monkeypatch):
    def train(config, **settings):
        raise CheckpointError("no room")

    monkeypatch.setattr(trials, "train", train)
    with pytest.raises(CheckpointError, match="no room"):
        sweep(sweep_config())

    monkeypatch.setattr(trials, "train", pretend_to_train)
    found = sweep(sweep_config())

    assert [record.attempts for record in found.records] == [2, 1, 1, 1]


# -------------------------------------------------------------------------------- going on


def test_finished_trials_are_not_run_again(in_file, monkeypatch):
    first = sweep(in_file("sweep.trials=2"))
    begun = []

    def train(config, **settings):
        begun.append(config.training.checkpoint_dir.name)
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    found = sweep(in_file("sweep.trials=4"))

    assert begun == ["trial-0002", "trial-0003"]
    assert found.records[:2] == first.records


def test_another_space_is_another_sweep(sweep_config):
    sweep(sweep_config("sweep.trials=1"))

    with pytest.raises(
        ConfigError, match=r"(?s)sweep\.parameters: .*another training\.checkpoint_dir"
    ):
        sweep(sweep_config("sweep.parameters={seed: [1, 2]}"))
    with pytest.raises(ConfigError, match=r"training\.weight_decay: 0\.01 -> 0\.5"):
        sweep(sweep_config("training.weight_decay=0.5"))


def run_in_background(config):
    process = multiprocessing.get_context("fork").Process(target=sweep, args=(config,))
    process.start()
    return process


def test_a_killed_trial_goes_on_and_is_counted_once(in_file, monkeypatch, tmp_path):
    resumed = []

    def train(config, *, resume=False, **settings):
        resumed.append(resume)
        if config.training.checkpoint_dir.name == "trial-0001" and not resume:
            (tmp_path / "begun").touch()
            time.sleep(60)
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    config = in_file()
    worker = run_in_background(config)
    while not (tmp_path / "begun").exists():
        assert worker.is_alive()
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()

    found = sweep(config)

    assert resumed == [True, False, False]  # the first trial had ended
    assert [record.attempts for record in found.records] == [1, 2, 1, 1]
    assert all(record.state == "complete" for record in found.records)


def test_a_trial_that_kills_its_process_each_time_is_given_up(in_file, monkeypatch):
    def train(config, **settings):
        if config.training.checkpoint_dir.name == "trial-0000":
            os.kill(os.getpid(), signal.SIGKILL)
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    config = in_file()
    for _ in range(run.MOST_STARTS):
        run_in_background(config).join()

    found = sweep(config)

    assert found.records[0].reason == "its process died 3 times without getting further"
    assert [record.state for record in found.records[1:]] == ["complete"] * 3


def test_a_trial_that_gets_further_at_every_third_start_is_not_given_up(in_file, monkeypatch):
    def train(config, *, resume=False, **settings):
        folder = config.training.checkpoint_dir
        (folder / f"start-{len(list(folder.glob('start-*'))) + 1}").touch()
        starts = len(list(folder.glob("start-*")))
        if starts % 3 == 0:
            (folder / f"checkpoint-{starts}").mkdir()
            (folder / f"checkpoint-{starts}/trainer_state.json").touch()
        if starts < 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    config = in_file("sweep.trials=1")
    for _ in range(5):
        run_in_background(config).join()

    [record] = sweep(config).records

    assert (record.state, record.attempts) == ("complete", 6)


@pytest.mark.parametrize(
    "fault", [StoppedError("told"), KeyboardInterrupt(), CheckpointError("full")]
)
def test_a_trial_that_is_stopped_in_order_is_not_given_up(sweep_config, monkeypatch, fault):
    resumed = []

    def train(config, *, resume=False, **settings):
        resumed.append(resume)
        if len(resumed) <= 5:
            raise fault
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    for _ in range(5):
        with pytest.raises(type(fault)):
            sweep(sweep_config("sweep.trials=1"))

    [record] = sweep(sweep_config("sweep.trials=1")).records

    assert record.state == "complete"
    assert resumed == [False, *[True] * 5]


def test_a_signal_before_training_begins_stops_the_sweep_in_order(sweep_config, monkeypatch):
    """While data and model are loaded, no training run heeds signals yet."""

    def train(config, **settings):
        if not told:
            told.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return pretend_to_train(config, **settings)

    told = []
    monkeypatch.setattr(trials, "train", train)
    with pytest.raises(StoppedError, match=r"by SIGTERM\. The same command goes on"):
        sweep(sweep_config("sweep.trials=1"))

    [record] = sweep(sweep_config("sweep.trials=1")).records
    assert (record.state, record.attempts, record.futile) == ("complete", 2, 1)


def test_two_workers_share_the_trials(in_file, monkeypatch, tmp_path):
    def train(config, **settings):
        with (tmp_path / "begun").open("a") as file:
            file.write(json.dumps([os.getpid(), config.training.checkpoint_dir.name]) + "\n")
        while len((tmp_path / "begun").read_text().splitlines()) < 2:
            time.sleep(0.01)  # until the other has begun one, too
        return pretend_to_train(config, **settings)

    monkeypatch.setattr(trials, "train", train)
    config = in_file("sweep.trials=6", "sweep.pruner=none")
    workers = [run_in_background(config) for _ in range(2)]
    for worker in workers:
        worker.join()

    begun = [json.loads(line) for line in (tmp_path / "begun").read_text().splitlines()]
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(name for _, name in begun) == [f"trial-{number:04d}" for number in range(6)]
    assert {pid for pid, _ in begun} == {worker.pid for worker in workers}
    assert [row["state"] for row in table(config)] == ["complete"] * 6


# ---------------------------------------------------------------------------- before it begins


def test_describing_a_sweep_begins_nothing(sweep_config, tmp_path):
    said = describe_sweep(sweep_config())

    assert "training.learning_rate: 0.0001, 0.0003, 0.0005" in said
    assert "6 different trials; 4 will be run" in said
    assert not (tmp_path / "run").exists()


def test_a_score_that_is_always_0_is_an_error_before_anything_runs(sweep_config, tmp_path):
    with pytest.raises(ConfigError, match=r"sweep\.metric is bleu4, which is 0 by definition"):
        sweep(sweep_config("sweep.metric=bleu4"))

    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_left_alone(sweep_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.safetensors").touch()

    with pytest.raises(CheckpointError, match="holds a run already"):
        sweep(sweep_config())


def test_a_data_base_that_cannot_be_opened_is_a_config_error(in_file):
    with pytest.raises(ConfigError, match=r"sweep\.storage = 'nosuch://x': can't be opened"):
        sweep(in_file("sweep.storage=nosuch://x"))


def test_torchrun_is_not_how_a_sweep_is_started(sweep_config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(ConfigError, match="--workers"):
        sweep(sweep_config())


# ------------------------------------------------------------------------------ a real sweep


def test_a_tiny_sweep_trains(run_config):
    parameters = "{training.learning_rate: [1e-3, 3e-3]}"
    config = run_config(
        f"sweep={{parameters: {parameters}, sampler: grid}}", "training.num_epochs=1"
    )

    found = sweep(config)

    assert [record.state for record in found.records] == ["complete", "complete"]
    best = found.folder / f"trial-{found.best.number:04d}"
    assert load_config(best / "config.yaml").training.run_name == f"run-{best.name}"
    entries = [json.loads(line) for line in (best / "metrics.jsonl").read_text().splitlines()]
    scores = [entry["eval_cer"] for entry in entries if "eval_cer" in entry]
    assert found.best.score == pytest.approx(min(scores))
    assert (best / "model.safetensors").exists()
