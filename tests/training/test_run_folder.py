"""What a run may do with a folder that holds something already, and what it says when it stops."""

import errno
import logging
import re
import resource
import shutil
import sys

import pytest
from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from signseq.config import load_config
from signseq.errors import CheckpointError, ConfigError, DataError, ModelError
from signseq.model import text_models
from signseq.training import run
from signseq.training.callbacks import DivergenceCallback
from signseq.training.run import check_run, train
from signseq.training.run_folder import failed_writes_named


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


def test_resuming_takes_the_checkpoints_tokenizer(run_config, folder, monkeypatch):
    def fail(texts):
        raise AssertionError("trained once more")

    monkeypatch.setattr(text_models, "train_tokenizer", fail)

    train(run_config(), resume=True)


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
    assert "bytes) are free" in message
    assert "finished checkpoints are kept" in message


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_known_by_its_signs(tmp_path, fault):
    with (
        pytest.raises(CheckpointError, match="could not be written"),
        failed_writes_named(tmp_path),
    ):
        raise fault


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

    with pytest.raises(ModelError, match=r"Step \d+: the (training|validation) loss is (nan|inf)"):
        train(config)

    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_finite_loss_does_not_stop_a_run():
    DivergenceCallback().on_log(None, None, None, logs={"loss": 3.0, "eval_cer": 2.0})


# ------------------------------------------------------------------------------ what is said


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
