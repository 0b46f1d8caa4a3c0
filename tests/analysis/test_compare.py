import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.compare import Comparison, LossGap, compare, compare_all, loss_gap
from analysis.fit import fit
from analysis.intervals import f_limit
from archscale.registry import UserError
from tests.analysis.curves import X, curve, least_squares, noisy, two_groups

COLUMNS = {"x": "compute", "y": "loss", "group": "arch"}
PAIR = {**COLUMNS, "groups": ("a", "b")}
Y_A, Y_B = noisy(0), noisy(1, A=2.1)

# How (A, b, C) of both groups follow from the free parameters p of the joint model.
JOINT = {
    ("C",): (lambda p: (p[0], p[1], p[4]), lambda p: (p[2], p[3], p[4]), 5),
    ("b",): (lambda p: (p[0], p[4], p[1]), lambda p: (p[2], p[4], p[3]), 5),
    ("b", "C"): (lambda p: (p[0], p[2], p[3]), lambda p: (p[1], p[2], p[3]), 4),
    ("A", "b"): (lambda p: (p[2], p[3], p[0]), lambda p: (p[2], p[3], p[1]), 4),
    ("A", "b", "C"): (lambda p: (p[0], p[1], p[2]), lambda p: (p[0], p[1], p[2]), 3),
}


def separate_sum():
    return fit("power_offset", X, Y_A).sum_of_squares + fit("power_offset", X, Y_B).sum_of_squares


@pytest.mark.parametrize("shared", JOINT)
def test_the_f_statistic_is_that_of_an_independent_joint_fit(shared):
    first, second, free = JOINT[shared]
    joint = least_squares(
        lambda p: np.r_[curve(X, *first(p)) - Y_A, curve(X, *second(p)) - Y_B], [0] * free, [4] * free, starts=40
    )
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=shared)
    expected = (2 * joint.cost - separate_sum()) / len(shared) / (separate_sum() / 6)
    assert found.degrees_of_freedom == (len(shared), 6)
    assert found.f_statistic == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found.p_value == pytest.approx(stats.f.sf(expected, len(shared), 6), rel=1e-5)


def test_groups_are_told_apart_where_p_is_below_one_minus_the_level():
    table, shared = two_groups(Y_A, Y_B), ("A", "b", "C")
    p_value = compare("power_offset", table, **PAIR, shared=shared).p_value
    for level, expected in ((1 - p_value - 1e-6, True), (1 - p_value + 1e-6, False)):
        assert compare("power_offset", table, **PAIR, shared=shared, level=level).distinguishable is expected


def test_the_aicc_difference_follows_from_the_sums_of_squares():
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=("A", "b", "C"))
    ratio = found.f_statistic * 3 / 6 + 1
    # 12 points, 6 parameters against 3, and the variance in both.
    penalty = (14 + 2 * 7 * 8 / (12 - 7 - 1)) - (8 + 2 * 4 * 5 / (12 - 4 - 1))
    assert found.aicc_difference == pytest.approx(-12 * math.log(ratio) + penalty, rel=1e-9)


def test_equal_groups_are_told_apart_as_rarely_as_the_level_says():
    count, level = 120, 0.9
    rejected = dict.fromkeys((("C",), ("A", "b", "C")), 0)
    for i in range(count):
        table = two_groups(noisy(2 * i + 100), noisy(2 * i + 101))
        for shared in rejected:
            rejected[shared] += compare("power_offset", table, **PAIR, shared=shared, level=level).distinguishable
    for shared, hits in rejected.items():
        assert stats.binomtest(hits, count, 1 - level).pvalue > 0.005, f"{shared}: {hits} of {count}"


