import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.compare import compare, compare_all, holm
from analysis.equality import Comparison
from analysis.fit import fit
from analysis.gap import LossGap, loss_gap
from analysis.intervals import f_limit
from analysis.laws import LAWS
from analysis.observations import observe
from analysis.sentences import differing
from analysis.solve.joint import joint_fit
from analysis.solve.losses import Loss
from analysis.solve.projection import minimise
from analysis.solve.scaled import product_grid
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


@pytest.mark.parametrize("shared", [("C",), ("A", "b", "C")])
def test_equal_groups_of_five_points_are_told_apart_as_rarely_as_the_level_says(shared):
    """400 pairs of groups at once, by the joint problem that `compare` solves for each; one of them is checked."""
    count, x = 400, X[1:]
    y_RN = np.stack([np.r_[noisy(2 * i + 100, x=x), noisy(2 * i + 101, x=x)] for i in range(count)])
    points = [observe(x, y_RN[0, part], group=name) for name, part in (("a", slice(5)), ("b", slice(5, 10)))]
    alone = [joint_fit(LAWS["power_offset"], [own], loss=Loss()) for own in points]
    problem = joint_fit(LAWS["power_offset"], points, shared, loss=Loss(), separate=alone).objective.problem
    grid = product_grid([np.linspace(0.01, 2.0, 24)] * problem.low.size)
    together = minimise(replace(problem, grid=grid), y_RN, spread=0).objective
    separate = sum(
        minimise(one.objective.problem, y_RN[:, part], spread=0).objective
        for one, part in zip(alone, (slice(5), slice(5, 10)), strict=True)
    )
    f_R = (together - separate) / len(shared) / (separate / 4)
    one = compare("power_offset", two_groups(y_RN[7, :5], y_RN[7, 5:], x_a=x, x_b=x), **PAIR, shared=shared)
    assert one.f_statistic == pytest.approx(f_R[7], rel=1e-6)
    hits = int((stats.f.sf(f_R, len(shared), 4) < 0.05).sum())
    assert stats.binomtest(hits, count, 0.05).pvalue > 0.01, f"{hits} of {count}"


def three_groups():
    table = two_groups(Y_A, Y_B)
    return pd.concat([table, table[table.arch == "a"].assign(arch="c", loss=noisy(2, A=1.9))])


def test_three_groups_are_tested_together_against_an_independent_joint_fit():
    y_c = noisy(2, A=1.9)

    def residuals(p):
        curves = (curve(X, p[0], p[1], p[6]), curve(X, p[2], p[3], p[6]), curve(X, p[4], p[5], p[6]))
        return np.r_[curves[0] - Y_A, curves[1] - Y_B, curves[2] - y_c]

    joint = least_squares(residuals, [0] * 7, [4] * 7, starts=40)
    separate = separate_sum() + fit("power_offset", X, y_c).sum_of_squares
    found = compare("power_offset", three_groups(), **COLUMNS, groups=("a", "b", "c"), shared=("C",))
    assert found.degrees_of_freedom == (2, 9)
    assert found.f_statistic == pytest.approx((2 * joint.cost - separate) / 2 / (separate / 9), rel=1e-5)
    assert [found.parameters[name]["C"] for name in "abc"] == pytest.approx([joint.x[6]] * 3, rel=1e-5)
    assert found.parameters["b"]["A"] == pytest.approx(joint.x[2], rel=1e-4)
    assert "irreducible losses C of a, b and c differ" in found.sentence


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_shared_parameter_held_at_an_end_of_its_interval_raises_the_joint_fit_to_its_limit(end):
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=("C",))

    def residuals(p, C):
        return np.r_[curve(X, p[0], p[1], C) - Y_A, curve(X, p[2], p[3], C) - Y_B]

    free = least_squares(lambda p: residuals(p, p[4]), [0] * 5, [4] * 5)
    held = least_squares(lambda p: residuals(p, getattr(found.intervals["C"], end)), [0] * 4, [4] * 4)
    assert held.cost / free.cost == pytest.approx(1 + stats.f.ppf(0.95, 1, 7) / 7, rel=1e-5)
    assert found.intervals["C"].low < found.parameters["a"]["C"] < found.intervals["C"].high


