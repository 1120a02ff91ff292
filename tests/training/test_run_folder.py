"""What a run may do with a folder that holds something already, and what it says when it stops."""

import errno
import json
import logging
import re
import resource
import shutil
import subprocess
import sys
from unittest.mock import MagicMock

import pytest
from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from conftest import tiny_config
from signseq.config import load_config
from signseq.errors import CheckpointError, ConfigError, DataError, ModelError
from signseq.model import text_models
from signseq.preparation import open_split
from signseq.training import run, run_folder
from signseq.training.callbacks import DivergenceCallback, evaluations_since_best
from signseq.training.run import check_run, train
from signseq.training.run_folder import describe_result, failed_writes_named
from signseq.training.safety.run_data import describe_data
from signseq.training.safety.run_lock import LOCK, check_unlocked


def tree(folder):
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def short(prepared, tmp_path_factory):
    """A run of two epochs, for all tests of this file: none may change it."""
    from conftest import tiny_config

    folder = tmp_path_factory.mktemp("short")
    place = f"training.checkpoint_dir={folder}"
    return train(tiny_config(prepared, "training.best_metric=cer", place))


@pytest.fixture
def folder(short, tmp_path):
    """A copy of that run where `run_config` puts its runs."""
    return shutil.copytree(short, tmp_path / "run")


# ------------------------------------------------------------------------------ going on


@pytest.mark.parametrize("left", ["model.safetensors", "scores.json", "predictions.tsv"])
def test_resuming_where_only_results_are_left_deletes_nothing(run_config, tmp_path, left):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("work")
    before = tree(tmp_path)

    with pytest.raises(CheckpointError, match=rf"no whole checkpoint.*{left}.*--overwrite"):
        train(run_config(), resume=True)

    assert tree(tmp_path) == before


def test_a_torn_checkpoint_is_not_deleted_without_a_word(run_config, tmp_path):
    torn = tmp_path / "run" / "checkpoint-12"
    torn.mkdir(parents=True)

    for words, message in (({"resume": True}, "no whole checkpoint"), ({}, "holds a run already")):
        with pytest.raises(CheckpointError, match=rf"{message}.*checkpoint-12"):
            train(run_config(), **words)

    assert torn.is_dir()


def test_the_log_of_a_run_stopped_early_holds_nothing_up(run_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 3}\n')

    assert check_run(run_config(), resume=True) is None
    assert check_run(run_config()) is None


def test_resuming_with_other_settings_lists_every_one_and_writes_nothing(run_config, folder):
    before = tree(folder)
    changes = (
        "seed=7",
        "data.max_frames=32",
        "data.augment={speed: 0.2}",
        "model.size.width=64",
        "training.batch_size=4",
        "training.num_epochs=9",
        "training.warmup_ratio=0.3",
        "training.hf={lr_scheduler_type: cosine, logging_steps: 3}",
    )

    with pytest.raises(CheckpointError, match="other settings") as raised:
        train(run_config(*changes), resume=True)

    lines = [line.strip(" -") for line in str(raised.value).splitlines() if "->" in line]
    assert lines == [
        "seed: 42 -> 7",
        "data.max_frames: 64 -> 32",
        "data.augment.speed: 0.0 -> 0.2",
        "model.size.width: 32 -> 64",
        "training.num_epochs: 2.0 -> 9.0",
        "training.batch_size: 8 -> 4",
        "training.warmup_ratio: 0.1 -> 0.3",
        "training.hf.lr_scheduler_type: None -> cosine",
    ]
    assert tree(folder) == before


def test_resuming_may_change_what_does_not_change_the_training(run_config, folder):
    config = run_config(
        "training.num_workers=2",
        "training.eval_beams=2",
        "training.eval_batch_size=3",
        "training.run_name=again",
        "training.save_total_limit=5",
        "training.hf={logging_steps: 3}",
        "generation.num_beams=1",
    )

    assert check_run(config, resume=True) == folder / "checkpoint-24"


def test_resuming_takes_the_training_table_from_elsewhere_where_clips_are_compared(
    run_config, folder, tmp_path
):
    config = run_config(f"data.train_path={tmp_path}/train.csv")

    assert check_run(config, resume=True) == folder / "checkpoint-24"
    (folder / "checkpoint-24" / "data.json").unlink()
    with pytest.raises(CheckpointError, match=r"data\.train_path: "):
        check_run(config, resume=True)


def test_resuming_takes_the_checkpoints_tokenizer(run_config, folder, monkeypatch):
    def fail(texts):
        raise AssertionError("trained once more")

    monkeypatch.setattr(text_models, "train_tokenizer", fail)

    train(run_config(), resume=True)


def note_processes(checkpoint, count):
    path = checkpoint / "data.json"
    facts = json.loads(path.read_text())
    assert facts.pop("processes") == 1
    path.write_text(json.dumps(facts | ({"processes": count} if count else {})))


