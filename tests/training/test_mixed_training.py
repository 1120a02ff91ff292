"""Training on several corpora: `data.mix`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from transformers import TrainerCallback

from conftest import tiny_config, write_corpus
from signseq.config import Config, load_config
from signseq.data.batching import collate
from signseq.data.mixing import MixedStore
from signseq.errors import CheckpointError, ConfigError, DataError
from signseq.preparation import prepare
from signseq.training import run
from signseq.training.checks import dry_run
from signseq.training.run import build_parts, train

LIVELY = (
    "data.augment={rotate_degrees: 10, speed: 0.2}",
    "data.mix_temperature=3",
    "model.dropout=0.1",
    "training.num_epochs=2",
    "training.save_steps=5",
    "training.hf={logging_steps: 1}",
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second corpus with its store and a config file, for all tests here: none may change it."""
    folder = write_corpus(tmp_path_factory.mktemp("other"), train=20)
    nothing = ("data.val_path=null", "data.test_path=null")
    config = tiny_config(folder, *nothing, "data.max_frames=9", "data.target_language=de")
    prepare(config, workers=1)
    settings = {"data": config.data.model_dump(mode="json", exclude={"mix", "mix_temperature"})}
    (folder / "other.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


@pytest.fixture
def mixed_config(run_config: Callable[..., Config], other: Path) -> Callable[..., Config]:
    def make(*overrides: str, entry: str = "") -> Config:
        given = f"data.mix=[{{config: {other / 'other.yaml'}{entry}}}]"
        return run_config("data.val_path=null", given, *overrides)

    return make


def places(other: Path) -> str:
    return ", ".join(
        f"{key}: {value}"
        for key, value in {
            "train_path": other / "train.csv",
            "pose_dir": other / "poses",
            "store": other / "store",
        }.items()
    )


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


# ----------------------------------------------------------------------------------- the config


def test_a_mixed_corpus_brings_its_place_and_language_and_no_lengths(
    mixed_config: Callable[..., Config], other: Path
):
    config = mixed_config()
    (corpus,) = config.data.mixed_corpora
    assert corpus.store == other / "store"
    assert corpus.train_path == other / "train.csv"
    assert corpus.target_language == "de"
    assert corpus.val_path is None
    assert "max_frames" not in config.data.mix[0]


def test_what_is_given_beside_a_file_wins(mixed_config: Callable[..., Config]):
    assert mixed_config(entry=", target_language: fr").data.mix[0]["target_language"] == "fr"


def test_a_corpus_without_a_file_is_prepared_like_the_experiments_own(
    run_config: Callable[..., Config], other: Path
):
    config = run_config("data.normalize=box", f"data.mix=[{{{places(other)}}}]")
    assert config.data.mixed_corpora[0].normalize == "box"
    assert config.data.mixed_corpora[0].keypoints == config.data.keypoints


def test_a_saved_config_needs_no_other_file(mixed_config: Callable[..., Config], tmp_path: Path):
    from signseq.config import save_config

    config = mixed_config()
    save_config(config, tmp_path / "saved.yaml")
    assert "other.yaml" not in (tmp_path / "saved.yaml").read_text(encoding="utf-8")
    assert load_config(tmp_path / "saved.yaml") == config


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (", normalize: box", r"other.*train\.csv: normalize is 'box', and data\.normalize is"),
        (", fps: 12.5", r"fps is 12\.5, and data\.fps is None"),
        (", store: 's3://bucket/other'", r"only stores on this machine can be mixed"),
        (", normalise: box", r"corpus 1: normalise is no key of a mixed corpus; did you mean norm"),
        (", max_frames: 3", r"max_frames is no key of a mixed corpus"),
        (", train_path: null", r"train_path is missing"),
        (", keypoints: feet", r"corpus 1: data\.keypoints = 'feet': .*'hands'"),
        (", config: none.yaml", r"corpus 1: none\.yaml: no such config file"),
    ],
)
def test_what_can_not_be_mixed_is_named(
    run_config: Callable[..., Config], other: Path, entry: str, said: str
):
    given = yaml.safe_load(f"{{config: {other / 'other.yaml'}}}") | yaml.safe_load(
        f"{{{entry[2:]}}}"
    )
    with pytest.raises(ConfigError, match=said):
        run_config(f"data.mix={json.dumps([given])}")


def test_a_store_can_not_be_mixed_with_itself(run_config: Callable[..., Config], prepared: Path):
    with pytest.raises(ConfigError, match=r"its store is that of data\.store"):
        run_config(f"data.mix=[{{{places(prepared)}}}]")


