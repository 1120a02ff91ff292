import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from signseq.config import TrainingConfig
from signseq.errors import ConfigError, MissingExtraError
from signseq.training.arguments import build_arguments
from signseq.training.building import build_trainer
from signseq.training.optimizers import Rate, choose_rates, split_groups
from signseq.training.run import build_parts, train

NAMES = ("pose_encoder.output.weight", "text_model.shared.weight", "text_model.decoder.weight")


def settings(**given):
    return TrainingConfig(checkpoint_dir="run", learning_rate=1e-3, **given)


def trainer_for(config):
    torch.manual_seed(config.seed)
    parts = build_parts(config)
    fields = {name: getattr(parts, name) for name in ("dataset", "sampler", "val_store")}
    fields |= {"targets": parts.text_side.targets, "adapters": parts.adapters}
    return build_trainer(config, parts.model, parts.tokenizer, **fields)


# ---------------------------------------------------------------------------------- the rates


def test_one_rate_for_all_where_nothing_else_is_said():
    assert {rate.learning_rate for rate in choose_rates(NAMES, settings()).values()} == {1e-3}


def test_the_pose_encoder_has_its_own_rate():
    rates = choose_rates(NAMES, settings(encoder_learning_rate=1e-2))

    assert [rates[name] for name in NAMES] == [
        Rate("pose_encoder", 1e-2),
        Rate("text_model", 1e-3),
        Rate("text_model", 1e-3),
    ]


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."]
)
def test_what_wraps_a_model_does_not_hide_its_parts(prefix):
    [rate] = choose_rates([prefix + NAMES[0]], settings(encoder_learning_rate=1e-2)).values()

    assert rate.group == "pose_encoder"


def test_each_layer_below_the_last_learns_slower():
    depths = {NAMES[0]: 0, NAMES[1]: 3, NAMES[2]: 0}
    rates = choose_rates(NAMES, settings(layerwise_decay=0.5), depths=depths)

    assert [rates[name].learning_rate for name in NAMES] == [1e-3, 1e-3 / 8, 1e-3]


def test_splitting_keeps_every_parameter_once_with_its_decay():
    a, b, c = (torch.zeros(1) for _ in range(3))
    groups = [{"params": [a, b], "weight_decay": 0.1}, {"params": [c], "weight_decay": 0.0}]
    rates = {id(a): Rate("pose_encoder", 2.0), id(b): Rate("text_model", 1.0)}
    found = split_groups(groups, rates | {id(c): Rate("pose_encoder", 2.0)})

    assert [(group["name"], group["lr"], group["weight_decay"]) for group in found] == [
        ("text_model", 1.0, 0.1),
        ("pose_encoder", 2.0, 0.1),
        ("pose_encoder", 2.0, 0.0),
    ]
    assert [parameter for group in found for parameter in group["params"]] == [b, a, c]


# ------------------------------------------------------------------------------ in the Trainer


