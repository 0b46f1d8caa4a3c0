import numpy as np
import pytest
from scipy import stats

from analysis.fit import fit
from analysis.solve.dispersion import dispersion, robust_scale
from analysis.solve.losses import Loss
from analysis.solve.objective import Objective
from analysis.solve.projection import law_problem
from archscale.bench.coverage import Simulated
from archscale.bench.designs import DESIGNS, Design
from tests.analysis.curves import TRUTH, X, noisy


@pytest.mark.parametrize("name", ["ls", "log-ls"])
def test_least_squares_has_twice_its_variance(name):
    found = fit("power_offset", X, noisy(0), loss=name)
    scale = dispersion(found.curve.objective, found.curve.q, 3)
    assert scale.value == pytest.approx(2 * found.residual_std**2, rel=1e-9)
    assert scale.curvature == 2


def test_huber_beyond_every_residual_has_the_intervals_of_least_squares():
    y = noisy(0)
    squares, huber = fit("power_offset", X, y), fit("power_offset", X, y, loss="huber:10")
    for name, interval in squares.intervals.items():
        assert huber.intervals[name].low == pytest.approx(interval.low, rel=1e-6)
        assert huber.intervals[name].high == pytest.approx(interval.high, rel=1e-6)


def test_deviations_of_many_points_have_the_scale_of_the_density_at_the_median():
    """λ = 1 / (2 f(0)); f(0) = 1 / (σ √(2π)) of normal noise, here as even as quantiles can be."""
    sigma, quantiles = 0.01, (np.arange(2000) + 0.5) / 2000
    noise = np.random.default_rng(0).permutation(sigma * stats.norm.ppf(quantiles))
    x = np.geomspace(1, 64, 2000)
    exact = fit("power", x[::100], 2 * x[::100] ** -0.3).curve
    problem = law_problem(exact.scaled, x / exact.scaled.scale)
    objective = Objective(problem=problem, loss=Loss.parse("lad"), y=2 * x**-0.3 + noise)
    assert robust_scale(objective, exact.q, 1998) == pytest.approx(sigma * np.sqrt(2 * np.pi) / 2, rel=0.02)


@pytest.mark.parametrize("delta", [0.001, 0.003, 0.0134])
def test_intervals_of_a_robust_loss_cover_as_often_as_they_say(delta):
    """Normal noise of .01 and one point in ten with ten times as much; δ down to a tenth of the noise.

    Within three standard errors of 90 % on either side: 300 data sets, three quantities.
    """
    design = DESIGNS["outliers"]
    made = Design(name="", law=design.law, x=design.x, truth=TRUTH, noise=0.01, loss=f"huber:{delta}", outliers=0.1)
    covered = Simulated(design=made, y=made.simulate(300)).profile_holds().mean(axis=0)
    assert (np.abs(covered - 0.9) < 3 * np.sqrt(0.9 * 0.1 / 300)).all(), covered


@pytest.mark.parametrize("delta", [1e-4, 1e-3])
def test_residuals_that_the_fit_pulls_to_zero_do_not_narrow_intervals(delta):
    """With δ far below the noise a fit passes through as many points as it has parameters, six points or forty."""
    for n in (6, 40):
        made = Design(
            name="", law="power_offset", x=np.geomspace(1, 64, n), truth=TRUTH, noise=0.01, loss=f"huber:{delta}"
        )
        covered = Simulated(design=made, y=made.simulate(100)).profile_holds().mean(axis=0)
        assert (covered > 0.9 - 3 * np.sqrt(0.9 * 0.1 / 100)).all(), (n, covered)
