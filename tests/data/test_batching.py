from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import KEYPOINTS, make_pose
from signseq.data.batching import (
    BucketBatchSampler,
    Clip,
    ClipDataset,
    collate,
)
from signseq.data.examples import Example
from signseq.data.planning import ShardWindows, plan_batches
from signseq.data.shards import finish_store, write_shard
from signseq.data.store import PoseStore, open_store
from signseq.data.token_texts import TokenTexts
from signseq.errors import DataError
from signseq.poses.augmentation import Augmentation
from signseq.poses.draws import derive_seeds
from signseq.poses.sequence import write_pose
from signseq.poses.transforms import PoseRecipe

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60).map(np.array)
MULTIPLES = st.integers(1, 9)
SEEDS = st.integers(0, 1000)


def random_lengths(count: int, *, low: int = 60, high: int = 250) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(low, high + 1, size=count)


def padded(batch: NDArray[np.int64], lengths: NDArray[np.int64]) -> int:
    return len(batch) * int(lengths[batch].max())


def epoch_of(lengths: NDArray[np.int64], epoch: int = 0, **options: Any) -> list[list[int]]:
    """The clips of each batch of one epoch."""
    sampler = BucketBatchSampler(lengths, **options)
    sampler.set_epoch(epoch)
    return [[number for _, number in batch] for batch in sampler]


# ------------------------------------------------------------------------------- the plan


@given(lengths=LENGTHS, size=st.integers(1, 20), multiple=MULTIPLES, seed=SEEDS)
def test_each_clip_is_in_exactly_one_batch(
    lengths: NDArray[np.int64], size: int, multiple: int, seed: int
) -> None:
    assume(len(lengths) >= multiple)
    plan = plan_batches(
        lengths, batch_size=size, multiple=multiple, rng=np.random.default_rng(seed)
    )
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert len(plan) % multiple == 0
    assert all(1 <= len(batch) <= max(size, 2) for batch in plan)


@given(lengths=LENGTHS, budget=st.integers(300, 2000), multiple=MULTIPLES, seed=SEEDS)
def test_the_budget_is_never_exceeded(
    lengths: NDArray[np.int64], budget: int, multiple: int, seed: int
) -> None:
    assume(len(lengths) >= multiple)
    try:
        plan = plan_batches(
            lengths, frames_per_batch=budget, multiple=multiple, rng=np.random.default_rng(seed)
        )
    except DataError:  # only where single clips are no multiple, and pairs too long
        assert len(lengths) % multiple
        assert 2 * lengths.max() > budget
        return
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert len(plan) % multiple == 0
    assert max(padded(batch, lengths) for batch in plan) <= budget


@given(lengths=LENGTHS, size=st.integers(1, 20), multiple=MULTIPLES)
def test_every_epoch_has_batches_of_the_same_sizes(
    lengths: NDArray[np.int64], size: int, multiple: int
) -> None:
    assume(len(lengths) >= multiple)
    plans = [
        plan_batches(lengths, batch_size=size, multiple=multiple, rng=rng)
        for rng in (None, np.random.default_rng(0), np.random.default_rng(1))
    ]
    sizes = [sorted(len(batch) for batch in plan) for plan in plans]
    assert sizes[0] == sizes[1] == sizes[2]


@given(lengths=LENGTHS, budget=st.integers(300, 2000), seed=SEEDS)
def test_a_budget_that_fits_one_epoch_fits_all(
    lengths: NDArray[np.int64], budget: int, seed: int
) -> None:
    def outcome(rng: np.random.Generator | None) -> int | str:
        try:
            return len(plan_batches(lengths, frames_per_batch=budget, multiple=4, rng=rng))
        except DataError as fault:
            return str(fault)

    assert outcome(None) == outcome(np.random.default_rng(seed))


