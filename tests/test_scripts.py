"""The two training scripts as a user runs them, on the CPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import tiny_config
from signseq.config import load_config, save_config

ROOT = Path(__file__).parents[1]
SINGLE, MULTI = "train_single_gpu.sh", "train_multi_gpu.sh"

pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash"),
    pytest.mark.skipif(not (ROOT / SINGLE).exists(), reason="the scripts are not in a package"),
]


def script(name, *arguments):
    ours = ("NNODES", "NODE_RANK", "MASTER_ADDR")
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(ROOT / name), *map(str, arguments)],
        env=kept | {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture
def config_file(prepared, tmp_path):
    settings = ("best_metric=cer", "max_steps=2", "eval_batch_size=12")
    config = tiny_config(
        prepared,
        *(f"training.{setting}" for setting in settings),
        f"training.checkpoint_dir={tmp_path}/run",
    )
    save_config(config, tmp_path / "tiny.yaml")
    return tmp_path / "tiny.yaml"


@pytest.mark.parametrize(("name", "processes"), [(SINGLE, ()), (MULTI, ("2",))])
def test_a_script_trains_with_the_overrides_it_is_given(config_file, tmp_path, name, processes):
    done = script(name, config_file, *processes, "training.max_steps=3", "--overwrite")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert load_config(tmp_path / "run" / "config.yaml").training.max_steps == 3
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) == 3
    assert done.stdout.count("holds the best checkpoint") == 1


def test_a_mistake_is_said_once_before_processes_are_started(config_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"work")

    done = script(MULTI, config_file, 2)

    assert done.returncode == 1
    assert done.stderr.count("holds a run already (model.safetensors)") == 1
    assert "ChildFailedError" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (SINGLE, (), "which config?"),
        (SINGLE, ("nowhere.yaml",), "nowhere.yaml: no such config file"),
        (MULTI, (), "a config and a number of processes"),
        (MULTI, ("nowhere.yaml", "2"), "nowhere.yaml: no such config file"),
        (MULTI, (__file__, "0"), "N is '0'"),
        (MULTI, (__file__, "training.max_steps=3"), "the second argument is the number"),
    ],
)
def test_wrong_arguments_end_with_a_message(name, arguments, message):
    done = script(name, *arguments)

    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("name", [SINGLE, MULTI])
def test_help_shows_the_usage(name):
    done = script(name, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: ./{name} CONFIG")
