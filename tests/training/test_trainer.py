import gc
import json
import multiprocessing
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from signseq.data.reading_ahead import BatchReader
from signseq.errors import ConfigError, DataError
from signseq.metrics import score
from signseq.model.ctc import CtcLoss
from signseq.training import batch_loader
from signseq.training import trainer as training_loop
from signseq.training.building import build_trainer
from signseq.training.run import build_parts, train
from signseq.translation import Translator

CLIPS = 96


def trainer_for(config):
    torch.manual_seed(config.seed)
    parts = build_parts(config)
    fields = {name: getattr(parts, name) for name in ("dataset", "sampler", "val_store")}
    fields["targets"] = parts.text_side.targets
    return build_trainer(config, parts.model, parts.tokenizer, **fields)


def final_weights(config):
    return load_file(train(config) / "model.safetensors")


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_accumulating_batches_equals_one_large_batch(run_config, tmp_path):
    """Every clip has its own number of tokens, so the mean of the batches' means would differ."""
    shared = ("data.val_path=null", "training.label_smoothing=0.1", "training.num_epochs=3")
    large = run_config(
        *shared, f"training.batch_size={CLIPS}", f"training.checkpoint_dir={tmp_path}/a"
    )
    small = run_config(
        *shared,
        f"training.batch_size={CLIPS // 4}",
        "training.gradient_accumulation_steps=4",
        f"training.checkpoint_dir={tmp_path}/b",
    )

    wanted, found = final_weights(large), final_weights(small)

    assert log(tmp_path / "b")[-2]["step"] == 3
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)
    for one, other in zip(log(tmp_path / "a"), log(tmp_path / "b"), strict=True):
        if "loss" in one:
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
            assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


def test_every_epoch_has_other_batches_and_every_clip(run_config):
    trainer = trainer_for(run_config("training.num_epochs=3", "data.val_path=null"))
    seen = []
    dataset = trainer.train_dataset
    trainer.train_dataset = Recorder(dataset, seen)

    trainer.train()

    epochs = [[clip for epoch, clip in seen if epoch == number] for number in range(3)]
    assert all(sorted(epoch) == list(range(CLIPS)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


@pytest.mark.parametrize("kind", ["signseq's", "torch's"])
def test_worker_processes_change_nothing_and_end_with_the_run(
    run_config, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(batch_loader, "can_read_ahead", lambda: kind == "signseq's")
    shared = ("training.num_epochs=3", "data.val_path=null", "data.augment={speed: 0.2}")

    config = run_config(*shared, "training.num_workers=1")
    loader = trainer_for(config).get_train_dataloader()
    assert isinstance(loader.dataset, BatchReader) == (kind == "signseq's")

    def weights(workers):
        place = f"training.checkpoint_dir={tmp_path}/{workers}"
        return final_weights(run_config(*shared, f"training.num_workers={workers}", place))

    alone, helped = weights(0), weights(1)

    assert all(weight.equal(alone[name]) for name, weight in helped.items())
    gc.collect()
    assert not multiprocessing.active_children()


class Recorder(torch.utils.data.Dataset):
    def __init__(self, dataset, seen):
        self.dataset, self.seen = dataset, seen

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, key):
        self.seen.append(key)
        return self.dataset[key]


def test_validation_scores_are_those_of_the_translations(run_config):
    trainer = trainer_for(run_config("training.eval_beams=2"))
    metrics = trainer.evaluate()

    model = trainer.model
    settings = trainer.experiment.generation
    translator = Translator(model, trainer.processing_class, settings=settings)
    store = trainer.val_store
    folder = trainer.experiment.data.pose_dir
    files = [folder / f"{store.details(i)['uid']}.pose" for i in range(len(store))]
    wanted = score(
        [found.text for found in translator.stream(files)],
        [store.text(i) for i in range(len(store))],
    )
    assert metrics["eval_cer"] == wanted.cer
    assert metrics["eval_chrf"] == wanted.chrf
    assert "eval_bleu4" not in metrics  # no reference has four words


def test_validation_loss_is_the_mean_over_tokens_without_smoothing(run_config):
    trainer = trainer_for(run_config("training.eval_batch_size=5", "training.label_smoothing=0.3"))
    loss = trainer.evaluate()["eval_loss"]
    single = trainer_for(run_config("training.eval_batch_size=12", "training.label_smoothing=0"))

    assert loss == pytest.approx(single.evaluate()["eval_loss"], rel=1e-5)


def test_labels_are_cut_at_max_length_and_end_with_the_end_token(run_config):
    trainer = trainer_for(run_config("data.max_length=4"))
    tokenizer = trainer.processing_class

    [ids] = trainer.targets([("we eat some bread", None)])

    assert len(ids) == 4
    assert ids[-1] == tokenizer.eos_token_id


def test_best_metric_bleu4_on_short_texts_is_an_error_before_training(run_config, tmp_path):
    with pytest.raises(
        ConfigError, match=r"best_metric is bleu4.*none has four words.*cer, chrf or loss"
    ):
        train(run_config("training.best_metric=bleu4"))

    assert not (tmp_path / "run").exists()


def test_early_stopping_needs_validation_clips(run_config):
    with pytest.raises(DataError, match=r"early_stopping_patience.*data\.val_path"):
        trainer_for(run_config("data.val_path=null", "training.early_stopping_patience=2"))


def test_early_stopping_stops(run_config, tmp_path):
    train(
        run_config(
            "training.learning_rate=1e-9",  # nothing gets better
            "training.num_epochs=50",
            "training.early_stopping_patience=2",
            "training.best_metric=chrf",
        )
    )

    assert log(tmp_path / "run")[-1]["epoch"] == 3  # the first counts, two more are waited for


def test_what_was_tried_before_training_is_no_part_of_the_logged_ctc_loss(run_config, tmp_path):
    (tmp_path / "run").mkdir()
    settings = ("data.val_path=null", "training.ctc_weight=0.3", "training.max_steps=4")
    trainer = trainer_for(run_config(*settings, "training.hf={logging_steps: 4}"))
    nothing = torch.tensor(1)
    trainer.model.ctc_meter.add(CtcLoss(torch.tensor(float("nan")), nothing, 1, nothing))

    trainer.train()

    assert log(tmp_path / "run")[0]["ctc_loss"] > 0


def test_only_the_first_process_computes_scores(run_config, monkeypatch):
    trainer = trainer_for(run_config())
    args = SimpleNamespace(process_index=1, world_size=2)
    monkeypatch.setattr(trainer, "args", args)
    monkeypatch.setattr(training_loop, "score", None)  # calling it would fail
    monkeypatch.setattr(
        torch.distributed, "broadcast_object_list", lambda told: told.__setitem__(0, {"cer": 1.0})
    )

    assert trainer._score(["a"]) == {"cer": 1.0}


def test_nothing_else_logs_or_draws_bars(run_config):
    names = {
        type(callback).__name__ for callback in trainer_for(run_config()).callback_handler.callbacks
    }

    assert not names & {"PrinterCallback", "ProgressCallback"}
    assert {"EpochCallback", "ReportCallback"} <= names
