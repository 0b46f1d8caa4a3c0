import math

import numpy as np
import pytest
from scipy import stats

from analysis.curve import fit_curve
from analysis.fit import fit
from analysis.laws import LAWS
from analysis.leverage import leverage, leverage_all
from analysis.observations import observe
from analysis.pair import Pair
from archscale.registry import UserError
from tests.analysis.curves import X, curve, least_squares, noisy, two_groups

COLUMNS = {"x": "compute", "y": "loss", "group": "arch"}
PAIR = {**COLUMNS, "groups": ("a", "b")}


@pytest.mark.parametrize(("law", "C"), [("power", 0.0), ("power_offset", 1.5)])
@pytest.mark.parametrize("at", [8.0, 500.0])
def test_equal_exponents_and_limits_give_one_leverage_everywhere(law, C, at):
    table = two_groups(curve(X, A=2.0, C=C), curve(X, A=2.4, C=C))
    for found in leverage(law, table, **PAIR, at=[at], losses=[curve(at, A=2.4, C=C)]):
        assert found.groups == ("a", "b")
        assert found.multiplier == pytest.approx((2.4 / 2.0) ** (1 / 0.3), rel=1e-6)
        assert found.x_worse == pytest.approx(at, rel=1e-6)
        assert found.loss == pytest.approx(curve(at, A=2.4, C=C), rel=1e-9)
        assert found.interval.low == pytest.approx(found.multiplier, rel=1e-4)
        assert found.interval.high == pytest.approx(found.multiplier, rel=1e-4)
        assert found.distinguishable is True
        assert found.extrapolated is bool(at > X[-1])


def test_the_better_group_is_the_one_that_is_lower_there():
    table = two_groups(curve(X, b=0.2), curve(X, A=2.2, b=0.3))
    first, last = leverage("power_offset", table, **PAIR, at=[1.0, 64.0])
    assert first.groups == ("a", "b")
    assert last.groups == ("b", "a")
    assert last.multiplier == pytest.approx(64 / ((2 * 64**-0.2 / 2.2) ** (-1 / 0.3)), rel=1e-6)


@pytest.mark.parametrize("end", ["low", "high"])
def test_curves_that_just_allow_an_end_of_the_interval_reach_the_joint_limit(end):
    y_a, y_b, at = noisy(0), noisy(1, A=2.1), 64.0
    found = leverage("power_offset", two_groups(y_a, y_b), **PAIR, at=[at])[0]
    x_better = at / getattr(found.interval, end)
    s_min = sum(fit("power_offset", X, y).sum_of_squares for y in (y_a, y_b))
    limit = s_min * (1 + stats.f.ppf(0.95, 1, 6) / 6)

    def residuals(p):  # p = (b₁, share of C₁, A₂, b₂, C₂): the first curve has the height of the second, at x_better
        height = p[2] * at ** -p[3] + p[4]
        first = curve(X, height * (1 - p[1]) * x_better ** p[0], p[0], height * p[1])
        return np.r_[first - y_a, curve(X, *p[2:]) - y_b]

    held = least_squares(residuals, [0, 0, 0, 0, 0], [2, 1, 4, 2, 4], starts=30)
    assert 2 * held.cost == pytest.approx(limit, rel=1e-3)


def test_the_true_leverage_is_in_the_interval_as_often_as_the_level_says():
    count, level, at = 200, 0.9, 64.0
    x = X[1:]
    x_better = ((curve(at, A=2.2) - 1.5) / 2.0) ** (-1 / 0.3)
    hits = 0
    for i in range(count):
        points = [observe(x, noisy(seed, x=x, A=A, sigma=0.004)) for seed, A in ((2 * i, 2.0), (2 * i + 1, 2.2))]
        curves = [fit_curve(LAWS["power_offset"], own) for own in points]
        pair = Pair(law=LAWS["power_offset"], points=tuple(points), curves=tuple(curves), level=level)
        hits += pair.excess(np.array([x_better]), np.array([at]))[0] <= 0
    assert stats.binomtest(hits, count, level).pvalue > 0.01, f"{hits} of {count}"


def test_the_interval_is_the_set_of_ratios_at_which_the_curves_may_meet():
    table = two_groups(noisy(0), noisy(1, A=2.1))
    pair = Pair.of("power_offset", table, **PAIR, level=0.95)
    found = leverage("power_offset", table, **PAIR, at=[64.0])[0]
    for ratio, inside in ((1.001, True), (0.999, False)):
        place = 64.0 / (found.interval.low * ratio)
        assert (pair.excess(np.array([place]), np.array([64.0]))[0] <= 0) is np.bool_(inside)


def test_a_loss_below_the_limit_of_the_worse_curve_is_never_reached_by_it():
    table = two_groups(curve(X, C=1.0), curve(X, C=1.5))
    found = leverage("power_offset", table, **PAIR, losses=[1.4, 0.9])
    assert found[0].groups == ("a", "b")
    assert found[0].multiplier == found[0].interval.high == math.inf
    assert found[0].x_better == pytest.approx(0.2 ** (-1 / 0.3), rel=1e-6)
    assert "is expected to reach loss = 1.4 and b never" in found[0].sentence
    assert math.isnan(found[1].multiplier)
    assert "never reach loss = 0.9" in found[1].sentence


def test_noise_that_hides_which_is_better_reaches_below_one_and_says_so():
    found = leverage("power_offset", two_groups(noisy(0), noisy(1)), **PAIR, at=[64.0, 1e5])
    for one in found:
        assert one.interval.low < 1 < one.interval.high
        assert one.distinguishable is False
        assert "these runs cannot tell which needs less" in one.sentence
    assert found[1].interval.low == 0.0
    assert "as it may never get there" in found[1].sentence


def test_the_unit_of_x_changes_no_leverage():
    table = two_groups(noisy(0), noisy(1, A=2.2))
    flops = table.assign(compute=table.compute * 1e20)
    plain, scaled = (
        leverage("power_offset", table, **PAIR, at=[30.0])[0],
        leverage("power_offset", flops, **PAIR, at=[30e20])[0],
    )
    assert scaled.multiplier == pytest.approx(plain.multiplier, rel=1e-6)
    assert scaled.interval.low == pytest.approx(plain.interval.low, rel=1e-5)
    assert scaled.interval.high == pytest.approx(plain.interval.high, rel=1e-5)


def test_without_degrees_of_freedom_there_is_a_ratio_and_no_interval():
    table = two_groups(noisy(0)[:3], noisy(1, A=2.4)[:3], x_a=X[:3], x_b=X[:3])
    found = leverage("power_offset", table, **PAIR, at=[4.0])[0]
    assert found.distinguishable is None
    assert (found.interval.low, found.interval.high) == (0.0, math.inf)
    assert "cannot be tested" in found.sentence


def test_every_pair_is_asked_at_the_largest_common_x_and_ten_times_it():
    found = leverage_all("power_offset", two_groups(noisy(0), noisy(1, x=X[:5]), x_b=X[:5]), **COLUMNS)
    assert [one.x_worse for one in found] == [X[4], 10 * X[4]]


def test_mistakes_are_named():
    table = two_groups(noisy(0), noisy(1))
    with pytest.raises(UserError, match="at = 0"):
        leverage("power_offset", table, **PAIR, at=[0.0])
    with pytest.raises(UserError, match="loss = -1"):
        leverage("power_offset", table, **PAIR, losses=[-1.0])
    with pytest.raises(UserError, match="name two different groups"):
        leverage("power_offset", table, **COLUMNS, groups=("a", "a"))
