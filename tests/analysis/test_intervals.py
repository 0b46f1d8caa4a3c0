"""Each end of an interval is checked from outside: held there, an independent optimiser must just reach the F limit."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.fit import fit
from analysis.intervals import Interval, f_limit, verdict, zoom
from analysis.laws import LAWS, Parameter
from tests.analysis.curves import TRUTH, X, curve, least_squares, noisy

SEEDS = [0, 3, 8]


def limit(found, level=0.95):
    return f_limit(found.sum_of_squares, degrees_of_freedom=found.degrees_of_freedom, level=level, floor=0.0)


def ends_inside(interval):
    """The ends that the profile decides, not the bound at 0."""
    return [end for end in (interval.low, interval.high) if end > 0]


def test_the_limit_is_the_quantile_of_f_with_one_degree_of_freedom():
    # F(1, ν) is t(ν) squared.
    assert f_limit(2.0, degrees_of_freedom=3, level=0.9, floor=0.0) == pytest.approx(
        2.0 * (1 + stats.t.ppf(0.95, 3) ** 2 / 3)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_irreducible_loss_held_at_an_end_of_its_interval_just_reaches_the_limit(seed):
    y = noisy(seed)
    found = fit("power_offset", X, y)
    for C in ends_inside(found.intervals["C"]):
        held = least_squares(lambda p, C=C: curve(X, p[0], p[1], C) - y, [0, 0], [30, 3], starts=15)
        assert 2 * held.cost == pytest.approx(limit(found), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_exponent_held_at_an_end_of_its_interval_just_reaches_the_limit(seed):
    y = noisy(seed)
    found = fit("power_offset", X, y)
    for b in ends_inside(found.intervals["b"]):
        held = least_squares(lambda p, b=b: curve(X, p[0], b, p[1]) - y, [0, 0], [100, 10], starts=8)
        assert 2 * held.cost == pytest.approx(limit(found), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_amplitude_in_any_unit_held_at_an_end_of_its_interval_just_reaches_the_limit(seed):
    y, x = noisy(seed), 50.0 * X
    found = fit("power_offset", x, y)
    for A in ends_inside(found.intervals["A"]):
        held = least_squares(lambda p, A=A: curve(x, A, p[0], p[1]) - y, [0, 0], [3, 10], starts=30)
        assert 2 * held.cost == pytest.approx(limit(found), rel=1e-6)


@pytest.mark.parametrize("at", [0.3, 8.0, 256.0, 1e5])
def test_a_curve_through_an_end_of_the_band_just_reaches_the_limit(at):
    y = noisy(3)
    found = fit("power_offset", X, y)
    for end in np.ravel(found.band([at], level=0.8)):
        # A and C in terms of b and of the share of the end that is irreducible; the curve then passes through the end.
        def residuals(p, end=end):
            return curve(X, end * (1 - p[1]) * at ** p[0], p[0], end * p[1]) - y

        held = least_squares(residuals, [0, 0], [3, 1], starts=30)
        assert 2 * held.cost == pytest.approx(limit(found, 0.8), rel=1e-6)


def test_the_band_at_many_x_equals_the_band_at_each():
    found = fit("power_offset", X, noisy(0))
    at = np.geomspace(0.1, 1e4, 60)
    low, high = found.band(at)
    assert (low <= found.predict(at)).all()
    assert (found.predict(at) <= high).all()
    for i in (0, 31, 59):
        np.testing.assert_allclose([low[i], high[i]], np.ravel(found.band(at[i])), rtol=1e-9)


def test_with_little_noise_intervals_are_those_of_linear_theory():
    y = noisy(5, sigma=1e-5)
    found = fit("power_offset", X, y)
    A, b, _ = found.parameters.values()
    jacobian = np.column_stack([X**-b, -A * np.log(X) * X**-b, np.ones_like(X)])
    covariance = np.linalg.inv(jacobian.T @ jacobian) * found.residual_std**2
    for i, (name, value) in enumerate(found.parameters.items()):
        half = stats.t.ppf(0.975, 3) * math.sqrt(covariance[i, i])
        assert found.intervals[name].low == pytest.approx(value - half, abs=0.01 * half)
        assert found.intervals[name].high == pytest.approx(value + half, abs=0.01 * half)


@pytest.mark.parametrize("parameter", ["A", "b", "C"])
def test_a_profile_crosses_the_limit_at_the_ends_of_the_interval(parameter):
    found = fit("power_offset", X, noisy(0))
    values, sums = found.profile(parameter, points=401)
    assert sums.min() == pytest.approx(found.sum_of_squares, rel=1e-3)
    inside = values[sums <= limit(found)]
    spacing = np.diff(values).max()
    assert inside.min() == pytest.approx(found.intervals[parameter].low, abs=spacing)
    assert inside.max() == pytest.approx(found.intervals[parameter].high, abs=spacing)


def test_a_higher_level_gives_a_wider_interval():
    y = noisy(0)
    widths = []
    for level in (0.5, 0.8, 0.95, 0.99):
        interval = fit("power_offset", X, y, level=level).intervals["b"]
        assert interval.level == level
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_intervals_cover_as_often_as_they_say():
    """200 designs of 6 points: nominal 90 % must cover b, C and the 4× extrapolation within 3 standard errors."""
    count, level, at = 200, 0.9, 4 * X[-1]
    hits = dict.fromkeys(("b", "C", "band"), 0)
    for seed in range(count):
        found = fit("power_offset", X, noisy(1000 + seed), level=level)
        for name in "bC":
            hits[name] += TRUTH[name] in found.intervals[name]
        (low,), (high,) = found.band([at])
        hits["band"] += low <= curve(at) <= high
    error = math.sqrt(level * (1 - level) / count)
    for name, hit in hits.items():
        assert abs(hit / count - level) < 3 * error, f"{name} covered in {hit} of {count}"


def test_four_points_for_three_parameters_give_wide_and_finite_intervals():
    found = fit("power_offset", X[:4], noisy(0)[:4])
    assert found.degrees_of_freedom == 1
    assert found.verdicts["b"] != "identified"
    assert found.verdicts["C"] != "identified"
    low, high = found.band([1.0, 8.0, 1e3])
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    assert high[2] - low[2] > high[1] - low[1] > 0


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.5, 0.4, 0.7, "identified"),
        (0.5, 0.2, 0.9, "weak"),
        (0.5, 0.0, 0.6, "weak"),
        (0.1, 0.0, 0.6, "not identified"),
        (0.5, 0.0, 3.0, "not identified"),
        (0.0, 0.0, 0.1, "on bound"),
        (3.0, 1.0, 3.0, "on bound"),
    ],
)
def test_verdicts(value, low, high, expected):
    exponent = LAWS["power_offset"].nonlinear[0]
    assert verdict(exponent, value, Interval(low=low, high=high, level=0.95)) == expected


def test_without_an_interval_nothing_is_identified():
    assert verdict(Parameter("b", low=0.0, high=3.0), 0.3, None) == "not identified"


def test_zoom_finds_each_maximum_between_the_points_of_the_scan():
    peaks = np.array([[0.1234567], [2.7182818], [5.0]])
    at, largest = zoom(lambda t: -((t - peaks) ** 2), np.linspace(0, 4, 9)[None])
    np.testing.assert_allclose(at, [0.1234567, 2.7182818, 4.0], atol=1e-6)
    np.testing.assert_allclose(largest, [0, 0, -1], atol=1e-12)
