"""Runs end to end with what tokenizer and task add: language codes, prompts, decoder-only models."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from conftest import tiny_config, write_corpus, write_rows
from signseq.config import ModelConfig
from signseq.errors import ConfigError, ModelError
from signseq.evaluation import evaluate
from signseq.model.text_models import load_text_model
from signseq.model.vocabulary import train_tokenizer
from signseq.training.run import build_parts, train
from signseq.translation import Translator

SIZE = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}
COLUMNS = ("uid", "text", "target_language")


def save_text_model(folder: Path, kind: str, *, codes: tuple[str, ...] = ()) -> Path:
    """A tiny text model with its tokenizer, as it would lie in a folder from the hub."""
    tokenizer = train_tokenizer(["we you eat see bread water"] * 3)
    tokenizer.add_special_tokens({"extra_special_tokens": list(codes)})
    settings = {"name": kind, "from_scratch": True, "size": SIZE, "dropout": 0.0}
    load_text_model(ModelConfig.model_validate(settings), tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pretrained(model: Path, *overrides: str) -> tuple[str, ...]:
    """Overrides that make the tiny config one of a pretrained model."""
    return (
        *(f"model.name={model}", "model.from_scratch=false", "model.size=null"),
        *("model.tokenizer=null", "training.num_epochs=1", "training.best_metric=loss"),
        *overrides,
    )


@pytest.fixture(scope="module")
def bilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose table says the language of every other text, and a model that writes two."""
    folder = write_corpus(tmp_path_factory.mktemp("bilingual"), train=16, val=4, test=4)
    for split in ("train", "val", "test"):
        path = folder / f"{split}.csv"
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        for number, row in enumerate(rows):
            row["target_language"] = "en" if number % 2 else ""
        write_rows(path, rows, columns=COLUMNS)
    save_text_model(folder / "m2m", "m2m_100", codes=("de_DE", "en_XX"))
    return folder


def test_clips_are_trained_scored_and_translated_in_their_own_language(
    bilingual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(bilingual, *pretrained(bilingual / "m2m", "data.target_language=de"))
    tokenizer = AutoTokenizer.from_pretrained(bilingual / "m2m")
    german, english = tokenizer.convert_tokens_to_ids(["de_DE", "en_XX"])

    labels = build_parts(config).dataset.labels
    run = train(config)
    assert [int(labels[i][0]) for i in range(4)] == [german, english, german, english]

    told = []
    translator = Translator.from_pretrained(run)
    generate = type(translator.model).generate

    def listen(self, poses, mask, *, languages=None, **settings):
        told.append(languages)
        return generate(self, poses, mask, languages=languages, **settings)

    monkeypatch.setattr(type(translator.model), "generate", listen)
    evaluate(run, blind=False)
    assert sorted(told[0].tolist()) == [german, german, english, english]
    clip = bilingual / "poses" / "test-0.pose"
    translator.translate(clip)
    translator.translate(clip, target_language="eng")
    assert [None if ids is None else ids.tolist() for ids in told[1:]] == [[german], [english]]
    with pytest.raises(ModelError, match=r"'fr'.*does not know it; it has 2 others, such as de_DE"):
        translator.translate(clip, target_language="fr")


def test_a_multilingual_model_must_be_told_what_to_write(bilingual: Path) -> None:
    config = tiny_config(bilingual, *pretrained(bilingual / "m2m"))

    with pytest.raises(ModelError, match=r"m2m_100 model writes 2 languages \(de_DE, en_XX"):
        build_parts(config)


def test_a_causal_model_goes_the_whole_way(prepared: Path, tmp_path: Path) -> None:
    model = save_text_model(tmp_path / "qwen", "qwen2")
    run = tmp_path / "run"
    settings = pretrained(model, "data.prompt='we see '", f"training.checkpoint_dir={run}")
    config = tiny_config(prepared, *settings)

    train(config)
    scores = evaluate(run, blind=False).scores
    found = Translator.from_pretrained(run).translate(prepared / "poses" / "test-0.pose", n_best=2)

    assert scores.cer >= 0
    assert len(found.alternatives) == 2
    assert found.alternatives[0][1] >= found.alternatives[1][1]


def test_a_composite_goes_the_whole_way(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ("model.name=bert", "model.decoder_name=gpt2", "training.num_epochs=1")
    config = tiny_config(
        prepared, *settings, "training.best_metric=loss", f"training.checkpoint_dir={run}"
    )

    train(config)

    assert len(evaluate(run, blind=False).hypotheses) == 12


@pytest.mark.parametrize("key", ["data.prompt=hello", "data.target_language=en"])
def test_what_was_told_in_training_cant_be_changed_in_scoring(trained: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="belongs to the training of a checkpoint"):
        evaluate(trained, overrides=[key])


def test_a_target_language_for_a_model_without_codes_is_an_error(
    trained: Path, prepared: Path
) -> None:
    clip = prepared / "poses" / "test-0.pose"

    with pytest.raises(ModelError, match=r"\(bart\) has no codes for languages.*Leave"):
        Translator.from_pretrained(trained).translate(clip, target_language="en")


def test_a_wrong_name_is_said_before_anything_is_packed(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, train=2, val=1)
    config = tiny_config(folder, "data.test_path=null", *pretrained(Path("nobody/nothing")))

    with pytest.raises(ModelError, match="The model 'nobody/nothing' can't be loaded"):
        train(config)

    assert not (folder / "store").exists()


def test_what_is_generated_must_fit_a_causal_models_positions(
    prepared: Path, tmp_path: Path
) -> None:
    model = save_text_model(tmp_path / "gpt2", "gpt2")
    settings = pretrained(model, "generation.max_new_tokens=1100")

    with pytest.raises(ModelError, match=r"1100 more for prompt and text.*generation\.max_new_tok"):
        build_parts(tiny_config(prepared, *settings))


def test_more_tokens_than_the_decoder_has_positions_are_an_error_in_scoring(trained: Path) -> None:
    with pytest.raises(
        ModelError, match=r"max_new_tokens = 2000: this bart model writes at most 1024"
    ):
        evaluate(trained, overrides=["generation.max_new_tokens=2000"], blind=False)


def test_a_checkpoint_is_no_text_model(trained: Path, prepared: Path) -> None:
    with pytest.raises(ModelError, match=r"it is a checkpoint of signseq.*use --resume"):
        build_parts(tiny_config(prepared, *pretrained(trained)))
