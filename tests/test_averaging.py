"""The mean of several checkpoints."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from conftest import sign_pose
from signseq.__main__ import app
from signseq.averaging import average
from signseq.errors import CheckpointError
from signseq.translation import Translator

WEIGHTS = "model.safetensors"


@pytest.fixture
def pair(run_folder, tmp_path):
    """A run's checkpoint and another with other weights."""

    other = tmp_path / "other"
    shutil.copytree(run_folder, other, ignore=shutil.ignore_patterns("checkpoint-*"))
    rng = torch.Generator().manual_seed(0)
    weights = {
        name: weight + 0.01 * torch.randn(weight.shape, generator=rng)
        for name, weight in load_file(other / WEIGHTS).items()
    }
    save_file(weights, other / WEIGHTS, metadata={"format": "pt"})
    return run_folder, other


def test_the_average_of_two_is_their_mean_and_translates(pair, tmp_path):
    out = average(pair, tmp_path / "deep" / "mean")

    one, two, mean = (load_file(folder / WEIGHTS) for folder in (*pair, out))
    assert mean.keys() == one.keys()
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (one[name] + two[name]) / 2)
    translator = Translator.from_pretrained(out)
    assert translator.translate(sign_pose("we eat bread")).text


def test_it_is_summed_in_float32_and_kept_in_the_type_that_it_was(pair, tmp_path):
    """In bfloat16 the sum of 256, 1 and 1 is 256."""
    third = shutil.copytree(pair[1], tmp_path / "third")
    three = (*pair, third)
    for folder, value in zip(three, (256.0, 1.0, 1.0), strict=True):
        weights = load_file(folder / WEIGHTS)
        save_file(
            {name: torch.full_like(w, value, dtype=torch.bfloat16) for name, w in weights.items()},
            folder / WEIGHTS,
            metadata={"format": "pt"},
        )

    mean = load_file(average(three, tmp_path / "mean") / WEIGHTS)

    assert {w.dtype for w in mean.values()} == {torch.bfloat16}
    assert all(bool((w == 86).all()) for w in mean.values())


def test_the_state_of_the_trainer_is_no_part_of_it(pair, tmp_path):
    left = {"trainer_state.json", "data.json", "windows.json"}
    for name in left:
        (pair[1] / name).write_text("{}")

    names = {path.name for path in average(pair, tmp_path / "mean").iterdir()}

    assert {WEIGHTS, "config.json", "config.yaml", "tokenizer.json"} <= names
    assert not names & (left | {"metrics.jsonl"})


def test_one_checkpoint_is_not_enough(pair, tmp_path):
    with pytest.raises(CheckpointError, match=r"Name two or more.*save_total_limit"):
        average([pair[0], pair[0]], tmp_path / "mean")


def test_a_checkpoint_under_two_names_is_refused_with_both(pair, tmp_path):
    again = tmp_path / "other" / ".." / pair[0].name
    link = tmp_path / "link"
    link.symlink_to(pair[1])

    with pytest.raises(CheckpointError, match=r"is itself"):
        average([pair[0], again], tmp_path / "mean")
    with pytest.raises(CheckpointError, match=r"copy and .*\.\..*copy are one checkpoint"):
        average([*pair, again], tmp_path / "mean")
    with pytest.raises(CheckpointError, match=r"other and .*link are one checkpoint"):
        average([*pair, link], tmp_path / "mean")


def test_a_run_beside_its_own_best_checkpoint_is_refused_with_both(run_folder, tmp_path):
    checkpoints = sorted(run_folder.glob("checkpoint-*"))
    whole = (run_folder / WEIGHTS).read_bytes()
    [best] = [path for path in checkpoints if (path / WEIGHTS).read_bytes() == whole]
    [other] = [path for path in checkpoints if path != best]

    with pytest.raises(CheckpointError, match=rf"{best.name} hold the same weights"):
        average([run_folder, other, best], tmp_path / "mean")
    assert average([run_folder, other], tmp_path / "mean").exists()


def test_other_settings_are_refused_and_named(pair, tmp_path):
    path = pair[1] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step_frames": 7}))

    with pytest.raises(CheckpointError, match=r"differs from .* in step_frames \(7, not 1\)"):
        average(pair, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_another_tokenizer_is_refused(pair, tmp_path):
    (pair[1] / "tokenizer.json").write_text("{}")

    with pytest.raises(CheckpointError, match="has another tokenizer"):
        average(pair, tmp_path / "mean")


def test_adapters_are_refused(pair, tmp_path):
    path = pair[1] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_digest": "x"}))
    (pair[1] / WEIGHTS).rename(pair[1] / "adapter_model.safetensors")
    (pair[1] / "adapter_config.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"holds adapters.*signseq merge"):
        average(pair, tmp_path / "mean")


def test_damaged_weights_are_named_and_nothing_is_left(pair, tmp_path):
    (pair[1] / WEIGHTS).write_bytes(b"torn")

    with pytest.raises(CheckpointError, match="damaged"):
        average(pair, tmp_path / "mean")
    assert not [path for path in tmp_path.iterdir() if "mean" in path.name]


def test_nothing_is_written_over(pair, tmp_path):
    with pytest.raises(CheckpointError, match="is there already"):
        average(pair, pair[0])


def test_the_command_takes_the_checkpoints_and_then_the_folder(pair, tmp_path):
    arguments = ["average", *map(str, pair), str(tmp_path / "mean")]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert (tmp_path / "mean" / WEIGHTS).exists()
