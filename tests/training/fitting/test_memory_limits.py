import pytest

from signseq.errors import ConfigError, DataError
from signseq.model.memory import MemoryEstimate, StepSize
from signseq.training.arguments import check_processes
from signseq.training.fitting import batch_choice, memory_limits
from signseq.training.fitting.memory_limits import available_memory, check_memory, estimate_step
from signseq.training.run import build_parts, train

SIZE = StepSize(8, 18, 5)


@pytest.fixture(scope="module")
def parts(prepared):
    from conftest import tiny_config

    config = tiny_config(prepared, "data.val_path=null")
    return config, build_parts(config).model


def test_there_is_some_memory():
    assert 2**20 < available_memory() < 2**50


def test_processes_share_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_limits, "CGROUP_LIMIT", tmp_path / "none")
    alone = available_memory()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")

    assert available_memory() == pytest.approx(alone / 4, rel=0.2)


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("12345678\n")
    monkeypatch.setattr(memory_limits, "CGROUP_LIMIT", tmp_path / "memory.max")

    assert available_memory() == 12345678


def test_what_does_not_fit_is_stopped_with_the_estimate(parts):
    needed = estimate_step(*parts, SIZE).total

    with pytest.raises(ConfigError, match=r"needs about .* MiB \(weights .*8 clips of 18 frames"):
        check_memory(*parts, [SIZE], available=needed // 2)


def test_what_may_not_fit_is_warned_of(parts, caplog):
    check_memory(*parts, [SIZE], available=estimate_step(*parts, SIZE).total)

    assert "It may not fit" in caplog.text


def test_what_fits_is_not_worth_a_word(parts, caplog):
    check_memory(*parts, [SIZE], available=100 * estimate_step(*parts, SIZE).total)

    assert not caplog.text


def test_a_smaller_optimizer_needs_less(parts):
    config, model = parts
    totals = []
    for name in ("adamw", "adamw_8bit", "adafactor"):
        training = config.training.model_copy(update={"optimizer": name})
        changed = config.model_copy(update={"training": training})
        totals.append(estimate_step(changed, model, SIZE).total)

    assert totals[0] > totals[1] > totals[2]


def test_a_run_that_cannot_fit_stops_before_it_begins(run_config, monkeypatch, tmp_path):
    monkeypatch.setattr(batch_choice, "available_memory", lambda: 1000)

    with pytest.raises(ConfigError, match="are free"):
        train(run_config())
    assert not (tmp_path / "run").exists()


def test_more_clips_in_a_batch_than_there_are(run_config):
    with pytest.raises(DataError, match=r"batch_size is 97, and there are 96 training clips"):
        build_parts(run_config("training.batch_size=97"))


@pytest.fixture
def large():
    """An estimate, most of which is weights, their gradients and the optimizer's state."""
    return MemoryEstimate("full", 4 * 10**9, 8 * 10**9, 7 * 10**9, trainable=10**9)


@pytest.fixture
def sharded(parts, large, monkeypatch):
    """Four processes that share the weights of a large model."""
    config, model = parts
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(memory_limits, "estimate_memory", lambda *_, **__: large)
    monkeypatch.setattr(memory_limits, "step_by_formula", lambda *_: (7 * 10**9, large.trainable))
    training = config.training.model_copy(update={"fsdp": True})
    return config.model_copy(update={"training": training}), model


def test_sharded_weights_count_by_the_share_of_one_gpu(parts, sharded, large):
    found = estimate_step(*sharded, SIZE)

    assert (found.weights, found.optimizer) == (10**9, 2 * 10**9)
    # of 4 GB of gradients and 2 GB of copies a quarter is left, and of the rest all
    assert found.step == 10**9 + 6 * 10**9 // 4
    assert estimate_step(*parts, SIZE).total == large.total


def test_a_sharded_run_that_fits_is_not_stopped(parts, sharded, caplog):
    check_memory(*sharded, [SIZE], available=8 * 10**9)
    assert not caplog.text

    with pytest.raises(ConfigError, match=r"on several GPUs also training\.fsdp"):
        check_memory(*parts, [SIZE], available=8 * 10**9)
    with pytest.raises(ConfigError, match=r"more processes: training\.fsdp") as fault:
        check_memory(*sharded, [SIZE], available=2 * 10**9)
    assert "auto_batch" not in str(fault.value)  # it doesn't go together with it


def test_little_memory_is_told_in_a_unit_that_shows_it(parts):
    with pytest.raises(ConfigError, match=r"needs about [1-9][\d.]* MiB .* and 0\.5 MiB are free"):
        check_memory(*parts, [SIZE], available=2**19)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_process_without_a_gpu_names_both_numbers(rank):
    with pytest.raises(ConfigError, match=r"4 processes.*it has 2 GPUs.*--nproc_per_node=2"):
        check_processes(rank, 4, gpus=2)


@pytest.mark.parametrize(("rank", "gpus"), [(0, 1), (1, 2), (3, 0)])
def test_a_process_with_a_gpu_or_on_cpus_may_start(rank, gpus):
    check_processes(rank, 4, gpus=gpus)
