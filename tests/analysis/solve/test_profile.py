"""The search for the ends of intervals, against closed forms, linear programs and constrained optimisers of scipy."""

import numpy as np
import pytest
from scipy import optimize

from analysis.fit import fit
from analysis.methods.quantities import Parameters
from tests.analysis.curves import X, noisy
from tests.analysis.joint_points import TRUTHS, inputs, loss
from tests.analysis.published_data import published


@pytest.mark.parametrize("seed", [0, 1, 3, 8])
def test_the_search_finds_the_ends_of_the_closed_form(seed):
    found = fit("power_offset", X, noisy(seed))
    parameters, at = Parameters(curve=found.curve), np.array([0.5, 30.0, 300.0])
    limit = found.curve.limit(0.95)
    bounds = parameters.bounds()
    low, high = found.curve.profile.ends(parameters.quantity, 3, limit, low=bounds[0], high=bounds[1])
    places = np.arange(3)
    low, high = parameters.to_value(places, low), parameters.to_value(places, high)
    for name, one, other in zip(parameters.names, low, high, strict=True):
        assert one == pytest.approx(found.intervals[name].low, rel=1e-6)
        assert other == pytest.approx(found.intervals[name].high, rel=1e-6)
    heights = found.curve.heights(at / found.curve.scaled.scale)
    np.testing.assert_allclose(found.curve.profile.ends(heights, 3, limit), found.band(at), rtol=1e-6)


@pytest.mark.parametrize(("parameter", "place"), [("A", 0), ("B", 1), ("E", 2), ("alpha", 3), ("beta", 4)])
@pytest.mark.parametrize("name", ["ls", "log-ls"])
def test_a_parameter_of_two_inputs_held_at_an_end_just_reaches_the_limit(chinchilla, name, parameter, place):
    found, objective = chinchilla(name)
    limit = found.curve.limit(0.95)
    for end in (found.intervals[parameter].low, found.intervals[parameter].high):
        held = _constrained(found, objective, lambda p, end=end: (p[place] - end) / end)
        assert objective(held) == pytest.approx(limit, rel=2e-5)


@pytest.mark.parametrize("name", ["ls", "log-ls"])
def test_a_curve_of_two_inputs_through_an_end_of_the_band_just_reaches_the_limit(chinchilla, name):
    found, objective = chinchilla(name)
    at = np.array([[4e9, 4e11]])
    for end in np.ravel(found.band(at)):
        held = _constrained(found, objective, lambda p, end=end: _chinchilla(at, p)[0] - end)
        assert objective(held) == pytest.approx(found.curve.limit(0.95), rel=2e-5)


@pytest.mark.parametrize("seed", range(3))
def test_deviations_held_at_an_end_just_reach_the_limit(seed):
    """With b held, least absolute deviations are one linear program, solved by HiGHS."""
    x = np.geomspace(1, 64, 16)
    y = noisy(seed, x=x)
    y[3] += 0.2
    found = fit("power_offset", x, y, loss="lad")
    rounded = found.curve.objective
    allowed = found.curve.limit(0.95) - float(rounded.value(found.curve.q[None])[0])
    limit = found.objective + allowed / rounded.loss.delta
    for b in (found.intervals["b"].low, found.intervals["b"].high):
        assert _least_deviations(x, y, b) == pytest.approx(limit, rel=1e-3)


def test_an_end_is_the_bound_where_nothing_rises_before_it():
    x = inputs("chinchilla")
    y = loss("chinchilla", x, TRUTHS["chinchilla"] | {"E": 0.02}) * _noise(0, len(x), 0.02)
    found = fit("chinchilla", x, y)
    assert found.intervals["E"].low == 0
    assert found.intervals["E"].high > found.parameters["E"]


@pytest.mark.parametrize("parameter", ["A", "E", "alpha"])
def test_a_profile_of_two_inputs_crosses_the_limit_at_the_ends(chinchilla, parameter):
    found, _ = chinchilla("ls")
    values, objectives = found.profile(parameter, points=81)
    inside = values[objectives <= found.curve.limit(0.95)]
    assert inside.min() == pytest.approx(found.intervals[parameter].low, abs=np.diff(values).max())
    assert inside.max() == pytest.approx(found.intervals[parameter].high, abs=np.diff(values).max())
    assert objectives.min() == pytest.approx(found.objective, rel=1e-2)


@pytest.fixture(scope="module")
def chinchilla():
    x = inputs("chinchilla")
    y = loss("chinchilla", x, TRUTHS["chinchilla"]) * _noise(1, len(x), 0.003)

    def made(name):
        def objective(p):
            f = np.maximum(_chinchilla(x, p), 1e-9)
            residual = np.log(y) - np.log(f) if name == "log-ls" else y - f
            return float(residual @ residual)

        return fit("chinchilla", x, y, loss=name), objective

    return made


def _chinchilla(x, p):
    return loss("chinchilla", x, dict(zip(("A", "B", "E", "alpha", "beta"), p, strict=True)))


def _noise(seed, n, size):
    return np.exp(size * np.random.default_rng(seed).standard_normal(n))


def _constrained(found, objective, condition):
    """SLSQP on every parameter, amplitudes by their logarithms, from the optimum and from places around it."""
    start = np.array(list(found.parameters.values()))

    def natural(z):
        return np.r_[np.exp(z[:2]), z[2:]]

    best = None
    rng = np.random.default_rng(0)
    for spread in (0.0, 0.05):
        z = np.r_[np.log(start[:2]), start[2:]] * (1 + spread * rng.standard_normal(5))
        run = optimize.minimize(
            lambda z: 1e4 * objective(natural(z)),
            z,
            method="SLSQP",
            constraints={"type": "eq", "fun": lambda z: condition(natural(z))},
            bounds=[(-5, 40), (-5, 40), (0, 10), (0.01, 3), (0.01, 3)],
            options={"ftol": 1e-14, "maxiter": 400},
        )
        if abs(condition(natural(run.x))) < 1e-7 and (best is None or run.fun < best.fun):
            best = run
    return natural(best.x)


def _least_deviations(x, y, b):
    n = len(y)
    rows = np.column_stack([x**-b, np.ones(n)])
    solved = optimize.linprog(
        np.r_[0, 0, np.ones(n)],
        A_ub=np.block([[rows, -np.eye(n)], [-rows, -np.eye(n)]]),
        b_ub=np.r_[y, -y],
        bounds=[(0, None)] * (2 + n),
        method="highs",
    )
    return solved.fun


def test_the_search_agrees_with_the_closed_form_on_published_curves():
    """One of them, whose diverged run gives its objective several minima, needs a firmer hold than the others."""
    points = published("archscale_sambay", "points.csv")
    for series, rows in points.groupby("series"):
        found = fit("power_offset", rows.x, rows.loss, group=series)
        parameters = Parameters(curve=found.curve)
        bounds, limit = parameters.bounds(), found.curve.limit(0.95)
        ends = found.curve.profile.ends(parameters.quantity, 3, limit, low=bounds[0], high=bounds[1])
        for place, name in enumerate(parameters.names):
            for end, expected in zip(ends, (found.intervals[name].low, found.intervals[name].high), strict=True):
                value = parameters.to_value(np.array([place]), end[[place]])[0]
                assert value == pytest.approx(expected, rel=1e-5, abs=1e-6 * found.parameters[name]), (series, name)
