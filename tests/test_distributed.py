"""Two processes on one machine, by torchrun, as `train_multi_gpu.sh` starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file

import run_many
from signseq.config import save_config
from signseq.data.batching import ClipDataset
from signseq.training.run import train
from signseq.training.safety.checkpoints import last_checkpoint
from signseq.training.safety.step_watch import NAN_LOG

OVERRIDES = (
    "training.num_epochs=3",
    "data.augment={rotate_degrees: 10, speed: 0.2, drop_frames: 0.1}",
    "training.hf={logging_steps: 1}",
    "training.label_smoothing=0.1",
    "training.average_last=2",
)


CTC = (
    "training.ctc_weight=0.3",
    "training.ctc_target=characters",
)  # for which some clips are short


def torchrun(*arguments, module="signseq"):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", module] if module else []
    return subprocess.run(
        [*command, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(prepared, tmp_path_factory):
    """The folders of one run on two processes, and of one that accumulates two batches."""
    from conftest import tiny_config

    folder = tmp_path_factory.mktemp("distributed")

    def make(name, *overrides):
        place = f"training.checkpoint_dir={folder / name}"
        return tiny_config(prepared, "training.best_metric=cer", *OVERRIDES, *overrides, place)

    save_config(make("two"), folder / "two.yaml")
    done = torchrun("train", folder / "two.yaml")
    assert done.returncode == 0, done.stderr
    alone = train(make("one", "training.gradient_accumulation_steps=2"))
    return folder / "two", alone, done


def test_two_processes_equal_two_accumulated_batches(runs):
    two, one, _ = runs
    losses = [entry for entry in log(one) if "loss" in entry]

    assert len(losses) == 18
    for entry, wanted in zip([entry for entry in log(two) if "loss" in entry], losses, strict=True):
        assert entry["step"] == wanted["step"]
        assert entry["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
        assert entry["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)


def test_two_processes_validate_as_one_does(runs):
    """Each clip is scored once: none lost, none twice, in the right order."""
    two, one, _ = runs

    def scores(folder):
        entries = [entry for entry in log(folder) if "eval_cer" in entry]
        names = ("step", "eval_cer", "eval_wer", "eval_chrf", "eval_exact_match")
        return [[entry[name] for name in names] for entry in entries]

    assert len(scores(one)) == 3
    assert scores(two) == scores(one)
    losses = [[e["eval_loss"] for e in log(folder) if "eval_loss" in e] for folder in (two, one)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_two_processes_end_with_the_weights_of_one(runs):
    two, one, _ = runs
    wanted = load_file(one / "model.safetensors")

    for name, weight in load_file(two / "model.safetensors").items():
        assert (weight - wanted[name]).abs().max() < 1e-4


def test_only_one_process_speaks(runs):
    _, _, done = runs
    ours = [line for line in done.stderr.splitlines() if "torch.distributed" not in line]

    assert done.stdout.count("holds the best checkpoint") == 1
    assert not [line for line in ours if "missing keys" in line]


def test_processes_do_not_look_for_unused_parameters_where_there_are_none(runs):
    _, _, done = runs

    assert "find_unused_parameters" not in done.stderr


# ------------------------------------------------------- sharded weights, adapters, and stops


@pytest.fixture(scope="module")
def further(runs, prepared, trained, tmp_path_factory):
    """More runs on two processes, in one start of them; and the ones that they must equal."""
    from conftest import tiny_config
    from signseq.translation import Translator

    folder = tmp_path_factory.mktemp("further")
    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(folder / "base")
    translator.tokenizer.save_pretrained(folder / "base")
    lora = ("model.use_lora=true", "model.from_scratch=false", "model.size=null")
    lora += ("model.tokenizer=null", f"model.name={folder / 'base'}", "training.num_epochs=2")
    lora += ("model.lora_config.lora_dropout=0.0", "training.gradient_checkpointing=true")
    lora += ("training.average_last=null",)
    alone = "training.gradient_accumulation_steps=2"

    def make(name, *overrides):
        place = f"training.checkpoint_dir={folder / name}"
        best = "training.best_metric=cer"
        return tiny_config(prepared, best, *OVERRIDES, *overrides, place)

    configs = {
        "fsdp": ("training.fsdp=true",),
        "fsdp_stopped": ("training.fsdp=true",),
        "unscored": (),
        "spoiled": ("training.on_nan=skip", *CTC),
        "lora": lora,
        "fsdp_lora": (*lora, "training.fsdp=true"),
    }
    for name, overrides in configs.items():
        save_config(make(name, *overrides), folder / f"{name}.yaml")
    paths = [folder / f"{name}.yaml" for name in configs]
    done = torchrun(run_many.__file__, *paths, module=None)
    assert done.returncode == 0, done.stderr
    train(make("lora_alone", *lora, alone))
    train(make("fsdp_stopped", alone), resume=True)
    unscored = sorted(path.name for path in (folder / "unscored").iterdir())
    train(make("unscored", alone), resume=True)
    whole = run_many.spoil_clip(17)
    try:
        train(make("spoiled_alone", "training.on_nan=skip", *CTC, alone))
    finally:
        ClipDataset.__getitems__ = whole
    return folder, done, unscored


def assert_same_losses(one, other):
    wanted, found = (
        [entry["loss"] for entry in log(folder) if "loss" in entry] for folder in (one, other)
    )
    assert len(found) == len(wanted) > 0
    assert found == pytest.approx(wanted, abs=1e-5)


def assert_close_weights(one, other):
    (path,) = one.glob("*model.safetensors")
    wanted, found = load_file(path), load_file(other / path.name)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert (weight - found[name]).abs().max() < 1e-4


def test_sharded_weights_train_and_validate_as_whole_ones_do(runs, further):
    _, one, _ = runs
    folder, done, _ = further

    assert_same_losses(one, folder / "fsdp")
    assert_close_weights(one, folder / "fsdp")
    for name in ("eval_cer", "eval_chrf"):
        scores = [[e[name] for e in log(each) if name in e] for each in (one, folder / "fsdp")]
        assert scores[0] == scores[1]
    assert "divided among 2 processes" in done.stderr


def test_the_mean_of_the_last_checkpoints_is_scored_by_several_processes_as_by_one(runs, further):
    two, one, _ = runs
    folder, *_ = further

    def scores(run):
        (entry,) = (entry for entry in log(run) if "averaged" in entry)
        return [entry[name] for name in ("averaged", "average_cer", "average_chrf")], entry[
            "average_loss"
        ]

    wanted, loss = scores(one)
    assert wanted[0] == [12, 18]
    for run in (two, folder / "fsdp"):
        assert scores(run) == (wanted, pytest.approx(loss, abs=1e-5))
    verdicts = [(run / "average.json").read_text() for run in (one, two, folder / "fsdp")]
    assert json.loads(verdicts[0]) == json.loads(verdicts[1]) == json.loads(verdicts[2])


def test_a_sharded_checkpoint_is_like_any_other(runs, further):
    _, one, _ = runs
    folder, *_ = further

    def names(checkpoint):
        return {path.name for path in checkpoint.iterdir() if "rng_state" not in path.name}

    assert names(folder / "fsdp" / "checkpoint-18") == names(one / "checkpoint-18")
    saved = [json.loads((each / "config.json").read_text()) for each in (one, folder / "fsdp")]
    assert saved[0] == saved[1]


def test_one_signalled_process_stops_all_and_a_single_one_goes_on_with_its_sharded_checkpoint(
    runs, further
):
    """The optimizer's state is put together when it is saved, and fits whoever goes on."""
    _, one, _ = runs
    folder, done, _ = further

    for rank in "01":
        assert f"{rank} StoppedError Stopped" in done.stdout
    assert_same_losses(one, folder / "fsdp_stopped")
    assert_close_weights(one, folder / "fsdp_stopped")


