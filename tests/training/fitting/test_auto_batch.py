import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from signseq.config import load_config
from signseq.data.batching import BucketBatchSampler
from signseq.errors import ConfigError
from signseq.model.memory import StepSize
from signseq.training.arguments import build_arguments
from signseq.training.fitting import batch_choice
from signseq.training.fitting.auto_batch import (
    TOLERANCE,
    BudgetSearch,
    Memory,
    find_budget,
    largest_fitting,
    with_budget,
    with_budget_of,
)
from signseq.training.fitting.memory_limits import largest_batches
from signseq.training.fitting.step_probe import StepProbe, made_up_batch
from signseq.training.precision import FULL_PRECISION
from signseq.training.run import build_parts, train

LENGTHS = np.random.default_rng(0).integers(20, 200, size=4000)
TOKENS = np.random.default_rng(1).integers(5, 60, size=4000)


@given(
    limit=st.integers(1, 100_000),
    lowest=st.integers(1, 1000),
    span=st.integers(0, 100_000),
    guess=st.integers(1, 200_000),
)
def test_the_search_finds_what_fits_whatever_the_guess(limit, lowest, span, guess):
    tried = []

    def fits(number):
        tried.append(number)
        return number <= limit

    highest = lowest + span
    found = largest_fitting(fits, lowest=lowest, highest=highest, guess=guess)

    if limit < lowest:
        assert found is None
    else:
        best = min(limit, highest)
        assert found <= best <= found + max(1, TOLERANCE * found)
    assert len(tried) == len(set(tried)) <= 30
    assert all(lowest <= number <= highest for number in tried)


def test_the_largest_batches_are_those_by_each_measure():
    by_frames, by_tokens = StepSize(40, 11, 6), StepSize(20, 5, 30)
    by_both, by_pairs = StepSize(10, 40, 40), StepSize(2, 200, 5)
    small = StepSize(3, 30, 20)
    sizes = [small, by_frames, by_tokens, by_both, by_pairs, small]
    counts = [size.batch_size for size in sizes]
    frames = np.repeat([size.frames for size in sizes], counts)
    tokens = np.repeat([size.tokens for size in sizes], counts)
    plan = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])

    assert largest_batches([plan], frames, tokens) == [by_frames, by_tokens, by_both, by_pairs]
    assert largest_batches([plan[:1], plan[1:2]], frames, tokens)[0] == by_frames
    assert largest_batches([plan[:1]], frames, tokens) == [small]


def make_search(fits):
    def sampler_for(budget):
        return BucketBatchSampler(LENGTHS, frames_per_batch=budget)

    return BudgetSearch(sampler_for, TOKENS, fits=fits)


def test_a_budget_fits_if_its_worst_batches_do():
    """Memory by tokens: short clips with long texts decide, not the longest clips."""
    search = make_search(lambda size: size.batch_size * size.tokens <= 3000)
    budget = find_budget(search, LENGTHS, guess=5000)

    assert all(size.batch_size * size.tokens <= 3000 for size in search.sizes(budget))
    over = search.sizes(int(budget * (1 + 2 * TOLERANCE)))
    assert any(size.batch_size * size.tokens > 3000 for size in over)


def test_an_epoch_keeps_its_steps_where_memory_has_no_end(caplog):
    with caplog.at_level(logging.INFO):
        budget = find_budget(make_search(lambda size: True), LENGTHS, guess=100)

    assert budget == LENGTHS.sum() // 100
    assert "fewer than 100 steps" in caplog.text


def test_where_nothing_fits_the_sizes_are_named():
    with pytest.raises(ConfigError, match=r"not even the smallest batches fit.*frames and.*tokens"):
        find_budget(make_search(lambda size: False), LENGTHS, guess=5000)


def test_clips_are_counted_as_long_as_augmentation_makes_them():
    def drawn(epoch, clips, before):
        return LENGTHS[clips] + 100 * epoch

    def sampler_for(budget):
        return BucketBatchSampler(LENGTHS, frames_per_batch=budget, drawn=drawn)

    sizes = BudgetSearch(sampler_for, TOKENS, fits=lambda size: True).sizes(2000)

    assert max(size.frames for size in sizes) > LENGTHS.max() + 150


def test_a_prompt_counts_in_every_batch():
    search = make_search(lambda size: size.batch_size * (size.frames + size.prompt) <= 4000)
    longer = replace(search, prompt=100)

    assert {size.prompt for size in search.sizes(2000)} == {0}
    assert {size.prompt for size in longer.sizes(2000)} == {100}
    budgets = [find_budget(each, LENGTHS, guess=2000) for each in (search, longer)]
    assert budgets[1] < budgets[0]


@pytest.mark.parametrize("told", [None, "translate to text"])
def test_the_memory_of_a_run_is_looked_at_with_its_prompt(run_config, monkeypatch, told):
    sizes = []

    def note(config, model, found, *, available):
        sizes.extend(found)

    monkeypatch.setattr(batch_choice, "check_memory", note)
    config = run_config(*([] if told is None else [f"data.prompt={told}"]))
    model = build_parts(config).model

    tokens = len(model.config.tokens_before) + len(model.config.tokens_after)
    assert {size.prompt for size in sizes} == {tokens if told else 0}
    batch = made_up_batch(model, sizes[0], torch.device("cpu"))
    assert ("prompts" in batch) == bool(told)
    assert torch.isfinite(model(**batch).loss)


# ------------------------------------------------------------------------------- what is kept


