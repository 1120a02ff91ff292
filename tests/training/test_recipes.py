"""Options of a recipe, in whole runs."""

import json

import pytest

from signseq.training.run import train
from signseq.translation import Translator

STEPS = ("training.max_steps=3", "training.save_steps=2", "training.hf={logging_steps: 1}")


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("target", ["characters", "tokens"])
def test_the_auxiliary_loss_is_logged_by_itself(run_config, target):
    settings = ("training.ctc_weight=0.5", f"training.ctc_target={target}")
    settings += ("model.encoder.stride=1",)  # a word is six frames, fewer than some have letters
    folder = train(run_config(*STEPS, *settings))

    steps = [entry for entry in log(folder) if "loss" in entry]
    assert len(steps) == 3
    assert all(entry["ctc_loss"] > 0 and 0 <= entry["ctc_too_short"] <= 1 for entry in steps)
    assert Translator.from_pretrained(folder).model.config.ctc["target"] == target


def test_without_it_nothing_is_logged_of_it(run_config):
    folder = train(run_config(*STEPS))

    assert not any("ctc_loss" in entry for entry in log(folder))


def test_a_run_with_all_options_goes_on_where_it_was(run_config):
    encoder = (
        "model.encoder={type: part_gcn, width: 8, registers: 1, channels: [motion, hand_offsets]}"
    )
    config = run_config(*STEPS, encoder, "training.ctc_weight=0.3")
    folder = train(config)
    train(config, resume=True)

    translator = Translator.from_pretrained(folder)
    assert translator.model.config.encoder["type"] == "part_gcn"
    assert translator.model.pose_encoder.ctc.table.max() > 0