@pytest.mark.parametrize(("clips", "multiple"), [(5, 3), (7, 4), (11, 8), (15, 8), (3, 2)])
def test_single_clips_that_are_no_multiple_are_joined_in_pairs(clips: int, multiple: int) -> None:
    lengths = np.arange(10, 10 + clips)
    plan = plan_batches(lengths, batch_size=1, multiple=multiple)
    sizes = [len(batch) for batch in plan]
    assert len(plan) == clips // multiple * multiple
    assert sizes == sorted(sizes, reverse=True)  # the shortest share a batch
    assert set(sizes) <= {1, 2}


def test_pairs_that_exceed_the_budget_are_an_error_with_the_number_needed() -> None:
    lengths = np.full(7, 100)
    with pytest.raises(
        DataError,
        match=r"7 clips make a multiple of 4 .*pairs of up to 200 .*is 150\. Raise it to 200",
    ):
        plan_batches(lengths, frames_per_batch=150, multiple=4)
    assert len(plan_batches(lengths, frames_per_batch=200, multiple=4)) == 4


def test_little_is_padded() -> None:
    lengths = random_lengths(4000)
    plan = plan_batches(lengths, batch_size=32, rng=np.random.default_rng(0))
    share = 1 - lengths.sum() / sum(padded(batch, lengths) for batch in plan)
    assert share < 0.03  # in random order it is 36%


def test_a_budget_is_used_well() -> None:
    lengths = random_lengths(4000)
    plan = plan_batches(lengths, frames_per_batch=8000, rng=np.random.default_rng(0))
    assert lengths.sum() / (8000 * len(plan)) > 0.85


def test_without_a_generator_the_batches_go_from_short_to_long() -> None:
    lengths = random_lengths(100)
    plan = plan_batches(lengths, batch_size=8)
    assert (np.diff(lengths[np.concatenate(plan)]) >= 0).all()


def test_a_clip_over_the_budget_is_an_error_with_both_numbers() -> None:
    with pytest.raises(
        DataError,
        match=r"longest clip has 250 frames, training\.frames_per_batch is 200\. Raise it to at least 250, "
        r"or lower data\.max_frames",
    ):
        plan_batches(np.array([10, 250, 30]), frames_per_batch=200)


@pytest.mark.parametrize("clips", [0, 3])
def test_fewer_clips_than_processes_are_an_error(clips: int) -> None:
    with pytest.raises(DataError, match=rf"{clips} clips can't be shared by 4 processes"):
        plan_batches(np.full(clips, 10), batch_size=2, multiple=4)


# ------------------------------------------------------------------------------- windows


WINDOWS = st.integers(1, 6)


def divide(clips: int, count: int, seed: int) -> NDArray[np.int64]:
    """The window of each clip of a store with shards of four clips."""
    shards = np.arange(clips) // 4
    windows = ShardWindows(shards, min(count, int(shards[-1]) + 1))
    return windows.draw(np.random.default_rng(seed))


@given(lengths=LENGTHS, size=st.integers(1, 20), multiple=MULTIPLES, count=WINDOWS, seed=SEEDS)
def test_windows_come_one_after_another_with_every_clip_once(
    lengths: NDArray[np.int64], size: int, multiple: int, count: int, seed: int
) -> None:
    assume(len(lengths) >= multiple)
    windows = divide(len(lengths), count, seed)
    rng = np.random.default_rng(seed)
    plan = plan_batches(lengths, batch_size=size, multiple=multiple, windows=windows, rng=rng)
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert len(plan) % multiple == 0
    assert all(1 <= len(batch) <= max(size, 2) for batch in plan)
    order = [windows[batch[0]] for batch in plan]
    assert order == sorted(order)
    crossing = [batch for batch in plan if len(set(windows[batch])) > 1]
    assert len(crossing) < multiple  # pairs, where there are too few clips for the multiple
    assert all(len(batch) == 2 for batch in crossing)
    assert size == 1 or not crossing or len(plan) + multiple > len(lengths)


