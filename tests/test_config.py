from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from signseq.config import (
    Config,
    DataConfig,
    EncoderConfig,
    load_config,
    parse_config,
    save_config,
)
from signseq.errors import ConfigError
from signseq.poses.keypoints import KEYPOINT_SETS
from signseq.poses.transforms import Normalization
from signseq.settings import apply_overrides, parse_yaml

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def smallest() -> dict[str, Any]:
    """The keys that have no default."""
    return {
        "data": {"pose_dir": "poses", "store": "store"},
        "model": {"name": "t5-small"},
        "training": {"checkpoint_dir": "run"},
    }


def mistakes(settings: dict[str, Any], *overrides: str) -> str:
    """What the config says is wrong."""
    with pytest.raises(ConfigError) as caught:
        parse_config(settings, overrides)
    return str(caught.value)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


# ------------------------------------------------------------------------------- what is wrong


def test_unknown_key_names_the_place_and_the_nearest_key(write: Callable[[str], Path]) -> None:
    path = write(yaml.safe_dump(apply_overrides(smallest(), ["training.learning_rte=1"])))
    with pytest.raises(
        ConfigError, match=r"experiment\.yaml: 1 mistake\.\n  - training\.learning_rte"
    ) as caught:
        load_config(path)
    assert str(caught.value).endswith("unknown key; did you mean learning_rate?")


def test_unknown_key_in_a_nested_section_names_the_nearest_key() -> None:
    assert "model.encoder.strid: unknown key; did you mean stride?" in mistakes(
        smallest(), "model.encoder.strid=2"
    )


def test_unknown_key_unlike_any_lists_the_known_ones() -> None:
    said = mistakes(smallest(), "generation.zzz=2")
    assert "generation.zzz: unknown key; there are: length_penalty" in said
    assert "num_beams" in said