def test_the_optimizer_has_the_rates_and_the_schedule_scales_each(run_config):
    trainer = trainer_for(
        run_config(
            "training.encoder_learning_rate=1e-2",
            "training.layerwise_decay=0.5",
            "data.val_path=null",
        )
    )
    trainer.create_optimizer_and_scheduler(num_training_steps=10)
    rates = {group["name"]: group["initial_lr"] for group in trainer.optimizer.param_groups}
    trainable = [p for p in trainer.model.parameters() if p.requires_grad]

    assert rates["text_model"] == 3e-3
    assert rates["pose_encoder"] == 1e-2
    assert rates["text_model_1_below_top"] == 3e-3 / 2
    held = [id(p) for group in trainer.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, trainable))
    trainer.optimizer.step()
    trainer.lr_scheduler.step()  # the warm-up is one of ten steps
    now = {group["name"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert now == rates


@pytest.mark.parametrize("encoder", ["linear", "conv", "part_gcn"])
def test_biases_and_norms_do_not_decay(run_config, encoder):
    trainer = trainer_for(run_config(f"model.encoder={{type: {encoder}}}", "data.val_path=null"))
    decaying = {
        id(parameter)
        for group in trainer.create_optimizer().param_groups
        if group["weight_decay"]
        for parameter in group["params"]
    }
    named = dict(trainer.model.named_parameters())

    assert not [name for name, p in named.items() if id(p) in decaying and p.ndim == 1]
    assert any(id(p) in decaying for p in named.values())


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", "AdamW"), ("adafactor", "Adafactor"), ("adamw_8bit", "AdamW")]
)
def test_each_name_makes_its_optimizer(run_config, name, kind):
    if name == "adamw_8bit":
        pytest.importorskip("bitsandbytes")
    optimizer = trainer_for(
        run_config(f"training.optimizer={name}", "data.val_path=null")
    ).create_optimizer()

    assert type(optimizer).__name__ == kind
    assert type(optimizer).__module__.startswith("bitsandbytes") == (name == "adamw_8bit")
    if name == "adamw":
        assert optimizer.defaults["fused"]
    if name == "adafactor":  # T5's recipe
        assert not optimizer.defaults["relative_step"]
        assert not optimizer.defaults["scale_parameter"]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("linear", [0.5, 1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [0.5, 1, 0.853553, 0.5, 0.146447, 0]),
        ("inverse_sqrt", [0.5, 1, 0.816497, 0.707107, 0.632456, 0.577350]),
        ("constant", [0.5, 1, 1, 1, 1, 1]),
    ],
)
def test_each_schedule_warms_up_then_goes_its_way(make_config, schedule, wanted):
    from transformers.optimization import get_scheduler

    config = make_config(f"training.schedule={schedule}")
    arguments = build_arguments(config, steps_per_epoch=5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = get_scheduler(arguments.lr_scheduler_type, optimizer, 2, 6)
    found = []
    for _ in wanted:
        optimizer.step()
        scheduler.step()
        found.append(scheduler.get_last_lr()[0])

    assert found == pytest.approx(wanted, abs=1e-5)


def test_8_bits_name_the_extra_where_it_is_missing(make_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)

    with pytest.raises(MissingExtraError, match=r"adamw_8bit.*pip install 'signseq\[qlora\]'"):
        build_arguments(make_config("training.optimizer=adamw_8bit"), steps_per_epoch=5)


@pytest.mark.parametrize(
    ("key", "given", "meant"),
    [
        ("optimizer", "adam", "adamw"),
        ("optimizer", "Adafaktor", "adafactor"),
        ("schedule", "cosin", "cosine"),
        ("schedule", "inverse_square_root", "inverse_sqrt"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(make_config, key, given, meant):
    with pytest.raises(ConfigError, match=rf"training\.{key} = '{given}'.*did you mean {meant}\?"):
        make_config(f"training.{key}={given}")


@pytest.mark.parametrize(
    ("key", "field"), [("optimizer=adafactor", "optim"), ("schedule=cosine", "lr_scheduler_type")]
)
def test_two_optimizers_or_schedules_are_a_contradiction(make_config, key, field):
    with pytest.raises(ConfigError, match=rf"training\.hf\.{field} are both given"):
        make_config(f"training.{key}", f"training.hf={{{field}: sgd}}")


# ----------------------------------------------------------------------------------- going on

GOING_ON = ("data.val_path=null", "training.max_steps=8", "training.save_steps=4")


class Interrupt(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 6:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("adamw", "inverse_sqrt"), ("adafactor", "cosine"), ("adamw_8bit", "constant")],
)
def test_a_resumed_run_is_equal_with_each(run_config, tmp_path, optimizer, schedule):
    if optimizer == "adamw_8bit":
        pytest.importorskip("bitsandbytes")
    shared = (
        *GOING_ON,
        f"training.optimizer={optimizer}",
        f"training.schedule={schedule}",
        "training.encoder_learning_rate=1e-2",
        "training.layerwise_decay=0.8",
    )
    whole = train(run_config(*shared, f"training.checkpoint_dir={tmp_path}/whole"))
    with pytest.raises(KeyboardInterrupt):
        train(run_config(*shared), observers=[Interrupt()])
    resumed = train(run_config(*shared), resume=True)

    wanted, found = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert all(weight.equal(found[name]) for name, weight in wanted.items())
