"""Training from a store that lies elsewhere, through a cache that is smaller than the store."""

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise

import fsspec
import pytest
from safetensors.torch import load_file

import signseq.preparation
from conftest import tiny_config, write_corpus
from signseq.config import save_config
from signseq.data.batching import BucketBatchSampler
from signseq.data.cache import build_cache
from signseq.data.planning import ShardWindows
from signseq.data.storage import RemoteFolder
from signseq.data.store import open_store
from signseq.errors import DataError
from signseq.evaluation import evaluate, translate_store
from signseq.preparation import open_split, prepare
from signseq.training.run import build_parts, train
from signseq.translation import Translator

CLIPS, EPOCHS, SAVED, KILLED = 96, 3, 20, 22
GIB = 0.00025  # of the cache: the store takes three times as much
SETTINGS = (
    f"training.num_epochs={EPOCHS}",
    "training.batch_size=4",
    "training.save_steps=10",
    "data.val_path=null",
    f"data.cache_gib={GIB}",
)

# What a process of the run does: it notes the clips that it trains on, and the bytes in the cache.
RUN = """
import hashlib, json, os, signal, sys, torch
from pathlib import Path
from signseq.config import load_config
from signseq.training.run import train
from signseq.training.trainer import SignTrainer

config, log, killed, resume = sys.argv[1:]
config = load_config(config)
training_step = SignTrainer.training_step

def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # made room for another since it was listed
        return 0

def note(self, model, inputs, *args, **kwargs):
    step = self.state.global_step
    clips = [hashlib.sha256(clip[0].numpy().tobytes()).hexdigest() for clip in inputs["poses"]]
    held = sum(map(size, Path(config.data.cache_dir).glob("*/*.poses")))
    with open(f"{log}-{os.environ['RANK']}", "a") as file:
        file.write(json.dumps([step, clips, held]) + "\\n")
    if step == int(killed):
        torch.distributed.barrier()  # else the one that is left would be waited for
        os.kill(os.getpid(), signal.SIGKILL)
    return training_step(self, model, inputs, *args, **kwargs)

SignTrainer.training_step = note
train(config, resume=resume == "resume")
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A prepared corpus whose shards have eight clips."""
    folder = write_corpus(tmp_path_factory.mktemp("streaming"), train=CLIPS, val=4, test=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signseq.preparation, "CLIPS_PER_SHARD", 8)
        prepare(tiny_config(folder), workers=1)
    return folder


@pytest.fixture
def stream_config(corpus, tmp_path):
    """A config of a run that reads the corpus' store from a URL."""

    def make(*overrides, url=f"file://{corpus}/store"):
        places = [f"data.store={url}", f"data.cache_dir={tmp_path}/cache"]
        return tiny_config(
            corpus, *SETTINGS, *places, f"training.checkpoint_dir={tmp_path}/run", *overrides
        )

    return make


@pytest.fixture
def far(corpus):
    """The URL of the store's copy in memory."""
    files = fsspec.filesystem("memory")
    files.put(str(corpus / "store"), "/far", recursive=True)
    yield "memory://far"
    files.rm("/far", recursive=True)


# ------------------------------------------------------------------------------ two processes


@pytest.fixture(scope="module")
def killed_and_resumed(corpus, tmp_path_factory):
    """The notes of two ranks with two workers each, killed in the second epoch, and of them going on."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "run.py").write_text(RUN)
    places = [f"data.store=file://{corpus}/store", f"data.cache_dir={folder}/cache"]
    places += ["training.num_workers=2", f"training.checkpoint_dir={folder}/run"]
    config = tiny_config(corpus, *SETTINGS, *places)
    save_config(config, folder / "config.yaml")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for name, killed, resume in (("killed", KILLED, "anew"), ("resumed", -1, "resume")):
        arguments = (folder / "run.py", folder / "config.yaml", folder / name, killed, resume)
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode == 0) == (name == "resumed"), done.stderr

    def notes(name, rank):
        lines = (folder / f"{name}-{rank}").read_text().splitlines()
        return {step: (clips, held) for step, clips, held in map(json.loads, lines)}

    killed, resumed = ([notes(name, rank) for rank in (0, 1)] for name in ("killed", "resumed"))
    return config, killed, resumed


def planned(config, rank):
    """The batches of a rank in all epochs, as the clips' first frames."""
    store = open_split(config.data, "train")
    sampler = BucketBatchSampler(
        store.frames.astype(int),
        batch_size=4,
        seed=config.seed,
        rank=rank,
        world_size=2,
        windows=ShardWindows.of_store(store),
    )
    local = open_store(config.data.store.removeprefix("file://") + "/train")
    batches = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        batches += [[digest(local.clip(clip)) for _, clip in keys] for keys in sampler]
    return batches


def digest(clip):
    return hashlib.sha256(clip[0].tobytes()).hexdigest()


