"""Adapters and their text model become one full checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from conftest import sign_pose, tiny_config
from signseq import merging
from signseq.__main__ import app
from signseq.config import load_config
from signseq.errors import CheckpointError
from signseq.evaluation import evaluate
from signseq.merging import merge
from signseq.model.loading import load_model
from signseq.training.run import train
from signseq.translation import Translator


@pytest.fixture(scope="module")
def base(trained, tmp_path_factory):
    """A pretrained text model: that of a trained run."""
    folder = tmp_path_factory.mktemp("base")
    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(folder)
    translator.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(prepared, base, tmp_path_factory):
    """A checkpoint of adapters: none may change it."""
    settings = ("model.from_scratch=false", "model.size=null", "model.tokenizer=null")
    settings += (f"model.name={base}", "model.use_lora=true", "training.best_metric=cer")
    place = f"training.checkpoint_dir={tmp_path_factory.mktemp('adapters')}"
    return train(tiny_config(prepared, *settings, "training.num_epochs=3", place))


@pytest.fixture
def copy(adapters, tmp_path):
    """A copy of it, to be changed at will."""
    return Path(shutil.copytree(adapters, tmp_path / "copy"))


def tree(folder):
    return sorted(folder.rglob("*"))


def test_a_merged_checkpoint_needs_neither_adapters_nor_text_model(copy, base, tmp_path):
    wanted = evaluate(copy, split="val", blind=False).hypotheses
    moved = Path(shutil.copytree(base, tmp_path / "base"))
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace(str(base), str(moved)))

    out = merge(copy, tmp_path / "deep" / "merged")
    shutil.rmtree(moved)
    shutil.rmtree(copy)

    assert {path.name for path in out.iterdir()} == {
        *("model.safetensors", "config.json", "config.yaml"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    assert evaluate(out, split="val", blind=False).hypotheses == wanted
    assert Translator.from_pretrained(out).translate(sign_pose("we eat")).error is None


def test_merging_changes_the_logits_by_float_noise_only(adapters, tmp_path):
    translator = Translator.from_pretrained(adapters)
    poses = torch.from_numpy(translator.pack(sign_pose("you see bread")).poses).float()[None]
    batch = {"poses": poses, "attention_mask": torch.ones(poses.shape[:2], dtype=torch.long)}

    def logits(model):
        with torch.no_grad():
            return model(**batch, labels=torch.tensor([[7, 8, 9, 2]])).logits

    merged = load_model(merge(adapters, tmp_path / "merged"))

    torch.testing.assert_close(logits(merged), logits(translator.model), atol=1e-5, rtol=0)


def test_the_merged_config_is_that_of_a_full_model(adapters, tmp_path):
    out = merge(adapters, tmp_path / "merged")
    was, now = (load_config(folder / "config.yaml") for folder in (adapters, out))

    assert not now.model.use_lora
    assert now.data == was.data
    assert load_model(out).config.base_digest is None


def test_an_empty_folder_is_filled_and_any_other_left_alone(adapters, tmp_path):
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "notes.txt").write_text("mine")

    assert load_model(merge(adapters, empty))
    for taken in (full, full / "notes.txt", adapters):
        with pytest.raises(CheckpointError, match="is there already"):
            merge(adapters, taken)
    assert [path.name for path in full.iterdir()] == ["notes.txt"]


def test_a_merged_checkpoint_may_lie_in_the_run(copy):
    assert load_model(merge(copy, copy / "merged"))
    assert load_model(copy).config.base_digest is not None


def test_a_full_checkpoint_has_nothing_to_merge(trained, tmp_path):
    with pytest.raises(CheckpointError, match="a full checkpoint already"):
        merge(trained, tmp_path / "merged")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_merge_that_is_cut_off_leaves_nothing(adapters, tmp_path, monkeypatch, fault):
    def fail(*given, **named):
        raise fault

    monkeypatch.setattr(merging, "save_config", fail)  # the last file that is written

    with pytest.raises(CheckpointError if isinstance(fault, OSError) else KeyboardInterrupt):
        merge(adapters, tmp_path / "merged")

    assert tree(tmp_path) == []


def test_a_merge_that_changes_what_the_model_says_is_not_kept(adapters, tmp_path, monkeypatch):
    merge_lora = merging.merge_lora

    def spoil(adapted):
        model = merge_lora(adapted)
        model.get_input_embeddings().weight.data.zero_()
        return model

    monkeypatch.setattr(merging, "merge_lora", spoil)

    with pytest.raises(CheckpointError, match=r"computes other logits.*nothing was written"):
        merge(adapters, tmp_path / "merged")

    assert tree(tmp_path) == []


def test_code_of_the_text_models_author_needs_a_word(copy, tmp_path):
    config = copy / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["model"]["trust_remote_code"] = True
    config.write_text(yaml.safe_dump(settings))

    with pytest.raises(CheckpointError, match="--trust-remote-code"):
        merge(copy, tmp_path / "merged")
    assert load_model(merge(copy, tmp_path / "merged", trust_remote_code=True))


def test_the_command_says_what_to_do_next(adapters, tmp_path):
    done = CliRunner().invoke(app, ["merge", str(adapters), str(tmp_path / "merged")])

    assert done.exit_code == 0, done.output
    assert f"signseq evaluate {tmp_path}/merged" in done.output


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "int8"])
def test_adapters_translate_in_every_dtype(adapters, dtype):
    translator = Translator.from_pretrained(adapters, dtype=dtype)
    own = Translator.from_pretrained(adapters).translate(sign_pose("we eat bread"))

    found = translator.translate(sign_pose("we eat bread"))

    assert found.score == pytest.approx(own.score, abs=0.1)
    has_adapters = any("lora" in name for name, _ in translator.model.named_parameters())
    assert has_adapters == (dtype == "auto")
