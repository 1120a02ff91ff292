"""The configs in configs/: each is whole, names a model of the right size, and trains as a tiny twin."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from conftest import WORDS
from signseq.config import Config, load_config
from signseq.description import describe_model
from signseq.model.advice import advice
from signseq.model.catalog import find_known, known_config
from signseq.model.lookup import look_up
from signseq.model.memory import GIB
from signseq.model.outline import outline, parameter_count
from signseq.model.sizes import fit_to_tokenizer, resize
from signseq.model.vocabulary import train_tokenizer
from signseq.settings import parse_yaml
from signseq.training.run import train

FOLDER = Path(__file__).parents[1] / "configs"
PATHS = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
# What users of this pipeline expect: the model, and how many clips are in a batch.
EXPECTED = {
    "bart_large_isign": ("facebook/bart-large", 16),
    "byt5_small_isign": ("google/byt5-small", 16),
    "m2m100_418m_isign": ("facebook/m2m100_418M", 16),
    "mbart_isign": ("facebook/mbart-large-50", 8),
    "mt5_base_isign": ("google/mt5-base", 16),
    "mt5_base_phoenix": ("google/mt5-base", 16),
    "mt5_large_isign": ("google/mt5-large", 12),
    "nllb_600m_isign": ("facebook/nllb-200-distilled-600M", 8),
    "qwen2_5_lora_isign": ("Qwen/Qwen2.5-0.5B", 16),
    "t5_3b_lora_isign": ("t5-3b", 4),
    "t5_base_how2sign": ("t5-base", 32),
    "t5_base_isign": ("t5-base", 32),
    "t5_large_isign": ("t5-large", 16),
    "t5_small_isign": ("t5-small", 64),
}
ISIGN = [name for name in EXPECTED if name.endswith("_isign")]
M2M100 = "facebook/m2m100_418M"  # its codes are written between underscores
TINY = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 32}


def test_the_configs_are_those_that_users_expect():
    others = {"TEMPLATE", "demo", "fingerspelling"}
    configs = {name: load_config(path) for name, path in PATHS.items() if name not in others}

    found = {name: (c.model.name, c.training.batch_size) for name, c in configs.items()}
    assert found == EXPECTED


@pytest.mark.parametrize("name", PATHS)
def test_lines_are_short_enough_to_read(name):
    assert max(map(len, PATHS[name].read_text(encoding="utf-8").splitlines())) <= 110


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_is_called_as_its_config(name):
    training = load_config(PATHS[name]).training

    assert (training.checkpoint_dir.name, training.run_name) == (name, name)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_model_has_the_published_number_of_parameters(name):
    known, _ = find_known(load_config(PATHS[name]).model.name)

    with torch.device("meta"):
        model = outline(known_config(known), has_own_head=known.has_own_head)

    assert parameter_count(model) == known.parameters
    millions = f"{known.parameters / 1e6:,.1f} million parameters"
    assert millions in PATHS[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPECTED)
def test_clips_texts_and_languages_fit_the_model(name):
    config = load_config(PATHS[name])

    said = " ".join(advice(look_up(config.model), config))
    faults = ("data.max_frames", "data.max_length", "set data.", "isn't used")
    assert not [fault for fault in faults if fault in said]


def test_the_configs_of_isign_can_share_one_store():
    own = {"max_length", "target_language", "prompt"}  # needed in training only
    data = [load_config(PATHS[name]).data.model_dump(exclude=own) for name in ISIGN]

    assert all(each == data[0] for each in data)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_the_memory_that_a_config_states_is_the_estimate(name):
    config, text = load_config(PATHS[name]), PATHS[name].read_text(encoding="utf-8")
    pattern = r"batches of (\d+) frames and (\d+) (?:tokens|bytes):\s(?:# )?(\d+\.\d) GiB"
    frames, tokens, stated = re.search(pattern, text).groups()

    full, lora, _ = describe_model(config, frames=int(frames), tokens=int(tokens)).memory
    found = lora if config.model.use_lora else full
    assert float(stated) == round(found.total / GIB, 1)


# ---------------------------------------------------------------------------------- the template


def keys(section: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Every key with its default, sections as their own keys."""
    found = {}
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= keys(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = (
                "required" if field.is_required() else field.get_default(call_default_factory=True)
            )
    return found


def test_the_template_has_every_key_with_its_default():
    examples = {f"data.{split}_path" for split in ("train", "val", "test")}
    written = parse_yaml(PATHS["TEMPLATE"].read_text(encoding="utf-8"), place="TEMPLATE")

    def flat(values, prefix=""):
        for name, value in values.items():
            if isinstance(value, dict) and value:
                yield from flat(value, f"{prefix}{name}.")
            else:
                yield prefix + name, value

    found, expected = dict(flat(written)), keys(Config)
    assert set(found) == set(expected)
    wrong = {
        name: (found[name], default)
        for name, default in expected.items()
        if default != "required" and name not in examples and found[name] != default
    }
    assert not wrong


def test_the_template_comments_on_every_key():
    lines = PATHS["TEMPLATE"].read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if re.match(r"\s*\w+:", line) and "#" not in line]

    assert not bare


# ------------------------------------------------------------------------------------- tiny twins


def write_twin(name, folder):
    """Leave a tiny text model of a known one's architecture, with its kind of language codes."""
    known, family = find_known(name)
    tokenizer = train_tokenizer([" ".join(WORDS), "Translate the signing to English:\n"])
    own_codes = [f"__{code}__" if known.name in M2M100 else code for code in family.codes]
    tokenizer.add_tokens(own_codes, special_tokens=True)
    torch.manual_seed(0)
    config = resize(fit_to_tokenizer(known_config(known), tokenizer), TINY, {})
    outline(config, has_own_head=known.has_own_head).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_a_tiny_twin_trains_end_to_end(name, prepared, tmp_path):
    settings = load_config(PATHS[name]).model
    overrides = {
        "data.corpus": "csv",
        "data.train_path": prepared / "train.csv",
        "data.val_path": "null",
        "data.pose_dir": prepared / "poses",
        "data.store": prepared / "store",
        "data.keypoints": "upper_body_hands",
        "model.name": write_twin(settings.name, tmp_path / "twin"),
        "model.encoder.width": 16,
        "training.max_steps": 2,
        "training.batch_size": 4,
        "training.gradient_accumulation_steps": 1,
        "training.num_workers": 0,
        "training.early_stopping_patience": "null",
        "training.checkpoint_dir": tmp_path / "run",
    }
    config = load_config(PATHS[name], [f"{key}={value}" for key, value in overrides.items()])

    folder = train(config)

    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert (folder / "adapter_model.safetensors").exists() == settings.use_lora
