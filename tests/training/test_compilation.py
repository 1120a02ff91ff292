import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from signseq.data.batching import NO_LABEL, collate
from signseq.training import compilation
from signseq.training.compilation import (
    CompilationCallback,
    CompiledModel,
    PadToSizes,
    round_up,
)
from signseq.training.run import train


def make_clip(frames, tokens, seed=0):
    rng = np.random.default_rng(seed)
    poses = rng.normal(size=(frames, 4, 3)).astype(np.float16)
    return {"poses": poses, "labels": np.arange(4, 4 + tokens, dtype=np.int32)}


def batches(count=12, *, pad, seed=0):
    """Of ever new sizes, as sorted lengths give them."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = int(rng.integers(2, 6))
        yield pad(
            [make_clip(int(rng.integers(5, 60)), int(rng.integers(2, 14))) for _ in range(size)]
        )


PAD = PadToSizes(max_frames=60, max_tokens=16)


def test_lengths_go_up_to_multiples_but_not_beyond_the_limit():
    found = round_up(np.array([1, 16, 17, 59, 60]), limit=60)

    assert found.tolist() == [16, 16, 32, 60, 60]


def test_a_length_beyond_the_limit_stays():
    assert round_up(np.array([70]), limit=60).tolist() == [70]


def test_a_batch_is_padded_to_sizes_with_what_padding_is():
    batch = PAD([make_clip(17, 3), make_clip(9, 5)])

    assert batch["poses"].shape == (2, 32, 4, 3)
    assert batch["labels"].shape == (2, 8)
    assert batch["attention_mask"].sum(1).tolist() == [17, 9]
    assert not batch["poses"][:, 17:].any()
    assert (batch["labels"][:, 5:] == NO_LABEL).all()


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_padding_to_sizes_changes_neither_loss_nor_gradients(make_model, kind):
    model = make_model(kind)
    clips = [make_clip(17, 3), make_clip(9, 5)]
    found = []
    for pad in (collate, PAD):
        model.zero_grad()
        loss = model(**pad(clips)).loss
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append([loss.detach(), *gradients])

    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["t5", "bart", "gpt2"])
def test_batches_of_many_sizes_need_few_graphs(make_model, kind):
    """A backend that leaves graphs as they are tells as much about their number as a slow one."""
    torch._dynamo.reset()
    compiled = CompiledModel("eager")
    model = make_model(kind).train()
    sizes = set()
    for batch in batches(pad=PAD):
        sizes.add((*batch["poses"].shape[:2], batch["labels"].shape[1]))
        compiled(model)(**batch).loss.backward()

    assert len(sizes) > 5
    assert 1 <= compiled.graphs <= 2


def test_a_new_graph_is_said_and_too_many_are_warned_of(caplog):
    class Counted:
        graphs = 0

    class State:
        global_step, is_world_process_zero = 3, True

    callback = CompilationCallback(Counted())
    with caplog.at_level(logging.INFO):
        for Counted.graphs in (2, 2, 5, 9, 10):
            callback.on_step_begin(None, State, None)
            callback.on_step_end(None, State, None)

    assert [record.levelname for record in caplog.records] == ["INFO"] * 3 + ["WARNING", "INFO"]
    assert "made 2 graphs" in caplog.messages[0]
    assert "has made 9 graphs" in caplog.messages[3]


def test_a_compiled_run_makes_few_graphs_and_learns_the_same(run_config, tmp_path, monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    sizes, compiled = set(), []

    def note(self, model, call=CompiledModel.__call__):
        compiled.append(self)
        return call(self, model)

    def pad(self, clips, call=PadToSizes.__call__):
        batch = call(self, clips)
        sizes.add((*batch["poses"].shape[:2], batch["labels"].shape[1]))
        return batch

    def final_weights(name, call):
        monkeypatch.setattr(CompiledModel, "__call__", call)
        place = f"training.checkpoint_dir={tmp_path}/{name}"
        shared = ("data.val_path=null", "training.num_epochs=1", "training.batch_size=null")
        sized = ("training.frames_per_batch=160", "training.compile=true")
        return load_file(train(run_config(*shared, *sized, place)) / "model.safetensors")

    monkeypatch.setattr(PadToSizes, "__call__", pad)
    found = final_weights("compiled", note)
    wanted = final_weights("plain", lambda self, model: model)

    assert len(sizes) >= 3
    assert compiled[0].graphs in (1, 2)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