def test_one_process_signalled_while_the_last_step_is_scored_stops_all_and_that_is_made_up_for(
    runs, further
):
    _, one, _ = runs
    folder, done, left = further

    for rank in "01":
        said = f"{rank} StoppedError Stopped"
        assert any(said in line and "unscored" in line for line in done.stdout.splitlines())
    assert "checkpoint-18" in left
    assert "model.safetensors" not in left
    assert_close_weights(one, folder / "unscored")
    found, wanted = (
        [entry["eval_cer"] for entry in log(each) if "eval_cer" in entry]
        for each in (folder / "unscored", one)
    )
    assert found == wanted


def test_the_auxiliary_loss_is_added_up_over_the_processes(further):
    """Also of the step that is left out, in which it counts on neither."""
    folder, *_ = further
    for name in ("ctc_loss", "ctc_too_short"):
        found, wanted = (
            [(entry["step"], entry[name]) for entry in log(folder / each) if name in entry]
            for each in ("spoiled", "spoiled_alone")
        )
        assert [step for step, _ in found] == [step for step, _ in wanted] != []
        values = [[value for _, value in each] for each in (found, wanted)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)
        assert max(values[1]) > 0


def test_all_processes_leave_out_the_step_in_which_one_of_them_has_a_bad_batch(further):
    folder, *_ = further
    noted = [(folder / name / NAN_LOG).read_text() for name in ("spoiled", "spoiled_alone")]
    found, wanted = (json.loads(text) for text in noted)

    assert {**found, "process": 0} == wanted
    assert "train-17" in found["uids"]
    assert_close_weights(folder / "spoiled_alone", folder / "spoiled")


@pytest.mark.parametrize("name", ["lora", "fsdp_lora"])
def test_two_processes_train_adapters_as_one_does(further, name):
    folder, *_ = further

    assert_same_losses(folder / "lora_alone", folder / name)
    assert_close_weights(folder / "lora_alone", folder / name)


# ---------------------------------------------------------------- how a run on processes ends