@pytest.mark.parametrize("at", [8.0, 64.0, 1000.0])
def test_the_curves_held_apart_by_an_end_of_the_gap_just_reach_the_joint_limit(at):
    found = loss_gap("power_offset", two_groups(Y_A, Y_B), **PAIR, at=at)
    limit = f_limit(separate_sum(), degrees_of_freedom=6, level=0.95, floor=0.0)
    for gap in (found.interval.low, found.interval.high):
        # The height of the first curve follows from that of the second; p = (b₁, share of C₁, A₂, b₂, C₂).
        def residuals(p, gap=gap):
            height = gap + p[2] * at ** -p[3] + p[4]
            return np.r_[curve(X, height * (1 - p[1]) * at ** p[0], p[0], height * p[1]) - Y_A, curve(X, *p[2:]) - Y_B]

        held = least_squares(residuals, [0, 0, 0, 0, 0], [2, 1, 4, 2, 4], starts=40)
        assert 2 * held.cost == pytest.approx(limit, rel=1e-5)


def test_the_gap_is_the_difference_of_the_fitted_curves_and_changes_sign_with_the_order():
    table = two_groups(Y_A, Y_B)
    found = loss_gap("power_offset", table, **PAIR, at=20.0)
    turned = loss_gap("power_offset", table, **COLUMNS, groups=("b", "a"), at=20.0)
    expected = fit("power_offset", X, Y_A).predict(20.0) - fit("power_offset", X, Y_B).predict(20.0)
    assert found.gap == pytest.approx(expected[0], rel=1e-9)
    assert turned.gap == -found.gap
    assert turned.interval.low == pytest.approx(-found.interval.high, rel=1e-6)
    assert turned.interval.high == pytest.approx(-found.interval.low, rel=1e-6)


def test_the_unit_of_x_changes_no_verdict():
    table = two_groups(Y_A, Y_B)
    flops = table.assign(compute=table.compute * 1e20)
    for shared in JOINT:
        plain, scaled = (compare("power_offset", t, **PAIR, shared=shared) for t in (table, flops))
        assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-6)
    plain = loss_gap("power_offset", table, **PAIR, at=30.0)
    scaled = loss_gap("power_offset", flops, **PAIR, at=30e20)
    assert scaled.gap == pytest.approx(plain.gap, rel=1e-6)
    assert scaled.interval.low == pytest.approx(plain.interval.low, rel=1e-6)


def test_groups_that_share_points_cannot_be_told_apart():
    table = two_groups(Y_A, Y_A)
    found = compare("power_offset", table, **PAIR, shared=("A", "b", "C"))
    assert found.p_value == pytest.approx(1.0)
    assert found.sentence.startswith("These runs cannot tell whether the curves of a and b differ (F(3, 6) = ")
    gap = loss_gap("power_offset", table, **PAIR, at=64.0)
    assert (gap.gap, gap.distinguishable) == (0, False)
    assert "is the same as that of b" in gap.sentence


def test_a_clear_difference_is_said_plainly():
    table = two_groups(noisy(0), noisy(1, C=1.7))
    found = compare("power_offset", table, **PAIR, shared=("A", "b", "C"))
    assert found.distinguishable is True
    assert found.sentence.startswith("The curves of a and b differ (F(3, 6) = ")
    gap = loss_gap("power_offset", table, **PAIR, at=64.0)
    assert gap.distinguishable is True
    assert gap.interval.high < 0
    assert gap.sentence.startswith("At compute = 64 the fitted loss of a is 0.2")
    assert "lower than that of b (95 % interval -0.2" in gap.sentence


@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_exact_data_are_compared_without_dividing_by_zero(shift):
    table = two_groups(curve(X), curve(X) + shift)
    results = compare_all("power_offset", table, **COLUMNS)
    same_c, same_b, same_curve, gap = results
    assert same_b.distinguishable is False
    for result in (same_c, same_curve, gap):
        assert result.distinguishable is bool(shift)


def test_without_degrees_of_freedom_nothing_is_tested_and_the_sentence_says_why():
    table = two_groups(Y_A[:3], Y_B[:3], x_a=X[:3], x_b=X[:3])
    for result in compare_all("power_offset", table, **COLUMNS):
        assert result.distinguishable is None
        assert "cannot be tested: 3 points for 3 parameters in each group" in result.sentence
        assert "at least 1 more scale is needed" in result.sentence
    gap = loss_gap("power_offset", table, **PAIR, at=4.0)
    assert (gap.interval.low, gap.interval.high) == (-math.inf, math.inf)
    assert math.isnan(compare("power_offset", table, **PAIR, shared=("C",)).p_value)


