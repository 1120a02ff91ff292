"""`signseq models`: from the command line down to the configs of text models."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    BertConfig,
    CLIPConfig,
    T5Config,
    T5ForConditionalGeneration,
    WhisperConfig,
)

from signseq import __main__ as cli
from signseq.config import ModelConfig
from signseq.description import config_for, describe_model
from signseq.errors import ModelError
from signseq.model import lookup
from signseq.model.advice import advice
from signseq.model.catalog import FAMILIES
from signseq.model.lookup import look_up
from signseq.model.outline import outline
from signseq.model.sizes import fit_to_tokenizer, resize
from signseq.model.vocabulary import train_tokenizer
from signseq.model_table import describe, to_json

TINY = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 32}
CONFIG = """
data: {{pose_dir: poses, store: store, keypoints: hands, step_frames: 5, {data}}}
model: {{name: bart, from_scratch: true, tokenizer: train, size: {{width: 32, layers: 1, heads: 2, feed_forward: 8}},
  encoder: {{type: conv, stride: 4, width: 16}}}}
training: {{checkpoint_dir: run, batch_size: 3}}
"""


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["signseq", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = train_tokenizer(["we eat bread", "you see water"])
    tokenizer.add_tokens(["en_XX", "de_DE"], special_tokens=True)
    return tokenizer


@pytest.fixture
def write_folder(tmp_path, tokenizer):
    """A folder with a tiny model's config and tokenizer; no weights, which nobody reads."""

    def write(kind, **settings):
        config = fit_to_tokenizer(AutoConfig.for_model(kind), tokenizer)
        config = resize(config, TINY, settings)
        config.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return write


@pytest.fixture
def write_config(tmp_path):
    def write(data=""):
        (tmp_path / "config.yaml").write_text(CONFIG.format(data=data))
        return tmp_path / "config.yaml"

    return write


