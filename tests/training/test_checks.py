import pytest

from signseq.errors import ConfigError, DataError
from signseq.training.checks import OVERFIT_LOSS, dry_run, overfit


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_writes_nothing(run_config, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tree(prepared)

    dry_run(run_config(), steps=1)

    assert tree(prepared) == before
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_a_run_takes(run_config):
    found = dry_run(run_config("training.num_epochs=3"), steps=2)

    assert (found.clips, found.batches) == (96, 12)
    assert found.parameters.total == found.parameters.trainable > 10_000
    assert (found.cut_clips, found.cut_texts) == (0, 0)
    assert found.memory_bytes > 2**20
    assert found.run_seconds == pytest.approx(found.step_seconds * 36)
    assert 0 <= found.padding < 1


def test_a_dry_run_is_described_in_words(run_config):
    text = dry_run(run_config(), steps=1).describe()

    for word in ("parameters", "batches per epoch", "memory", "time", "loss", "padding"):
        assert word in text


def test_max_steps_count_optimizer_steps(run_config):
    config = run_config("training.max_steps=2", "training.gradient_accumulation_steps=3")
    found = dry_run(config, steps=1)

    assert found.run_seconds == pytest.approx(found.step_seconds * 6)


def test_a_dry_run_counts_what_is_cut(run_config):
    found = dry_run(run_config("data.max_frames=12", "data.max_length=3"), steps=1)

    assert found.cut_clips == 32  # every third clip has three words, six frames each
    assert found.cut_texts > 0


def test_a_dry_run_finds_mistakes_that_training_would(run_config):
    with pytest.raises(ConfigError, match="Did you mean lr_scheduler_type"):
        dry_run(run_config("training.hf={lr_sheduler_type: cosine}"))


def test_a_dry_run_refuses_what_training_would(run_config):
    with pytest.raises(ConfigError, match="bleu4, which is 0 by definition"):
        dry_run(run_config("training.best_metric=bleu4"))
    with pytest.raises(ConfigError, match=r"fsdp doesn't go together with training\.compile"):
        dry_run(run_config("training.fsdp=true", "training.compile=true"))


@pytest.mark.parametrize("check", [dry_run, overfit])
def test_checks_do_not_prepare_a_store(make_config, write_corpus_files, check):
    folder = write_corpus_files(train=8, val=2)

    with pytest.raises(DataError, match=r"no finished store.*signseq prepare"):
        check(make_config())

    assert not (folder / "store").exists()


def test_one_batch_can_be_overfitted_and_nothing_is_written(run_config, prepared, tmp_path):
    before = tree(prepared)

    loss = overfit(run_config("data.augment={rotate_degrees: 20}", "model.dropout=0.3"))

    assert loss < OVERFIT_LOSS
    assert tree(prepared) == before
    assert list(tmp_path.iterdir()) == []
