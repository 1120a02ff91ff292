import importlib
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from signseq.data.batching import ClipDataset, collate
from signseq.model.vocabulary import train_tokenizer
from signseq.preparation import build_recipe
from signseq.training.sampling import build_sampler

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_table_of_throughput_is_made_without_a_gpu():
    command = [sys.executable, ROOT / "benchmarks/throughput.py", "--tiny"]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(command, capture_output=True, text=True, env=hidden, check=True)

    rows = [line.split(" | ") for line in found.stdout.splitlines() if line.startswith("| tiny")]
    assert [row[1] for row in rows] == ["fp32", "eager"]
    assert all(float(row[3]) > 0 and len(row) == 15 for row in rows)


@pytest.fixture
def throughput(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.chdir(ROOT)
    module = importlib.import_module("throughput")
    monkeypatch.setattr(module, "VOCABULARY", 500)
    return module


def test_operations_of_a_clip_are_the_mean_of_an_epoch_with_its_padding(throughput, tmp_path):
    options = Namespace(steps=2, frames_per_batch=600, workers=0, eval_batch=8)
    config = throughput.make_config(tmp_path, "fp32", options)
    store = throughput.write_store(tmp_path / "store", clips=60, recipe=build_recipe(config.data))
    tokenizer = train_tokenizer(["a text of noise"] * 2)
    model = throughput.make_model(config, store, "tiny", tokenizer)
    labels = throughput.draw_labels(len(store))
    dataset = ClipDataset(store, labels, step_frames=5, max_frames=config.data.max_frames)
    sampler = build_sampler(config, dataset)
    total = 0
    for keys in sampler:
        with FlopCounterMode(display=False) as counter:
            model(**collate(dataset.__getitems__(keys))).loss.backward()
        total += counter.get_total_flops()

    exact = throughput.count_flops(model, dataset, sampler, sizes=10**6)
    close = throughput.count_flops(model, dataset, sampler, sizes=5)

    assert exact == pytest.approx(total / len(store))
    assert close == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA L4", 121.0),
        ("Tesla T4", None),
    ],
)
def test_a_device_has_its_own_peak(throughput, device, peak):
    assert throughput.peak_of(device) == peak