@pytest.mark.parametrize(
    ("key", "home"),
    [
        ("training.step_frames", "data.step_frames"),
        ("learning_rate", "training.learning_rate"),
        ("model.num_beams", "generation.num_beams"),
        ("data.stride", "model.encoder.stride"),
        ("training.heads", "model.size.heads"),
    ],
)
def test_key_in_the_wrong_section_says_where_it_belongs(key: str, home: str) -> None:
    assert f"{key}: unknown key; did you mean {home}?" in mistakes(smallest(), f"{key}=3")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "training.batch_size=true",
            r"training.batch_size = True: input should be a valid integer",
        ),
        ("training.batch_size=2.5", r"training.batch_size = 2.5: input should be a valid integer"),
        ("training.batch_size=0", r"training.batch_size = 0: .*greater than or equal to 1"),
        ("training.learning_rate=fast", r"training.learning_rate = 'fast': .*valid number"),
        ("training.learning_rate='3e-4'", r"training.learning_rate = '3e-4': .*valid number"),
        ("training.learning_rate=.inf", r"training.learning_rate = inf: .*finite number"),
        ("training.learning_rate=.nan", r"training.learning_rate = nan: .*finite number"),
        ("training.label_smoothing=1.0", r"training.label_smoothing = 1.0: .*less than 1"),
        ("model.from_scratch=1", r"model.from_scratch = 1: .*valid boolean"),
        ("model.name=5", r"model.name = 5: .*valid string"),
        ("data.keypoints=hand", r"data.keypoints = 'hand': .*'hands'"),
        ("data.train_path=5", r"data.train_path = 5: .*path"),
        ("data.other_paths=5", r"data.other_paths = 5: .*dictionary"),
        ("data.other_paths=[{a: 1}]", r"data.other_paths = .*dictionary"),
        ("data=3", r"data = 3: expected a section with keys, such as corpus, train_path"),
        ("model.encoder=conv", r"model.encoder = 'conv': expected a section .* type, stride"),
        ("data.prompt=to: ", r"data.prompt = .*'to: ' in a file, \"data.prompt='to: '\" on"),
        ("seed=-1", r"seed = -1: .*greater than or equal to 0"),
    ],
)
def test_wrong_value_names_the_key_the_value_and_what_is_expected(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(smallest(), [override])


def test_missing_key_is_named() -> None:
    settings = smallest()
    del settings["data"]["store"]
    assert "data.store: missing; it has no default." in mistakes(settings)


def test_several_mistakes_are_listed_at_once() -> None:
    said = mistakes(
        smallest(),
        "training.learning_rte=1",
        "data.max_frames=many",
        "training.batch_size=4",
        "training.frames_per_batch=400",
    )
    assert "3 mistakes" in said
    assert said.count("\n  - ") == 3
    assert all(key in said for key in ("learning_rte", "max_frames", "frames_per_batch"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["training.batch_size=4", "training.frames_per_batch=400"],
            "batch_size and training.frames_per_batch are both given; keep one",
        ),
        (
            ["model.tokenizer=train"],
            "model.tokenizer is 'train' but model.from_scratch is not true",
        ),
        (["model.size={width: 8}"], r"model.size .* needs model.from_scratch: true"),
        (["model.config={d_ff: 8}"], r"model.config .* needs model.from_scratch: true"),
        (["model.from_scratch=true", "model.freeze_encoder=true"], "freeze random weights"),
        (["model.from_scratch=true", "model.freeze_decoder=true"], "freeze random weights"),
        (
            ["model.encoder={type: linear, stride: 4, layers: 2}"],
            r"model\.encoder\.stride, model\.encoder\.layers: not of type linear",
        ),
        (["data.other_paths={val: a.csv}"], r"data.other_paths names val; use data.train_path"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(smallest(), overrides)


def test_a_saved_config_of_a_linear_encoder_names_what_that_has_not_and_is_read(
    tmp_path: Path,
) -> None:
    config = parse_config(smallest(), ["model.encoder={type: linear}"])

    save_config(config, tmp_path / "config.yaml")

    assert load_config(tmp_path / "config.yaml") == config


# ------------------------------------------------------------------------------- the file


def test_missing_file_lists_the_configs_beside_it(write: Callable[[str], Path]) -> None:
    path = write("{}")
    with pytest.raises(ConfigError, match=r"other\.yaml: no such config file.*experiment\.yaml"):
        load_config(path.with_name("other.yaml"))


def test_missing_folder_is_named_without_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.a\.yaml: no such config file\.$"):
        load_config(tmp_path / "nowhere" / "a.yaml")


def test_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"this is a folder; if it is a checkpoint, name its config"
    ):
        load_config(tmp_path)


def test_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("seed: 1 # \u00e9".encode("latin-1"))
    with pytest.raises(ConfigError, match="the config file can't be read"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["", "- 1", "just words"])
def test_file_without_sections_is_an_error(write: Callable[[str], Path], text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected sections \(data, model, training"):
        load_config(write(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2", r"line 2: not valid YAML \(the key 'seed' is given twice\)"),
        ("data:\n  store: a\n  store: b", r"line 3: .*'store' is given twice"),
        ("seed: [1", "not valid YAML"),
        ("data:\n\tstore: a", r"line 2: .*a tab; indent with spaces, not tabs"),
        ("model:\n  name: {{ model }}", r"line 2: .*can't be a key; quote the value"),
        ("seed: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: &a [*a]\n? *a\n: 1", "not valid YAML"),
    ],
)
def test_invalid_yaml_names_the_place(write: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"experiment\.yaml.*{said}"):
        load_config(write(text))


def test_anchors_and_merge_keys_work() -> None:
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3"
    assert parse_yaml(text, place="here")["other"] == {"a": 1, "b": 3}


def test_byte_order_mark_is_ignored(write: Callable[[str], Path]) -> None:
    assert load_config(write("\ufeff" + yaml.safe_dump(smallest()))).seed == 42


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_of_the_repository_loads(path: Path) -> None:
    assert load_config(path).data.split_paths


def test_the_repository_has_configs() -> None:
    assert CONFIGS


# ------------------------------------------------------------------------------- numbers, overrides


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "3.e-4", ".3e-3", "+3e-4", "0.0003", "30e-05"])
def test_scientific_notation_is_a_number(write: Callable[[str], Path], text: str) -> None:
    base = yaml.safe_dump(smallest())
    in_file = load_config(
        write(base.replace("checkpoint_dir", f"learning_rate: {text}\n  checkpoint_dir"))
    )
    in_override = parse_config(smallest(), [f"training.learning_rate={text}"])
    assert in_file.training.learning_rate == in_override.training.learning_rate == 3e-4


@pytest.mark.parametrize("text", ["t5e-4", "1e", "e5", "v1e3"])
def test_names_that_look_like_numbers_stay_text(text: str) -> None:
    assert parse_config(smallest(), [f"model.name={text}"]).model.name == text


def test_override_replaces_a_value_and_leaves_the_rest() -> None:
    config = parse_config(
        smallest(), ["training.learning_rate=1e-4", "training.learning_rate=1e-3"]
    )
    assert config.training.learning_rate == 1e-3  # the last one counts
    assert config.training.checkpoint_dir == Path("run")


def test_override_makes_sections_that_are_not_there() -> None:
    config = parse_config(smallest(), ["data.augment.speed=0.2", "data.other_paths.far=far.csv"])
    assert config.data.augment.speed == 0.2
    assert config.data.split_paths == {"far": Path("far.csv")}


def test_override_value_may_hold_an_equals_sign() -> None:
    assert parse_config(smallest(), ["model.name=a=b"]).model.name == "a=b"


def test_override_can_set_null() -> None:
    assert parse_config(smallest() | {"seed": 1}, ["data.fps="]).data.fps is None


def test_overrides_leave_the_given_settings_unchanged() -> None:
    settings = smallest()
    apply_overrides(settings, ["data.store=elsewhere"])
    assert settings == smallest()


@pytest.mark.parametrize("override", ["training.learning_rate", "=3", ""])
def test_malformed_override_says_what_is_expected(override: str) -> None:
    with pytest.raises(ConfigError, match=r"Override .* expected key=value, e\.g\. training"):
        parse_config(smallest(), [override])


def test_override_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ConfigError, match=r"override 'seed=\[1'.*not valid YAML"):
        parse_config(smallest(), ["seed=[1"])


# ------------------------------------------------------------------------------- one truth


def test_saved_config_loads_equal(tmp_path: Path) -> None:
    config = parse_config(
        smallest(),
        [
            "training.learning_rate=1e-5",
            "data.other_paths.\u05e2\u05d1=b.csv",
            "model.from_scratch=true",
            "model.size.width=8",
            "model.config={a: [1, x]}",
            "training.hf={optim: adafactor}",
        ],
    )
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_saved_repository_config_loads_equal(path: Path, tmp_path: Path) -> None:
    save_config(load_config(path), tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == load_config(path)


def test_config_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config(smallest()).seed = 3


def test_keypoints_are_the_keypoint_sets() -> None:
    assert set(get_args(DataConfig.model_fields["keypoints"].annotation)) == set(KEYPOINT_SETS)


def test_normalize_is_what_the_transforms_know() -> None:
    assert DataConfig.model_fields["normalize"].annotation == Normalization


def test_defaults_are_valid() -> None:
    assert (
        Config.model_validate(parse_config(smallest()).model_dump()).model.encoder
        == EncoderConfig()
    )