@pytest.mark.parametrize("is_noted", [True, False])
def test_states_of_random_numbers_count_processes_only_where_nothing_else_does(
    run_config, folder, is_noted
):
    """Those of two processes lie there still when one process saved in the same place again."""
    last = folder / "checkpoint-24"
    note_processes(last, 1 if is_noted else None)
    for rank in (0, 1):
        (last / f"rng_state_{rank}.pth").touch()

    if is_noted:
        assert check_run(run_config(), resume=True) == last
    else:
        with pytest.raises(CheckpointError, match="3 x 1 -> 1 x 1"):
            check_run(run_config(), resume=True)


def test_going_on_with_a_run_that_is_done_only_leaves_its_result(run_config, folder, caplog):
    caplog.set_level(logging.INFO, "signseq")
    before = tree(folder)
    (folder / "model.safetensors").unlink()  # as if it had been killed just before

    train(run_config(), resume=True)

    assert {path: before[path] for path in before if path.name != ".lock"} == {
        path: content for path, content in tree(folder).items() if path.name != ".lock"
    }
    assert "the run is done already" in caplog.text


@pytest.mark.parametrize(
    ("processes", "accumulation", "is_refused"), [(2, 1, False), (1, 2, False), (2, 2, True)]
)
def test_what_one_process_accumulated_several_may_share(
    run_config, folder, monkeypatch, processes, accumulation, is_refused
):
    """A checkpoint of two processes; the batches of a step must stay the same."""
    last = folder / "checkpoint-24"
    note_processes(last, 2)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    config = run_config(f"training.gradient_accumulation_steps={accumulation}")

    if is_refused:
        with pytest.raises(CheckpointError, match=r"gradient_accumulation_steps: 2 x 1 -> 2 x 2"):
            check_run(config, resume=True)
    else:
        assert check_run(config, resume=True) == last


def test_resuming_with_other_data_says_what_differs(run_config, folder):
    path = folder / "checkpoint-24" / "data.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"clips": 90, "texts": "others"}))
    before = tree(folder)

    with pytest.raises(CheckpointError, match=r"other data than data\.train_path") as raised:
        train(run_config(), resume=True)

    lines = [line for line in str(raised.value).splitlines() if line.startswith("  - ")]
    assert lines == ["  - the number of clips (90 -> 96)", "  - the texts"]
    assert tree(folder) == before


def test_each_kind_of_change_to_the_data_is_told(prepared):
    store = open_split(tiny_config(prepared).data, "train")
    was = describe_data(store)
    texts, frames = list(store.texts()), store.frames.copy()
    frames[0] += 1

    for name, change in {
        "texts": {"texts": lambda: ["other", *texts[1:]]},
        "frames": {"frames": frames},
        "poses": {"mean": store.mean + 1},
    }.items():
        other = MagicMock(wraps=store, frames=store.frames, mean=store.mean, spread=store.spread)
        other.__len__.return_value = len(store)
        other.configure_mock(**change)
        now = describe_data(other)
        assert [key for key in was if was[key] != now[key]] == [name]


# ------------------------------------------------------------------------------ two at once