def facts(call, *arguments):
    code, out, err = call(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def row(text, label):
    """What stands beside a label, its lines joined."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip().startswith(label))
    found = [lines[first].strip().removeprefix(label)]
    for line in lines[first + 1 :]:
        if not line.startswith(" " * 20):
            break
        found.append(line)
    return " ".join(" ".join(found).split())


def told(name, **changes):
    config = config_for(str(name))
    data = config.data.model_copy(update=changes)
    return " ".join(advice(look_up(config.model), config.model_copy(update={"data": data})))


@pytest.mark.slow
def test_the_memory_table_of_the_docs_is_what_the_benchmark_prints():
    root = Path(__file__).parents[1]
    page = (root / "docs/models.md").read_text(encoding="utf-8")
    stated = re.search("<!-- memory: begin -->\n(.*?)<!-- memory: end -->", page, re.DOTALL)[1]

    command = [sys.executable, root / "benchmarks/models.py", "--estimate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)

    assert done.stdout == stated


# ---------------------------------------------------------------------------------- without a name


def test_without_a_name_all_known_models_are_listed(call):
    code, out, err = call()

    assert (code, err) == (0, "")
    for family in FAMILIES:
        assert family.name in out
        assert all(model.name in out for model in family.models)
        assert family.licence in " ".join(out.split())
    assert "google-t5/t5-base 223 M" in " ".join(out.split())
    assert "signseq models NAME|FOLDER" in out


def test_the_list_as_json_has_a_family_a_line(call):
    _, out, _ = call("--json")

    families = [json.loads(line) for line in out.splitlines()]
    assert [family["name"] for family in families] == [family.name for family in FAMILIES]
    assert families[0]["models"][0]["parameters"] == 60_506_624


# ----------------------------------------------------------------------------------- a known model


@pytest.fixture(scope="module")
def t5_small():
    return describe_model(config_for("t5-small"))


def test_a_known_model_is_described_without_a_network(t5_small):
    out = describe(t5_small)

    assert row(out, "architecture") == "t5, encoder-decoder, 60,506,624 parameters"
    assert "the model itself is not on this machine" in row(out, "known from")
    assert row(out, "clips") == "no limit"
    assert row(out, "frames a second") == "25, after step_frames, if recordings have 25"
    assert row(out, "float16").startswith("not safe")
    assert row(out, "gradient checkpointing") == "supported"
    assert row(out, "LoRA targets") == "36 layers: q (18), v (18)"
    assert row(out, "memory").startswith("estimated; a batch of 32 clips of 60 frames (30 inputs)")
    assert re.search(r"full +\d+\.\d GiB .*\n.*\n* +LoRA +\d+\.\d GiB", out)


def test_lines_fit_a_terminal(t5_small):
    assert max(map(len, describe(t5_small).splitlines())) <= 110


def test_what_is_printed_as_json_adds_up(t5_small):
    found = json.loads(to_json(t5_small))

    assert found["batch"] == {"batch_size": 32, "frames": 60, "tokens": 25, "prompt": 0}
    assert [entry["method"] for entry in found["memory"]] == ["full", "lora", "qlora"]
    for entry in found["memory"]:
        assert entry["is_estimated"] is True
        assert entry["total"] == entry["weights"] + entry["optimizer"] + entry["step"]
    trained = found["memory"][0]["trainable"]
    assert trained == found["parameters"] + found["encoder_parameters"]


def test_a_known_model_in_the_cache_is_read_from_there(monkeypatch, write_folder):
    folder = write_folder("mbart")
    monkeypatch.setattr(
        lookup, "try_to_load_from_cache", lambda name, file: str(folder / "config.json")
    )

    found = look_up(ModelConfig(name="facebook/mbart-large-50"))

    assert found.source == "the hub's cache on this machine"
    assert found.config.d_model == 16
    assert found.codes == ("de_DE", "en_XX")
    assert found.family.name == "mBART-50"


def test_known_language_codes_are_shown(t5_small):
    codes = look_up(ModelConfig(name="facebook/mbart-large-50")).codes

    out = describe(dataclasses.replace(t5_small, codes=codes))
    assert "52 codes: ar_AR, cs_CZ, de_DE, en_XX, es_XX, et_EE, ..." in row(out, "languages")


# --------------------------------------------------------------------------------------- a folder


def test_a_folder_is_described_by_its_config_alone(call, write_folder):
    folder = write_folder("bart", max_position_embeddings=100)

    found = facts(call, folder, "--batch-size", 4, "--frames", 20, "--tokens", 8)

    real = outline(AutoConfig.from_pretrained(folder))
    assert found["parameters"] == sum(parameter.numel() for parameter in real.parameters())
    assert found["source"] == f"the folder {folder}"
    assert (found["limit"], found["limit_frames"], found["limit_seconds"]) == (100, 200, 8.0)
    assert found["lora_targets"] == {"q_proj": 6, "v_proj": 6}  # two layers: 2 + 2 * 2 attentions
    assert found["batch"] == {"batch_size": 4, "frames": 20, "tokens": 8, "prompt": 0}
    assert found["is_safe_in_float16"] is True


def test_a_folder_s_language_codes_come_from_its_tokenizer(call, write_folder):
    found = facts(call, write_folder("mbart"))

    assert found["codes"] == ["de_DE", "en_XX"]
    assert any("set data.target_language" in sentence for sentence in found["advice"])


def test_without_the_tokenizer_the_codes_are_said_to_be_unknown(call, write_folder):
    folder = write_folder("mbart")
    for path in folder.glob("tokenizer*"):
        path.unlink()

    _, out, _ = call(folder)

    assert "in the tokenizer, which isn't here" in row(out, "languages")


def test_a_decoder_only_folder_is_described(call, write_folder):
    found = facts(call, write_folder("gpt2"))

    assert found["is_causal"] is True
    assert found["limit"] == 1024
    assert any("decoder-only" in sentence for sentence in found["advice"])


def test_an_output_layer_that_the_config_file_calls_untied_is_counted(tmp_path):
    sizes = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1}
    model = T5ForConditionalGeneration(T5Config(**sizes, num_heads=2))
    model.lm_head.weight = torch.nn.Parameter(torch.randn(50, 16))
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))

    found = describe_model(config_for(str(tmp_path)), batch_size=1, frames=8, tokens=4)

    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert any("not its token embedding" in sentence for sentence in found.advice)


# ------------------------------------------------------------------------------------- by a config


def test_a_config_gives_rate_encoder_and_batch(call, write_config, write_folder):
    folder = write_folder("bart", max_position_embeddings=100)

    found = facts(call, folder, "--config", write_config())

    assert (found["frames_per_second"], found["keypoints"]) == (5, 42)
    assert (found["limit_frames"], found["limit_seconds"]) == (400, 80)
    assert found["batch"]["batch_size"] == 3


def test_a_config_s_own_rate_of_frames_counts(call, write_config):
    found = facts(call, "--config", write_config("fps: 50"))

    assert (found["frames_per_second"], found["is_rate_assumed"]) == (10, False)


def test_a_config_alone_describes_its_own_model(call, write_config):
    found = facts(call, "--config", write_config())

    assert found["name"] == "bart"
    assert found["parameters"] < 1_000_000
    assert "from scratch; counted with 4,000 tokens" in found["source"]


# ---------------------------------------------------------------------------------------- mistakes


def test_an_unknown_model_does_not_stop_the_others(call, write_folder):
    folder = write_folder("bart")

    code, out, err = call("nobody/nothing", folder)

    assert code == 1
    assert err.startswith("error: The model 'nobody/nothing' can't be loaded")
    assert out.startswith(str(folder))


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "with space"])
def test_a_name_that_the_hub_cannot_have_is_an_error(call, name):
    code, out, err = call(name)

    assert (code, out) == (1, "")
    assert err.startswith(f"error: The model {name!r} can't be loaded")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BertConfig(), "'bert' models"),
        (CLIPConfig(), "'clip' models look at images"),
        (WhisperConfig(), "'whisper' models"),
    ],
)
def test_a_model_that_writes_no_text_is_refused_with_the_reason(call, tmp_path, config, reason):
    config.save_pretrained(tmp_path)

    code, out, err = call(tmp_path)

    assert (code, out) == (1, "")
    assert reason in err


def test_a_checkpoint_of_ours_is_told_from_a_text_model(trained):
    with pytest.raises(ModelError, match=r"signseq models --config .*config\.yaml"):
        look_up(ModelConfig(name=str(trained)))


def test_a_folder_without_a_config_is_an_error(call, tmp_path):
    code, _, err = call(tmp_path)

    assert code == 1
    assert "must hold config.json" in err


def test_a_checkpoint_s_config_describes_what_it_was_trained_with(call, trained):
    found = facts(call, "--config", trained / "config.yaml")

    assert (found["architecture"], found["batch"]["batch_size"]) == ("bart", 12)


# ------------------------------------------------------------------------------------------ advice


def test_models_without_positions_are_said_to_get_some():
    assert "the pose encoder adds sinusoidal ones" in told("t5-small")
    assert "sinusoidal" not in told("facebook/bart-base")


def test_clips_longer_than_the_limit_are_named():
    assert "data.max_frames" not in told("facebook/bart-base", max_frames=2048)
    said = told("facebook/bart-base", max_frames=2050)
    assert "gives 1025 inputs, more than the 1024" in said


def test_prompt_and_text_share_a_decoder_only_model_s_limit():
    assert "gives 900 inputs and 128 tokens" in told("gpt2", max_frames=1800)
    assert "data.max_frames" not in told("gpt2", max_frames=1700)


def test_languages_are_asked_for_where_a_model_must_be_told():
    assert "set data.target_language" in told("facebook/m2m100_418M")
    assert "set data.target_language" not in told("facebook/m2m100_418M", target_language="en")
    assert "isn't used" in told("google/mt5-small", target_language="en")


def test_bytes_need_longer_texts():
    assert "tokens are bytes" in told("google/byt5-small")
    assert "tokens are bytes" not in told("google/byt5-small", max_length=512)


def test_licences_that_forbid_something_are_named():
    assert "not for commercial use" in told("facebook/nllb-200-distilled-600M")
    assert "Licence" not in told("google/mt5-small")
