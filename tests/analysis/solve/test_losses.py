from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special, stats

from analysis.curve import fit_curve
from analysis.fit import fit
from analysis.laws import LAWS
from analysis.observations import observe
from analysis.solve.losses import Loss
from archscale.registry import UserError
from tests.analysis.curves import X, curve, noisy
from tests.analysis.joint_points import TRUTHS, crossed, inputs, loss

LOSSES = ["ls", "log-ls", "huber:0.01", "huber-log:1e-3", "lad", "lad-log"]
x16 = np.geomspace(1, 64, 16)


def total(name: str, y: np.ndarray, f: np.ndarray) -> float:
    """Each loss once more, by scipy's functions."""
    r = np.log(y) - np.log(f) if "log" in name else y - f
    if name.startswith("huber"):
        return float(special.huber(float(name.partition(":")[2]), r).sum())
    return float(np.abs(r).sum() if name.startswith("lad") else r @ r)


def with_outliers(seed: int, n: int = 16) -> np.ndarray:
    y = noisy(seed, x=x16[:n])
    y[3] += 0.2
    return y


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula_and_its_slopes_are_derivatives(name):
    made = Loss.parse(name)
    y, f = np.array([2.0, 2.5, 3.0, 4.0]), np.array([2.004, 2.2, 3.0004, 4.1])
    assert float(made.total(y, f)) == pytest.approx(total(name, y, f), rel=1e-14)
    r, step = made.residual(y, f), 1e-6
    np.testing.assert_allclose(
        made.slope(r), (made.rho(r + step) - made.rho(r - step)) / (2 * step), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        made.curvature(r), (made.slope(r + step) - made.slope(r - step)) / (2 * step), rtol=1e-6, atol=1e-9
    )
    assert Loss.parse(made.name) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [("hubber", "choose one of ls, log-ls"), ("huber", "must be a positive number"), ("ls:2", "only huber"),
     ("huber-log:-1", "positive"), ("huber:nan", "positive")],
)  # fmt: skip
def test_an_impossible_loss_is_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as refused:
        Loss.parse(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_no_independent_optimiser_finds_a_smaller_objective(name, seed):
    """Nelder–Mead on the raw problem, restarted from many places, needs no derivative of any loss."""
    y = with_outliers(seed)
    found = fit("power_offset", x16, y, loss=name)
    rng = np.random.default_rng(seed)
    best = np.inf
    for start in [list(found.parameters.values()), *rng.uniform([0.5, 0.05, 0.1], [4, 1, 2], (4, 3))]:
        run = optimize.minimize(
            lambda p: total(name, y, np.maximum(curve(x16, *p), 1e-9)),
            start,
            method="Nelder-Mead",
            bounds=[(0, 50), (0, 3), (0, 10)],
            options={"xatol": 1e-11, "fatol": 1e-16, "maxiter": 4000, "maxfev": 8000},
        )
        best = min(best, run.fun)
    assert found.objective <= best * (1 + 1e-9)
    assert found.objective == pytest.approx(total(name, y, found.predict(x16)), rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_units_and_the_order_of_rows_change_nothing_else(name):
    """x in other units leaves all but A as it was; A is multiplied by the unit to the power b."""
    y, order = with_outliers(0), np.random.default_rng(0).permutation(16)
    plain = fit("power_offset", x16, y, loss=name)
    scaled = fit("power_offset", 1e9 * x16[order], y[order], loss=name)
    assert scaled.objective == pytest.approx(plain.objective, rel=1e-9)
    for parameter in "bC":
        assert scaled.parameters[parameter] == pytest.approx(plain.parameters[parameter], rel=1e-6)
        assert scaled.intervals[parameter].low == pytest.approx(plain.intervals[parameter].low, rel=1e-5)
        assert scaled.intervals[parameter].high == pytest.approx(plain.intervals[parameter].high, rel=1e-5)
    assert scaled.parameters["A"] == pytest.approx(plain.parameters["A"] * 1e9 ** plain.parameters["b"], rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_unit_of_all_weights_changes_no_parameter_and_no_interval(name):
    """With it goes the difference between a sum and a mean."""
    y = with_outliers(1)
    plain = fit("power_offset", x16, y, loss=name)
    mean = fit("power_offset", x16, y, loss=name, weights=np.full(16, 1 / 16))
    assert mean.objective == pytest.approx(plain.objective / 16, rel=1e-9)
    for parameter, interval in plain.intervals.items():
        assert mean.parameters[parameter] == pytest.approx(plain.parameters[parameter], rel=1e-6)
        assert mean.intervals[parameter].low == pytest.approx(interval.low, rel=1e-5)
        assert mean.intervals[parameter].high == pytest.approx(interval.high, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_two_is_the_point_listed_twice(name):
    """Twice the same row is refused, so the second copies differ in the tenth digit."""
    y, weights = with_outliers(2), np.r_[2.0, np.ones(13), 2.0, 1.0]
    twice = weights == 2
    weighted = fit("power_offset", x16, y, loss=name, weights=weights)
    listed = fit("power_offset", np.r_[x16, x16[twice]], np.r_[y, y[twice] * (1 + 1e-10)], loss=name)
    assert weighted.objective == pytest.approx(listed.objective, rel=1e-6)
    for parameter, value in listed.parameters.items():
        assert weighted.parameters[parameter] == pytest.approx(value, rel=1e-6)


def test_weighted_least_squares_is_that_of_scipy():
    y, errors = noisy(0), np.array([0.01, 0.02, 0.01, 0.03, 0.01, 0.005])
    found = fit("power_offset", X, y, weights=errors**-2)
    values, _ = optimize.curve_fit(curve, X, y, p0=(2, 0.3, 1.5), sigma=errors, ftol=1e-15, xtol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(list(found.parameters.values()), values, rtol=1e-6)


def test_deviations_pass_through_as_many_points_as_there_are_parameters():
    found = fit("power_offset", x16, noisy(5, x=x16), loss="lad")
    missed = np.sort(np.abs(found.y - found.predict(x16)))
    assert (missed[:3] < 1e-9).all()
    assert missed[3] > 1e-6


@pytest.mark.parametrize("name", ["ls", "log-ls", "huber:1", "huber-log:1"])
@pytest.mark.parametrize("law", ["power_offset", "chinchilla", "kaplan"])
def test_the_gradient_and_the_curvature_of_the_objective_are_its_differences(law, name):
    """δ lies between two residuals, so that no difference crosses a corner."""
    if law == "power_offset":
        x, y = x16, with_outliers(0)
    else:
        x = inputs(law)
        y = loss(law, x, TRUTHS[law]) * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(x)))
    objective = fit_curve(LAWS[law], observe(x, y), loss=Loss.parse(name)).objective
    q = fit_curve(LAWS[law], observe(x, y)).q
    q = q * (1 + 0.02 * np.arange(1, q.size + 1))
    if objective.loss.kind == "huber":
        sizes = np.sort(np.abs(objective.residual(q)))
        objective = replace(objective, loss=replace(objective.loss, delta=float(sizes[7:9].mean())))
    _, gradient, hessian = objective.derivatives(q[None])
    for k in range(q.size):
        step = np.zeros_like(q)
        step[k] = 1e-5 * max(abs(q[k]), 1e-2)
        ahead, behind = (objective.derivatives((q + sign * step)[None]) for sign in (1, -1))
        assert gradient[0, k] == pytest.approx((ahead[0] - behind[0])[0] / (2 * step[k]), rel=1e-4)
        rounding = 2e-4 * np.sqrt(np.abs(np.diag(hessian[0]) * hessian[0, k, k]))
        by_differences = (ahead[1] - behind[1])[0] / (2 * step[k])
        assert (np.abs(hessian[0, k] - by_differences) <= 2e-3 * np.abs(by_differences) + rounding).all()


def test_a_loss_of_logarithms_of_two_inputs_agrees_with_scipy():
    x = crossed(np.geomspace(0.1, 10, 4), np.geomspace(1, 100, 4))
    truth = {"A": 1.0, "B": 2.0, "E": 1.8, "alpha": 0.3, "beta": 0.4}
    y = loss("chinchilla", x, truth) * np.exp(0.01 * stats.t.rvs(3, size=16, random_state=0))
    found = fit("chinchilla", x, y, loss="huber-log:1e-2")
    names = list(found.parameters)
    runs = [
        optimize.minimize(
            lambda p: 1e4 * total("huber-log:1e-2", y, loss("chinchilla", x, dict(zip(names, p, strict=True)))),
            start,
            method="L-BFGS-B",
            bounds=[(1e-3, 50), (1e-3, 50), (0, 10), (0.01, 3), (0.01, 3)],
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000, "maxfun": 50000},
        )
        for start in ([1, 2, 1.8, 0.3, 0.4], [3, 3, 1, 0.2, 0.2], [0.5, 1, 2, 0.8, 0.8])
    ]
    assert found.objective <= min(run.fun for run in runs) / 1e4 * (1 + 1e-9)
    np.testing.assert_allclose(list(found.parameters.values()), min(runs, key=lambda run: run.fun).x, rtol=2e-3)
