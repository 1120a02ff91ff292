"""Telling people apart by their faces."""

from __future__ import annotations

import numpy as np
import pytest

from signseq.poses.estimation.people import find_people, without_repeats

SIZE = (640, 360)


def box(x: float, y: float, side: float = 40) -> tuple[float, float, float, float]:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def looks(*frames):
    return [(5 * n, np.array(boxes, np.float32).reshape(-1, 4)) for n, boxes in enumerate(frames)]


def people(*frames):
    return find_people(looks(*frames), size=SIZE, slack=10)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([[box(300, 100)]] * 20, id="one"),
        pytest.param([[]] * 20, id="nobody"),
        pytest.param([[box(100, 100)]] * 10 + [[box(500, 100)]] * 10, id="one after the other"),
        pytest.param([[box(300, 100)]] * 18 + [[box(300, 100), box(90, 90)]] * 2, id="a moment"),
        pytest.param([[box(300, 100, 90), box(600, 40, 20)]] * 20, id="far in the background"),
    ],
)
def test_whoever_is_alone_is_looked_for_in_the_whole_picture(frames):
    assert people(*frames) == []


def test_two_side_by_side_are_parted_in_the_middle_and_the_larger_comes_first():
    left, right = people(*[[box(160, 100, 40), box(480, 110, 44)]] * 20)[::-1]

    assert (left.region.left, right.region.right) == (0, 640)
    assert left.region.right == pytest.approx(right.region.left, abs=1)
    assert 300 < left.region.right < 320  # nearer to whom is smaller


def test_a_region_reaches_as_far_as_hands_do_but_not_out_of_the_picture():
    one, _ = people(*[[box(150, 60, 30), box(560, 60, 29)]] * 20)

    assert one.region.left == 150 - 4 * 30
    assert one.region.top == 0
    assert one.region.bottom == 60 + 7 * 30


def test_faces_keep_their_person_whatever_their_order():
    frames = [[box(160 + n, 100), box(480 - n, 100, 30)] for n in range(20)]
    shuffled = [each[::-1] if n % 2 else each for n, each in enumerate(frames)]

    one, other = people(*shuffled)

    assert one.faces[:, 0].tolist() == [160 + n for n in range(20)]
    assert other.faces[:, 2].tolist() == [30.0] * 20


def test_a_face_that_is_hidden_for_a_while_stays_the_same_person():
    both, one = [box(160, 100), box(480, 100, 30)], [box(480, 100, 30)]

    found = people(*[both] * 8, *[one] * 6, *[both] * 8)

    assert [len(each.frames) for each in found] == [16, 22]


def test_a_nose_counts_only_in_its_persons_face():
    one, other = people(*[[box(160, 100), box(480, 100, 38)]] * 20)

    assert one.has_nose(7, np.array([165.0, 110.0], np.float32))
    assert not one.has_nose(7, np.array([480.0, 100.0], np.float32))
    assert other.has_nose(7, np.array([480.0, 100.0], np.float32))


def test_a_person_counts_from_shortly_before_the_first_sight_of_the_face():
    late = [[box(160, 100)]] * 10 + [[box(160, 100), box(480, 100, 38)]] * 10

    person = people(*late)[1]

    assert [person.may_be_in(frame) for frame in (39, 40, 95, 105, 106)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_face_that_two_views_show_counts_once():
    found = np.array(
        [box(100, 100), box(102, 101, 38), box(101, 110, 18), box(200, 100)], np.float32
    )

    assert without_repeats(found).tolist() == found[[0, 3]].tolist()