LAUNCH = [sys.executable, "-m", "signseq.training.launch"]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("exit 0", 0, ""),
        ('printf 75 > "$SIGNSEQ_EXIT_FILE"; exit 75', 75, ""),
        ("exit 3", 1, "The run has ended: process 0 (pid"),
        ("kill -9 $$$$", 1, "was killed by SIGKILL."),
    ],
    ids=["done", "stopped", "failed", "killed"],
)
def test_the_launcher_says_how_the_processes_ended(command, code, message):
    done = subprocess.run(
        [*LAUNCH, "--standalone", "--nproc_per_node=1", "--no-python", "bash", "-c", command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_job_script_of_the_docs_is_bash_and_starts_our_script():
    docs = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    (script,) = (block for block in docs.split("```") if "#SBATCH" in block)
    script = script.removeprefix("bash\n")

    checked = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    for word in ("./train_multi_gpu.sh", "NNODES=", "NODE_RANK=", "MASTER_ADDR=", "--resume"):
        assert word in script


@pytest.fixture
def begun(prepared, tmp_path):
    """A long run on two processes that was started just now; it is killed after the test."""
    from conftest import tiny_config

    settings = ("num_epochs=5000", "eval_epochs=5000", "num_workers=1", "example_clips=0")
    settings = (*settings, f"checkpoint_dir={tmp_path / 'run'}", "best_metric=cer")
    config = tiny_config(prepared, *(f"training.{setting}" for setting in settings))
    save_config(config, tmp_path / "endless.yaml")
    command = [*LAUNCH, "--standalone", "--nproc_per_node=2", "-m", "signseq", "train"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "endless.yaml")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process, tmp_path / "run"
    process.kill()
    process.communicate()


@pytest.fixture
def endless(begun):
    """A run on two processes that is in the middle of training."""
    process, folder = begun
    metrics = folder / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.2)
    return begun


def workers_of(process):
    """The processes of a run, the first one first."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
    )
    return sorted(int(pid) for pid in found.stdout.split())


@pytest.mark.slow
def test_a_signal_to_the_launcher_saves_and_ends_with_75(endless):
    process, folder = endless

    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)

    assert process.returncode == 75, said
    assert said.count("Stopped by SIGTERM. --resume will go on from") == 1
    assert "Traceback" not in said
    assert last_checkpoint(folder) is not None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "stuck"])
def test_the_others_end_within_a_minute_and_name_the_lost_process(endless, number):
    process, _ = endless
    lost = workers_of(process)[1]

    os.kill(lost, number)
    try:
        _, said = process.communicate(timeout=100)  # a minute, and what a busy machine takes
    finally:
        with suppress(ProcessLookupError):
            os.kill(lost, signal.SIGKILL)

    assert process.returncode == 1
    assert f"process 1 (pid {lost} on" in said


def workers_that_began(process, folder):
    """Both processes of a run, when both say that they are there; they have loaded nothing yet."""
    while len(pids := workers_of(process)) < 2:
        time.sleep(0.1)
    while not all(list(folder.parent.glob(f"*/{pid}")) for pid in pids):
        time.sleep(0.02)
    return pids


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_stuck_before_training_begins_is_named_within_a_minute(begun, rank):
    process, folder = begun
    pids = workers_that_began(process, folder)
    time.sleep(0.2)
    assert not (folder / "metrics.jsonl").exists()

    os.kill(pids[rank], signal.SIGSTOP)
    try:
        _, said = process.communicate(timeout=100)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pids[rank], signal.SIGKILL)

    assert process.returncode == 1
    assert f"nothing was heard of process {rank} (pid {pids[rank]} on" in said


@pytest.mark.slow
def test_after_a_signal_the_launcher_waits_a_minute_at_most_for_a_stuck_process(begun):
    process, folder = begun
    pids = workers_that_began(process, folder)
    os.kill(pids[1], signal.SIGSTOP)

    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=100)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pids[1], signal.SIGKILL)

    assert process.returncode == 128 + signal.SIGTERM
    killed = f"the process with pid {pids[1]} for 45 seconds after it was told to end"
    assert killed in said, said


@pytest.mark.slow
def test_two_machines_train_as_one_process_does(runs, prepared, tmp_path):
    """Two launches of one process each on this machine, which know each other by address and port."""
    from conftest import tiny_config

    _, one, _ = runs
    config = tiny_config(
        prepared,
        *("training.best_metric=cer", *OVERRIDES),
        f"training.checkpoint_dir={tmp_path / 'run'}",
    )
    save_config(config, tmp_path / "nodes.yaml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shared = {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "NNODES": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    script = Path(__file__).parents[1] / "train_multi_gpu.sh"
    machines = [
        subprocess.Popen(
            ["bash", str(script), str(tmp_path / "nodes.yaml"), "1"],
            env=os.environ | shared | {"NODE_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]

    for machine in machines:
        _, said = machine.communicate(timeout=180)
        assert machine.returncode == 0, said

    assert_same_losses(one, tmp_path / "run")
    assert_close_weights(one, tmp_path / "run")
