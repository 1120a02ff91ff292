"""What is said when a model can't be loaded by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import T5Config, T5ForConditionalGeneration

from conftest import tiny_config
from signseq.config import ModelConfig
from signseq.errors import CheckpointError, ModelError
from signseq.evaluation import evaluate
from signseq.model.hub import not_found
from signseq.model.text_models import load_text_config, load_tokenizer
from signseq.model.vocabulary import train_tokenizer
from signseq.training.run import train
from signseq.translation import Translator


def said(name: str, **settings: object) -> str:
    with pytest.raises(ModelError) as caught:
        load_text_config(ModelConfig.model_validate({"name": name, **settings}))
    return str(caught.value)


def test_offline_the_offline_ways_are_named() -> None:
    message = said("nobody/nothing")

    assert "neither a local folder nor in the cache, and HF_HUB_OFFLINE is set" in message
    assert "hf download nobody/nothing" in message
    assert "HF_HOME" in message


@pytest.mark.parametrize(
    "fault",
    [
        OSError("We couldn't connect to 'https://huggingface.co' to load the files"),
        OSError("Max retries exceeded with url"),
        ConnectionError("Connection error, and we cannot find the requested files"),
    ],
)
def test_an_unreachable_hub_is_said(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")

    message = not_found("model", "google-t5/t5-small", fault)

    assert "the Hugging Face hub can't be reached" in message
    assert "copy the model's folder here" in message


def test_a_name_that_the_hub_lacks_is_neither_hub_name_nor_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    fault = OSError("no/such is not a local folder and is not a valid model identifier listed on")

    message = not_found("model", "no/such", fault)

    assert "not a valid model identifier" in message
    assert (
        "must be a local folder with config.json and safetensors weights, or a name on" in message
    )


@pytest.mark.parametrize("name", ["./models/t5", "/nowhere/t5", "../t5", "my/models/t5"])
def test_a_path_that_is_not_there_is_said_to_be_missing(name: str) -> None:
    assert f"there is no such folder, seen from {Path.cwd()}" in said(name)


def test_a_folder_without_config_says_what_it_must_hold(tmp_path: Path) -> None:
    assert "from this folder: " in said(str(tmp_path))
    assert "must hold config.json, the tokenizer's files and weights" in said(str(tmp_path))


CODE = """
import os, pathlib
pathlib.Path(os.environ["SIGNSEQ_TEST_TRACE"]).touch()
from transformers import PreTrainedConfig
class Own(PreTrainedConfig):
    model_type = "own"
"""


def test_code_that_comes_with_a_model_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("SIGNSEQ_TEST_TRACE", str(trace))
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}'
    )
    (folder / "own.py").write_text(CODE)

    message = said(str(folder))

    assert "brings code of its own" in message
    assert "set model.trust_remote_code: true" in message
    assert not trace.exists()


def test_a_missing_tokenizer_is_called_one() -> None:
    with pytest.raises(ModelError, match="The tokenizer 'nobody/nothing' can't be loaded"):
        load_tokenizer(ModelConfig(name="t5-small", tokenizer="nobody/nothing"), [])


def test_an_architectures_name_leads_to_from_scratch() -> None:
    assert "To train the architecture 'bart' from scratch" in said("barrt")
    assert "Did you mean the architecture 'pegasus'?" in said("pegassus", from_scratch=True)


OWN_MODEL = """
from transformers import T5Config, T5ForConditionalGeneration
class OwnConfig(T5Config):
    model_type = "own_t5"
class OwnModel(T5ForConditionalGeneration):
    config_class = OwnConfig
"""


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose code comes with it, as `trust_remote_code` models of the hub."""
    folder = tmp_path / "own_model"
    folder.mkdir()
    (folder / "modeling_own.py").write_text(OWN_MODEL)
    tokenizer = train_tokenizer(["we you eat see bread water"] * 3)
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = T5Config(vocab_size=len(tokenizer), **sizes, **special)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own_t5", "architectures": ["OwnModel"]}
    settings["auto_map"] = {
        "AutoConfig": "modeling_own.OwnConfig",
        "AutoModelForSeq2SeqLM": "modeling_own.OwnModel",
    }
    (folder / "config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "code")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    return folder


def test_a_model_with_code_of_its_own_goes_the_whole_way_where_it_is_trusted(
    own_model: Path, prepared: Path, tmp_path: Path
) -> None:
    run, clip = tmp_path / "run", prepared / "poses" / "test-0.pose"
    settings = (f"model.name={own_model}", "model.from_scratch=false", "model.size=null")
    settings += ("model.tokenizer=null", "model.trust_remote_code=true", "training.num_epochs=1")
    settings += ("training.best_metric=loss", f"training.checkpoint_dir={run}")
    train(tiny_config(prepared, *settings))

    with pytest.raises(
        CheckpointError, match=r"isn't run because a checkpoint says so.*--trust-rem"
    ):
        Translator.from_pretrained(run)
    found = Translator.from_pretrained(run, trust_remote_code=True)

    saved = load_file(run / "model.safetensors")
    weights = found.model.state_dict()
    assert type(found.model.text_model).__name__ == "OwnModel"
    assert all(weights[name].equal(weight) for name, weight in saved.items())
    assert found.translate(clip).error is None
    scores = evaluate(run, blind=False, trust_remote_code=True)
    assert len(scores.hypotheses) == 12
