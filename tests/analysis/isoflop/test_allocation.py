import math

import numpy as np
import pandas as pd
import pytest

from analysis.isoflop import Columns, Minimum, allocation, isoflop, isoflop_of, minimum, read, sensitivity
from analysis.optimum import Optimum, Sweep, Unbracketed, optima
from archscale.registry import UserError
from tests.analysis.published_data import published

BUDGETS = np.geomspace(1e18, 1e21, 6)
SIZES = np.linspace(-1.5, 1.5, 9)
COLUMNS = Columns(budget="C", loss="loss", parameters="N", tokens="D")
PUBLISHED = Columns(budget="budget", loss="loss", parameters="params", tokens="tokens", flagged="outlier")


def points_of(*, a=0.5, noise=0.0, seed=0, curvature=0.05, skew=0.0, off=0.0, sizes=SIZES):
    """Curves with N* = 0.1·C^a, each optimum `off` standard deviations in ln N away from it."""
    generator, rows = np.random.default_rng(seed), []
    for budget in BUDGETS:
        centre = math.log(0.1 * budget**a) + off * generator.standard_normal()
        for t in sizes + 0.3 * generator.uniform(-1, 1):
            loss = 2 + curvature * t**2 + skew * t**3 + noise * generator.standard_normal()
            size = math.exp(centre + t)
            rows.append({"C": budget, "N": size, "D": budget / 6 / size, "loss": loss})
    return pd.DataFrame(rows)


def llama(column="llama_3__raw_loss"):
    table = published("isoflop_openathena2026", "isoflops.csv")
    return read(table[table.experiment == column], PUBLISHED)


def test_exact_parabolas_give_the_law_they_were_made_from():
    found = isoflop(points_of(a=0.46), COLUMNS)
    for curve in ("parabola", "cubic"):
        sizes, tokens = found.allocations[curve, "N"].law, found.allocations[curve, "D"].law
        assert sizes.exponents["C"].value == pytest.approx(0.46, abs=1e-9)
        assert sizes.coefficient.value == pytest.approx(0.1, rel=1e-6)
        assert tokens.exponents["C"].value == pytest.approx(0.54, abs=1e-9)
        assert tokens.coefficient.value == pytest.approx(1 / 0.6, rel=1e-6)


def test_a_cubic_finds_the_minimum_that_a_parabola_misses():
    found = isoflop(points_of(skew=0.01), COLUMNS)
    for budget, item in found.allocations["cubic", "N"].optima.items():
        assert item.x == pytest.approx(0.1 * budget**0.5, rel=1e-9)
        assert abs(math.log(found.allocations["parabola", "N"].optima[budget].x / item.x)) > 0.05


def test_the_interval_of_a_parabola_is_fiellers():
    generator = np.random.default_rng(3)
    x = np.array([2e8, 5e8, 8e8, 1.6e9, 6.4e9])
    y = 2 + 0.05 * np.log(x / 9e8) ** 2 + 0.004 * generator.standard_normal(5)
    ours, theirs = minimum(x, y, degree=2, level=0.9), optima({0: Sweep(x=x, y=y)}, level=0.9)[0]
    assert isinstance(ours, Minimum)
    assert isinstance(theirs, Optimum)
    assert ours.x == pytest.approx(theirs.x, rel=1e-9)
    assert ours.interval.low == pytest.approx(theirs.interval.low, rel=1e-9)
    assert ours.interval.high == pytest.approx(theirs.interval.high, rel=1e-9)


@pytest.mark.parametrize(("degree", "skew"), [(2, 0.0), (3, 0.005)])
def test_intervals_of_the_minimum_cover_what_they_say(degree, skew):
    generator, t, hits, trials = np.random.default_rng(1), np.linspace(-2, 1.8, 10), 0, 1000
    x = np.exp(t)
    for _ in range(trials):
        y = 2 + 0.05 * t**2 + skew * t**3 + 0.005 * generator.standard_normal(t.size)
        found = minimum(x, y, degree=degree, level=0.9)
        hits += isinstance(found, Minimum) and 1.0 in found.interval
    assert 0.87 < hits / trials < 0.93


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_the_interval_of_the_law_covers_what_it_says(off):
    """Also where the optima lie off the law by more than the noise of the losses explains, which `noise` cannot see."""
    law, noise, trials = 0, 0, 400
    for seed in range(trials):
        points = read(points_of(noise=0.003, off=off, seed=seed), COLUMNS)
        found = allocation(points, curve="parabola", of="N", level=0.9)
        law += 0.5 in found.law.exponents["C"].interval
        noise += 0.5 in found.noise
    assert 0.86 < law / trials < 0.94
    assert (0.86 < noise / trials < 0.97) == (off == 0)


@pytest.mark.parametrize(
    ("x", "y", "reason", "side"),
    [
        ([1, 2, 4, 8, 16], [1.0, 1.1, 1.3, 1.6, 2.0], "lies below the values", "below"),
        ([1, 2, 4, 8, 16], [2.0, 1.6, 1.3, 1.1, 1.0], "lies above the values", "above"),
        ([1, 2, 4, 8, 16], [1.0, 1.1, 1.2, 1.1, 1.0], "no minimum", ""),
        ([1, 2], [1.0, 1.1], "2 values, and the curve needs 3", ""),
    ],
)
def test_a_budget_that_is_not_bracketed_has_a_reason_and_no_size(x, y, reason, side):
    found = minimum(np.array(x, dtype=float), np.array(y), degree=2, level=0.95)
    assert isinstance(found, Unbracketed)
    assert reason in found.reason
    assert found.side == side


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-6])
def test_an_interval_shrinks_with_the_noise_down_to_none(degree, noise):
    """Also for a cubic through points of a parabola, whose slope has its second zero anywhere."""
    t, scatter = np.linspace(-1.2, 1.2, 7), np.array([1, -1, 0.5, 0, -0.5, 1, -1])
    found = minimum(np.exp(t + 18), 2 + 0.05 * t**2 + noise * scatter, degree=degree, level=0.95)
    assert isinstance(found, Minimum)
    assert found.verdict == "bracketed"
    width = math.log(found.interval.high / found.interval.low)
    assert (10 * noise if noise else -1e-12) < width < 100 * noise + 1e-6


