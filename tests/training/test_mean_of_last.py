"""At its end a run tries the mean of its last checkpoints, and keeps what scores better."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from signseq.errors import ConfigError, StoppedError
from signseq.training import trainer
from signseq.training.arguments import build_arguments, check_settings, count_steps
from signseq.training.mean_of_last import VERDICT, _load_weights, check_enough_checkpoints
from signseq.training.run import train
from signseq.training.run_folder import describe_result
from signseq.training.safety.checkpoints import all_checkpoints
from signseq.translation import Translator

WEIGHTS = "model.safetensors"
# Checkpoints at steps 5, 10, 12; those of steps 6 and 12 are scored.
SETTINGS = ("training.average_last=2", "training.save_steps=5", "training.num_epochs=1")
SETTINGS += ("training.example_clips=0", "training.hf={logging_steps: 6}")

ADAPTERS = ("model.use_lora=true", "model.from_scratch=false", "model.size=null")
ADAPTERS += ("model.tokenizer=null",)


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def verdict(folder):
    return json.loads((folder / VERDICT).read_text())


def mean_of(folder, *names):
    all_weights = [load_file(folder / name / WEIGHTS) for name in names]
    return {key: sum(each[key] for each in all_weights) / len(names) for key in all_weights[0]}


def assert_weights(folder, wanted):
    found = load_file(folder / WEIGHTS)
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        torch.testing.assert_close(weight, wanted[name])


@pytest.fixture
def scored_as(monkeypatch):
    """Makes the mean score as wanted; gives the weights that it was scored with."""
    measure = trainer.SignTrainer.measure

    def pretend(cer):
        seen = []

        def measured(self, prefix):
            if prefix != "average":
                return measure(self, prefix)
            seen.append({k: v.clone() for k, v in self.model.state_dict().items()})
            scores, texts = measure(self, prefix)
            return {**scores, "average_cer": cer}, texts

        monkeypatch.setattr(trainer.SignTrainer, "measure", measured)
        return seen

    return pretend


def test_a_better_mean_is_the_run_s_result(run_config, scored_as, caplog):
    seen = scored_as(0.5)
    caplog.set_level("INFO", logger="signseq")

    folder = train(run_config(*SETTINGS))

    wanted = mean_of(folder, "checkpoint-10", "checkpoint-12")
    assert_weights(folder, wanted)
    for name, weight in wanted.items():
        torch.testing.assert_close(seen[0][name], weight)
    told = verdict(folder)
    assert (told["weights"], told["average"]) == ("average", 0.5)
    assert told["average_of"] == ["checkpoint-10", "checkpoint-12"]
    assert told["best_checkpoint"] == "checkpoint-12"
    assert "last 2 checkpoints (steps 10, 12): 0.5; the best checkpoint" in caplog.text
    assert "The mean is the run's result." in caplog.text
    assert describe_result(folder) == "the mean of checkpoint-10, checkpoint-12"
    assert Translator.from_pretrained(folder)


def test_a_worse_mean_is_logged_and_left(run_config, scored_as, caplog):
    scored_as(1e6)
    caplog.set_level("INFO", logger="signseq")

    folder = train(run_config(*SETTINGS))

    assert_weights(folder, load_file(folder / "checkpoint-12" / WEIGHTS))
    assert verdict(folder)["weights"] == "checkpoint-12"
    (entry,) = (entry for entry in log(folder) if "averaged" in entry)
    assert (entry["step"], entry["averaged"], entry["average_cer"]) == (12, [10, 12], 1e6)
    assert {"average_loss", "average_wer", "average_chrf"} <= entry.keys()
    assert sum("eval_loss" in entry for entry in log(folder)) == 1  # it is no evaluation
    assert "The checkpoint is the run's result." in caplog.text
    assert describe_result(folder) == "the best checkpoint, checkpoint-12"
    assert not (folder / ".unfinished").exists()


def test_the_mean_of_alike_checkpoints_scores_as_they_do(run_config):
    """Nothing is learned, so the same scores mean that both were scored in the same way."""
    folder = train(run_config(*SETTINGS, "training.learning_rate=1e-12"))

    (found,) = (entry for entry in log(folder) if "averaged" in entry)
    (wanted,) = (entry for entry in log(folder) if "eval_loss" in entry)
    for name in ("loss", "cer", "wer", "chrf"):
        assert found[f"average_{name}"] == pytest.approx(wanted[f"eval_{name}"], abs=1e-5)
    assert verdict(folder)["weights"] == "checkpoint-12"  # of equals the checkpoint


def test_a_run_that_is_done_tries_it_again_and_can_do_without(run_config, scored_as):
    scored_as(0.5)
    folder = train(run_config(*SETTINGS))
    before = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).unlink()

    train(run_config(*SETTINGS), resume=True)

    assert (folder / WEIGHTS).read_bytes() == before
    assert sum("averaged" in entry for entry in log(folder)) == 1

    train(run_config(*SETTINGS, "training.average_last=null"), resume=True)

    assert_weights(folder, load_file(folder / "checkpoint-12" / WEIGHTS))
    assert not (folder / VERDICT).exists()


def test_a_signal_while_it_is_scored_leaves_it_to_the_run_that_goes_on(
    run_config, tmp_path, monkeypatch
):
    measure = trainer.SignTrainer.measure

    def send_and_measure(self, prefix):
        if prefix == "average":
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, prefix)

    with monkeypatch.context() as patches:
        patches.setattr(trainer.SignTrainer, "measure", send_and_measure)
        with pytest.raises(StoppedError, match=r"Stopped while the mean.*go on from .*-12"):
            train(run_config(*SETTINGS))

    assert not (tmp_path / "run" / WEIGHTS).exists()
    folder = train(run_config(*SETTINGS), resume=True)
    assert verdict(folder)["average_of"] == ["checkpoint-10", "checkpoint-12"]
    assert (folder / WEIGHTS).exists()


def test_an_early_best_checkpoint_does_not_push_out_the_last_ones(run_config):
    settings = ("training.learning_rate=1e-9", "training.best_metric=chrf", "training.num_epochs=3")

    folder = train(run_config("training.average_last=2", *settings))

    kept = [path.name for path in all_checkpoints(folder)]
    assert kept == ["checkpoint-12", "checkpoint-24", "checkpoint-36"]
    assert verdict(folder)["average_of"] == kept[1:]


def test_a_run_that_stopped_early_with_too_few_checkpoints_says_so(run_config, caplog):
    settings = ("training.early_stopping_patience=1", "training.best_metric=chrf")
    settings += ("training.learning_rate=1e-9", "training.num_epochs=5")

    folder = train(run_config("training.average_last=3", "training.save_total_limit=3", *settings))

    assert "average_last = 3, but" in caplog.text
    assert "holds 2 checkpoints, so no mean is tried" in caplog.text
    assert not (folder / VERDICT).exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.average_last=3"], r"average_last = 3.*save_total_limit = 2.*Raise it to 3"),
        (["training.average_last=2", "data.val_path=null"], r"needs validation clips.*val_path"),
        (["training.average_last=2", *ADAPTERS], r"model\.use_lora.*signseq merge"),
    ],
)
def test_what_it_does_not_go_together_with_is_said_at_once(run_config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(run_config(*overrides))


def test_a_run_too_short_for_it_is_refused(run_config):
    settings = ("training.average_last=2", "training.num_epochs=1")

    with pytest.raises(ConfigError, match=r"of 12 steps saves 1 checkpoint\..*save_steps.*to 6"):
        train(run_config(*settings))


def test_steps_are_counted_once_batches_are_chosen(run_config):
    """What tries batches out knows of no epochs yet."""
    config = run_config("training.average_last=2", "training.save_steps=5", "training.num_epochs=1")

    build_arguments(config, steps_per_epoch=1)
    check_enough_checkpoints(config, *count_steps(config, steps_per_epoch=12))


def test_one_is_no_mean(run_config):
    with pytest.raises(ConfigError, match=r"training\.average_last"):
        run_config("training.average_last=1")


def test_weights_of_another_model_are_not_taken(make_model, tmp_path):
    from signseq.errors import CheckpointError

    model = make_model("bart")
    model.save_pretrained(tmp_path)

    with pytest.raises(CheckpointError, match=r"none of this model's weights"):
        _load_weights(torch.nn.Linear(2, 2), tmp_path)