def test_a_group_without_degrees_of_freedom_leans_on_the_other():
    table = two_groups(Y_A, Y_B[:3], x_b=X[:3])
    assert compare("power_offset", table, **PAIR, shared=("C",)).degrees_of_freedom == (1, 3)
    assert math.isfinite(loss_gap("power_offset", table, **PAIR, at=4.0).interval.high)


def test_four_points_each_are_compared_with_two_pooled_degrees_of_freedom():
    table = two_groups(Y_A[:4], Y_B[:4], x_a=X[:4], x_b=X[:4])
    for result in compare_all("power_offset", table, **COLUMNS):
        assert result.distinguishable in (True, False)
        if isinstance(result, Comparison):
            assert result.degrees_of_freedom[1] == 2
            assert 0 < result.p_value <= 1
            assert math.isnan(result.aicc_difference)  # 8 points, 6 parameters and the variance


def test_curves_with_the_irreducible_loss_on_its_bound_are_compared():
    y_a, y_b = noisy(0, C=-0.05), noisy(1, C=-0.05, b=0.4)
    assert fit("power_offset", X, y_a).parameters["C"] == fit("power_offset", X, y_b).parameters["C"] == 0
    same_c, same_b, same_curve, gap = compare_all("power_offset", two_groups(y_a, y_b), **COLUMNS)
    assert same_c.p_value == pytest.approx(1.0)
    assert same_b.distinguishable is same_curve.distinguishable is gap.distinguishable is True


def test_all_pairs_get_the_same_four_questions():
    table = two_groups(Y_A, Y_B)
    third = table[table.arch == "a"].assign(arch="c", loss=noisy(2))
    results = compare_all("power_offset", pd.concat([table, third]), **COLUMNS)
    assert [r.groups for r in results[::4]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [r.shared for r in results[:3]] == [("C",), ("b",), ("A", "b", "C")]
    assert isinstance(results[3], LossGap)
    assert [r.shared for r in compare_all("power", table, **COLUMNS)[:2]] == [("b",), ("A", "b")]
    assert compare_all("power", table[table.arch == "a"], **COLUMNS) == []


@pytest.mark.parametrize(
    ("x_b", "at", "extrapolated"),
    [(X, 64.0, False), (X[:5], X[4], False), (X * 1.7, 64.0, False), (X * 100, 64.0, True)],
)
def test_the_gap_is_taken_at_the_largest_x_both_measured(x_b, at, extrapolated):
    gap = compare_all("power_offset", two_groups(Y_A, noisy(1, x=x_b), x_b=x_b), **COLUMNS)[-1]
    assert gap.x == pytest.approx(at)
    assert gap.extrapolated is extrapolated
    assert ("beyond the data" in gap.sentence) is extrapolated


def test_mistakes_are_named():
    table = two_groups(Y_A, Y_B)
    with pytest.raises(UserError, match=r"unknown parameter 'E'. Choices: A, C, b"):
        compare("power_offset", table, **PAIR, shared=("E",))
    with pytest.raises(UserError, match="shared is empty"):
        compare("power_offset", table, **PAIR, shared=())
    with pytest.raises(UserError, match="whether A is equal depends on the unit of x while b may differ; share b too"):
        compare("power_offset", table, **PAIR, shared=("A", "C"))
    with pytest.raises(UserError, match="unknown group 'z'. Choices: a, b"):
        compare("power_offset", table, **COLUMNS, groups=("a", "z"), shared=("C",))
    with pytest.raises(UserError, match="name two different groups"):
        compare("power_offset", table, **COLUMNS, groups=("a", "a"), shared=("C",))
    with pytest.raises(UserError, match="at = -1"):
        loss_gap("power_offset", table, **PAIR, at=-1.0)
