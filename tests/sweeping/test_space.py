"""What a sweep may choose from; no trial is run here."""

import pytest
import yaml

from signseq.config import load_config, save_config
from signseq.errors import ConfigError
from signseq.sweeping.space import build_space, trial_overrides


@pytest.fixture
def space_of(make_config):
    """The space of some parameters, given as YAML."""

    def build(parameters, *overrides):
        return build_space(make_config(f"sweep={{parameters: {parameters}}}", *overrides))

    return build


def test_lists_and_ranges_are_read(space_of):
    space = space_of(
        "{training.learning_rate: [1e-4, 3e-4], training.warmup_ratio: {low: 0.05, high: 0.15}, "
        "model.encoder.stride: {low: 1, high: 2}}"
    )

    rate, warmup, stride = space.parameters
    assert rate.options == (1e-4, 3e-4)
    assert (warmup.low, warmup.high, warmup.options) == (0.05, 0.15, None)
    assert stride.options == (1, 2)
    assert space.size is None


def test_sections_within_sections_are_as_good_as_dots(space_of):
    dotted = space_of("{training.learning_rate: {low: 1e-5, high: 1e-3, log: true}}")
    nested = space_of("{training: {learning_rate: {low: 1e-5, high: 1e-3, log: true}}}")

    assert nested == dotted


def test_a_grid_has_every_combination_once(space_of):
    space = space_of(
        "{training.batch_size: [8, 16], training.warmup_ratio: {low: 0.1, high: 0.3, step: 0.1}}"
    )
    points = list(space.points())

    assert space.size == len(points) == 6
    assert points[0] == {"training.batch_size": 8, "training.warmup_ratio": 0.1}
    assert [point["training.warmup_ratio"] for point in points[:3]] == [0.1, 0.2, 0.3]


def test_values_of_any_kind_arrive_in_the_config(make_config):
    values = {"data.prompt": "yes: #1", "model.encoder.channels": ["motion"], "seed": 7}
    config = make_config(*trial_overrides(values))

    assert (config.data.prompt, config.seed) == ("yes: #1", 7)
    assert config.model.encoder.channels == ["motion"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            "{training.learning_rte: [1e-4]}",
            r"learning_rte: unknown key.*did you mean learning_rate",
        ),
        ("{training.batch_size: []}", r"training\.batch_size: an empty list"),
        ("{training.batch_size: [8, 8]}", r"8 is given twice"),
        ("{training.batch_size: 8}", r"expected a list of values, or a range"),
        (
            "{training.batch_size: [8, 0]}",
            r"training\.batch_size = 0: .*greater than or equal to 1",
        ),
        ("{training.batch_size: [8, many]}", r"training\.batch_size = 'many'"),
        ("{training.batch_size: {low: 0, high: 8}}", r"training\.batch_size = 0"),
        ("{training.batch_size: {low: 8, high: 4}}", r"low = 8 must be below high = 4"),
        ("{training.batch_size: {low: 8}}", r"expected a list of values, or a range"),
        ("{training.batch_size: {low: a, high: 8}}", r"batch_size\.low = 'a': expected a number"),
        ("{training.batch_size: {low: 1, high: 8, max: 2}}", r"batch_size\.max: unknown"),
        (
            "{training.batch_size: {low: 1, high: 8, step: 3}}",
            r"step = 3 does not lead from 1 to 8",
        ),
        ("{training.weight_decay: {low: 0, high: 1.0, log: true}}", r"low must be above 0"),
        ("{training.checkpoint_dir: [a, b]}", r"checkpoint_dir: can't be swept: each trial has"),
        ("{data.normalize: [parts, box]}", r"data\.normalize: can't be swept"),
        ("{training.frames_per_batch: [512]}", r"batch_size and training\.frames_per_batch"),
        ("{}", r"sweep\.parameters: empty"),
    ],
)
def test_what_cannot_be_meant_is_an_error(space_of, parameters, message):
    with pytest.raises(ConfigError, match=message):
        space_of(parameters)


def test_all_mistakes_are_said_at_once(space_of):
    with pytest.raises(
        ConfigError, match=r"(?s)4 mistakes.*empty list.*val_path.*a grid needs.*lr"
    ):
        space_of(
            "{training.batch_size: [], training.warmup_ratio: {low: 0.1, high: 0.2}, training.lr: [1]}",
            "data.val_path=null",
            "sweep.sampler=grid",
        )


def test_a_config_without_a_sweep_says_what_one_looks_like(make_config):
    with pytest.raises(ConfigError, match=r"(?s)no section `sweep`.*parameters:"):
        build_space(make_config())


def test_values_that_fit_only_together_are_tried_together(space_of):
    space_of("{model.use_lora: [true], model.from_scratch: [false]}", *NO_SCRATCH)


NO_SCRATCH = ("model.tokenizer=null", "model.size=null")


def test_a_run_does_not_keep_the_sweep_in_its_config(make_config, tmp_path):
    config = make_config("sweep={parameters: {seed: [1, 2]}}")
    save_config(config, tmp_path / "config.yaml")

    assert "sweep" not in yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert load_config(tmp_path / "config.yaml") == config.model_copy(update={"sweep": None})
