import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from analysis.isoflop import Columns, experiment, isoflop_of, read, side_by_side, surface
from tests.analysis.published_data import published

TRUTH = {"A": 400.0, "B": 2000.0, "E": 1.8, "alpha": 0.35, "beta": 0.38}


def points_of(noise=0.0):
    generator, rows = np.random.default_rng(0), []
    for budget in np.geomspace(1e18, 1e21, 5):
        for size in np.sqrt(budget / 6) * np.geomspace(0.05, 1.0, 7):
            tokens = budget / 6 / size
            loss = TRUTH["A"] * size ** -TRUTH["alpha"] + TRUTH["B"] * tokens ** -TRUTH["beta"] + TRUTH["E"]
            rows.append({"C": budget, "N": size, "D": tokens, "loss": loss + noise * generator.standard_normal()})
    return read(pd.DataFrame(rows), Columns(budget="C", loss="loss", parameters="N", tokens="D"))


@pytest.fixture(scope="module")
def exact():
    return surface(points_of())


def test_exact_points_give_the_surface_they_lie_on(exact):
    for name, value in TRUTH.items():
        assert exact.parameters[name] == pytest.approx(value, rel=1e-4), name
    assert exact.exponents["N"].value == pytest.approx(0.38 / 0.73, rel=1e-5)
    assert exact.exponents["D"].value == pytest.approx(0.35 / 0.73, rel=1e-5)
    assert exact.flops_per_parameter_token == pytest.approx(6)


def test_the_best_size_is_where_the_surface_is_lowest_at_its_budget(exact):
    budget = 3e19

    def loss(log_size):
        size = np.exp(log_size)
        return TRUTH["A"] * size ** -TRUTH["alpha"] + TRUTH["B"] * (budget / 6 / size) ** -TRUTH["beta"]

    best = np.exp(optimize.minimize_scalar(loss, bounds=(np.log(1e7), np.log(1e11)), method="bounded").x)
    assert exact.optimum("N", budget) == pytest.approx(best, rel=1e-4)
    assert exact.optimum("D", budget) == pytest.approx(budget / 6 / best, rel=1e-4)


def test_the_interval_holds_the_true_exponent():
    found = surface(points_of(noise=0.003), level=0.95)
    for of, truth in (("N", 0.38 / 0.73), ("D", 0.35 / 0.73)):
        interval = found.exponents[of].interval
        assert truth in interval
        assert 0.005 < interval.high - interval.low < 0.2


def test_the_surface_of_llama_3_beside_its_parabolas():
    """α .3100, β .3136, E .6047 of the loss without any exponential (Open-Athena, README of the data)."""
    table = published("isoflop_openathena2026", "isoflops.csv")
    columns = Columns(budget="budget", loss="loss", parameters="params", tokens="tokens", flagged="outlier")
    points = read(table[table.experiment == "llama_3__raw_loss"], columns)
    found = surface(points)
    assert found.parameters["alpha"] == pytest.approx(0.3100, abs=5e-5)
    assert found.parameters["beta"] == pytest.approx(0.3136, abs=5e-5)
    assert found.parameters["E"] == pytest.approx(0.6047, abs=5e-5)
    assert found.exponents["D"].value == pytest.approx(0.4971, abs=1e-4)
    parabolas = isoflop_of(points).allocations["parabola", "D"]
    assert found.exponents["D"].value < parabolas.exponent - 0.03


def test_curves_and_selections_stand_side_by_side():
    table = published("isoflop_openathena2026", "isoflops.csv")
    columns = Columns(budget="budget", loss="loss", parameters="params", tokens="tokens", flagged="outlier")
    names = ("llama_3__raw_loss", "marin_202603__comma__llama_2")
    found = side_by_side({name: experiment(read(table[table.experiment == name], columns)) for name in names})
    assert len(found) == 2 * 2 * 3
    rows = found.set_index(["experiment", "points", "curve"])
    llama = rows.loc["llama_3__raw_loss"]
    assert llama.loc[("all", "parabola"), "exponent"] == pytest.approx(0.5368, abs=5e-4)
    assert llama.loc[("without flagged", "parabola"), "exponent"] == pytest.approx(0.5000, abs=5e-5)
    assert llama.loc[("all", "surface"), "exponent"] == pytest.approx(0.4971, abs=1e-4)
    assert list(llama.loc["without flagged", "n"]) == [116] * 3
    assert list(llama.loc["without flagged", "measured_budgets"]) == [8] * 3
    assert (found.low < found.exponent).all()
    assert (found.exponent < found.high).all()
