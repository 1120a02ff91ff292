import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from signseq.config import load_config
from signseq.errors import CheckpointError, DataError, ModelError
from signseq.training import run
from signseq.training.callbacks import ReportCallback
from signseq.training.run import build_parts, train
from signseq.training.run_folder import last_checkpoint
from signseq.translation import Translator

LIVELY = (
    "training.num_epochs=4",
    "data.augment={rotate_degrees: 10, speed: 0.2, drop_frames: 0.1, drop_hand: 0.1}",
    "model.dropout=0.1",
    "training.save_steps=5",
    "training.hf={logging_steps: 1}",  # an epoch has twelve steps
)


class Interrupt(TrainerCallback):
    """Presses Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def interrupt(monkeypatch):
    """Let the next run be interrupted after so many steps."""

    def at(step):
        build_trainer = run.build_trainer

        def build(*given, **named):
            trainer = build_trainer(*given, **named)
            trainer.add_callback(Interrupt(step))
            return trainer

        monkeypatch.setattr(run, "build_trainer", build)

    yield at
    monkeypatch.undo()


def weights(folder):
    return load_file(folder / "model.safetensors")


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------ what is left


def test_a_run_leaves_all_that_translating_needs_and_nothing_pickled(trained):
    names = {path.name for path in trained.iterdir() if path.is_file()}

    assert {"model.safetensors", "config.json", "config.yaml", "tokenizer.json"} <= names
    assert "metrics.jsonl" in names
    assert {name.rsplit(".", 1)[1] for name in names} <= {
        "safetensors",
        "json",
        "yaml",
        "jsonl",
        "tsv",
        "txt",
        "svg",
        "html",
        "lock",
    }


def test_checkpoints_are_whole_and_pickle_only_the_trainers_state(trained):
    for checkpoint in trained.glob("checkpoint-*"):
        pickled = {
            path.name for path in checkpoint.iterdir() if path.suffix in (".pt", ".pth", ".bin")
        }
        assert pickled == {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
        assert Translator.from_pretrained(checkpoint)


def test_the_config_of_a_run_gives_the_same_run_again(run_config, tmp_path):
    first = train(run_config())
    again = load_config(first / "config.yaml", [f"training.checkpoint_dir={tmp_path / 'again'}"])

    assert load_config(first / "config.yaml") == run_config()
    second = train(again)

    assert all(weight.equal(weights(first)[name]) for name, weight in weights(second).items())


def test_the_log_has_losses_and_scores(trained):
    entries = log(trained)

    assert entries[0]["loss"] > entries[-2].get("eval_loss", 0)
    assert any("eval_cer" in entry for entry in entries)
    assert all({"step", "epoch"} <= set(entry) for entry in entries)


def test_the_best_checkpoint_is_left_not_the_last(run_config, monkeypatch):
    from signseq.training.trainer import SignTrainer

    scores = iter([50.0, 10.0, 80.0])
    monkeypatch.setattr(SignTrainer, "_score", lambda self, hypotheses: {"cer": next(scores)})
    folder = train(run_config("training.num_epochs=3"))

    best, last = weights(folder / "checkpoint-24"), weights(folder / "checkpoint-36")
    assert all(weight.equal(best[name]) for name, weight in weights(folder).items())
    assert not all(weight.equal(last[name]) for name, weight in weights(folder).items())


def test_without_validation_the_last_checkpoint_is_left(run_config):
    folder = train(run_config("data.val_path=null"))

    last = weights(folder / "checkpoint-24")
    assert all(weight.equal(last[name]) for name, weight in weights(folder).items())


# -------------------------------------------------------------------------------- going on


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    from conftest import tiny_config

    folder = tmp_path_factory.mktemp("undisturbed")
    place = f"training.checkpoint_dir={folder}"
    return train(tiny_config(prepared, "training.best_metric=cer", *LIVELY, place))


@pytest.mark.parametrize("step", [7, 24, 33])
def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(
    run_config, interrupt, monkeypatch, undisturbed, step
):
    interrupt(step)
    with pytest.raises(KeyboardInterrupt):
        train(run_config(*LIVELY))
    monkeypatch.undo()

    folder = train(run_config(*LIVELY), resume=True)

    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name[11:])).name
    for part in ("", last):
        found = weights(folder / part)
        assert all(
            weight.equal(found[name]) for name, weight in weights(undisturbed / part).items()
        )
    assert [entry["step"] for entry in log(folder)] == [entry["step"] for entry in log(undisturbed)]
    for entry, wanted in zip(log(folder), log(undisturbed), strict=True):
        assert entry.get("loss") == wanted.get("loss")


def test_a_torn_checkpoint_is_never_gone_on_from(run_config, tmp_path):
    folder = train(run_config())
    torn = folder / "checkpoint-99"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")

    assert last_checkpoint(folder).name == "checkpoint-24"


def test_checkpoints_are_counted_by_number_not_by_name(tmp_path):
    for name in ("checkpoint-9", "checkpoint-100", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-200").write_text("a file")

    assert last_checkpoint(tmp_path).name == "checkpoint-100"


def test_resuming_a_finished_run_changes_nothing(run_config):
    folder = train(run_config())
    before = weights(folder)

    train(run_config(), resume=True)

    assert all(weight.equal(before[name]) for name, weight in weights(folder).items())


def test_resuming_where_nothing_is_starts_anew(run_config, caplog):
    with caplog.at_level(logging.INFO):
        folder = train(run_config("training.num_epochs=1"), resume=True)

    assert "no checkpoint to resume from" in caplog.text
    assert (folder / "model.safetensors").exists()


def test_the_log_forgets_what_the_run_does_again(tmp_path):
    lines = [json.dumps({"step": step}) for step in (1, 5, 6, 7)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 8, "lo')

    ReportCallback(tmp_path)._keep_only(lambda entry: entry["step"] <= 5)

    assert [entry["step"] for entry in log(tmp_path)] == [1, 5]


# ------------------------------------------------------------------- a folder that holds a run


def test_a_folder_that_holds_a_run_needs_a_word(run_config):
    train(run_config("training.num_epochs=1"))

    with pytest.raises(CheckpointError, match=r"holds a run already.*--resume.*--overwrite"):
        train(run_config())


def test_a_folder_that_holds_only_a_model_needs_a_word_too(run_config, run_folder):
    for checkpoint in run_folder.glob("checkpoint-*"):
        checkpoint.rename(run_folder.parent / checkpoint.name)

    with pytest.raises(CheckpointError, match=r"holds a run already \(model\.safetensors\)"):
        train(run_config(f"training.checkpoint_dir={run_folder}"))


def test_overwriting_deletes_the_run_and_nothing_else(run_config):
    folder = train(run_config("training.num_epochs=3"))
    (folder / "scores.json").write_text("{}")
    (folder / "notes.txt").write_text("mine")
    (folder / "checkpoint-notes").mkdir()
    (folder / "checkpoint-1.txt").write_text("mine")

    train(run_config("training.num_epochs=1"), overwrite=True)

    names = {path.name for path in folder.iterdir()}
    assert {"notes.txt", "checkpoint-notes", "checkpoint-1.txt", "checkpoint-12"} <= names
    assert not names & {"scores.json", "checkpoint-24", "checkpoint-36"}
    assert max(entry["step"] for entry in log(folder)) == 12


def test_a_mistake_in_the_config_overwrites_nothing(run_config):
    folder = train(run_config("training.num_epochs=1"))
    before = sorted(folder.rglob("*"))

    with pytest.raises(ModelError):
        train(run_config("model.name=barrt"), overwrite=True)

    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_a_checkpoint_error(run_config, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CheckpointError, match=r"can't be written.*training\.checkpoint_dir"):
        train(run_config(f"training.checkpoint_dir={tmp_path}/file/run"))


# ------------------------------------------------------------------------------------- data


def test_too_long_clips_are_cut_by_default(run_config, caplog):
    parts = build_parts(run_config("data.max_frames=12"))

    assert sorted(clip for batch in parts.sampler for _, clip in batch) == list(range(96))
    assert max(len(parts.dataset[0, clip]["poses"]) for clip in range(96)) == 12


def test_too_long_clips_can_be_left_out(run_config):
    parts = build_parts(run_config("data.max_frames=12", "data.too_long=skip"))
    used = [clip for batch in parts.sampler for _, clip in batch]

    assert len(used) == 64
    assert max(parts.dataset.store.frames[used]) == 12


def test_too_long_clips_can_be_an_error(run_config):
    with pytest.raises(
        DataError, match=r"32 training clips are longer.*'train-2' with 18.*data\.too_long"
    ):
        build_parts(run_config("data.max_frames=12", "data.too_long=error"))


def test_leaving_out_every_clip_is_an_error(run_config):
    with pytest.raises(DataError, match="no training clip is left"):
        build_parts(run_config("data.max_frames=5", "data.too_long=skip"))


def test_what_is_cut_is_said(run_config, caplog):
    overrides = ("data.max_frames=12", "data.max_length=3", "training.max_steps=1")
    train(run_config(*overrides, "data.val_path=null"))

    assert "32 of 96 training clips are longer than data.max_frames and are cut" in caplog.text
    assert "training texts reach data.max_length tokens" in caplog.text


def test_step_frames_shorten_what_the_model_sees(run_config):
    parts = build_parts(run_config("data.step_frames=3"))

    assert max(parts.dataset.lengths) == 6
    assert parts.model.config.step_frames == 3


def test_a_target_longer_than_the_decoders_positions_is_an_error(run_config):
    for key in ("data.max_length", "generation.max_new_tokens"):
        overrides = (f"{key}=60", "model.config={max_position_embeddings: 50}")
        with pytest.raises(ModelError, match=rf"{key} = 60 tokens.*at most 50"):
            build_parts(run_config(*overrides))


def test_frozen_parts_stay_frozen_in_a_run(run_config, trained, tmp_path):
    text_model = tmp_path / "text_model"
    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(text_model)
    translator.tokenizer.save_pretrained(text_model)
    pretrained = {
        "name": str(text_model),
        "from_scratch": "false",
        "tokenizer": "null",
        "size": "null",
    }
    overrides = [f"model.{key}={value}" for key, value in pretrained.items()]

    folder = train(run_config(*overrides, "model.freeze_decoder=true", "training.num_epochs=1"))

    before, after = weights(trained), weights(folder)
    moved = {name for name, weight in after.items() if not weight.equal(before[name])}
    assert any(name.startswith("text_model.model.encoder.") for name in moved)
    assert any(name.startswith("pose_encoder.") for name in moved)
    assert not any("decoder" in name or "shared" in name for name in moved)


def test_the_models_statistics_are_those_of_the_training_store(run_config):
    parts = build_parts(run_config())

    assert parts.model.pose_encoder.features.mean.equal(torch.from_numpy(parts.dataset.store.mean))
