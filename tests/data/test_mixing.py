"""Several corpora as one store, and what each epoch draws of them."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import make_pose
from signseq.data.batching import BucketBatchSampler, ClipDataset
from signseq.data.examples import Example
from signseq.data.mixing import CorpusLabels, MixedStore
from signseq.data.shards import finish_store, write_shard
from signseq.data.store import PoseStore, open_store
from signseq.errors import DataError
from signseq.poses.augmentation import Augmentation
from signseq.poses.sequence import write_pose
from signseq.poses.transforms import PoseRecipe

SIZES = (600, 150, 30)  # clips of three corpora
TOTAL = sum(SIZES)
CORPORA = np.repeat(np.arange(3), SIZES)
LENGTHS = np.random.default_rng(0).integers(20, 250, TOTAL)


def make_sampler(**options: Any) -> BucketBatchSampler:
    options.setdefault("frames_per_batch", 2000)
    return BucketBatchSampler(LENGTHS, corpora=CORPORA, **options)


def keys_of(sampler: BucketBatchSampler, epoch: int) -> list[list[tuple[int, ...]]]:
    sampler.set_epoch(epoch)
    return [list(batch) for batch in sampler]


def drawn(sampler: BucketBatchSampler, epoch: int) -> list[int]:
    return [key[1] for batch in keys_of(sampler, epoch) for key in batch]


def shares(sampler: BucketBatchSampler, epoch: int = 0) -> list[int]:
    return np.bincount(CORPORA[drawn(sampler, epoch)], minlength=3).tolist()


# ------------------------------------------------------------------------------- what is drawn


def test_at_temperature_1_every_epoch_has_each_clip_once():
    sampler = make_sampler()
    for epoch in range(3):
        assert sorted(drawn(sampler, epoch)) == list(range(TOTAL))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, 1e9])
def test_shares_follow_the_sizes_to_the_power_of_one_by_the_temperature(temperature: float):
    weights = np.array(SIZES, dtype=float) ** (1 / temperature)
    assert shares(make_sampler(temperature=temperature)) == pytest.approx(
        TOTAL * weights / weights.sum(), abs=0.51
    )


@pytest.mark.parametrize("temperature", [1.7, 1e9])
def test_at_any_time_each_clip_of_a_corpus_came_equally_often_or_once_more(temperature: float):
    sampler, counts = make_sampler(temperature=temperature), np.zeros(TOTAL, dtype=int)
    for epoch in range(7):
        np.add.at(counts, drawn(sampler, epoch), 1)
        for corpus in range(3):
            own = counts[corpus == CORPORA]
            assert own.max() - own.min() <= 1
    assert counts.min() >= 2  # of the large corpus, too, no clip is forgotten


def test_every_epoch_has_as_many_batches_whatever_it_draws():
    for options in ({"frames_per_batch": 500}, {"frames_per_batch": 3000}, {"batch_size": 7}):
        for temperature in (1.5, 4.0):
            given = {"frames_per_batch": None, "temperature": temperature, "world_size": 2}
            sampler = make_sampler(**{**given, **options}, accumulation=2)
            counts = {len(keys_of(sampler, epoch)) for epoch in range(12)}
            assert counts == {len(sampler)}


def test_batches_stay_within_the_budget_and_nearly_full():
    sampler = make_sampler(temperature=3.0)
    batches = [
        [LENGTHS[key[1]] for key in batch] for n in range(5) for batch in keys_of(sampler, n)
    ]
    padded = [len(batch) * max(batch) for batch in batches]
    assert max(padded) <= 2000
    assert sum(map(sum, batches)) / sum(padded) > 0.95
    assert np.mean(padded) > 0.9 * 2000


def test_processes_share_the_draws_of_one():
    whole = keys_of(make_sampler(temperature=3.0, accumulation=2), 4)
    parts = [
        keys_of(make_sampler(temperature=3.0, rank=rank, world_size=2), 4) for rank in range(2)
    ]
    assert [batch for pair in zip(*parts, strict=True) for batch in pair] == whole


def test_what_is_drawn_depends_on_seed_and_epoch_alone():
    first, again = make_sampler(temperature=3.0), make_sampler(temperature=3.0)
    keys_of(first, 9)
    assert keys_of(first, 2) == keys_of(again, 2)
    assert keys_of(make_sampler(temperature=3.0, seed=1), 2) != keys_of(again, 2)
    assert sorted(drawn(again, 2)) != sorted(drawn(again, 3))


def test_no_clip_has_the_same_key_twice_in_an_epoch():
    keys = [key for batch in keys_of(make_sampler(temperature=1e9), 0) for key in batch]
    assert len(set(keys)) == len(keys)
    most = Counter(key[1] for key in keys).most_common(1)[0]
    assert most[1] == 9  # 260 draws of 30 clips
    assert {key[2] for key in keys if key[1] == most[0] and len(key) == 3} == set(range(1, 9))


def test_a_clip_that_comes_again_is_planned_as_long_as_it_will_be():
    def drawn(epoch: int, clips: Any, before: Any) -> Any:
        return 10 + 2 * before + epoch + 0 * clips

    for options in ({"batch_size": 5, "frames_per_batch": None}, {"frames_per_batch": 3000}):
        sampler = make_sampler(temperature=1e9, drawn=drawn, **options)
        for epoch in range(6):
            plan = sampler.plan(epoch)
            batches = keys_of(sampler, epoch)
            assert len(batches) == len(sampler)
            for keys, batch in zip(batches, plan.batches, strict=True):
                before = np.array([(*key, 0)[2] for key in keys])
                assert plan.lengths[batch].tolist() == (10 + 2 * before + epoch).tolist()


def test_without_corpora_keys_and_batches_are_those_of_before():
    plain = BucketBatchSampler(LENGTHS, frames_per_batch=2000)
    assert all(len(key) == 2 for batch in keys_of(plain, 0) for key in batch)
    one = BucketBatchSampler(LENGTHS, frames_per_batch=2000, corpora=np.zeros(TOTAL, dtype=int))
    assert len(one) - len(plain) in range(8)  # room for draws that never differ
    assert sorted(drawn(one, 0)) == sorted(drawn(plain, 0))


# ------------------------------------------------------------------------------------ the store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[PoseStore]:
    """Two stores of two shards each, of which only the second one's rows name languages."""
    recipe, found = PoseRecipe(keypoints="hands", normalize="none"), []
    for corpus in range(2):
        folder = tmp_path_factory.mktemp(f"store{corpus}")
        reports = []
        for shard in range(2):
            examples = []
            for number in range(3):
                uid = f"{corpus}-{shard}-{number}"
                path = folder / f"{uid}.pose"
                seed = 100 * corpus + 10 * shard + number
                write_pose(path, make_pose(frames=12 + seed % 7, seed=seed), size=(500, 500))
                language = "de" if corpus and number == 0 else None
                examples.append(
                    Example(
                        uid, str(path), 0.0, None, f"text {uid}", "train", target_language=language
                    )
                )
            reports.append(write_shard(folder / "train", shard, examples, recipe))
        finish_store(folder / "train", reports, recipe, rows="")
        found.append(open_store(folder / "train"))
    return found


