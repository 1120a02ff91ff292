"""Two processes on one machine, by torchrun, as `train_multi_gpu.sh` starts them."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from signseq.config import save_config
from signseq.training.run import train

OVERRIDES = (
    "training.num_epochs=3",
    "data.augment={rotate_degrees: 10, speed: 0.2, drop_frames: 0.1}",
    "training.hf={logging_steps: 1}",
    "training.label_smoothing=0.1",
)


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*command, "-m", "signseq", *map(str, arguments)],
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

    assert done.stdout.count("The best checkpoint is in") == 1
    assert not [line for line in ours if "missing keys" in line]


def test_processes_do_not_look_for_unused_parameters_where_there_are_none(runs):
    _, _, done = runs

    assert "find_unused_parameters" not in done.stderr


@pytest.mark.slow
def test_two_processes_train_adapters_as_one_does(prepared, trained, tmp_path):
    from conftest import tiny_config
    from signseq.translation import Translator

    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(tmp_path / "base")
    translator.tokenizer.save_pretrained(tmp_path / "base")
    lora = ("model.use_lora=true", "model.from_scratch=false", "model.size=null")
    lora += ("model.tokenizer=null", f"model.name={tmp_path / 'base'}", "training.best_metric=cer")
    lora += ("model.lora_config.lora_dropout=0.0", "training.gradient_checkpointing=true")

    def make(name, *overrides):
        place = f"training.checkpoint_dir={tmp_path / name}"
        return tiny_config(prepared, *lora, *OVERRIDES, *overrides, place)

    save_config(make("two"), tmp_path / "two.yaml")
    done = torchrun("train", tmp_path / "two.yaml")
    assert done.returncode == 0, done.stderr
    one = train(make("one", "training.gradient_accumulation_steps=2"))

    wanted = load_file(one / "adapter_model.safetensors")
    for name, weight in load_file(tmp_path / "two" / "adapter_model.safetensors").items():
        assert (weight - wanted[name]).abs().max() < 1e-4
    assert done.stderr.count("Parameters: ") == 1
