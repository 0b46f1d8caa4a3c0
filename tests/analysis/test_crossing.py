import math

import numpy as np
import pytest

from analysis.crossing import crossing, crossing_all
from analysis.pair import Pair
from tests.analysis.curves import X, curve, noisy, two_groups
from tests.analysis.published_data import published

COLUMNS = {"x": "compute", "y": "loss", "group": "arch"}
PAIR = {**COLUMNS, "groups": ("a", "b")}


@pytest.mark.parametrize(("ratio", "extrapolated"), [(1.5, False), (4.0, True)])
def test_two_power_laws_cross_where_their_equations_say(ratio, extrapolated):
    table = two_groups(curve(X, A=2.0, b=0.2, C=0.0), curve(X, A=2.0 * ratio, b=0.4, C=0.0))
    found = crossing("power", table, **PAIR)
    (point,) = found.points
    assert point.x == pytest.approx(ratio ** (1 / 0.2), rel=1e-8)
    assert point.interval.low == pytest.approx(point.x, rel=1e-4)
    assert point.interval.high == pytest.approx(point.x, rel=1e-4)
    assert point.extrapolated is extrapolated
    assert "a and b cross at compute = " in found.sentence
    assert ("beyond the data" in found.sentence) is extrapolated


def test_curves_may_cross_twice():
    # 2u − 3u² − 0.25 = 0 with u = x^-0.3: u = 1/2 and u = 1/6.
    table = two_groups(curve(X, A=2.0, b=0.3, C=1.5), curve(X, A=3.0, b=0.6, C=1.75))
    found = crossing("power_offset", table, **PAIR)
    assert [point.x for point in found.points] == pytest.approx([2 ** (1 / 0.3), 6 ** (1 / 0.3)], rel=1e-5)


def test_parallel_curves_do_not_cross_and_exact_runs_exclude_it():
    found = crossing("power", two_groups(curve(X, A=2.0, C=0), curve(X, A=2.1, C=0)), **PAIR)
    assert found.points == found.possible == ()
    assert "do not cross between" in found.sentence
    assert "exclude a crossing there" in found.sentence


def test_the_range_holds_exactly_the_places_at_which_the_gap_may_vanish():
    table = two_groups(noisy(0, b=0.25, C=1.3, sigma=0.002), noisy(1, A=2.4, b=0.45, sigma=0.002))
    found = crossing("power_offset", table, **PAIR)
    pair = Pair.of("power_offset", table, **PAIR, level=0.95)
    (point,) = [point for point in found.points if not point.extrapolated]
    for ratio, inside in ((1.0005, True), (0.9995, False)):
        place = np.array([point.interval.low * ratio])
        assert (pair.excess(place, place)[0] <= 0) is np.bool_(inside)
    assert point.interval.low < point.x < point.interval.high


def test_runs_that_cannot_tell_say_that_no_place_is_excluded():
    found = crossing("power_offset", two_groups(noisy(0), noisy(0)), **PAIR)
    assert found.points == ()
    (anywhere,) = found.possible
    assert (anywhere.low, anywhere.high) == (0.0, math.inf)
    assert "cannot tell where they cross, or whether they do" in found.sentence


def test_without_degrees_of_freedom_a_crossing_has_no_range():
    table = two_groups(curve(X, b=0.2)[:3], curve(X, A=2.5, b=0.4)[:3], x_a=X[:3], x_b=X[:3])
    found = crossing("power_offset", table, **PAIR)
    assert found.points
    assert found.points[0].interval is None
    assert "cannot be tested" in found.sentence


def test_the_curves_of_the_sambay_paper_cross_only_where_nothing_was_measured():
    points = published("archscale_sambay", "points.csv")
    flops = points[points.series.str.startswith("flops/")]
    found = crossing_all("power_offset", flops, x="x", y="loss", group="series")
    assert len(found) == 10
    assert all(point.extrapolated for one in found for point in one.points)
    sambay = next(one for one in found if one.groups == ("flops/Samba+YOCO muP++", "flops/SambaY muP++"))
    assert sambay.points[-1].x == pytest.approx(9.99e21, rel=0.01)
    assert sambay.points[-1].interval.high == math.inf