@given(
    lengths=LENGTHS,
    size=st.integers(1, 20) | st.none(),
    budget=st.integers(600, 2000),
    multiple=MULTIPLES,
    count=WINDOWS,
    seeds=st.lists(SEEDS, min_size=2, max_size=4, unique=True),
)
def test_every_epoch_has_as_many_batches_however_the_shards_are_divided(
    lengths: NDArray[np.int64],
    size: int | None,
    budget: int,
    multiple: int,
    count: int,
    seeds: list[int],
) -> None:
    assume(len(lengths) >= multiple)
    options: Any = {"batch_size": size} if size else {"frames_per_batch": budget}
    plans = [
        plan_batches(
            lengths,
            multiple=multiple,
            windows=divide(len(lengths), count, seed),
            rng=np.random.default_rng(seed),
            **options,
        )
        for seed in seeds
    ]
    assert len({len(plan) for plan in plans}) == 1
    assert all(sorted(np.concatenate(plan)) == list(range(len(lengths))) for plan in plans)
    if not size:
        assert max(padded(batch, lengths) for plan in plans for batch in plan) <= budget


def test_one_window_changes_nothing() -> None:
    lengths = random_lengths(300)
    one = ShardWindows(np.arange(300) // 16, 1)
    assert epoch_of(lengths, 2, batch_size=8, windows=one) == epoch_of(lengths, 2, batch_size=8)


def test_windows_cost_few_batches_and_little_padding() -> None:
    lengths = random_lengths(20_000)
    windows = divide(20_000, 5, 0)
    plan, whole = (
        plan_batches(lengths, frames_per_batch=8000, windows=each, rng=np.random.default_rng(0))
        for each in (windows, None)
    )
    assert len(plan) / len(whole) < 1.03  # 1.024; of larger windows less
    share = 1 - lengths.sum() / sum(padded(batch, lengths) for batch in plan)
    assert share < 0.05


@given(shards=st.integers(1, 40), count=WINDOWS, seed=SEEDS)
def test_no_window_has_more_shards_than_its_share(shards: int, count: int, seed: int) -> None:
    windows = ShardWindows(np.repeat(np.arange(shards), 3), min(count, shards))
    walk = windows.walk(np.random.default_rng(seed))
    assert max(map(len, walk)) == -(-shards // windows.count)
    assert sorted(np.concatenate(walk)) == list(range(shards))


def test_another_epoch_divides_the_shards_otherwise() -> None:
    windows = ShardWindows(np.arange(40), 4)
    walks = [windows.walk(np.random.default_rng((0, epoch))) for epoch in (0, 1)]
    first, second = ({frozenset(shards.tolist()) for shards in walk} for walk in walks)
    assert first != second


@given(lengths=LENGTHS, world=st.integers(1, 4), count=WINDOWS, epoch=st.integers(0, 3))
def test_ranks_share_the_windows_of_an_epoch(
    lengths: NDArray[np.int64], world: int, count: int, epoch: int
) -> None:
    assume(len(lengths) >= world)
    shards = np.arange(len(lengths)) // 4
    windows = ShardWindows(shards, min(count, int(shards[-1]) + 1))
    options: dict[str, Any] = {"batch_size": 5, "world_size": world, "windows": windows}
    shares = [epoch_of(lengths, epoch, rank=rank, **options) for rank in range(world)]
    clips = [number for share in shares for batch in share for number in batch]
    assert sorted(clips) == list(range(len(lengths)))
    expected = len(BucketBatchSampler(lengths, **options))
    assert [len(share) for share in shares] == [expected] * world


class Follower:
    """Takes the place of a prefetcher: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, road: list[NDArray[np.int64]]) -> None:
        self.told.append([shards.tolist() for shards in road])

    def reach(self, shard: int) -> None:
        self.told.append(shard)


@pytest.mark.parametrize(("is_last", "more"), [(False, 1), (True, 0)])
def test_the_prefetcher_follows_what_is_read_and_not_what_is_done(is_last: bool, more: int) -> None:
    follower: Any = Follower()
    windows = ShardWindows(np.arange(40) // 4, 5)
    sampler = BucketBatchSampler(
        random_lengths(40), batch_size=2, windows=windows, prefetcher=follower
    )
    sampler.done, sampler.is_last_epoch = 15, is_last
    drawn = list(sampler)
    road, *reached = follower.told
    assert len(drawn) == len(sampler)
    assert len(road) == 5 + more
    assert reached == [keys[0][1] // 4 for keys in drawn[15:]]
    if more:
        sampler.set_epoch(1)
        sampler.done = 0
        list(sampler)
        assert follower.told[len(reached) + 1][0] == road[5]


# ------------------------------------------------------------------------------- drawn lengths


def draw_lengths(lengths: NDArray[np.int64], *, seed: int = 0, speed: float = 0.2) -> Any:
    """What a `ClipDataset` tells of clips of such lengths."""
    augmentation = Augmentation(speed=speed, drop_frames=0.1)

    def drawn(epoch: int, clips: Any, before: Any) -> Any:
        seeds = derive_seeds(seed, epoch, np.arange(len(lengths)))
        return augmentation.time(lengths, seeds).lengths[clips]

    return drawn


@given(
    lengths=LENGTHS,
    size=st.integers(1, 20) | st.none(),
    budget=st.integers(300, 2000),
    world=st.integers(1, 3),
    count=WINDOWS,
    seed=SEEDS,
)
def test_every_epoch_has_as_many_batches_however_long_its_clips_are(
    lengths: NDArray[np.int64], size: int | None, budget: int, world: int, count: int, seed: int
) -> None:
    assume(len(lengths) >= world)
    options: Any = {"batch_size": size} if size else {"frames_per_batch": max(budget, 600)}
    shards = np.arange(len(lengths)) // 4
    options["windows"] = ShardWindows(shards, min(count, int(shards[-1]) + 1))
    options["drawn"] = draw_lengths(lengths, seed=seed)
    expected = len(BucketBatchSampler(lengths, world_size=world, **options))
    for epoch in (0, 5, 6):
        shares = [
            epoch_of(lengths, epoch, rank=rank, world_size=world, **options)
            for rank in range(world)
        ]
        assert [len(share) for share in shares] == [expected] * world
        clips = [number for share in shares for batch in share for number in batch]
        assert sorted(clips) == list(range(len(lengths)))


@pytest.mark.parametrize(("clips", "share"), [(300, 0.6), (4000, 0.88)])
def test_drawn_lengths_keep_within_the_budget_of_which_little_is_lost(
    clips: int, share: float
) -> None:
    lengths = random_lengths(clips)
    sampler = BucketBatchSampler(lengths, frames_per_batch=8000, drawn=draw_lengths(lengths))
    for epoch in range(20):
        plan = sampler.plan(epoch)
        assert max(padded(batch, plan.lengths) for batch in plan.batches) <= 8000
        assert plan.lengths.sum() / (8000 * len(plan.batches)) > share


@pytest.mark.parametrize("options", [{"batch_size": 16}, {"frames_per_batch": 8000}])
def test_little_is_padded_of_clips_whose_lengths_are_drawn(options: Any) -> None:
    lengths = random_lengths(4000)
    plan = BucketBatchSampler(lengths, drawn=draw_lengths(lengths), **options).plan(3)
    assert 1 - plan.lengths.sum() / plan.padded_frames < 0.05  # 2.5% and 3.7%


def test_a_budget_is_raised_no_more_than_a_known_count_needs() -> None:
    lengths = random_lengths(500)
    free = plan_batches(lengths, frames_per_batch=4000)
    for count in (len(free), len(free) - 3, len(free) // 2):
        plan = plan_batches(lengths, frames_per_batch=4000, count=count)
        largest = max(padded(batch, lengths) for batch in plan)
        assert len(plan) == count
        assert largest <= 4000 if count == len(free) else largest > 4000
        # the least that would do: all frames, divided evenly, with the padding of a bucket
        assert largest <= max(4000, 1.15 * lengths.sum() / count)


def test_a_clip_that_is_drawn_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    lengths = np.full(40, 90)

    def drawn(epoch: int, clips: Any, before: Any) -> Any:
        return np.where(clips == epoch, 120, 30)

    sampler = BucketBatchSampler(lengths, frames_per_batch=100, drawn=drawn)
    for epoch in range(9):
        plan = sampler.plan(epoch)
        alone = [batch.tolist() for batch in plan.batches if epoch in batch]
        assert alone == [[epoch]]
        assert max(len(batch) for batch in plan.batches) == 3


def test_a_clip_over_the_budget_as_it_is_stored_is_an_error_whatever_is_drawn() -> None:
    with pytest.raises(DataError, match="longest clip has 120 frames"):
        BucketBatchSampler(
            np.array([50, 120]), frames_per_batch=100, drawn=lambda epoch, clips, before: clips + 1
        )


def test_similar_texts_share_a_batch_among_clips_of_similar_length() -> None:
    lengths, tokens = random_lengths(4000), np.random.default_rng(1).integers(5, 60, 4000)

    def wasted(**options: Any) -> tuple[float, float]:
        drawn = draw_lengths(lengths)
        plan = BucketBatchSampler(lengths, batch_size=16, drawn=drawn, **options).plan(0)
        padded_tokens = sum(padded(batch, tokens) for batch in plan.batches)
        return 1 - tokens.sum() / padded_tokens, 1 - plan.lengths.sum() / plan.padded_frames

    (tokens_lost, frames_lost), (others_lost, _) = wasted(tokens=tokens), wasted()
    assert tokens_lost < 0.15 < 0.4 < others_lost
    assert frames_lost < 0.05


# ------------------------------------------------------------------------------- the sampler


def test_the_same_seed_and_epoch_give_the_same_batches() -> None:
    lengths = random_lengths(100)
    assert epoch_of(lengths, 3, batch_size=8, seed=1) == epoch_of(lengths, 3, batch_size=8, seed=1)


def test_another_epoch_or_seed_gives_another_order() -> None:
    lengths = random_lengths(100)
    orders = [
        epoch_of(lengths, epoch, batch_size=8, seed=seed)
        for epoch, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    batches = [{frozenset(batch) for batch in order} for order in orders]
    assert batches[0] != batches[1]  # other company, not only another order


def test_an_epoch_does_not_depend_on_those_before_it() -> None:
    lengths = random_lengths(100)
    sampler = BucketBatchSampler(lengths, batch_size=8)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        last = [[number for _, number in batch] for batch in sampler]
    assert last == epoch_of(lengths, 2, batch_size=8)


def test_the_keys_carry_the_epoch() -> None:
    sampler = BucketBatchSampler(random_lengths(10), batch_size=4)
    sampler.set_epoch(7)
    assert {epoch for batch in sampler for epoch, _ in batch} == {7}


@given(
    lengths=LENGTHS,
    world=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    size=st.integers(1, 9),
    epoch=st.integers(0, 3),
)
def test_ranks_are_disjoint_and_together_complete(
    lengths: NDArray[np.int64], world: int, accumulation: int, size: int, epoch: int
) -> None:
    assume(len(lengths) >= world * accumulation)
    options = {"batch_size": size, "world_size": world, "accumulation": accumulation}
    shares = [epoch_of(lengths, epoch, rank=rank, **options) for rank in range(world)]
    clips = [number for share in shares for batch in share for number in batch]
    assert sorted(clips) == list(range(len(lengths)))
    expected = len(BucketBatchSampler(lengths, **options))  # type: ignore[arg-type]
    assert [len(share) for share in shares] == [expected] * world
    assert expected % accumulation == 0


@pytest.mark.parametrize("epoch", [0, 1])
def test_two_processes_equal_two_accumulation_steps(epoch: int) -> None:
    lengths = random_lengths(101)
    ranks = [epoch_of(lengths, epoch, batch_size=8, world_size=2, rank=rank) for rank in (0, 1)]
    alone = epoch_of(lengths, epoch, batch_size=8, accumulation=2)
    steps = [sorted(alone[i] + alone[i + 1]) for i in range(0, len(alone), 2)]
    assert [sorted(one + other) for one, other in zip(*ranks, strict=True)] == steps


def test_only_the_chosen_clips_are_used() -> None:
    clips = np.array([1, 5, 8, 9])
    batches = epoch_of(random_lengths(10), clips=clips, batch_size=2)
    assert sorted(number for batch in batches for number in batch) == clips.tolist()


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"frames_per_batch": 2000}])
def test_batches_by_texts_have_less_padding_of_texts_and_no_more_of_frames(options: Any) -> None:
    lengths = random_lengths(2000)
    tokens = np.random.default_rng(1).integers(3, 60, 2000)

    def wasted(sizes: NDArray[np.int64], batches: list[list[int]]) -> float:
        return sum(padded(np.array(batch), sizes) for batch in batches) / sizes.sum() - 1

    plain = epoch_of(lengths, **options)
    by_texts = epoch_of(lengths, tokens=tokens, **options)
    assert sorted(number for batch in by_texts for number in batch) == list(range(2000))
    assert sorted(map(len, by_texts)) == sorted(map(len, plain))
    assert wasted(tokens, by_texts) < 0.5 * wasted(tokens, plain)
    assert wasted(lengths, by_texts) < wasted(lengths, plain) + 0.03
    assert by_texts != epoch_of(lengths, 1, tokens=tokens, **options)


def test_left_out_clips_leave_the_others_their_texts() -> None:
    lengths, tokens = np.full(40, 50), np.arange(40) % 10
    clips = np.arange(1, 40, 2)
    batches = epoch_of(lengths, clips=clips, tokens=tokens, batch_size=4)
    assert all(len({number % 10 for number in batch}) == 1 for batch in batches)


# ------------------------------------------------------------------------------- collate


def make_clip(frames: int, tokens: int, *, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    return {
        "poses": rng.normal(size=(frames, 4, 3)).astype(np.float16),
        "labels": rng.integers(1, 50, size=tokens).astype(np.int32),
    }


def test_clips_are_padded_with_zeros_and_the_mask_fits() -> None:
    clips = [make_clip(3, 2), make_clip(7, 5, seed=1), make_clip(1, 1, seed=2)]
    batch = collate(clips)
    assert batch["poses"].shape == (3, 7, 4, 3)
    assert batch["poses"].dtype == torch.float16
    assert batch["attention_mask"].sum(dim=1).tolist() == [3, 7, 1]
    assert batch["attention_mask"].dtype == batch["labels"].dtype == torch.int64
    for row, clip in enumerate(clips):
        frames = len(clip["poses"])
        np.testing.assert_array_equal(batch["poses"][row, :frames].numpy(), clip["poses"])
        assert not batch["poses"][row, frames:].any()
        assert batch["attention_mask"][row, :frames].all()


def test_labels_are_padded_with_what_the_loss_leaves_out() -> None:
    clips = [make_clip(3, 2), make_clip(7, 5, seed=1)]
    labels = collate(clips)["labels"]
    assert labels[0].tolist() == [*clips[0]["labels"].tolist(), -100, -100, -100]
    assert labels[1].tolist() == clips[1]["labels"].tolist()
    assert torch.nn.CrossEntropyLoss().ignore_index == -100


def test_clips_without_labels_give_empty_labels() -> None:
    assert collate([make_clip(3, 0), make_clip(2, 0)])["labels"].shape == (2, 0)


# ------------------------------------------------------------------------------- texts


def encode(texts: list[str]) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


@given(texts=st.lists(st.text("abé🤟", max_size=5), max_size=12))
def test_token_texts_equal_plain_lists(texts: list[str]) -> None:
    tokens = TokenTexts(iter(texts), encode)
    assert [ids.tolist() for ids in tokens] == encode(texts)
    assert len(tokens) == len(texts)
    assert [tokens[-1 - i].tolist() for i in range(len(texts))] == encode(texts)[::-1]
    with pytest.raises(IndexError):
        tokens[len(texts)]


def test_many_texts_are_encoded_a_thousand_at_a_time() -> None:
    sizes = []

    def count(texts: list[str]) -> list[list[int]]:
        sizes.append(len(texts))
        return encode(texts)

    tokens = TokenTexts((str(i) for i in range(2500)), count)
    assert sizes == [1000, 1000, 500]
    assert tokens[np.int64(2499)].tolist() == [ord(letter) for letter in "2499"]


# ------------------------------------------------------------------------------- the data set


@pytest.fixture
def store(tmp_path: Path) -> PoseStore:
    """Four clips of 30 to 33 frames."""
    examples = []
    for number in range(4):
        path = tmp_path / f"{number}.pose"
        write_pose(path, make_pose(frames=30 + number, seed=number))
        examples.append(Example(str(number), str(path), 0.0, None, "we", "train"))
    recipe = PoseRecipe(keypoints="upper_body_hands")
    finish_store(tmp_path, [write_shard(tmp_path, 0, examples, recipe)], recipe, rows="")
    return open_store(tmp_path)


STRONG = Augmentation(rotate_degrees=20, speed=0.3, drop_frames=0.2, drop_hand=0.5)


def same(one: Clip, other: Clip) -> bool:
    return bool(np.array_equal(one["poses"], other["poses"]))


def test_evaluation_starts_at_the_first_frame(store: PoseStore) -> None:
    dataset = ClipDataset(store, step_frames=5)
    for epoch in (0, 1):
        np.testing.assert_array_equal(dataset[epoch, 2]["poses"], store.clip(2)[::5])


def test_evaluation_does_not_copy(store: PoseStore) -> None:
    assert np.shares_memory(ClipDataset(store, step_frames=2)[0, 1]["poses"], store.clip(1))


def test_training_starts_at_a_phase_of_its_own_each_epoch(store: PoseStore) -> None:
    dataset = ClipDataset(store, step_frames=5, augmentation=Augmentation())
    phases = {
        phase
        for epoch in range(40)
        for phase in range(5)
        if np.array_equal(dataset[epoch, 0]["poses"], store.clip(0)[phase::5])
    }
    assert phases == set(range(5))


@pytest.mark.parametrize("augmentation", [None, Augmentation(), STRONG])
@pytest.mark.parametrize("step", [1, 4])
def test_longer_clips_are_cut(
    store: PoseStore, augmentation: Augmentation | None, step: int
) -> None:
    dataset = ClipDataset(store, step_frames=step, max_frames=6, augmentation=augmentation)
    assert all(1 <= len(dataset[epoch, i]["poses"]) <= 6 for epoch in range(5) for i in range(4))
    if augmentation is None:
        np.testing.assert_array_equal(dataset[0, 3]["poses"], store.clip(3)[::step][:6])


@pytest.mark.parametrize(("step", "limit"), [(1, None), (4, None), (1, 6), (4, 6), (100, None)])
def test_lengths_are_those_that_batches_see(store: PoseStore, step: int, limit: int | None) -> None:
    dataset = ClipDataset(store, step_frames=step, max_frames=limit)
    assert dataset.lengths.tolist() == [len(dataset[0, i]["poses"]) for i in range(4)]
    random = ClipDataset(store, step_frames=step, max_frames=limit, augmentation=Augmentation())
    for epoch in range(5):
        assert all(1 <= len(random[epoch, i]["poses"]) <= random.lengths[i] for i in range(4))


@pytest.mark.parametrize("resampling", ["nearest", "linear"])
@pytest.mark.parametrize(("step", "limit"), [(1, None), (4, None), (1, 9), (3, 9), (100, None)])
def test_drawn_lengths_are_those_that_reading_gives(
    store: PoseStore, step: int, limit: int | None, resampling: Any
) -> None:
    augmentation = replace(STRONG, speed_resampling=resampling)
    dataset = ClipDataset(
        store, step_frames=step, max_frames=limit, augmentation=augmentation, seed=5
    )
    assert dataset.has_random_lengths
    found = []
    for epoch in range(6):
        keys: Any = [(epoch, 0), (epoch, 3), (epoch, 0, 1), (epoch, 2), (epoch, 0, 2)]
        told = dataset.drawn_lengths(epoch, np.array([0, 3, 0, 2, 0]), np.array([0, 0, 1, 0, 2]))
        assert told.tolist() == [len(clip["poses"]) for clip in dataset.__getitems__(keys)]
        found.append(told.tolist())
    if step < 100:
        assert len(set(map(tuple, found))) > 1  # epochs differ
        assert any(first != second for first, _, second, _, _ in found)  # and repetitions


def test_lengths_are_random_only_where_augmentation_makes_them_so(store: PoseStore) -> None:
    turned = Augmentation(rotate_degrees=10)
    assert not ClipDataset(store, step_frames=3).has_random_lengths
    assert not ClipDataset(store, augmentation=turned).has_random_lengths
    assert ClipDataset(store, augmentation=turned, step_frames=3).has_random_lengths
    dataset = ClipDataset(store, max_frames=9)
    every = np.arange(4)
    np.testing.assert_array_equal(dataset.drawn_lengths(3, every, 0 * every), dataset.lengths)


def test_augmentation_depends_on_seed_epoch_and_clip_only(store: PoseStore) -> None:
    dataset = ClipDataset(store, augmentation=STRONG, seed=1)
    first = dataset[2, 3]
    for epoch, number in ((0, 3), (2, 1), (5, 0)):
        dataset[epoch, number]  # what was read before does not matter
    assert same(dataset[2, 3], first)
    assert same(ClipDataset(store, augmentation=STRONG, seed=1)[2, 3], first)
    assert not same(dataset[3, 3], first)
    assert not same(ClipDataset(store, augmentation=STRONG, seed=2)[2, 3], first)


@pytest.mark.parametrize("augmentation", [None, Augmentation(), STRONG])
@pytest.mark.parametrize("step", [1, 4])
def test_a_clip_is_the_same_alone_and_in_a_batch(
    store: PoseStore, augmentation: Augmentation | None, step: int
) -> None:
    labels = [np.full(i + 1, i, np.int32) for i in range(4)]
    dataset = ClipDataset(
        store, labels, step_frames=step, max_frames=20, augmentation=augmentation, prompts=labels
    )
    keys = [(1, 2), (1, 0), (1, 3), (1, 0, 1)]
    for key, clip in zip(keys, dataset.__getitems__(keys), strict=True):
        for name, value in dataset[key].items():
            np.testing.assert_array_equal(clip[name], value)  # type: ignore[literal-required]


def test_augmentation_leaves_the_store_unchanged(store: PoseStore) -> None:
    before = store.clip(0).copy()
    ClipDataset(store, augmentation=STRONG)[0, 0]
    np.testing.assert_array_equal(store.clip(0), before)


def test_augmented_clips_are_float16_of_the_same_points(store: PoseStore) -> None:
    poses = ClipDataset(store, augmentation=STRONG)[0, 0]["poses"]
    assert poses.dtype == np.float16
    assert poses.shape[1:] == (len(KEYPOINTS), 3)


def test_clips_come_with_their_labels(store: PoseStore) -> None:
    labels = [np.full(i + 1, i, np.int32) for i in range(4)]
    assert ClipDataset(store, labels)[0, 2]["labels"].tolist() == [2, 2, 2]
    assert len(ClipDataset(store)[0, 2]["labels"]) == 0
    assert len(ClipDataset(store)) == 4


def test_workers_give_the_same_batches_as_one_process(store: PoseStore) -> None:
    dataset = ClipDataset(store, augmentation=STRONG)
    sampler = BucketBatchSampler(dataset.lengths, batch_size=2)
    expected = [collate([dataset[key] for key in batch]) for batch in sampler]
    loader: Any = torch.utils.data.DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=1
    )
    for batch, same_batch in zip(loader, expected, strict=True):
        assert all(torch.equal(batch[key], same_batch[key]) for key in same_batch)  # type: ignore[literal-required]