def test_a_corpus_must_not_mix_others_itself(
    run_config: Callable[..., Config], other: Path, tmp_path: Path
):
    settings = yaml.safe_load((other / "other.yaml").read_text(encoding="utf-8"))
    settings["data"]["mix"] = [{"config": "third.yaml"}]
    (tmp_path / "nested.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"nested\.yaml mixes corpora itself"):
        run_config(f"data.mix=[{{config: {tmp_path / 'nested.yaml'}}}]")


# ---------------------------------------------------------------------------------- preparation


def test_prepare_packs_the_training_splits_of_the_mix(
    run_config: Callable[..., Config], other: Path, tmp_path: Path
):
    given = places(other).replace(str(other / "store"), str(tmp_path / "store"))
    reports = prepare(run_config(f"data.mix=[{{{given}}}]"), workers=1)
    assert [report.clips for report in reports.values()] == [96, 12, 12, 20]
    assert (tmp_path / "store" / "train" / "store.json").exists()


def test_a_store_of_another_recipe_is_an_error(mixed_config: Callable[..., Config], other: Path):
    copy = other.parent / "box"
    shutil.copytree(other, copy, dirs_exist_ok=True)
    path = copy / "store" / "train" / "store.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["recipe"]["normalize"] = "box"
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(DataError, match=r"box/store/train: .* made with normalize = 'box'"):
        build_parts(mixed_config(entry=f", store: {copy / 'store'}"))


# -------------------------------------------------------------------------------------- the run


def test_a_run_reads_all_corpora_with_the_words_of_all(mixed_config: Callable[..., Config]):
    parts = build_parts(mixed_config("data.mix_temperature=1e6"))
    assert isinstance(parts.dataset.store, MixedStore)
    assert len(parts.dataset) == 116
    keys = [key for batch in parts.sampler for key in batch]
    assert len(keys) == 116
    assert sum(key[1] >= 96 for key in keys) == 58  # of the twenty clips there
    assert parts.model.pose_encoder.features.mean.numpy() == pytest.approx(parts.dataset.store.mean)


def test_a_dry_run_knows_the_mix(mixed_config: Callable[..., Config]):
    found = dry_run(mixed_config("data.mix_temperature=1e6"))
    assert found.clips == 116
    assert 0 <= found.padding < 0.3


class Interrupt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 22:  # within the second epoch; the last checkpoint is of step 20
            raise KeyboardInterrupt


def test_a_resumed_run_on_a_mix_ends_as_an_undisturbed_one(
    mixed_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    place = f"training.checkpoint_dir={tmp_path / 'undisturbed'}"
    wanted = weights(train(mixed_config(*LIVELY, place)))
    build_trainer = run.build_trainer

    def build(*given: Any, **named: Any) -> Any:
        trainer = build_trainer(*given, **named)
        trainer.add_callback(Interrupt())
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(run, "build_trainer", build)
        with pytest.raises(KeyboardInterrupt):
            train(mixed_config(*LIVELY))
    found = weights(train(mixed_config(*LIVELY), resume=True))
    assert all(weight.equal(found[name]) for name, weight in wanted.items())


def test_another_mix_is_refused_by_name(
    mixed_config: Callable[..., Config], run_config: Callable[..., Config]
):
    once = ("training.num_epochs=1", "data.val_path=null")
    train(mixed_config(*once))
    with pytest.raises(CheckpointError, match=r"the corpora that are mixed, or their prompt or"):
        train(run_config(*once), resume=True)
    with pytest.raises(CheckpointError, match=r"prompt or target_language \(data\.mix\)"):
        train(mixed_config(*once, entry=", target_language: fr"), resume=True)
    with pytest.raises(CheckpointError, match=r"data\.mix_temperature: 1\.0 -> 2\.0"):
        train(mixed_config(*once, "data.mix_temperature=2"), resume=True)


# ---------------------------------------------------------------------------------- the prompts


def prompts_of_batches(parts: run.Parts) -> dict[int, list[list[int]]]:
    """The prompts of each corpus, as batches bring them, without padding."""
    found: dict[int, list[list[int]]] = {0: [], 1: []}
    for keys in parts.sampler:
        batch = collate([parts.dataset[key] for key in keys])
        for key, ids in zip(keys, batch["prompts"].tolist(), strict=True):
            found[int(key[1] >= 96)].append([token for token in ids if token >= 0])
    return found


def test_each_corpus_has_its_own_prompt(mixed_config: Callable[..., Config]):
    parts = build_parts(mixed_config("data.prompt=we see", entry=", prompt: you eat bread"))
    ids = [
        parts.tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("we see", "you eat bread")
    ]
    found = prompts_of_batches(parts)
    assert all(prompt == ids[0] for prompt in found[0])
    assert all(prompt == ids[1] for prompt in found[1])
    assert parts.model.config.tokens_before == ids[0]  # validation and translation


def test_an_empty_prompt_is_none_for_its_corpus(mixed_config: Callable[..., Config]):
    parts = build_parts(mixed_config("data.prompt=we see", entry=", prompt: ''"))
    assert all(prompt == [] for prompt in prompts_of_batches(parts)[1])


def test_a_corpus_without_a_prompt_has_that_of_the_experiment(
    mixed_config: Callable[..., Config],
):
    parts = build_parts(mixed_config("data.prompt=we see"))
    assert "prompts" not in collate([parts.dataset[0, 0], parts.dataset[0, 100]])


def test_a_run_with_several_prompts_learns(mixed_config: Callable[..., Config]):
    config = mixed_config("training.max_steps=2", "data.prompt=we", entry=", prompt: you see")
    folder = train(config)
    assert (folder / "model.safetensors").exists()


def test_another_prompt_of_a_corpus_is_refused(mixed_config: Callable[..., Config]):
    train(mixed_config("training.max_steps=1", entry=", prompt: we"))
    with pytest.raises(CheckpointError, match=r"mixed, or their prompt"):
        train(mixed_config("training.max_steps=1", entry=", prompt: you"), resume=True)
