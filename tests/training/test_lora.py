"""Runs with adapters: what they train, leave, go on from, and are scored with."""

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    TrainerCallback,
)

from conftest import sign_pose, tiny_config
from signseq.errors import CheckpointError, ConfigError, MissingExtraError, ModelError
from signseq.evaluation import evaluate
from signseq.model.loading import load_model
from signseq.training import checks, run
from signseq.training.checks import dry_run, overfit
from signseq.training.run import build_parts, check_run, train
from signseq.training.trainer import SignTrainer
from signseq.translation import Translator

FILES = {"adapter_model.safetensors", "adapter_config.json", "config.json", "config.yaml"}
FILES |= {"tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def base(trained, tmp_path_factory):
    """A pretrained text model: that of a trained run."""
    folder = tmp_path_factory.mktemp("base")
    translator = Translator.from_pretrained(trained)
    translator.model.text_model.save_pretrained(folder)
    translator.tokenizer.save_pretrained(folder)
    return folder


def adapted(base: Path, *overrides: str) -> tuple[str, ...]:
    """Overrides that make the tiny config one of adapters for a pretrained model."""
    return (
        *(f"model.name={base}", "model.from_scratch=false", "model.size=null"),
        *("model.tokenizer=null", "model.use_lora=true", "training.best_metric=cer"),
        *("model.lora_config={r: 4, lora_alpha: 8, lora_dropout: 0.1}", *overrides),
    )


@pytest.fixture
def lora_config(run_config, base):
    """A config of adapters; its runs go into the test's own folder."""
    return lambda *overrides: run_config(*adapted(base, *overrides))


@pytest.fixture(scope="module")
def lora_run(prepared, base, tmp_path_factory):
    """The folder of a run with adapters that has learned something: none may change it."""
    folder = tmp_path_factory.mktemp("lora")
    place = f"training.checkpoint_dir={folder}"
    return train(tiny_config(prepared, *adapted(base, "training.num_epochs=12"), place))


@pytest.fixture
def lora_folder(lora_run, tmp_path):
    """A copy of that run's folder, to be changed at will."""
    return Path(shutil.copytree(lora_run, tmp_path / "copy"))


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


# ------------------------------------------------------------------------------ what is left


def test_a_run_leaves_adapters_and_all_that_translating_needs(lora_run):
    for folder in (lora_run, *lora_run.glob("checkpoint-*")):
        names = {path.name for path in folder.iterdir() if path.is_file()}

        assert names >= FILES
        assert not {"README.md", "model.safetensors", "training_args.bin"} & names
        assert Translator.from_pretrained(folder).translate(sign_pose("we")).error is None
    pickled = {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    assert names - FILES == pickled | {"trainer_state.json", "data.json"}


def test_the_pose_encoder_is_saved_with_the_adapters_its_statistics_too(lora_run):
    saved = weights(lora_run)
    model = load_model(lora_run)

    assert not any("pose_encoder" not in name and ".lora_" not in name for name in saved)
    for name, value in model.pose_encoder.state_dict().items():
        if "modules_to_save" in name:
            key = name.removeprefix("modules_to_save.default.")
            assert saved[f"base_model.model.pose_encoder.{key}"].equal(value)
    assert any(name.endswith("features.mean") for name in saved)


def test_a_run_with_adapters_learns(lora_run):
    assert evaluate(lora_run, blind=False, split="val").scores.cer < 40


def test_a_readme_of_the_users_stays_as_it_is(lora_config):
    folder = lora_config().training.checkpoint_dir
    folder.mkdir()
    (folder / "README.md").write_text("mine")

    train(lora_config("training.max_steps=1", "data.val_path=null"))

    assert (folder / "README.md").read_text() == "mine"


def test_the_text_model_stays_as_it_was(lora_run, base):
    before = load_file(base / "model.safetensors")
    model = load_model(lora_run).text_model

    layers = dict(model.named_modules())
    for name, value in before.items():
        layer, _, part = name.rpartition(".")
        layer = f"{layer}.base_layer" if f"{layer}.base_layer" in layers else layer
        assert getattr(layers[layer], part).equal(value)


def test_how_many_parameters_train_is_said(lora_config, caplog):
    with caplog.at_level(logging.INFO):
        parts = build_parts(lora_config())

    train_too = [p.numel() for p in parts.model.parameters() if p.requires_grad]
    assert f"of which {sum(train_too):,} (" in caplog.text
    assert "train: pose encoder" in caplog.text
    assert ", adapters" in caplog.text


def test_an_encoder_and_a_decoder_of_two_names_are_adapted_together(run_config, base, tmp_path):
    """The attention between them starts at random at every loading, so it must be in the checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64}
    bert = BertConfig(**sizes, num_hidden_layers=1, num_attention_heads=2)
    gpt2 = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2)
    for name, model in (("bert", BertModel(bert)), ("gpt2", GPT2LMHeadModel(gpt2))):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    two = (f"model.decoder_name={tmp_path}/gpt2", "training.max_steps=2", "data.val_path=null")

    folder = train(run_config(*adapted(tmp_path / "bert", *two)))

    saved, first, again = weights(folder), load_model(folder), load_model(folder)
    assert any(".crossattention." in name and ".lora_" not in name for name in saved)
    for name, value in first.state_dict().items():
        assert name.count("original_module") or value.equal(again.state_dict()[name])


# --------------------------------------------------------------------------------- going on


class Interrupt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(lora_config, monkeypatch, tmp_path):
    lively = ("training.num_epochs=3", "data.augment={rotate_degrees: 10, speed: 0.2}")
    lively += ("model.dropout=0.1", "training.save_steps=5", "training.hf={logging_steps: 1}")
    whole = train(lora_config(*lively, f"training.checkpoint_dir={tmp_path}/whole"))
    build_trainer = run.build_trainer

    def build(*given, **named):
        trainer = build_trainer(*given, **named)
        trainer.add_callback(Interrupt(18))
        return trainer

    monkeypatch.setattr(run, "build_trainer", build)
    with pytest.raises(KeyboardInterrupt):
        train(lora_config(*lively))
    monkeypatch.undo()

    folder = train(lora_config(*lively), resume=True)

    found = weights(folder)
    assert all(value.equal(found[name]) for name, value in weights(whole).items())
    assert [entry.get("loss") for entry in log(folder)] == [e.get("loss") for e in log(whole)]


def test_the_best_adapters_are_left_not_the_last(lora_config, monkeypatch):
    scores = iter([50.0, 10.0, 80.0])
    monkeypatch.setattr(SignTrainer, "_score", lambda self, hypotheses: {"cer": next(scores)})
    folder = train(lora_config("training.num_epochs=3"))

    best, last, left = (weights(folder / name) for name in ("checkpoint-24", "checkpoint-36", ""))
    assert all(value.equal(best[name]) for name, value in left.items())
    assert not all(value.equal(last[name]) for name, value in left.items())


def test_overwriting_deletes_adapters(lora_config, lora_folder, run_config):
    place = f"training.checkpoint_dir={lora_folder}"
    with pytest.raises(CheckpointError, match="holds a run already"):
        check_run(lora_config(place))

    train(run_config(place, "training.max_steps=1"), overwrite=True)

    assert not list(lora_folder.glob("adapter_*"))
    assert load_model(lora_folder).config.base_digest is None


def test_a_run_with_other_adapters_is_not_gone_on_with(lora_config, lora_folder):
    place = f"training.checkpoint_dir={lora_folder}"
    same = lora_config(place, "training.num_epochs=12", "training.gradient_checkpointing=true")

    with pytest.raises(CheckpointError, match=r"model\.lora_config\.r: 4 -> 8"):
        check_run(
            lora_config(place, "training.num_epochs=12", "model.lora_config.r=8"), resume=True
        )
    assert check_run(same, resume=True).name.startswith("checkpoint-")


# ---------------------------------------------------------------------------------- training


def test_accumulating_batches_equals_one_large_batch(lora_config, tmp_path):
    shared = ("data.val_path=null", "training.num_epochs=2", "model.lora_config.lora_dropout=0.0")

    def train_with(size, steps):
        sizes = (f"training.batch_size={size}", f"training.gradient_accumulation_steps={steps}")
        return weights(
            train(lora_config(*shared, *sizes, f"training.checkpoint_dir={tmp_path}/{size}"))
        )

    large, small = train_with(96, 1), train_with(24, 4)

    for name, value in large.items():
        torch.testing.assert_close(small[name], value, rtol=0, atol=1e-6)


def test_recomputing_activations_changes_nothing(lora_config, tmp_path):
    def train_with(checkpointing):
        place = f"training.checkpoint_dir={tmp_path}/{checkpointing}"
        config = lora_config(
            *("data.val_path=null", "training.max_steps=4", "model.dropout=0.1", place),
            f"training.gradient_checkpointing={checkpointing}",
        )
        return weights(train(config))

    kept, recomputed = train_with("false"), train_with("true")

    for name, value in kept.items():
        torch.testing.assert_close(recomputed[name], value, rtol=0, atol=1e-6)


def test_activations_are_recomputed_if_the_config_says_so(run_config):
    parts = [
        build_parts(run_config(f"training.gradient_checkpointing={on}")) for on in ("true", "false")
    ]

    flags = [
        {
            m.gradient_checkpointing
            for m in part.model.modules()
            if hasattr(m, "gradient_checkpointing")
        }
        for part in parts
    ]
    assert flags == [{True}, {False}]


def test_what_cannot_be_recomputed_is_an_error_before_training(run_config):
    config = run_config("model.name=fsmt", "training.gradient_checkpointing=true")

    with pytest.raises(
        ModelError, match=r"training\.gradient_checkpointing.*fsmt.*Set it to false"
    ):
        build_parts(config)


def test_a_dry_run_counts_what_trains(lora_config):
    found = dry_run(lora_config(), steps=1)

    assert 0 < found.parameters.adapters < found.parameters.pose_encoder
    assert found.parameters.text_model == 0
    assert "train: pose encoder" in found.describe()


def test_the_overfitting_check_trains_adapters_without_their_dropout(lora_config, monkeypatch):
    losses = []
    for steps, dropout in ((1, 0.5), (40, 0.5), (40, 0.0)):
        monkeypatch.setattr(checks, "OVERFIT_STEPS", steps)
        losses.append(overfit(lora_config(f"model.lora_config.lora_dropout={dropout}")))

    assert losses[1] < losses[0] / 2
    assert losses[1] == losses[2]


# ------------------------------------------------------------------ before anything is loaded


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "{lora_alhpa: 8}",
            r"lora_config\.lora_alhpa: no field of peft's LoraConfig; did you mean lora_alpha",
        ),
        ("{task_type: CAUSAL_LM}", r"lora_config\.task_type: follows from the rest"),
        ("{megatron_core: os}", r"lora_config\.megatron_core: can't be used here"),
        (
            "{init_lora_weights: eva}",
            r"init_lora_weights = 'eva': expected one of True, False, gaussian",
        ),
        ("{target_modules: ['(q']}", r"'\(q' is neither a name nor a regular expression"),
        ("{use_dora: 1}", r"lora_config\.use_dora = 1: expected bool"),
        ("{layers_pattern: layers}", r"peft refuses these settings"),
    ],
)
def test_settings_that_adapters_do_not_have_are_found_at_once(lora_config, settings, message):
    with pytest.raises(ConfigError, match=message):
        check_run(lora_config(f"model.lora_config={settings}"))


def test_two_models_with_an_attention_between_them_are_not_quantized(lora_config):
    with pytest.raises(
        ConfigError, match=r"load_in_8bit and model\.decoder_name don't go together"
    ):
        check_run(lora_config("model.load_in_8bit=true", "model.decoder_name=gpt2"))


def test_without_bitsandbytes_the_extra_is_named(lora_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)

    with pytest.raises(
        MissingExtraError, match=r"model\.load_in_4bit.*pip install 'signseq\[qlora\]'"
    ):
        check_run(lora_config("model.load_in_4bit=true"))


# ------------------------------------------------------------------------- loading checkpoints


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "adapter_config.json", "config.yaml"]
)
def test_a_checkpoint_that_lacks_a_part_names_it(lora_folder, name):
    (lora_folder / name).unlink()

    with pytest.raises(CheckpointError, match=rf"not a whole checkpoint.*(no {name}|no weights)"):
        load_model(lora_folder)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_half_written_adapters_are_a_clear_error(lora_folder, size):
    path = lora_folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(CheckpointError, match="the adapters can't be loaded"):
        load_model(lora_folder)


@pytest.mark.parametrize("part", ["features.mean", "q_proj.lora_B.weight"])
def test_adapters_that_lack_tensors_are_not_filled_with_random_ones(lora_folder, part):
    path = lora_folder / "adapter_model.safetensors"
    saved = {name: value for name, value in load_file(path).items() if part not in name}
    save_file(saved, path, metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=rf"the adapters lack '.*{part}' and perhaps more"):
        load_model(lora_folder)


def test_a_text_model_that_is_gone_is_named_with_the_way_out(lora_folder):
    config = (lora_folder / "config.yaml").read_text()
    name = next(line for line in config.splitlines() if line.startswith("  name:")).split()[-1]
    (lora_folder / "config.yaml").write_text(config.replace(name, "/gone/model"))

    with pytest.raises(
        CheckpointError, match=r"copy: .*'/gone/model'.*can't be loaded.*signseq merge"
    ):
        load_model(lora_folder)


@pytest.fixture
def other_base(base, tmp_path):
    """Other weights of the same text model."""
    folder = Path(shutil.copytree(base, tmp_path / "other"))
    saved = load_file(folder / "model.safetensors")
    save_file(
        {name: value + 0.01 for name, value in saved.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


def test_adapters_are_not_put_into_another_text_model(lora_folder, base, other_base):
    path = lora_folder / "config.yaml"
    path.write_text(path.read_text().replace(str(base), str(other_base)))

    with pytest.raises(CheckpointError, match=rf"trained on other weights of {other_base}"):
        load_model(lora_folder)


def test_a_run_is_not_gone_on_with_on_another_text_model(
    lora_config, lora_folder, base, other_base, monkeypatch
):
    """Its name may still be the same: a folder's content changes, and so does what the hub has."""
    for path in lora_folder.rglob("config.yaml"):
        path.write_text(path.read_text().replace(str(base), str(other_base)))
    place = f"training.checkpoint_dir={lora_folder}"
    config = lora_config(place, "training.num_epochs=12", f"model.name={other_base}")

    with pytest.raises(
        CheckpointError, match=r"checkpoint-\d+: its adapters were trained on other"
    ):
        train(config, resume=True)


def test_code_is_not_run_because_a_checkpoint_says_so(lora_folder):
    path = lora_folder / "config.yaml"
    path.write_text(path.read_text().replace("trust_remote_code: false", "trust_remote_code: true"))

    with pytest.raises(CheckpointError, match=r"trust_remote_code.*--trust-remote-code"):
        load_model(lora_folder)
    assert load_model(lora_folder, trust_remote_code=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "LOHA"}, "signseq doesn't write"),
        (
            {"megatron_config": {"a": 1}, "megatron_core": "os"},
            "has megatron_config, megatron_core",
        ),
        ({"peft_type": "NONE"}, "can't be read"),
    ],
)
def test_settings_of_other_adapters_are_refused(lora_folder, changes, message):
    rewrite(lora_folder / "adapter_config.json", **changes)

    with pytest.raises(CheckpointError, match=message):
        load_model(lora_folder)
