import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from analysis.compare import compare, compare_all
from analysis.curve import fit_curve
from analysis.fit import fit
from analysis.gap import loss_gap
from analysis.laws import LAWS
from analysis.noise import Noise, noise_sentence
from analysis.observations import observe
from analysis.pair import Pair
from tests.analysis.curves import X, curve, least_squares, noisy, two_groups

PAIR = {"x": "compute", "y": "loss", "group": "arch", "groups": ("a", "b")}
LONG = np.geomspace(1, 64, 10)
Y_A, Y_B = noisy(3, sigma=0.05), noisy(1, sigma=0.002, A=2.1)


def noise_of(sums, dof):
    names = [chr(97 + i) for i in range(len(sums))]
    return Noise.of(names, sums, [0.0] * len(sums), dof)


def covariance(x, y, parameters):
    """Of (A, b, C) by an independent least squares."""
    return optimize.curve_fit(lambda u, A, b, C: A * u**-b + C, x, y, p0=parameters)[1]


def test_the_variances_are_compared_by_the_two_sided_f_test():
    for sums, dof in (((4.0, 1.0), (2, 2)), ((1.0, 9.0), (7, 3)), ((1.0, 9.0), (3, 7))):
        ratio = (sums[0] / dof[0]) / (sums[1] / dof[1])
        expected = 2 * min(stats.f.cdf(ratio, *dof), stats.f.sf(ratio, *dof))
        assert noise_of(sums, dof).p_value == pytest.approx(expected, rel=1e-9)
    two, three = noise_of((1.0, 90.0), (3, 3)), noise_of((1.0, 90.0, 9.0), (3, 3, 3))
    assert three.p_value == pytest.approx(3 * two.p_value)
    assert three.ratio == pytest.approx(math.sqrt(90))


def test_noise_is_pooled_where_it_is_alike_or_cannot_be_measured_or_is_rounding():
    assert noise_of((1.0, 2.0), (3, 3)).pooled
    assert noise_of((1.0, 0.0), (3, 0)).pooled
    assert not noise_of((1.0, 200.0), (3, 3)).pooled
    assert Noise.of("ab", [1e-30, 0.0], [1e-28, 1e-28], [3, 3]).pooled


def test_degrees_of_freedom_are_satterthwaites_and_lie_between_the_least_and_the_sum():
    noise = noise_of((1.0, 1.0), (3, 7))
    parts = np.array([0.3, 0.1])[:, None, None]
    assert noise.effective_degrees_of_freedom(parts) == pytest.approx(0.4**2 / (0.3**2 / 3 + 0.1**2 / 7))
    for low in (1e-9, 1e9):
        assert noise.effective_degrees_of_freedom(np.array([1.0, low])[:, None, None]) == pytest.approx(
            3 if low < 1 else 7
        )
    same = np.stack([np.eye(3), np.eye(3)])
    assert noise_of((1.0, 1.0), (4, 4)).effective_degrees_of_freedom(same) == pytest.approx(8)


def test_unequal_noise_is_weighted_as_an_independent_weighted_joint_fit_says():
    found = compare("power_offset", two_groups(Y_A, Y_B), **PAIR, shared=("C",))
    assert not found.noise.pooled
    fits = [fit("power_offset", X, y) for y in (Y_A, Y_B)]
    s = [f.residual_std for f in fits]
    joint = least_squares(
        lambda p: np.r_[(curve(X, p[0], p[1], p[4]) - Y_A) / s[0], (curve(X, p[2], p[3], p[4]) - Y_B) / s[1]],
        [0] * 5,
        [4] * 5,
        starts=40,
    )
    assert found.f_statistic == pytest.approx(2 * joint.cost - 6, rel=1e-5)
    v = [covariance(X, y, list(f.parameters.values()))[2, 2] for y, f in zip((Y_A, Y_B), fits, strict=True)]
    freedom = sum(v) ** 2 / (v[0] ** 2 / 3 + v[1] ** 2 / 3)
    assert found.degrees_of_freedom == (1, pytest.approx(freedom, rel=1e-3))
    assert found.p_value == pytest.approx(stats.f.sf(found.f_statistic, 1, freedom), rel=1e-3)
    assert math.isnan(found.aicc_difference)
    assert found.intervals == {}


def test_a_gap_under_unequal_noise_has_each_groups_own_variance():
    """For noise this small the curves are their tangents, and the interval is Welch's."""
    y_a, y_b = (curve(X, A=A) + (noisy(k) - curve(X)) * size for k, A, size in ((0, 2.0, 0.1), (1, 2.1, 0.001)))
    found = loss_gap("power_offset", two_groups(y_a, y_b), **PAIR, at=64.0)
    variances, slope = [], np.array([64.0**-0.3, 0, 1])
    for y in (y_a, y_b):
        p = fit("power_offset", X, y).parameters
        slope = np.array([64.0 ** -p["b"], -p["A"] * 64.0 ** -p["b"] * math.log(64.0), 1])
        variances.append(slope @ covariance(X, y, list(p.values())) @ slope)
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 3)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances))
    assert found.interval.high - found.interval.low == pytest.approx(2 * half, rel=0.02)


def test_tests_and_gaps_of_unlike_groups_keep_their_level():
    """Five noisy points against ten quiet ones: a pooled test of equal C rejects 29 % here."""
    count, x, at = 200, X[1:], np.array([64.0])
    rejected = outside = 0
    for i in range(count):
        y_a, y_b = noisy(2 * i, x=x, sigma=0.004), noisy(2 * i + 1, x=LONG, sigma=0.0004)
        points = [observe(x, y_a, group="a"), observe(LONG, y_b, group="b")]
        curves = [fit_curve(LAWS["power_offset"], own) for own in points]
        pair = Pair(law=LAWS["power_offset"], points=tuple(points), curves=tuple(curves), level=0.95)
        outside += int(pair.excess(at, at)[0] > 0)
        if i < 100:
            table = two_groups(y_a, y_b, x_a=x, x_b=LONG)
            rejected += compare("power_offset", table, **PAIR, shared=("C",)).p_value < 0.05
    assert stats.binomtest(outside, count, 0.06, alternative="greater").pvalue > 0.01, outside
    assert stats.binomtest(rejected, 100, 0.06, alternative="greater").pvalue > 0.01, rejected


def test_what_is_said_of_noise():
    alike, unlike = noise_of((1.0, 2.0), (3, 3)), noise_of((1.0, 900.0), (3, 3))
    assert noise_sentence([alike]) == noise_sentence([]) == ""
    assert noise_sentence([unlike]).startswith("b scatters 30 times as far about its fit as a (F-test")
    assert "in 1 of 2 pairs" in noise_sentence([alike, unlike])


def test_a_difference_that_holm_does_not_confirm_is_not_called_one():
    y_c = noisy(9, A=2.0)
    table = two_groups(noisy(0), noisy(1, C=1.52))
    table = pd.concat([table, table[table.arch == "a"].assign(arch="c", loss=y_c)])
    found = [r for r in compare_all("power_offset", table, x="compute", y="loss", group="arch") if hasattr(r, "shared")]
    for test in found:
        assert test.distinguishable is (test.p_adjusted < 0.05)
        assert ("cannot tell" in test.sentence) is not test.distinguishable
    unconfirmed = [t for t in found if t.p_value < 0.05 <= t.p_adjusted]
    assert unconfirmed
    assert all("by Holm over 3 pairs" in t.sentence for t in unconfirmed)
