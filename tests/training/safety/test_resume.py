"""A run that is killed, or told to stop, goes on as if nothing had been."""

import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from signseq import evaluation
from signseq.config import load_config
from signseq.console import EXIT_FILE, run_command_line
from signseq.data.fingerspelling import write_corpus
from signseq.demo import demo_config
from signseq.errors import CheckpointError, StoppedError
from signseq.preparation import prepare
from signseq.training import trainer
from signseq.training.run import train
from signseq.training.safety import safe_trainer, stopping
from signseq.training.safety.checkpoints import (
    ASIDE,
    all_checkpoints,
    copy_model,
    last_checkpoint,
)
from signseq.training.safety.run_lock import LOCK
from signseq.training.safety.step_watch import StepWatch
from signseq.training.safety.stopping import StopRequest, heed_signals
from signseq.translation import Translator

# Dropout and augmentation, so that random numbers must go on too; checkpoints within epochs.
SETTINGS = (
    *("model.dropout=0.1", "training.save_steps=5", "training.num_epochs=2"),
    "data.augment={rotate_degrees: 10, speed: 0.2, drop_frames: 0.1, drop_hand: 0.2}",
    *("training.hf={logging_steps: 1}", "training.example_clips=0"),
)


def weights(folder):
    return load_file(next(Path(folder).glob("*model.safetensors")))


def assert_same_weights(one, other):
    for wanted, found in (
        (weights(one), weights(other)),  # the best checkpoint's, and the last one's
        (weights(last_checkpoint(one)), weights(last_checkpoint(other))),
    ):
        assert list(found) == list(wanted)
        assert all(bool((found[name] == wanted[name]).all()) for name in wanted)


def logged(folder, *names):
    """Each value once: what was logged after the checkpoint that a run went on from is forgotten."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(e["step"], n, e[n]) for e in entries for n in names if n in e]


def assert_same_run(one, other):
    assert_same_weights(one, other)
    assert logged(one, "loss", "eval_loss", "eval_cer") == logged(
        other, "loss", "eval_loss", "eval_cer"
    )


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    from conftest import tiny_config

    folder = tmp_path_factory.mktemp("undisturbed")
    place = f"training.checkpoint_dir={folder}"
    return train(tiny_config(prepared, "training.best_metric=cer", *SETTINGS, place))


# ------------------------------------------------------------------------------------ kill -9


def train_until_write(config, kind, name):
    """Train, and die by SIGKILL at the first change of that kind to a file of that name."""
    folder = str(config.training.checkpoint_dir)

    def watch(event, arguments):
        path = str(arguments[0]) if event == kind else ""
        if path.startswith(folder) and name in path[len(folder) :]:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train(config, resume=True)


@pytest.fixture(scope="module")
def processes():
    """Processes that have imported everything already, and may be killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["signseq.training.run"])
    return context


def run(processes, target, *arguments, **settings):
    process = processes.Process(target=target, args=arguments, kwargs=settings)
    process.start()
    process.join()
    return process.exitcode


def test_a_run_killed_while_it_saves_goes_on_from_a_whole_checkpoint(
    run_config, tmp_path, processes, undisturbed
):
    """Before the state of the first checkpoint, before its name; while an old one is deleted."""
    config = run_config(*SETTINGS)
    folder = tmp_path / "run"
    found = []

    for kind, name in (
        ("open", "checkpoint-5/trainer_state.json"),
        ("os.rename", f"{ASIDE}/checkpoint/checkpoint-10"),
        ("os.rmdir", f"{ASIDE}/checkpoint-5"),
    ):
        assert run(processes, train_until_write, config, kind, name) == -signal.SIGKILL
        found.append([path.name[11:] for path in all_checkpoints(folder)])
    train(config, resume=True)

    assert found == [[], ["5"], ["10", "12"]]
    assert_same_run(undisturbed, folder)
    assert not (folder / ASIDE).exists()