@pytest.fixture(scope="module")
def mixed(stores: list[PoseStore]) -> MixedStore:
    return MixedStore(stores, [CorpusLabels("own"), CorpusLabels("other", target_language="fr")])


def test_the_clips_of_a_mix_are_those_of_its_stores_in_a_row(
    stores: list[PoseStore], mixed: MixedStore
):
    whole = [(store, number) for store in stores for number in range(len(store))]
    assert len(mixed) == len(whole)
    assert mixed.corpora.tolist() == [0] * 6 + [1] * 6
    for place, (store, number) in enumerate(whole):
        assert np.array_equal(mixed.clip(place), store.clip(number))
        assert mixed.details(place) == store.details(number)
        assert mixed.frames[place] == store.frames[number]


def test_a_mix_goes_to_worker_processes(mixed: MixedStore):
    copied = pickle.loads(pickle.dumps(mixed))
    assert np.array_equal(copied.clip(11), mixed.clip(11))
    assert list(copied.targets()) == list(mixed.targets())


def test_a_texts_language_is_its_own_or_that_of_its_corpus(mixed: MixedStore):
    languages = [language for _, language in mixed.targets()]
    assert languages == [None] * 6 + ["de", "fr", "fr"] * 2


def test_mean_and_spread_are_those_of_all_visible_points(mixed: MixedStore):
    frames = np.concatenate([mixed.clip(number) for number in range(len(mixed))]).astype(float)
    visible = (frames[..., -1:] > 0) & np.ones(frames.shape[-1] - 1, dtype=bool)
    points = np.ma.array(frames[..., :-1], mask=~visible)
    assert mixed.mean == pytest.approx(points.mean(axis=0).filled(0), abs=1e-3, rel=1e-4)
    assert mixed.spread == pytest.approx(points.std(axis=0).filled(0), abs=1e-3, rel=1e-4)


def test_a_store_whose_sums_are_gone_is_named(tmp_path: Path, stores: list[PoseStore]):
    import shutil

    assert isinstance(stores[1].folder.path, Path)  # type: ignore[attr-defined]
    copy = Path(shutil.copytree(stores[1].folder.path, tmp_path / "copy"))  # type: ignore[attr-defined]
    (copy / "shard-00001.json").unlink()
    with pytest.raises(DataError, match=r"copy/shard-00001\.json: missing or damaged"):
        MixedStore([stores[0], open_store(copy)], [CorpusLabels("a"), CorpusLabels("b")])


def test_a_clip_that_comes_again_is_augmented_otherwise(mixed: MixedStore):
    dataset = ClipDataset(mixed, augmentation=Augmentation(rotate_degrees=20), seed=3)

    def poses(*key: int) -> NDArray[np.float16]:
        return dataset[key]["poses"]  # type: ignore[index]

    assert np.array_equal(poses(1, 7), poses(1, 7))
    assert not np.array_equal(poses(1, 7), poses(1, 7, 1))
    assert not np.array_equal(poses(1, 7, 1), poses(1, 7, 2))
