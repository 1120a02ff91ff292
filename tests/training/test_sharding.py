"""Sharded weights in one process; see test_distributed.py for several."""

import pytest
import torch
import torch.distributed as dist

from signseq.data.batching import collate
from signseq.training.run import build_parts
from signseq.training.sharding import shard


@pytest.fixture
def one_process(monkeypatch, tmp_path):
    """A group of one process."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("encoder", ["conv", "part_gcn"])
def test_poses_reach_a_sharded_model_as_they_are(run_config, one_process, encoder):
    """bfloat16 has 8 bits: it would round away how far a hand moves between two frames."""
    kind = "conv, stride: 2" if encoder == "conv" else encoder
    parts = build_parts(
        run_config(f"model.encoder={{type: {kind}, width: 8}}", "training.ctc_weight=0.3")
    )
    batch = collate([parts.dataset[key] for key in next(iter(parts.sampler))])
    seen = []
    parts.model.pose_encoder.features.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    shard(parts.model, device_type="cpu", processes=1, low_precision=True)

    with torch.autocast("cpu", torch.bfloat16):
        loss = parts.model.train()(**batch).loss
    loss.backward()

    assert seen[0].dtype == batch["poses"].dtype == torch.float16
    assert seen[0].equal(batch["poses"])
    assert loss.isfinite()
