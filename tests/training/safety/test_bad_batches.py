"""A loss that is no number: whose clips they were, and what becomes of the run."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from signseq.data.batching import ClipDataset
from signseq.errors import ModelError
from signseq.training.run import train
from signseq.training.safety import safe_trainer
from signseq.training.safety.step_watch import NAN_LOG, StepWatch


@pytest.fixture
def spoil(monkeypatch):
    """Make some training clips unusable, in every epoch or in one."""

    def spoil_clips(*numbers, epochs=(0,)):
        whole = ClipDataset.__getitems__

        def read(self, keys):
            clips = whole(self, keys)
            for (epoch, number), clip in zip(keys, clips, strict=True):
                if self.augmentation is not None and epoch in epochs and number in numbers:
                    clip["poses"] = np.full_like(clip["poses"], np.inf)
            return clips

        monkeypatch.setattr(ClipDataset, "__getitems__", read)

    return spoil_clips


def noted(folder):
    return [json.loads(line) for line in (folder / NAN_LOG).read_text().splitlines()]


def logged(folder):
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [entry for entry in entries if "loss" in entry]


class Weights(TrainerCallback):
    """Keeps the weights, and how often each was changed, after every step."""

    def __init__(self):
        self.after = []

    def on_step_end(self, args, state, control, model, optimizer, **kwargs):
        counts = {int(values["step"]) for values in optimizer.state.values()}
        self.after.append((next(model.parameters()).detach().clone(), counts))


def test_a_bad_batch_stops_the_run_and_its_clips_are_named(run_config, tmp_path, spoil):
    spoil(17)

    with pytest.raises(ModelError, match=r"Step \d+: the loss is nan.* 8 clips: .*train-17") as it:
        train(run_config("training.save_steps=1"))

    (entry,) = noted(tmp_path / "run")
    assert f"Step {entry['step']}:" in str(it.value)
    assert "train-17" in entry["uids"]
    assert len(entry["uids"]) == 8
    saved = [path.name for path in (tmp_path / "run").glob("checkpoint-*")]
    assert f"checkpoint-{entry['step']}" not in saved


def test_the_bad_one_of_accumulated_batches_is_named(run_config, tmp_path, spoil):
    spoil(17)

    with pytest.raises(ModelError, match=r"in the batch of 8 clips: .*train-17"):
        train(run_config("training.gradient_accumulation_steps=3"))

    assert [len(entry["uids"]) for entry in noted(tmp_path / "run")] == [8]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_skipped_step_changes_nothing(run_config, tmp_path, spoil, accumulation):
    spoil(17)
    seen = Weights()

    folder = train(
        run_config(
            "training.on_nan=skip",
            "training.hf={logging_steps: 1}",
            f"training.gradient_accumulation_steps={accumulation}",
        ),
        observers=[seen],
    )

    (step,) = {entry["step"] for entry in noted(folder)}
    assert step not in [entry["step"] for entry in logged(folder)]
    assert torch.equal(seen.after[step - 1][0], seen.after[step - 2][0])
    assert [max(counts) for _, counts in seen.after] == [
        number - (number >= step) for number in range(1, len(seen.after) + 1)
    ]
    assert all(
        weight.isfinite().all() for weight in load_file(folder / "model.safetensors").values()
    )


def test_a_skipped_step_is_no_part_of_the_losses_that_are_logged(run_config, tmp_path, spoil):
    def losses(name, every, *overrides):
        settings = ("data.val_path=null", "training.num_epochs=1", "training.learning_rate=1e-9")
        settings += ("training.gradient_accumulation_steps=2", "training.ctc_weight=0.3")
        place = (f"training.checkpoint_dir={tmp_path / name}", *overrides)
        log = f"training.hf={{logging_steps: {every}}}"
        folder = train(run_config(*settings, log, *place))
        return [(entry["loss"], entry["ctc_loss"]) for entry in logged(folder)]

    single = losses("whole", 1)
    spoil(17)
    (found,) = losses("spoiled", 6, "training.on_nan=skip")

    skipped = noted(tmp_path / "spoiled")[0]["step"] - 1
    used = [values for step, values in enumerate(single) if step != skipped]
    assert len(used) == 5
    assert found[0] == pytest.approx(np.mean([loss for loss, _ in used]), rel=1e-4)
    per_class = [loss for _, loss in used]
    assert min(per_class) < found[1] < max(per_class)


def test_too_many_skipped_steps_in_a_row_stop_the_run(run_config, tmp_path, spoil, monkeypatch):
    monkeypatch.setattr(safe_trainer, "MAX_LEFT_OUT", 3)
    spoil(*range(96))

    with pytest.raises(ModelError, match="3 steps in a row were left out"):
        train(run_config("training.on_nan=skip"))

    assert [entry["step"] for entry in noted(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.parametrize("saved", [True, False], ids=["overwritten", "nothing saved"])
def test_starting_anew_forgets_the_bad_batches(run_config, tmp_path, spoil, saved):
    spoil(17)
    with pytest.raises(ModelError):
        train(run_config(*["training.save_steps=1"] * saved))
    spoil()

    train(run_config("training.max_steps=1"), overwrite=saved)

    assert not (tmp_path / "run" / NAN_LOG).exists()


def test_what_a_gpu_finds_is_known_a_step_later(run_config, tmp_path, spoil, monkeypatch):
    """But before anything is saved."""
    spoil(17)
    monkeypatch.setattr(safe_trainer, "StepWatch", lambda delayed: StepWatch(delayed=True))
    seen = Weights()

    for every in (100, 1):
        with pytest.raises(ModelError, match=r"Step \d+: the loss is nan.*train-17"):
            train(
                run_config(f"training.save_steps={every}", "training.hf={logging_steps: 100}"),
                observers=[seen],
                overwrite=True,
            )
        (entry,) = noted(tmp_path / "run")
        assert "train-17" in entry["uids"]

    saved = {path.name for path in (tmp_path / "run").glob("checkpoint-*")}
    assert f"checkpoint-{entry['step'] - 1}" in saved
    assert f"checkpoint-{entry['step']}" not in saved
    # without a checkpoint the next step is begun, and not made
    assert len(seen.after) == 2 * entry["step"]


@pytest.mark.parametrize(
    ("losses", "norm", "diverged"),
    [
        ([1.0, 2.0], 3.0, False),
        ([1.0, float("nan")], 3.0, True),
        ([float("inf")], 3.0, True),
        ([1.0], float("inf"), True),
        ([1.0], None, False),  # float16: an infinite gradient is the scaler's to see
    ],
)
def test_what_diverged_means(losses, norm, diverged):
    found = StepWatch(delayed=False).exchange(
        4,
        losses=[torch.tensor(loss) for loss in losses],
        grad_norm=None if norm is None else torch.tensor(norm),
        stop=False,
    )

    assert (found.step, found.diverged, found.stop) == (4, diverged, False)
