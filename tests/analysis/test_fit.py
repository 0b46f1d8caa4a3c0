import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.curve import refit
from analysis.fit import fit, fit_groups
from archscale.registry import UserError
from tests.analysis.curves import TRUTH, X, curve, least_squares, noisy, two_groups


@pytest.mark.parametrize("seed", range(6))
def test_no_independent_optimiser_finds_a_smaller_sum_of_squares(seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(1, 100, 7))
    y = curve(x, A=rng.uniform(0.5, 3), b=rng.uniform(0.05, 1.2), C=rng.uniform(0, 2))
    y *= 1 + rng.choice([1e-3, 0.02]) * rng.standard_normal(x.size)
    found = fit("power_offset", x, y)
    other = least_squares(lambda p: curve(x, *p) - y, [0, 0, 0], [20, 3, 10])
    assert found.sum_of_squares <= 2 * other.cost * (1 + 1e-12)
    np.testing.assert_allclose(list(found.parameters.values()), other.x, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_two_parameter_law_agrees_with_an_independent_optimiser(seed):
    y = noisy(seed, C=0.0, sigma=0.05)
    found = fit("power", X, y)
    other = least_squares(lambda p: p[0] * X ** -p[1] - y, [0, 0], [20, 3], starts=5)
    assert found.sum_of_squares == pytest.approx(2 * other.cost, rel=1e-10)
    np.testing.assert_allclose(list(found.parameters.values()), other.x, rtol=1e-6)


def test_no_exponent_of_a_fine_scan_fits_better():
    y = noisy(3, sigma=0.05)
    found = fit("power_offset", X, y)
    for b in np.linspace(0.001, 3, 3000):
        design = np.column_stack([X**-b, np.ones_like(X)])
        amplitudes = np.linalg.lstsq(design, y)[0]
        if (amplitudes >= 0).all():
            assert found.sum_of_squares <= np.square(y - design @ amplitudes).sum() * (1 + 1e-12)


def test_exact_data_return_the_law_that_made_them():
    found = fit("power_offset", X, curve(X))
    np.testing.assert_allclose(list(found.parameters.values()), list(TRUTH.values()), rtol=1e-10)
    for name, value in TRUTH.items():
        assert abs(value - found.parameters[name]) <= found.intervals[name].high - found.intervals[name].low < 1e-9
    assert found.starts.at_optimum == found.starts.count


@pytest.mark.parametrize("unit", [1e-18, 6.02e23])
def test_the_unit_of_x_changes_only_the_amplitude(unit):
    y = noisy(0)
    plain, scaled = fit("power_offset", X, y), fit("power_offset", X * unit, y)
    b = plain.parameters["b"]
    assert scaled.parameters["b"] == pytest.approx(b, rel=1e-9)
    assert scaled.parameters["C"] == pytest.approx(plain.parameters["C"], rel=1e-9)
    assert scaled.parameters["A"] == pytest.approx(plain.parameters["A"] * unit**b, rel=1e-7)
    for name in "bC":
        assert scaled.intervals[name].low == pytest.approx(plain.intervals[name].low, rel=1e-7)
        assert scaled.intervals[name].high == pytest.approx(plain.intervals[name].high, rel=1e-7)
    np.testing.assert_allclose(scaled.band(X * unit), plain.band(X), rtol=1e-9)


def test_the_unit_of_the_loss_scales_the_amplitudes():
    y = noisy(0)
    plain, scaled = fit("power_offset", X, y), fit("power_offset", X, y / math.log(2))
    assert scaled.parameters["b"] == pytest.approx(plain.parameters["b"], rel=1e-9)
    for name in "AC":
        assert scaled.parameters[name] * math.log(2) == pytest.approx(plain.parameters[name], rel=1e-9)


def test_the_order_of_rows_changes_no_bit():
    y, order = noisy(1), np.random.default_rng(0).permutation(X.size)
    assert fit("power_offset", X, y).to_json() == fit("power_offset", X[order], y[order]).to_json()


def test_an_irreducible_loss_that_would_be_negative_is_zero_and_said_to_be():
    y = 2.0 * X**-0.3 - 0.3
    found, without = fit("power_offset", X, y), fit("power", X, y)
    assert found.parameters["C"] == 0
    assert found.verdicts["C"] == "on bound"
    assert found.intervals["C"].low == 0 < found.intervals["C"].high
    assert found.sum_of_squares == pytest.approx(without.sum_of_squares, rel=1e-12)
    assert found.parameters["b"] == pytest.approx(without.parameters["b"], rel=1e-9)


def test_a_loss_that_rises_with_x_is_fitted_by_its_mean_and_identifies_nothing():
    found = fit("power_offset", X, 1 + 0.02 * X)
    np.testing.assert_allclose(found.predict(X), np.full(X.size, (1 + 0.02 * X).mean()), rtol=1e-12)
    assert "identified" not in found.verdicts.values()
    assert found.verdicts["b"] == "on bound"
    assert (found.intervals["b"].low, found.intervals["b"].high) == (0, 3)


def test_the_figures_of_a_fit_follow_from_its_residuals():
    y = noisy(2)
    found = fit("power_offset", X, y)
    residuals = y - curve(X, **found.parameters)
    assert found.sum_of_squares == pytest.approx((residuals**2).sum(), rel=1e-9)
    assert (found.n, found.degrees_of_freedom) == (6, 3)
    assert found.residual_std == pytest.approx(math.sqrt((residuals**2).sum() / 3), rel=1e-9)
    # Hurvich & Tsai with K = 3 parameters and the variance: 2·4 + 2·4·5/(6 − 4 − 1).
    assert found.aicc == pytest.approx(6 * math.log((residuals**2).mean()) + 8 + 40, rel=1e-9)
    np.testing.assert_allclose(
        found.predict([2.0, 500.0]), curve(np.array([2.0, 500.0]), **found.parameters), rtol=1e-9
    )


def test_the_residual_is_orthogonal_to_every_tangent_of_the_curve():
    y = noisy(4)
    found = fit("power_offset", X, y)
    A, b, _ = found.parameters.values()
    tangents = np.column_stack([X**-b, -A * np.log(X) * X**-b, np.ones_like(X)])
    residual = y - found.predict(X)
    cosines = tangents.T @ residual / np.linalg.norm(tangents, axis=0) / np.linalg.norm(residual)
    assert np.abs(cosines).max() < 1e-9
    assert found.starts.scaled_gradient_norm < 1e-9
    assert found.starts.at_optimum == found.starts.count == 15


def test_many_refits_at_once_equal_single_fits():
    y_RN = np.stack([noisy(seed, sigma=0.03) for seed in range(20)])
    together = refit("power_offset", X, y_RN)
    for r, y in enumerate(y_RN):
        for name, value in fit("power_offset", X, y).parameters.items():
            assert together[name][r] == pytest.approx(value, rel=1e-7, abs=1e-9)


def test_as_many_points_as_parameters_give_a_curve_and_no_claim():
    x, y = X[::2], noisy(0)[::2]
    found = fit("power_offset", x, y)
    np.testing.assert_allclose(found.predict(x), y, rtol=1e-9)
    assert set(found.verdicts.values()) == {"not identified"}
    assert math.isnan(found.residual_std)
    assert (found.intervals["C"].low, found.intervals["C"].high) == (0, math.inf)
    low, high = found.band([1.0, 100.0])
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()
    values, sums = found.profile("C")
    assert np.isfinite(values).all()
    assert np.isfinite(sums).all()


@pytest.mark.parametrize("points", [3, 4, 6])
def test_the_json_holds_no_infinity_and_every_figure(points):
    found = fit("power_offset", X[:points], noisy(0)[:points], group="sambay")
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["group"] == "sambay"
    assert data["parameters"]["b"]["value"] == found.parameters["b"]
    assert data["parameters"]["C"]["verdict"] == found.verdicts["C"]
    assert (data["parameters"]["A"]["high"] is None) == (points == 3)


def test_groups_are_fitted_as_if_alone():
    table = two_groups(noisy(0), noisy(1, A=3.0)).sample(frac=1, random_state=0)
    fits = fit_groups("power_offset", table, x="compute", y="loss", group="arch")
    assert list(fits) == ["a", "b"]
    alone = fit("power_offset", X, noisy(1, A=3.0), group="b", x_name="compute")
    assert fits["b"].to_json() == alone.to_json()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [2, 1], r"2 points at 2 distinct x.*3 parameters: at least 3 distinct x"),
        ([5, 5, 5, 5], [4, 3, 2, 1], r"x = 5 in all 4 rows"),
        ([1, 1, 2, 2], [4, 3, 2, 1], r"4 points at 2 distinct x"),
        ([1, 2, 3, 4], [3, 2, math.nan, 1], r"loss is NaN or infinite in 1 of 4 rows"),
        ([1, 2, 3, math.inf], [4, 3, 2, 1], r"x is NaN or infinite"),
        ([0, 1, 2, 3], [4, 3, 2, 1], r"x is zero or negative in 1 of 4 rows"),
        ([1, 2, 3, 4], [3, 2, 1, -1], r"loss is zero or negative.*first: -1"),
        ([1, 2, 3, 3], [3, 2, 1, 1], r"x = 3, loss = 1 is listed twice"),
        ([1, 2, 3], [3, 2], r"x has 3 values and loss has 2"),
        ([1, 2, 3], ["a", "b", "c"], r"loss holds values that are not numbers"),
        ([[[1, 2, 3]]], [3, 2, 1], r"x has 3 dimensions"),
        ([[1, 4], [2, 3], [3, 5]], [3, 2, 1], r"has 1 input, x, and 2 given"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused_with_the_reason(x, y, message):
    with pytest.raises(UserError, match=message) as refused:
        fit("power_offset", x, y, group="g")
    assert "group 'g'" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_mistakes_are_named():
    table = two_groups(noisy(0), noisy(1))
    with pytest.raises(UserError, match=r"unknown column 'los'.*'loss'"):
        fit_groups("power", table, x="compute", y="los", group="arch")
    with pytest.raises(UserError, match="no rows"):
        fit_groups("power", table.iloc[:0], x="compute", y="loss", group="arch")
    with pytest.raises(UserError, match="'arch' is empty in 12 rows"):
        fit_groups("power", table.assign(arch=pd.NA), x="compute", y="loss", group="arch")
    with pytest.raises(UserError, match=r"level = 95"):
        fit("power", X, noisy(0), level=95)
    found = fit("power", X, noisy(0))
    with pytest.raises(UserError, match=r"unknown parameter 'C'.*A·x\^-b"):
        found.profile("C")
    with pytest.raises(UserError, match=r"finite positive"):
        found.predict([0.0])