def test_what_is_weak_about_an_optimum_is_said():
    x = np.exp(np.array([-2.0, -1.5, -1.0, -0.5, 0.2]))
    exact = minimum(x, np.log(x) ** 2, degree=2, level=0.95)
    assert exact.verdict == "weak: one point above"
    noise = np.array([0.02, -0.03, 0.0, 0.03, -0.02])
    flat = minimum(
        np.exp(np.linspace(-1, 1, 5)), 0.01 * np.linspace(-1, 1, 5) ** 2 + noise[[0, 1, 2, 1, 0]], degree=2, level=0.95
    )
    assert isinstance(flat, Unbracketed) or flat.verdict.startswith("weak: curvature")
    t = np.linspace(-1, 1, 9)
    assert minimum(np.exp(t), t**2, degree=2, level=0.95).verdict == "bracketed"


def test_a_budget_without_a_minimum_is_left_out_by_name():
    table = points_of(noise=0.002)
    first = table.C.eq(BUDGETS[0])
    table.loc[first, "loss"] = 2 + 0.1 * np.log(table.loc[first, "N"])
    found = sensitivity(read(table, COLUMNS), of="N")
    assert list(found.everything.left_out) == [BUDGETS[0]]
    assert len(found.everything.optima) == 5
    assert any(line.startswith("Left out of N*: 1·10¹⁸ FLOPs, ") for line in found.sentences)


def test_exponents_add_up_by_construction_or_are_checked():
    table = points_of(noise=0.002)
    assert isoflop(table, COLUMNS).exponent_sum("parabola") is None
    counted = table.assign(D=table.D * np.exp(0.05 * np.random.default_rng(0).standard_normal(len(table))))
    found = isoflop(counted, COLUMNS).exponent_sum("parabola")
    assert 1 in found.interval
    assert found.value != pytest.approx(1, abs=1e-6)


def test_one_of_parameters_and_tokens_is_enough():
    table = points_of(noise=0.002)
    both = isoflop(table, COLUMNS)
    alone = isoflop(table.drop(columns="N"), Columns(budget="C", loss="loss", tokens="D"))
    for key, item in both.allocations.items():
        assert alone.allocations[key].exponent == pytest.approx(item.exponent, rel=1e-9)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(budget="C", loss="loss"), "parameters, or that of tokens"),
        (Columns(budget="C", loss="los", tokens="D"), "Did you mean 'loss'"),
        (Columns(budget="one", loss="loss", tokens="D"), "one value"),
        (Columns(budget="C", loss="bad", tokens="D"), "in 1 of 54 rows"),
    ],
)
def test_mistakes_are_named(columns, message):
    table = points_of().assign(one=1.0, bad=2.0)
    table.loc[3, "bad"] = np.nan
    with pytest.raises(UserError, match=message):
        isoflop(table, columns)


def test_the_law_of_llama_3_with_all_points():
    """Published: 0.29·C^0.53 by the paper (arXiv 2407.21783), 0.299·C^0.537 by its code."""
    found = sensitivity(llama())
    law = found.everything.law
    assert law.exponents["C"].value == pytest.approx(0.5368, abs=5e-4)
    assert law.coefficient.value == pytest.approx(0.2994, abs=1e-4)
    assert len(found.everything.optima) == 10


def test_the_law_of_llama_3_without_its_outliers_and_what_moves_it():
    """The exponent falls to .500; not because optima move, but because the two largest budgets lose theirs."""
    found = sensitivity(llama())
    assert int(found.points.flagged.sum()) == 17
    assert found.without_flagged.exponent == pytest.approx(0.5000, abs=5e-5)
    assert found.without_flagged.law.coefficient.value == pytest.approx(1.592, abs=1e-3)
    assert found.lost == (3e21, 1e22)
    assert found.same_budgets == pytest.approx(found.without_flagged.exponent, abs=1e-3)
    text = " ".join(found.sentences)
    assert "D* = 0.2994·C^0.5368 (95 % interval of the exponent 0.495 to 0.579) through 10 budgets" in text
    assert "Without the 17 flagged points, D* = 1.592·C^0.5000" in text
    assert "moves by −0.0368, which stays inside its interval" in text
    assert "loses its optima at 3·10²¹ and 1·10²² FLOPs" in text


def test_every_published_experiment_has_its_laws():
    table = published("isoflop_openathena2026", "isoflops.csv")
    exponents = {}
    for name, rows in table.groupby("experiment"):
        found = isoflop_of(read(rows, PUBLISHED))
        exponents[name] = found.allocations["parabola", "D"].exponent
        assert all(item.law is not None for item in found.allocations.values())
    assert len(exponents) == 8
    assert all(0.4 < value < 0.65 for value in exponents.values())


def test_leaving_out_a_point_is_fitting_without_it():
    points = llama()
    found = sensitivity(points)
    for i in (0, 60, 132):
        keep = np.arange(len(points.loss)) != i
        again = isoflop_of(points.where(keep)).allocations["parabola", "D"].exponent
        assert found.each[i] == pytest.approx(again, rel=1e-9)