def test_every_clip_is_trained_on_once_in_each_epoch_though_the_run_was_killed(killed_and_resumed):
    config, killed, resumed = killed_and_resumed
    steps = [
        [before[step] if step < SAVED else after[step] for step in range(max(after) + 1)]
        for before, after in zip(killed, resumed, strict=True)
    ]
    per_epoch = len(steps[0]) // EPOCHS
    local = open_store(config.data.store.removeprefix("file://") + "/train")
    everything = sorted(digest(local.clip(i)) for i in range(CLIPS))
    orders = []
    for epoch in range(EPOCHS):
        batches = [
            clips
            for rank in steps
            for clips, _ in rank[epoch * per_epoch : (epoch + 1) * per_epoch]
        ]
        orders.append([clip for batch in batches for clip in batch])
        assert sorted(orders[-1]) == everything
    assert all(one != other for one, other in pairwise([*orders, orders[0]]))


def test_a_killed_run_goes_on_with_the_batches_that_it_would_have_had(killed_and_resumed):
    config, killed, resumed = killed_and_resumed
    for rank in (0, 1):
        plan = planned(config, rank)
        assert SAVED % (len(plan) // EPOCHS)  # in the middle of an epoch
        assert sorted(resumed[rank]) == list(range(SAVED, len(plan)))
        assert {step: clips for step, (clips, _) in killed[rank].items()} == dict(
            enumerate(plan[: len(killed[rank])])
        )
        assert [clips for clips, _ in resumed[rank].values()] == plan[SAVED:]


def test_the_cache_keeps_its_limit_though_the_store_is_larger(killed_and_resumed):
    config, killed, resumed = killed_and_resumed
    store = open_split(config.data, "train")
    held = [size for notes in (*killed, *resumed) for _, size in notes.values()]
    assert 0 < max(held) <= build_cache(config.data).limit < store.shard_bytes.sum()
    assert ShardWindows.of_store(store).count > 2


# ------------------------------------------------------------------------------ one process


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_store_that_fits_into_the_cache_is_trained_on_as_if_it_were_here(
    stream_config, corpus, far, tmp_path
):
    shared = ("training.num_epochs=1", "data.cache_gib=1", "data.augment={speed: 0.2}")
    shared += (
        f"data.val_path={corpus}/val.csv",
        "training.best_metric=cer",
        "training.save_steps=null",
    )
    place = f"training.checkpoint_dir={tmp_path}"
    here = weights(train(stream_config(*shared, f"{place}/here", url=corpus / "store")))
    there = weights(train(stream_config(*shared, f"{place}/there", url=far)))
    assert all(weight.equal(here[name]) for name, weight in there.items())


def test_resuming_reads_none_of_the_clips_that_were_trained_on(stream_config, far, monkeypatch):
    from signseq.data.store import PoseStore
    from signseq.training.trainer import SignTrainer

    read = []
    clip = PoseStore.clip

    def note(self, number):
        read.append(number)
        return clip(self, number)

    def stop(self, *args, **kwargs):
        if self.state.global_step == 15:
            raise KeyboardInterrupt
        return training_step(self, *args, **kwargs)

    config = stream_config("training.num_epochs=1", url=far)
    training_step = SignTrainer.training_step
    with monkeypatch.context() as patch:
        patch.setattr(SignTrainer, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    parts = build_parts(config)
    left = [clip for keys in list(parts.sampler)[10:] for _, clip in keys]
    monkeypatch.setattr(PoseStore, "clip", note)
    train(config, resume=True)
    assert read == left


def test_a_resumed_run_keeps_its_windows_wherever_the_store_is_then(
    stream_config, corpus, far, tmp_path
):
    folder = train(stream_config("training.max_steps=10", url=far))
    [checkpoint] = folder.glob("checkpoint-*")

    def batches(*overrides, start=checkpoint, url=far):
        return list(build_parts(stream_config(*overrides, url=url), start=start).sampler)

    wanted = batches(start=None)
    assert batches("data.cache_gib=1") == wanted
    assert batches(url=corpus / "store") == wanted
    assert batches(start=None, url=corpus / "store") != wanted
    with pytest.raises(DataError, match=r"too few for what is read at a time.*data\.cache_gib to"):
        batches("data.cache_gib=0.00012")


def test_a_store_larger_than_the_cache_is_translated_with_one_download(
    trained, stream_config, far, monkeypatch
):
    fetched = []
    fetch = RemoteFolder.fetch

    def note(self, name, path):
        fetched.append(name)
        fetch(self, name, path)

    store = open_split(stream_config(url=far).data, "train")
    list(store.texts())
    monkeypatch.setattr(RemoteFolder, "fetch", note)
    translator = Translator.from_pretrained(trained)
    texts = translate_store(
        translator.model, translator.tokenizer, store, settings=translator.settings, batch_size=4
    )
    assert all(texts)
    assert len(set(fetched)) == len(fetched) == CLIPS / 8


def test_evaluating_on_a_store_elsewhere_gives_the_same_scores(trained, prepared, tmp_path):
    here = evaluate(trained, blind=False)
    places = [f"data.store=file://{prepared}/store", f"data.cache_dir={tmp_path}/cache"]
    there = evaluate(trained, blind=False, overrides=places)
    assert there.hypotheses == here.hypotheses
    assert list((tmp_path / "cache").glob("*/*.poses"))
