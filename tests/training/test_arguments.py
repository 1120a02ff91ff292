import sys

import pytest
import torch

from signseq.errors import ConfigError, MissingExtraError
from signseq.training import arguments
from signseq.training.arguments import OWN_FIELDS, build_arguments, check_settings


def test_any_field_of_the_trainer_can_be_set(make_config):
    config = make_config("training.hf={lr_scheduler_type: cosine, adam_beta2: 0.98}")
    arguments = build_arguments(config, steps_per_epoch=5)

    assert (arguments.lr_scheduler_type, arguments.adam_beta2) == ("cosine", 0.98)


def test_an_unknown_field_names_the_nearest(make_config):
    config = make_config("training.hf={lr_sheduler_type: cosine}")

    with pytest.raises(
        ConfigError, match=r"training\.hf\.lr_sheduler_type.*Did you mean lr_scheduler_type"
    ):
        build_arguments(config, steps_per_epoch=5)


@pytest.mark.parametrize("field", sorted(OWN_FIELDS))
def test_a_field_with_a_key_of_its_own_names_the_key(make_config, field):
    config = make_config(f"training.hf={{{field}: 1}}")

    with pytest.raises(
        ConfigError, match=rf"training\.hf\.{field}: set {OWN_FIELDS[field]} instead"
    ):
        build_arguments(config, steps_per_epoch=5)


def test_a_value_that_the_trainer_refuses_is_a_config_error(make_config):
    config = make_config("training.hf={logging_strategy: zigzag}")

    with pytest.raises(ConfigError, match="the Trainer refuses these settings"):
        build_arguments(config, steps_per_epoch=5)


@pytest.mark.parametrize(
    ("given", "near"),
    [("lr_scheduler_type: polynomal", "polynomial"), ("optim: lion_32bitt", "lion_32bit")],
)
def test_an_unknown_optimizer_or_schedule_of_transformers_names_the_nearest(
    make_config, given, near
):
    """Before anything is loaded."""
    config = make_config(f"training.hf={{{given}}}")

    with pytest.raises(ConfigError, match=rf"training\.hf\..* did you mean {near}\?"):
        check_settings(config)


def test_the_config_arrives_at_the_trainer(make_config):
    config = make_config(
        "training.gradient_accumulation_steps=3",
        "training.weight_decay=0.5",
        "training.max_grad_norm=0.7",
        "training.warmup_ratio=0.2",
        "training.save_total_limit=1",
        "training.best_metric=loss",
        "seed=7",
    )
    arguments = build_arguments(config, steps_per_epoch=5)

    assert (arguments.gradient_accumulation_steps, arguments.learning_rate) == (3, 3e-3)
    assert (arguments.weight_decay, arguments.max_grad_norm) == (0.5, 0.7)
    assert arguments.get_warmup_steps(100) == 20
    assert (arguments.save_total_limit, arguments.seed) == (
        None,
        7,
    )  # the trainer removes them itself
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == ("loss", False)


@pytest.mark.parametrize(
    ("metric", "greater"), [("bleu4", True), ("chrf", True), ("loss", False), ("cer", False)]
)
def test_it_is_known_which_scores_are_better_when_greater(make_config, metric, greater):
    arguments = build_arguments(make_config(f"training.best_metric={metric}"), steps_per_epoch=5)

    assert arguments.greater_is_better is greater


def test_validation_comes_every_so_many_epochs(make_config):
    arguments = build_arguments(
        make_config("training.eval_epochs=2", "training.num_epochs=10"), steps_per_epoch=5
    )

    assert (arguments.eval_steps, arguments.save_steps) == (10, 10)


def test_a_run_shorter_than_an_epoch_is_validated_at_its_end(make_config):
    arguments = build_arguments(make_config("training.max_steps=3"), steps_per_epoch=50)

    assert (arguments.max_steps, arguments.eval_steps) == (3, 3)


def test_without_validation_clips_nothing_is_scored(make_config):
    arguments = build_arguments(make_config("data.val_path=null"), steps_per_epoch=5)

    assert arguments.eval_strategy == "no"
    assert not arguments.load_best_model_at_end


@pytest.mark.parametrize("gpus", [1, 4])
def test_one_process_uses_one_gpu_of_several_and_says_so_once(
    make_config, monkeypatch, caplog, gpus
):
    """Else the Trainer would divide each batch by nn.DataParallel."""
    made = build_arguments(make_config(), steps_per_epoch=5)
    made.__dict__.update(_setup_devices=torch.device("cuda:0"), _n_gpu=gpus)  # as found there
    monkeypatch.setattr(arguments, "Seq2SeqTrainingArguments", lambda **_: made)
    monkeypatch.setattr(arguments, "_check_hf_fields", lambda _: None)
    arguments._say_one_is_used.cache_clear()
    caplog.set_level("INFO")

    for _ in range(2):
        made._n_gpu = gpus
        assert build_arguments(make_config(), steps_per_epoch=5).n_gpu == 1

    told = "4 GPUs are visible, one is used; ./train_multi_gpu.sh CONFIG 4 uses all."
    assert [told] * (gpus > 1) == caplog.messages


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cpu_trains_in_full_precision(make_config):
    arguments = build_arguments(make_config("training.mixed_precision=true"), steps_per_epoch=5)

    assert (arguments.bf16, arguments.fp16) == (False, False)


def test_a_tracker_that_is_not_installed_names_the_extra(make_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'signseq\[wandb\]'"):
        build_arguments(make_config("training.use_wandb=true"), steps_per_epoch=5)
