import math

import pytest

from analysis.report.forest import Estimate, Forest, forest_figure, forest_specification
from analysis.report.style import styles


def row(value, low, high, **more):
    return Estimate(name=more.pop("name", f"at {value}"), group=more.pop("group", "a"), value=value, low=low, high=high,
                    **more)  # fmt: skip


def test_an_interval_ten_times_as_wide_as_the_usual_leaves_the_axis_and_the_estimates_stay():
    usual = [row(value, value - 1, value + 1) for value in (0.0, 0.5, 1.0)]
    low, high = Forest(axis="x", rows=(*usual, row(2.0, -500, 500))).limits
    assert -10 < low < -1
    assert 2 < high < 10


@pytest.mark.parametrize("logarithmic", [False, True])
def test_estimates_and_what_they_are_held_against_lie_inside(logarithmic):
    forest = Forest(
        axis="x", rows=(row(2.0, 1.5, math.inf, against=9.0), row(3.0, math.nan, math.nan)), neutral=0.5,
        logarithmic=logarithmic,
    )  # fmt: skip
    low, high = forest.limits
    assert low < 0.5
    assert high > 9.0


def test_an_infinite_end_is_drawn_to_the_edge_and_no_interval_not_at_all():
    forest = Forest(axis="x", rows=(row(1.0, 0.5, math.inf), row(2.0, math.nan, math.nan)))
    (spans, *_) = forest_specification(forest, styles(["a"]))["data"]
    assert spans["x"][0] == 0.5
    assert spans["x"][1] == pytest.approx(forest.limits[1], rel=1e-5)
    assert spans["x"][3:5] == [None, None]
    printed = forest_figure(forest, styles(["a"])).axes[0].lines[0]
    assert list(printed.get_xdata()) == [0.5, forest.limits[1]]


def test_an_extrapolation_is_open_on_the_page_and_in_print():
    forest = Forest(axis="x", rows=(row(1.0, 0.5, 1.5), row(2.0, 1.5, 2.5, open=True)))
    markers = [trace for trace in forest_specification(forest, styles(["a"]))["data"] if "text" in trace]
    assert markers[0]["marker"]["symbol"] == ["circle", "circle-open"]
    faces = [line.get_markerfacecolor() for line in forest_figure(forest, styles(["a"])).axes[0].lines if
             line.get_marker() == "o"]  # fmt: skip
    assert faces[1] == "white" != faces[0]


def test_names_are_text_on_the_page():
    forest = Forest(axis="<i>x", rows=(row(1.0, 0.5, math.inf, name="<b>worst", said="<script>"),))
    made = forest_specification(forest, styles(["a"]))
    assert made["table"]["rows"] == [["&lt;b&gt;worst", "1", "0.5", "∞"]]
    assert "<script>" not in str(made)
    assert made["layout"]["xaxis"]["title"]["text"] == "&lt;i&gt;x"