def test_what_was_found_is_known_again_for_the_same_facts_only(tmp_path):
    memory = Memory(tmp_path / "deep" / "auto_batch.json")
    assert memory.recall({"device": "A"}) is None
    memory.remember({"device": "A"}, 1000)
    memory.remember({"device": "B"}, 2000)

    assert memory.recall({"device": "A"}) == 1000
    assert memory.recall({"device": "B"}) == 2000
    assert memory.recall({"device": "A", "model": "t5"}) is None
    assert [path.name for path in memory.path.parent.iterdir()] == ["auto_batch.json"]


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"x": "y"}'])
def test_a_damaged_file_is_as_none(tmp_path, damage):
    memory = Memory(tmp_path / "auto_batch.json")
    memory.path.write_text(damage)

    assert memory.recall({}) is None
    memory.remember({}, 5)
    assert memory.recall({}) == 5


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    Memory(tmp_path / "file" / "auto_batch.json").remember({}, 5)

    assert "can't be written" in caplog.text


# ------------------------------------------------------------------------------------ in a run


@pytest.fixture
def limited(monkeypatch, tmp_path):
    """A machine on which batches of so many clips fit."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tried = []

    def fits(config, model, size, *, available):
        tried.append(size)
        return size.batch_size <= 7

    monkeypatch.setattr(batch_choice, "fits_by_estimate", fits)
    monkeypatch.setattr("signseq.training.fitting.auto_batch.STEPS_PER_EPOCH", 1)
    return tried


AUTO = ("training.batch_size=null", "training.auto_batch=true", "data.val_path=null")


def test_a_run_finds_its_budget_and_remembers_it(run_config, limited, tmp_path):
    first = build_parts(run_config(*AUTO)).sampler
    tried = len(limited)
    again = build_parts(run_config(*AUTO)).sampler
    other = build_parts(run_config(*AUTO, "training.gradient_checkpointing=true")).sampler

    assert max(len(batch) for batch in first.plan(None).batches) == 7
    assert tried > 1
    assert again.frames_per_batch == first.frames_per_batch
    assert other.frames_per_batch == first.frames_per_batch
    assert len(limited) == 2 * tried  # the second knew it, the third had other settings
    assert len(json.loads((tmp_path / "cache/signseq/auto_batch.json").read_text())) == 2


def test_the_folder_of_a_run_says_what_was_found(run_config, limited, tmp_path):
    config = run_config(*AUTO, "training.max_steps=2", "training.save_steps=1")
    folder = train(config)
    saved = load_config(folder / "config.yaml").training
    checkpoint = folder / "checkpoint-2"

    assert not saved.auto_batch
    assert saved.frames_per_batch > 0
    (tmp_path / "cache/signseq/auto_batch.json").unlink()
    assert with_budget_of(config, checkpoint) == with_budget(config, saved.frames_per_batch)
    limited.clear()
    train(config, resume=True)
    assert not limited


def test_sharded_weights_are_not_probed(run_config):
    with pytest.raises(ConfigError, match=r"fsdp doesn't go together with training\.auto_batch"):
        train(run_config(*AUTO, "training.fsdp=true"))


@pytest.mark.parametrize("key", ["batch_size=8", "frames_per_batch=800"])
def test_a_size_and_auto_batch_contradict_each_other(make_config, key):
    with pytest.raises(ConfigError, match=rf"auto_batch is true and training\.{key.split('=')[0]}"):
        make_config("training.batch_size=null", "training.auto_batch=true", f"training.{key}")


@pytest.fixture
def probe(run_config, monkeypatch):
    """A probe on a made-up GPU of 1,000,000 bytes, 880,000 of which a step takes."""
    model = torch.nn.Linear(100, 10)
    arguments = build_arguments(run_config(), steps_per_epoch=1)
    for name, value in {
        "mem_get_info": (10**6, 10**6),
        "memory_reserved": 0,
        "reset_peak_memory_stats": None,
        "max_memory_reserved": 880_000,
        "empty_cache": None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    made = StepProbe(model, model, arguments=arguments, precision=FULL_PRECISION)
    monkeypatch.setattr(made, "step", lambda *_: None)
    return made


def test_several_processes_need_room_for_the_sums_of_their_gradients(probe, monkeypatch):
    size = StepSize(1, 1, 1)
    assert probe.fits(size)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert probe.fits(size)  # 4,040 bytes more

    probe.trained = torch.nn.Linear(1000, 5)  # 20,020
    assert not probe.fits(size)
    probe.trained.requires_grad_(False)
    assert probe.fits(size)


@pytest.mark.parametrize(
    ("fault", "is_lack"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_library_without_memory_is_a_step_that_does_not_fit(probe, monkeypatch, fault, is_lack):
    def step(*_):
        raise fault

    monkeypatch.setattr(probe, "step", step)
    if is_lack:
        assert not probe.fits(StepSize(1, 1, 1))
    else:
        with pytest.raises(RuntimeError, match="mat1"):
            probe.fits(StepSize(1, 1, 1))


def test_a_probe_does_real_steps_and_leaves_no_trace(run_config):
    config = run_config("data.val_path=null", "model.dropout=0.1", "model.encoder.type=part_gcn")
    model = build_parts(config).model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    arguments = build_arguments(config, steps_per_epoch=1)
    probe = StepProbe(model, model, arguments=arguments, precision=FULL_PRECISION)
    [size] = largest_batches([[np.arange(3)]], np.full(3, 12), np.full(3, 5))

    with probe._undone(arguments.device):
        probe.step(size, arguments.device)
        moved = [n for n, tensor in model.state_dict().items() if not tensor.equal(before[n])]
    assert len(moved) > 10
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert torch.get_rng_state().equal(random)
    assert all(parameter.grad is None for parameter in model.parameters())
