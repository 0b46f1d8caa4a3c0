"""Wald and bootstrap intervals against scipy's covariance and against refits made one by one."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from analysis.fit import fit, fit_groups
from analysis.methods import METHODS, bootstrap
from analysis.methods.bootstrap import pairs_ends, resample
from analysis.methods.quantities import Parameters
from analysis.methods.wald import covariance
from analysis.observations import observe
from archscale.registry import UserError
from tests.analysis.curves import X, curve, noisy, two_groups
from tests.analysis.joint_points import TRUTHS, inputs, loss

x16 = np.geomspace(1, 64, 16)


def scipy_fit(x, y, **options):
    return optimize.curve_fit(
        curve, x, y, p0=(2, 0.3, 1.5), ftol=1e-15, xtol=1e-15, gtol=1e-15, maxfev=20000, **options
    )


@pytest.mark.parametrize("unit", [1.0, 1e18])
def test_wald_intervals_are_those_of_the_covariance_of_scipy(unit):
    y = noisy(0)
    found = fit("power_offset", X * unit, y, interval="wald", level=0.9)
    values, errors = scipy_fit(X, y)
    half = stats.t.ppf(0.95, 3) * np.sqrt(np.diag(errors))
    for place, name in ((1, "b"), (2, "C")):
        assert found.intervals[name].low == pytest.approx(values[place] - half[place], rel=1e-5)
        assert found.intervals[name].high == pytest.approx(values[place] + half[place], rel=1e-5)
    # ln A on another unit of x is ln A + b·ln unit, and its variance that of the sum.
    weights = np.array([1 / values[0], np.log(unit)])
    log_half = stats.t.ppf(0.95, 3) * np.sqrt(weights @ errors[:2, :2] @ weights)
    log_a = np.log(values[0]) + values[1] * np.log(unit)
    assert np.log(found.intervals["A"].low) == pytest.approx(log_a - log_half, rel=1e-5)
    assert np.log(found.intervals["A"].high) == pytest.approx(log_a + log_half, rel=1e-5)


def test_weights_enter_wald_intervals_as_inverse_variances():
    y, sigma = noisy(0), np.array([0.01, 0.02, 0.01, 0.03, 0.01, 0.005])
    found = fit("power_offset", X, y, interval="wald", weights=sigma**-2)
    _, errors = scipy_fit(X, y, sigma=sigma)
    half = stats.t.ppf(0.975, 3) * np.sqrt(errors[1, 1])
    assert found.intervals["b"].high - found.intervals["b"].low == pytest.approx(2 * half, rel=1e-5)
    # As many weights in a loss that is not least squares, on relative errors so small that both losses are one.
    log = fit("power_offset", X, curve(X) + 1e-6 * (y - curve(X)), loss="log-ls", weights=sigma**-2)
    plain = fit("power_offset", X, curve(X) + 1e-6 * (y - curve(X)), weights=(sigma * curve(X)) ** -2)
    np.testing.assert_allclose(covariance(log.curve), covariance(plain.curve), rtol=1e-3)


def test_wald_ends_stop_at_the_bounds():
    found = fit(
        "power_offset", X, curve(X, C=0.02) + 0.01 * np.random.default_rng(0).standard_normal(6), interval="wald"
    )
    assert found.intervals["C"].low == 0
    assert found.intervals["b"].high < 3


@pytest.mark.parametrize("name", ["ls", "huber:0.01", "log-ls"])
def test_pairs_intervals_are_percentiles_of_refits(name):
    """The same resamples, refitted one after the other through the global search."""
    y = noisy(4, x=x16)
    points = observe(x16, y)
    found = fit("power_offset", x16, y, loss=name)
    low, high = pairs_ends(found.curve, points, Parameters(curve=found.curve).quantity, 3, 0.8, draws=30)
    refits = []
    for counts in resample(points, 30, at_least=3, seed=0):
        seen = counts > 0
        again = fit("power_offset", x16[seen], y[seen], loss=name, weights=counts[seen])
        refits.append([again.parameters["b"], again.parameters["C"]])
    expected = np.quantile(refits, [0.1, 0.9], axis=0)
    np.testing.assert_allclose(np.array([low, high])[:, [0, 2]], expected, rtol=1e-5)


def test_a_resample_always_has_enough_distinct_points():
    points = observe(np.repeat(X[:4], 2), np.linspace(2, 3, 8))
    counts = resample(points, 200, at_least=3, seed=1)
    assert counts.shape == (200, 8)
    assert (counts.sum(axis=1) == 8).all()
    assert ((counts.reshape(200, 4, 2).sum(axis=2) > 0).sum(axis=1) >= 3).all()
    np.testing.assert_array_equal(counts, resample(points, 200, at_least=3, seed=1))


def test_wild_intervals_are_those_of_refits_of_moved_points():
    """Percentile-t of b with scipy's refits: HC residuals, Webb's six weights, sandwich errors, written once more."""
    y = noisy(7)
    found = fit("power_offset", X, y, interval="wild", level=0.9)
    values, _ = scipy_fit(X, y)

    def sandwich(p, y):
        slopes = np.column_stack([X ** -p[1], -p[0] * np.log(X) * X ** -p[1], np.ones_like(X)])
        bread = np.linalg.inv(slopes.T @ slopes)
        meat = slopes.T @ np.diag((y - curve(X, *p)) ** 2) @ slopes
        return np.sqrt((bread @ meat @ bread)[1, 1]), np.diag(slopes @ bread @ slopes.T)

    error, leverage = sandwich(values, y)
    residual = (y - curve(X, *values)) / np.sqrt(1 - leverage)
    rng, webb, t = np.random.default_rng(0), np.sqrt([0.5, 1.0, 1.5]), []
    for _ in range(300):
        moved = curve(X, *values) + rng.choice(np.r_[-webb, webb], 6) * residual
        run = optimize.least_squares(
            lambda p, moved=moved: curve(X, *p) - moved, values, bounds=([0, 0, 0], [50, 3, 10]), xtol=1e-12, ftol=1e-12
        )
        t.append(abs(run.x[1] - values[1]) / sandwich(run.x, moved)[0])
    half = np.quantile(t, 0.9) * error
    # Two independent sets of draws: a tenth of the width is two standard errors of the quantile.
    assert found.intervals["b"].high - found.intervals["b"].low == pytest.approx(2 * half, rel=0.15)
    assert (found.intervals["b"].low + found.intervals["b"].high) / 2 == pytest.approx(values[1], rel=1e-6)


def test_clusters_that_err_together_widen_wild_intervals():
    x, shared = np.repeat(np.geomspace(1, 64, 8), 4), np.repeat(np.random.default_rng(3).standard_normal(8), 4)
    y = curve(x) + 0.01 * shared + 0.001 * np.random.default_rng(4).standard_normal(32)
    table = pd.DataFrame({"x": x, "loss": y, "trunk": np.repeat(np.arange(8), 4)})
    widths = {}
    for clusters in (None, "trunk"):
        found = fit_groups(
            "power_offset", table, x="x", y="loss", group=None, interval="wild", clusters=clusters
        )[""]  # fmt: skip
        widths[clusters] = found.intervals["b"].high - found.intervals["b"].low
    assert widths["trunk"] > 1.5 * widths[None]


def test_the_points_of_a_cluster_move_together(monkeypatch):
    moved = []
    monkeypatch.setattr(
        bootstrap, "refit_near", lambda objective, q: moved.append(objective.y) or np.tile(q, (len(objective.y), 1))
    )
    y, clusters = noisy(0, x=x16), np.arange(16) // 2
    found = fit("power_offset", x16, y, interval="wild", clusters=clusters)
    (shifts,) = (draws - found.predict(x16) for draws in moved)
    weights = shifts / shifts[0]
    np.testing.assert_allclose(weights[:, ::2], weights[:, 1::2], rtol=1e-6)
    assert np.abs(weights[1:, ::2] - weights[1:, [0]]).max() > 0.1
    assert len(np.unique(np.abs(weights[:, 0]).round(6))) == 3


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(("law", "name"), [("chinchilla", "huber-log:3e-3"), ("power_offset", "lad-log")])
def test_each_method_gives_each_parameter_an_interval(method, law, name):
    x = inputs(law) if law == "chinchilla" else x16
    truth = loss(law, x, TRUTHS[law]) if law == "chinchilla" else curve(x16)
    y = truth * np.exp(0.003 * np.random.default_rng(2).standard_normal(16))
    found = fit(law, x, y, loss=name, interval=method)
    assert found.interval_kind == found.to_json()["interval"] == method
    assert found.interval_note.startswith(METHODS[method])
    for parameter, value in found.parameters.items():
        assert found.intervals[parameter].low < value < found.intervals[parameter].high
        assert np.isfinite(found.intervals[parameter].high)
    again = fit(law, x[::-1], y[::-1], loss=name, interval=method)
    assert again.to_json() == found.to_json()


def test_a_bootstrap_of_few_points_says_so():
    assert "6 points" in fit("power_offset", X, noisy(0), interval="pairs").interval_note
    few = fit("power_offset", x16, noisy(0, x=x16), interval="wild", clusters=np.arange(16) // 4)
    assert "4 clusters" in few.interval_note
    for method, y in (("pairs", noisy(0, x=x16)), ("wild", noisy(0, x=x16)), ("wald", noisy(0, x=x16))):
        assert fit("power_offset", x16, y, interval=method).interval_note == METHODS[method]


def test_an_unknown_method_is_refused_with_the_near_ones():
    table = two_groups(noisy(0), noisy(1))
    with pytest.raises(UserError, match=r"unknown interval 'walt'.*wald"):
        fit_groups("power_offset", table, x="compute", y="loss", group="arch", interval="walt")
