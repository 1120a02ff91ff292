from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from signseq.serving.choosing import Options, choose

PLAIN = Options()


@dataclass(frozen=True, eq=False)
class Clip:
    length: int
    client: str | None = None
    is_partial: bool = False
    options: Options = PLAIN
    turn: int = 0


clips = st.lists(
    st.builds(
        Clip,
        length=st.integers(1, 400),
        client=st.sampled_from(["a", "b", "c", None]),
        is_partial=st.booleans(),
        options=st.sampled_from([Options(), Options(n_best=2)]),
    ),
    max_size=12,
)


@given(clips, st.integers(1, 5))
def test_a_batch_is_bounded_of_one_kind_and_never_empty_while_clips_wait(waiting, batch_size):
    batch = choose(waiting, batch_size)

    assert len(batch) == len(set(map(id, batch))) <= batch_size
    assert bool(batch) == bool(waiting)
    assert len({clip.options for clip in batch}) <= 1


@given(clips, st.integers(1, 5))
def test_the_first_complete_clip_is_always_taken(waiting, batch_size):
    complete = [clip for clip in waiting if not clip.is_partial]
    if complete:
        assert complete[0] in choose(waiting, batch_size)


@given(clips, st.integers(1, 5))
def test_no_clip_is_passed_by_a_later_one_of_its_client(waiting, batch_size):
    batch = choose(waiting, batch_size)
    for number, clip in enumerate(waiting):
        if clip in batch and clip.client is not None:
            before = [
                other
                for other in waiting[:number]
                if (other.client, other.is_partial) == (clip.client, clip.is_partial)
            ]
            assert all(other in batch for other in before)


@given(clips, st.integers(1, 5))
def test_taking_batch_after_batch_takes_every_clip_once(waiting, batch_size):
    left, taken = list(waiting), []
    while left:
        batch = choose(left, batch_size)
        taken += batch
        left = [clip for clip in left if clip not in batch]

    assert sorted(map(id, taken)) == sorted(map(id, waiting))


def test_the_nearest_lengths_are_taken():
    waiting = [Clip(50), Clip(400), Clip(60), Clip(5), Clip(45)]

    assert [clip.length for clip in choose(waiting, 3)] == [50, 60, 45]