def kill_at_random(processes, config, *, kills, rng, longest):
    """Start a run again and again, and kill it after a while; where each went on from."""
    starts = []
    for _ in range(kills):
        process = processes.Process(target=train, args=(config,), kwargs={"resume": True})
        process.start()
        process.join(rng.uniform(0, longest))
        process.kill()
        process.join()
        last = last_checkpoint(config.training.checkpoint_dir)
        starts.append(0 if last is None else int(last.name[11:]))
    return starts


# ---------------------------------------------------------------------------- two at once


class Pause(TrainerCallback):
    """Says that the run is in the middle of training, and waits for leave to go on."""

    def __init__(self, begun, leave):
        self.begun = begun
        self.leave = leave

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 7:
            self.begun.set()
            self.leave.wait()


def train_with_a_pause(config, begun, leave):
    train(config, observers=[Pause(begun, leave)])


@pytest.fixture
def paused(run_config, processes):
    """A run in another process, in the middle of training; and what lets it go on."""
    begun, leave = processes.Event(), processes.Event()
    process = processes.Process(
        target=train_with_a_pause, args=(run_config(*SETTINGS), begun, leave)
    )
    process.start()
    assert begun.wait(60)
    yield process, leave
    process.kill()
    process.join()


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_is_left_in_peace_by_others_in_its_folder(run_config, tmp_path, paused, undisturbed):
    """Each of the others is refused, before anything is changed."""
    process, leave = paused
    before = files(tmp_path / "run")

    for words in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(CheckpointError, match=rf"another run is.*process {process.pid} on"):
            train(run_config(*SETTINGS), **words)

    assert files(tmp_path / "run") == before
    leave.set()
    process.join()
    assert process.exitcode == 0
    assert_same_run(undisturbed, tmp_path / "run")


def test_the_lock_of_a_killed_run_is_nobodys(run_config, tmp_path, paused, undisturbed):
    process, _ = paused
    process.kill()
    process.join()
    assert str(process.pid) in (tmp_path / "run" / LOCK).read_text()

    train(run_config(*SETTINGS), resume=True)

    assert f"process {os.getpid()} on" in (tmp_path / "run" / LOCK).read_text()
    assert_same_run(undisturbed, tmp_path / "run")


# --------------------------------------------------------------------------- SIGTERM, SIGUSR1


