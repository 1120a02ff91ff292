import json

import pytest
from safetensors.torch import load_file, save_file

from signseq.errors import CheckpointError, DataError
from signseq.evaluation import evaluate
from signseq.model.checkpoint import check_folder
from signseq.model.sign_translation import SignTranslationModel
from signseq.translation import Translator


@pytest.fixture
def saved(make_model, tmp_path):
    """A whole checkpoint, to be damaged."""
    make_model().save_pretrained(tmp_path)
    return tmp_path


def test_a_whole_checkpoint_passes(saved):
    check_folder(saved)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no such checkpoint folder.*signseq train"):
        SignTranslationModel.from_pretrained(tmp_path / "nowhere")


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"not a whole checkpoint \(no config\.json\)"):
        SignTranslationModel.from_pretrained(tmp_path)


def test_a_config_without_weights_is_no_checkpoint(saved):
    (saved / "model.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"not a whole checkpoint \(no weights\)"):
        SignTranslationModel.from_pretrained(saved)


def test_a_run_that_was_cut_off_names_its_checkpoints(tmp_path):
    (tmp_path / "checkpoint-30").mkdir()

    with pytest.raises(CheckpointError, match=r"It holds checkpoint-30.*--resume"):
        SignTranslationModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_half_written_weights_are_a_clear_error(saved, size):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])

    with pytest.raises(CheckpointError, match=r"half-written|can't be loaded"):
        SignTranslationModel.from_pretrained(saved)


def test_weights_that_lack_tensors_are_not_filled_with_random_ones(saved):
    weights = load_file(saved / "model.safetensors")
    del weights["pose_encoder.output.project.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        CheckpointError, match=r"lack 1 tensors, 'pose_encoder\.output\.project\.weight'"
    ):
        SignTranslationModel.from_pretrained(saved)


def test_weights_of_other_sizes_are_a_clear_error(saved):
    config = json.loads((saved / "config.json").read_text())
    config["keypoints"] = config["keypoints"][:2]
    (saved / "config.json").write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match="can't be loaded"):
        SignTranslationModel.from_pretrained(saved)


@pytest.mark.parametrize("content", ["", "{", '{"model_type": "sig', "[]"])
def test_a_half_written_config_is_a_clear_error(saved, content):
    (saved / "config.json").write_text(content)

    with pytest.raises(CheckpointError):
        SignTranslationModel.from_pretrained(saved)


def test_settings_that_this_version_does_not_know_are_a_clear_error(saved):
    config = json.loads((saved / "config.json").read_text())
    config["encoder"]["telepathy"] = True
    (saved / "config.json").write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match=r"can't be loaded.*telepathy"):
        SignTranslationModel.from_pretrained(saved)


def test_a_text_models_folder_is_of_another_kind(make_model, tmp_path):
    make_model("bart").text_model.save_pretrained(tmp_path)

    with pytest.raises(CheckpointError, match=r"of kind 'bart', not of signseq.*model\.name"):
        SignTranslationModel.from_pretrained(tmp_path)


def test_a_checkpoint_without_tokenizer_is_a_clear_error(run_folder):
    for path in run_folder.glob("tokenizer*"):
        path.unlink()

    with pytest.raises(CheckpointError, match="the tokenizer can't be loaded"):
        Translator.from_pretrained(run_folder)


def test_keypoints_that_this_version_does_not_have_are_an_error(run_folder):
    config = json.loads((run_folder / "config.json").read_text())
    config["keypoints"][0] = "POSE_LANDMARKS.TAIL"
    (run_folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match="other keypoints"):
        Translator.from_pretrained(run_folder)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.keypoints=hands", "keypoints = 'hands'.*trained with 'upper_body_hands'"),
        ("data.normalize=none", "normalize = 'none'.*trained with 'parts'"),
        ("data.dimensions=3", "dimensions = 3.*trained with 2"),
        ("data.fps=10.0", r"fps = 10\.0.*trained with None"),
    ],
)
def test_a_store_made_otherwise_is_refused_by_name(run_folder, tmp_path, override, message):
    other_store = f"data.store={tmp_path / 'other'}"

    with pytest.raises(DataError, match=message):
        evaluate(run_folder, split="val", overrides=[override, other_store])
