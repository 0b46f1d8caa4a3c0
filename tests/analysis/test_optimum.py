import math

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.optimum import Optimum, Sweep, Unbracketed, log_ratio, log_slope, optima
from tests.analysis.sweeps_of_rates import RATES, WIDTHS


def sweep(y, *, x=None):
    x = np.array(RATES[: len(y)]) if x is None else x
    return Sweep(x=x, y=np.asarray(y, dtype=float))


def noisy_sweeps(generator, *, moved, noise):
    """Curvature and lowest loss of three widths, their optima off the grid, the last one `moved` in ln x."""
    t = np.log(RATES)
    centres = t[3] + 0.3 + moved * np.array([0.0, 0.5, 1.0])
    found = {}
    for width, centre in zip(WIDTHS, centres, strict=True):
        y = 2 + 0.05 * (t - centre) ** 2 + noise * generator.standard_normal(t.size)
        found[width] = Sweep(x=np.array(RATES), y=y)
    return found, centres


def test_an_exact_parabola_gives_its_vertex():
    t = np.log(RATES)
    found = optima({1.0: sweep(3.0 + 0.7 * (t - math.log(0.0123)) ** 2)}, level=0.95)[1.0]
    assert found.x == pytest.approx(0.0123, rel=1e-9)
    assert found.y == pytest.approx(3.0, abs=1e-12)
    assert found.interval.high / found.interval.low == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(
        found.parabola(np.array(found.used)), 3 + 0.7 * np.log(np.array(found.used) / 0.0123) ** 2
    )


def test_the_interval_is_where_an_f_test_of_a_given_vertex_is_not_rejected():
    """Fieller's inequality against the fit that is forced to have its vertex at t0, by a general optimiser."""
    generator = np.random.default_rng(3)
    x = np.array([2e-3, 5e-3, 8e-3, 1.6e-2, 6.4e-2])
    t = np.log(x) - np.log(x).mean()
    y = 2 + 0.05 * (t + 0.05) ** 2 + 0.004 * generator.standard_normal(5)
    found = optima({1.0: Sweep(x=x, y=y)}, level=0.9)[1.0]
    assert found.used == tuple(x)
    limit = stats.f.ppf(0.9, 1, 2)

    def excess(log_x):
        design = np.stack([np.ones(5), (t - (log_x - np.log(x).mean())) ** 2], axis=1)
        forced = np.linalg.lstsq(design, y)[1][0]
        free = np.polyfit(t, y, 2, full=True)[1][0]
        return (forced - free) / (free / 2) - limit

    low = optimize.brentq(excess, math.log(found.x) - 3, math.log(found.x))
    high = optimize.brentq(excess, math.log(found.x), math.log(found.x) + 3)
    assert found.interval.low == pytest.approx(math.exp(low), rel=1e-6)
    assert found.interval.high == pytest.approx(math.exp(high), rel=1e-6)


@pytest.mark.parametrize(("noise", "moved"), [(0.001, 0.0), (0.01, 0.0), (0.01, -1.0)])
def test_intervals_cover_what_they_say(noise, moved):
    generator = np.random.default_rng(1)
    hits, trials = np.zeros(4), 600
    for _ in range(trials):
        sweeps, centres = noisy_sweeps(generator, moved=moved, noise=noise)
        found = optima(sweeps, level=0.9)
        first, last = found[16], found[64]
        slope = log_slope(list(found.values()), WIDTHS)
        hits += [
            math.exp(centres[0]) in first.interval,
            2.0 in first.y_interval,
            moved in log_ratio(first, last).interval,
            moved / math.log(4) in slope.interval,
        ]
    assert ((hits / trials > 0.9 - 0.04) & (hits / trials < 0.9 + 0.04)).all(), hits / trials


def test_a_slope_through_two_optima_is_their_ratio():
    found = optima(noisy_sweeps(np.random.default_rng(2), moved=-1.0, noise=0.005)[0], level=0.95)
    ratio, slope = log_ratio(found[16], found[64]), log_slope([found[16], found[64]], [16, 64])
    assert slope.value == pytest.approx(ratio.value / math.log(4))
    assert slope.interval.low == pytest.approx(ratio.interval.low / math.log(4))


def test_short_sweeps_lean_on_the_noise_of_the_others():
    sweeps, _ = noisy_sweeps(np.random.default_rng(2), moved=0.0, noise=0.005)
    alone, together = optima({16: sweeps[16]}, level=0.95)[16], optima(sweeps, level=0.95)[16]
    assert (alone.degrees_of_freedom, together.degrees_of_freedom) == (2, 6)
    assert alone.x == together.x
    assert alone.noise != together.noise


INF = math.inf


@pytest.mark.parametrize(
    ("y", "reason", "side"),
    [
        ([1.0, 1.1, 1.3, 1.6, 2.0], "at the smallest value swept, 0.002", "below"),
        ([2.0, 1.6, 1.3, 1.1, 1.0], "at the largest value swept, 0.032", "above"),
        ([2.0, 1.6, 1.3, 1.1, INF], "0.016, and the next value above it diverged", "above"),
        ([1.3, 1.1, 1.3], "3 values trained without divergence, and a parabola needs 4", ""),
        ([1.3, 1.1, 1.3, INF, INF, 1.9], "3 values around the lowest", ""),
        ([1.3, 1.3, 1.299, 1.3, 0.5], "at the largest value swept", "above"),
    ],
)
def test_what_is_not_bracketed_has_a_reason_and_no_number(y, reason, side):
    found = optima({1.0: sweep(y)}, level=0.95)[1.0]
    assert isinstance(found, Unbracketed)
    assert reason in found.reason
    assert found.side == side


def test_a_diverged_rate_beyond_the_parabola_brackets_like_a_high_loss():
    found = optima({1.0: sweep([2.0, 1.6, 1.3, 1.2, 1.35, INF, INF])}, level=0.95)[1.0]
    assert isinstance(found, Optimum)
    assert found.used == RATES[1:5]


def test_points_that_are_flat_for_their_noise_have_no_bounded_interval():
    y = [1.05, 1.02, 1.03, 1.0, 1.0302, 1.021, 1.05]
    found = optima({1.0: sweep(y)}, level=0.95)[1.0]
    assert isinstance(found, Optimum)
    assert (found.interval.low, found.interval.high) == (0.0, INF)
    assert log_ratio(found, found).interval.high == INF


def test_a_seed_that_diverged_puts_its_rate_above_every_loss():
    x = np.repeat(RATES[:5], 2)
    y = np.repeat([2.0, 1.6, 1.3, 1.4, 1.5], 2)
    y[5] = INF
    found = optima({1.0: Sweep(x=x, y=y)}, level=0.95)[1.0]
    assert isinstance(found, Unbracketed)