class Sender(TrainerCallback):
    """Sends a signal in the middle of a step."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step = step
        self.number = number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGTERM, 6), (signal.SIGUSR1, 11)], ids=["within", "scored"]
)
def test_a_signal_saves_at_the_end_of_the_step(run_config, tmp_path, undisturbed, number, step):
    """Where the step would be scored, it is when the run goes on."""
    folder, before = tmp_path / "run", signal.getsignal(number)

    with pytest.raises(StoppedError, match=rf"Stopped by SIG.*go on from .*checkpoint-{step + 1}"):
        train(run_config(*SETTINGS), observers=[Sender(step, number)])

    assert last_checkpoint(folder).name == f"checkpoint-{step + 1}"
    assert signal.getsignal(number) == before
    train(run_config(*SETTINGS), resume=True)
    assert_same_run(undisturbed, folder)


@pytest.mark.parametrize(
    ("evaluations", "settings", "step"),
    [(1, (), 12), (2, (), 24), (2, ("training.max_steps=17",), 17)],
    ids=["first", "last", "last, within an epoch"],
)
def test_a_signal_during_an_evaluation_gives_it_up_until_the_run_goes_on(
    run_config, tmp_path, undisturbed, monkeypatch, evaluations, settings, step
):
    translate, begun = evaluation.translate_store, []
    config = run_config(*SETTINGS, *settings)

    def send_and_translate(*given, **named):
        begun.append(1)
        if len(begun) == evaluations:
            os.kill(os.getpid(), signal.SIGTERM)
            patches.setattr(evaluation, "generate_texts", None)  # calling it would fail
        return translate(*given, **named)

    with monkeypatch.context() as patches:
        patches.setattr(trainer, "translate_store", send_and_translate)
        with pytest.raises(StoppedError, match=rf"Stopped by SIGTERM.*checkpoint-{step}"):
            train(config)

    assert last_checkpoint(tmp_path / "run").name == f"checkpoint-{step}"
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(config, resume=True)
    assert [at for at, *_ in logged(tmp_path / "run", "eval_loss")][-1] == (
        24 if step == 12 else step
    )
    if not settings:
        assert_same_run(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("val", ["", "data.val_path=null"], ids=["scored", "not scored"])
def test_a_signal_in_the_last_step_holds_a_run_up_only_where_it_would_be_scored(
    run_config, tmp_path, val
):
    config = run_config("training.max_steps=2", *filter(None, [val]))

    try:
        train(config, observers=[Sender(1)])
        stopped = False
    except StoppedError:
        stopped = True

    assert stopped == (not val)
    assert last_checkpoint(tmp_path / "run").name == "checkpoint-2"
    assert (tmp_path / "run" / "model.safetensors").exists() == (not stopped)
    train(config, resume=True)
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert len(logged(tmp_path / "run", "eval_loss")) == int(not val)


def test_a_signal_is_heeded_where_a_gpu_tells_of_a_step_later_and_each_step_is_logged(
    run_config, monkeypatch
):
    monkeypatch.setattr(safe_trainer, "StepWatch", lambda delayed: StepWatch(delayed=True))
    settings = ("data.val_path=null", "training.num_epochs=1", "training.hf={logging_steps: 1}")

    with pytest.raises(StoppedError, match="checkpoint-4"):
        train(run_config(*settings), observers=[Sender(3)])


# Nothing gets better, so the first scored checkpoint stays the best one.
NO_BETTER = ("training.learning_rate=1e-9", "training.best_metric=chrf")


def test_a_run_whose_folder_was_moved_keeps_its_best_checkpoint(run_config, tmp_path, caplog):
    settings = (*NO_BETTER, "training.num_epochs=3", "training.save_total_limit=2")
    with pytest.raises(StoppedError):
        train(run_config(*settings), observers=[Sender(28)])
    (tmp_path / "run").rename(tmp_path / "moved")

    folder = train(run_config(*settings, f"training.checkpoint_dir={tmp_path}/moved"), resume=True)

    assert [path.name for path in all_checkpoints(folder)] == ["checkpoint-12", "checkpoint-36"]
    result, best, last = (
        (place / "model.safetensors").read_bytes()
        for place in (folder, folder / "checkpoint-12", folder / "checkpoint-36")
    )
    assert result == best != last
    assert "best checkpoint" not in caplog.text


@pytest.mark.parametrize("step", [28, 35], ids=["within", "scored"])
def test_early_stopping_counts_on_when_a_run_goes_on(run_config, tmp_path, step):
    settings = (*NO_BETTER, "training.num_epochs=6", "training.early_stopping_patience=2")
    with pytest.raises(StoppedError):
        train(run_config(*settings), observers=[Sender(step)])

    folder = train(run_config(*settings), resume=True)

    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert entries[-1]["step"] == 36  # the first of three evaluations is the best
    before = (folder / "metrics.jsonl").read_bytes()
    train(run_config(*settings), resume=True)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_early_stopping_may_begin_when_a_run_goes_on(run_config):
    with pytest.raises(StoppedError):
        train(run_config(*NO_BETTER), observers=[Sender(14)])

    train(run_config(*NO_BETTER, "training.early_stopping_patience=1"), resume=True)


def test_workers_outlive_a_signal_to_all_processes(run_config, tmp_path, undisturbed):
    class SendAll(Sender):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == self.step:
                for worker in multiprocessing.active_children():
                    os.kill(worker.pid, signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)

    settings = (*SETTINGS, "training.num_workers=1")

    with pytest.raises(StoppedError):
        train(run_config(*settings), observers=[SendAll(6)])

    train(run_config(*SETTINGS), resume=True)
    assert_same_run(undisturbed, tmp_path / "run")


def end_twice(same_seconds):
    stopping.SAME_SECONDS = same_seconds
    request = StopRequest()
    with heed_signals(request):
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal == "SIGTERM"
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    os._exit(3)


@pytest.mark.parametrize(("same", "code"), [(0.0, -signal.SIGTERM), (60.0, 3)])
def test_a_second_signal_ends_the_run_at_once_unless_it_is_the_same_one_again(
    processes, same, code
):
    assert run(processes, end_twice, same) == code


def test_the_command_line_of_a_stopped_run_ends_with_75(tmp_path, monkeypatch, capsys):
    def stop(**_):
        raise StoppedError("Stopped by SIGTERM.")

    monkeypatch.setenv(EXIT_FILE, str(tmp_path / "exit"))

    with pytest.raises(SystemExit) as ended:
        run_command_line(stop)

    assert ended.value.code == 75
    assert (tmp_path / "exit").read_text() == "75"
    assert capsys.readouterr().err == "Stopped by SIGTERM.\n"


def test_a_folder_in_a_checkpoint_is_copied_with_its_model(tmp_path):
    (tmp_path / "checkpoint-1" / "templates").mkdir(parents=True)
    (tmp_path / "checkpoint-1" / "templates" / "one.jinja").write_text("text")
    (tmp_path / "out").mkdir()

    copy_model(tmp_path / "checkpoint-1", tmp_path / "out")

    assert (tmp_path / "out" / "templates" / "one.jinja").read_text() == "text"


# ----------------------------------------------------------------------------------- a full disk


class SmallFiles(TrainerCallback):
    """From a step on no file may be larger, as on a disk that is full."""

    def __init__(self, step, size):
        self.step = step
        self.size = size

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, hard))


@pytest.mark.parametrize(
    "size", [600_000, 100_000, 500], ids=["optimizer.pt", "model.safetensors", "metrics.jsonl"]
)
def test_a_full_disk_leaves_the_last_checkpoint_to_go_on_from(
    run_config, tmp_path, undisturbed, size
):
    folder, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)

    try:
        with pytest.raises(CheckpointError, match=r"could not be written.*Make room"):
            train(run_config(*SETTINGS), observers=[SmallFiles(9, size)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [path.name for path in all_checkpoints(folder)] == ["checkpoint-5"]
    assert not (folder / ASIDE).exists()
    train(run_config(*SETTINGS), resume=True)
    assert_same_run(undisturbed, folder)


# ---------------------------------------------------------------------------------------- slow


def assert_kills_leave_no_trace(processes, whole, killed, *, kills):
    """Run one config undisturbed and, in another folder, with kills at random moments."""
    begin = time.monotonic()
    assert run(processes, train, whole) == 0
    longest = time.monotonic() - begin

    starts = kill_at_random(processes, killed, kills=kills, rng=random.Random(1), longest=longest)
    assert run(processes, train, killed, resume=True) == 0

    assert any(starts)
    assert_same_run(whole.training.checkpoint_dir, killed.training.checkpoint_dir)


@pytest.mark.slow
def test_adapters_killed_at_random_end_as_if_nothing_had_been(
    run_config, trained, tmp_path, processes
):
    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(tmp_path / "base")
    translator.tokenizer.save_pretrained(tmp_path / "base")
    lora = ("model.use_lora=true", "model.from_scratch=false", "model.size=null")
    lora += ("model.tokenizer=null", f"model.name={tmp_path / 'base'}")
    whole = run_config(*SETTINGS, *lora, f"training.checkpoint_dir={tmp_path / 'whole'}")

    assert_kills_leave_no_trace(processes, whole, run_config(*SETTINGS, *lora), kills=5)


@pytest.mark.slow
def test_twenty_kills_leave_the_embedded_corpus_trained_as_without_them(
    tmp_path, processes, monkeypatch
):
    """Cut to 300 sentences, with dropout; its config's paths are relative."""
    monkeypatch.chdir(tmp_path)
    sizes = {"train": 300, "val": 20, "test": 20}
    write_corpus("sentences", Path("data/sentences"), sizes=sizes, workers=1)
    settings = ("model.dropout=0.1", "training.num_epochs=4", "training.eval_epochs=2")
    settings += (
        "training.save_steps=7",
        "training.best_metric=cer",
        "generation.max_new_tokens=16",
    )

    def make(name):
        return load_config(demo_config(), [*settings, f"training.checkpoint_dir={name}"])

    prepare(make("whole"), workers=1)

    assert_kills_leave_no_trace(processes, make("whole"), make("killed"), kills=20)