HOLD = "import sys, pathlib; from signseq.training.safety.run_lock import lock_run\n"
HOLD += "with lock_run(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def other_run(folder):
    """Another process that writes into the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("words", [{"resume": True}, {"overwrite": True}, {}])
def test_two_runs_do_not_share_a_folder(run_config, folder, other_run, words):
    before = tree(folder)

    with pytest.raises(CheckpointError, match=rf"another run is.*process {other_run.pid} on"):
        check_run(run_config(), **words)

    assert tree(folder) == before


def test_of_a_runs_processes_only_the_first_one_looks_for_other_runs(
    folder, other_run, monkeypatch
):
    monkeypatch.setenv("RANK", "1")

    check_unlocked(folder)


def test_two_that_look_for_other_runs_do_not_take_each_other_for_one(folder):
    look = "import fcntl, sys; file = open(sys.argv[1]); fcntl.lockf(file, fcntl.LOCK_SH); "
    look += "print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", look, str(folder / LOCK)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        check_unlocked(folder)
        other.stdin.close()


def test_a_run_that_begins_meanwhile_is_seen_before_anything_is_changed(
    run_config, folder, other_run, monkeypatch
):
    monkeypatch.setattr(run_folder, "check_unlocked", lambda folder: None)
    before = tree(folder)

    with pytest.raises(CheckpointError, match="another run is writing there"):
        train(run_config(), overwrite=True)

    assert tree(folder) == before


def test_a_killed_run_holds_nothing_up(run_config, folder, other_run):
    other_run.kill()
    other_run.wait()

    assert check_run(run_config(), resume=True) == folder / "checkpoint-24"


# ------------------------------------------------------------------ before anything is loaded


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("training.hf={lr_sheduler_type: cosine}", ConfigError, "Did you mean lr_scheduler_type"),
        ("training.early_stopping_patience=2", DataError, r"early_stopping_patience.*val_path"),
        ("training.checkpoint_dir=/dev/null/run", CheckpointError, r"/dev/null is a file"),
    ],
)
def test_a_check_finds_mistakes_without_data(run_config, tmp_path, override, kind, message):
    nowhere = (f"data.store={tmp_path}/nowhere", "data.val_path=null")

    with pytest.raises(kind, match=message):
        check_run(run_config(*nowhere, override))


def test_sharded_weights_are_not_compiled(run_config):
    with pytest.raises(
        ConfigError, match=r"training\.fsdp doesn't go together with training\.compil"
    ):
        check_run(run_config("training.fsdp=true", "training.compile=true"))


def test_a_check_finds_a_run_and_writes_nothing(run_config, folder):
    before = tree(folder)

    with pytest.raises(CheckpointError, match="holds a run already"):
        check_run(run_config())
    assert check_run(run_config(), overwrite=True) is None
    assert tree(folder) == before


# --------------------------------------------------------------------------- when it stops


class Stop(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("step", "said"),
    [(3, "before the first checkpoint was saved"), (14, "go on from .*checkpoint-12")],
)
def test_an_interruption_says_what_the_run_goes_on_from(
    run_config, monkeypatch, caplog, step, said
):
    build_trainer = run.build_trainer

    def build(*given, **named):
        trainer = build_trainer(*given, **named)
        trainer.add_callback(Stop(step))
        return trainer

    monkeypatch.setattr(run, "build_trainer", build)
    with pytest.raises(KeyboardInterrupt):
        train(run_config("data.val_path=null"))

    [message] = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert re.search(said, message)


def test_a_file_that_cannot_be_written_names_the_folder_and_its_free_space(run_config, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # weights are larger
    try:
        with pytest.raises(CheckpointError) as raised:
            train(run_config("data.val_path=null", "training.num_epochs=1"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/run (training.checkpoint_dir): a file could not be")
    assert "MiB are free" in message
    assert "finished checkpoints are kept" in message


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_known_by_its_signs(tmp_path, fault):
    with (
        pytest.raises(CheckpointError, match=r"could not be written there: the disk is full[;,]"),
        failed_writes_named(tmp_path),
    ):
        raise fault


def test_free_space_is_not_rounded_up(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: MagicMock(free=2**20 - 1))

    with (
        pytest.raises(CheckpointError, match=r"; 0\.9 MiB are free"),
        failed_writes_named(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "fault",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/store/poses.npy"),
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/log"),
        RuntimeError("Caught RuntimeError in DataLoader worker: No space left on device"),
        ModelError("No space left on device"),
        ValueError("anything"),
    ],
)
def test_other_faults_are_not_taken_for_a_full_disk(tmp_path, fault):
    with pytest.raises(type(fault)) as raised, failed_writes_named(tmp_path):
        raise fault

    assert raised.value is fault


def test_a_loss_that_is_no_number_stops_the_run(run_config, tmp_path):
    config = run_config("training.learning_rate=1e30", "training.max_grad_norm=0")

    with pytest.raises(
        ModelError, match=r"Step \d+: the loss is (nan|inf) in the batch of 8 clips: train-"
    ):
        train(config)

    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("scores", "greater", "since"),
    [([], True, 0), ([3], True, 0), ([3, 3], True, 1), ([1, 3, 2, 2], True, 2), ([3, 1], False, 0)],
)
def test_what_is_waited_for_is_something_better_than_all_before(scores, greater, since):
    history = [{"eval_cer": score} for score in scores] + [{"loss": 1.0}]

    assert evaluations_since_best(history, "eval_cer", greater_is_better=greater) == since


def test_a_finite_loss_does_not_stop_a_run():
    DivergenceCallback().on_log(None, None, None, logs={"loss": 3.0, "eval_cer": 2.0})


# ------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("best", "told"), [(12, "the best checkpoint, checkpoint-12"), (None, "the last checkpoint")]
)
def test_whose_weights_a_run_left_is_told(folder, best, told):
    path = folder / "checkpoint-24" / "trainer_state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_global_step": best}))

    assert describe_result(folder) == told


def test_transformers_draws_no_bars_in_a_run(run_config, monkeypatch, capfd):
    hub = sys.modules["huggingface_hub.utils.tqdm"]  # the package hides it behind its class
    monkeypatch.setattr(hub, "HF_HUB_DISABLE_PROGRESS_BARS", None)
    monkeypatch.setattr(transformers_logging, "_tqdm_active", True)

    train(run_config("training.max_steps=1"))

    assert "model shards" not in capfd.readouterr().err
    assert transformers_logging.is_progress_bar_enabled()


def test_code_that_comes_with_a_model_is_warned_of(run_config, caplog):
    run.build_parts(run_config("model.trust_remote_code=true"))

    assert "model.trust_remote_code is true: bart runs code" in caplog.text


def test_the_config_of_a_checkpoint_is_that_of_its_run(folder):
    assert load_config(folder / "checkpoint-24" / "config.yaml") == load_config(
        folder / "config.yaml"
    )