def test_sharing_everything_gives_the_intervals_of_the_pooled_fit():
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=("A", "b", "C"))
    pooled = fit("power_offset", np.r_[X, X], np.r_[Y_A, Y_B])
    for name, value in pooled.parameters.items():
        assert found.parameters["a"][name] == pytest.approx(value, rel=1e-6)
        assert found.intervals[name].low == pytest.approx(pooled.intervals[name].low, rel=1e-6)
        assert found.intervals[name].high == pytest.approx(pooled.intervals[name].high, rel=1e-6)


def test_logarithms_are_compared_by_an_independent_joint_fit():
    def log_ratio(p, q):
        return np.r_[np.log(curve(X, *p) / Y_A), np.log(curve(X, *q) / Y_B)]

    joint = least_squares(lambda p: log_ratio((p[0], p[1], p[4]), (p[2], p[3], p[4])), [1e-3] * 5, [4] * 5)
    free = least_squares(lambda p: log_ratio(p[:3], p[3:]), [1e-3] * 6, [4] * 6)
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=("C",), loss="log-ls")
    assert found.f_statistic == pytest.approx((joint.cost - free.cost) / (free.cost / 6), rel=1e-4)
    assert found.parameters["a"]["C"] == pytest.approx(joint.x[4], rel=1e-5)


def test_huber_beyond_every_residual_is_the_f_test_and_below_outliers_ignores_them():
    table = two_groups(Y_A, Y_B)
    plain = compare("power_offset", table, **PAIR, shared=("C",))
    wide = compare("power_offset", table, **PAIR, shared=("C",), loss="huber:10")
    assert wide.f_statistic == pytest.approx(plain.f_statistic, rel=1e-5)
    assert math.isnan(wide.aicc_difference)
    assert wide.intervals == {}
    x = np.geomspace(1, 64, 20)
    far = [noisy(seed, x=x, C=C) + 0.5 * (np.arange(20) == 9) for seed, C in ((0, 1.5), (1, 1.6))]
    spoiled = two_groups(*far, x_a=x, x_b=x)
    curves = ("A", "b", "C")
    assert compare("power_offset", spoiled, **PAIR, shared=curves).p_value > 0.01
    assert compare("power_offset", spoiled, **PAIR, shared=curves, loss="huber:0.02").p_value < 1e-4


def test_a_shared_irreducible_loss_of_two_inputs_agrees_with_an_independent_joint_fit():
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(0, 2, 24), 10 ** rng.uniform(0, 2, 24)
    name = np.repeat(["a", "b"], 12)

    def loss(p, q, E):
        A, alpha, B, beta = np.array([p, q])[np.where(name == "a", 0, 1)].T
        return A * N**-alpha + B * D**-beta + E

    y = loss((2.0, 0.4, 1.0, 0.3), (2.2, 0.5, 1.2, 0.3), 1.6) + 0.005 * rng.standard_normal(24)
    table = pd.DataFrame({"N": N, "D": D, "loss": y, "arch": name})
    found = compare("chinchilla", table, x=["N", "D"], y="loss", group="arch", groups=("a", "b"), shared=("E",))
    joint = least_squares(lambda p: loss(p[:4], p[4:8], p[8]) - y, [0] * 9, [4] * 9, starts=12)
    assert found.degrees_of_freedom == (1, 14)
    assert found.parameters["a"]["E"] == found.parameters["b"]["E"] == pytest.approx(joint.x[8], rel=1e-5)
    assert found.parameters["b"]["A"] == pytest.approx(joint.x[4], rel=1e-4)
    assert found.intervals["E"].low < 1.6 < found.intervals["E"].high


def test_holm_adjusts_a_p_for_the_pairs_asked_the_same():
    assert holm([0.01, math.nan, 0.04, 0.03]) == pytest.approx([0.03, math.nan, 0.06, 0.06], nan_ok=True)
    results = compare_all("power_offset", three_groups(), **COLUMNS)
    tests = [r for r in results if isinstance(r, Comparison) and r.shared == ("b",)]
    assert [r.p_adjusted for r in tests] == pytest.approx(holm([r.p_value for r in tests]))
    assert max(r.p_adjusted - r.p_value for r in tests) > 0


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
    with pytest.raises(UserError, match="loss = lad-log: .* have no test"):
        compare("power_offset", table, **PAIR, shared=("C",), loss="lad-log")
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


def test_what_is_compared_is_in_the_plural():
    law = LAWS["chinchilla"]
    beta = tuple(p for p in law.parameters if p.name == "beta")
    assert differing(law, beta) == "exponents of D beta"
    assert differing(LAWS["power_offset"], LAWS["power_offset"].parameters[2:]) == "irreducible losses C"
