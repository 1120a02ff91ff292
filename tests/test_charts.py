from xml.etree import ElementTree

import pytest

from signseq.charts import COLORS, CURVE_POINTS, Curve, Panel, draw_bars, draw_panels

SVG = "{http://www.w3.org/2000/svg}"


def draw(*curves, **settings):
    return ElementTree.fromstring(draw_panels([Panel("Loss", curves, **settings)], label="curves"))


def paths(picture):
    """The points of each line of a curve."""
    found = [path for path in picture.iter(f"{SVG}path") if path.get("stroke-linejoin")]
    return [
        [tuple(map(float, point.split())) for point in path.get("d")[1:].split("L")]
        for path in found
    ]


def test_a_curve_goes_up_where_its_values_do():
    [line] = paths(draw(Curve("training", [(0, 1.0), (10, 3.0), (20, 2.0)])))

    assert [x for x, _ in line] == sorted(x for x, _ in line)
    (_, first), (_, highest), (_, last) = line
    assert highest < last < first  # an SVG counts from the top


def test_what_is_no_number_is_left_out():
    points = [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 2.0)]

    [line] = paths(draw(Curve("training", points)))

    assert len(line) == 2


def test_long_curves_are_thinned_and_keep_their_end():
    [line] = paths(draw(Curve("training", [(x, float(x)) for x in range(10 * CURVE_POINTS + 3)])))
    [short] = paths(draw(Curve("training", [(0, 0.0), (10 * CURVE_POINTS + 2, 1.0)])))

    assert len(line) <= CURVE_POINTS + 1
    assert line[-1][0] == short[-1][0]


@pytest.mark.parametrize("points", [[], [(3, 0.5)], [(1, 7.0), (2, 7.0)], [(1, -1e-9), (2, 1e9)]])
def test_any_values_can_be_drawn(points):
    draw(Curve("training", points))


def test_points_say_what_they_are():
    picture = draw(Curve("cer", [(1, 2.0)], is_line=False, labels=["trial <1>"]), is_log=True)

    assert [title.text for title in picture.iter(f"{SVG}title")] == ["trial <1>"]


def test_curves_differ_in_colour_and_dash():
    picture = draw(*(Curve(f"c{n}", [(0, n), (1, n)]) for n in range(4)))
    lines = [path for path in picture.iter(f"{SVG}path") if path.get("stroke-linejoin")]

    assert [path.get("stroke") for path in lines] == list(COLORS)
    assert len({path.get("stroke-dasharray") for path in lines}) == 4


def test_bars_are_as_long_as_their_values():
    picture = ElementTree.fromstring(draw_bars({"a": 0.8, "b": 0.2}, label="importance"))
    bars = [rect for rect in picture.iter(f"{SVG}rect") if rect.get("x")]

    assert float(bars[0].get("width")) == pytest.approx(4 * float(bars[1].get("width")), rel=0.01)
