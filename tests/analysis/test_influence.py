import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit
from analysis.influence import influence
from archscale.registry import UserError
from tests.analysis.curves import X, curve, noisy, two_groups
from tests.analysis.published_data import published

COLUMNS = {"x": "compute", "y": "loss", "group": "arch"}


def one_group(y):
    return pd.DataFrame({"compute": X, "loss": y, "arch": "a"})


def test_each_row_is_a_fit_without_its_point():
    y = noisy(0)
    found = influence("power_offset", one_group(y), **COLUMNS)
    assert len(found.rows) == 6 * 3
    without = fit("power_offset", X[1:], y[1:])
    first = {row.what: row for row in found.rows[:3]}
    for name, label in (("b", "exponent b of a"), ("C", "irreducible loss C of a")):
        row = first[label]
        assert row.left_out == f"a at compute = 1 (loss = {y[0]:.5g})"
        assert row.before == pytest.approx(fit("power_offset", X, y).parameters[name], rel=1e-9)
        assert row.after == pytest.approx(without.parameters[name], rel=1e-9)
        ends = without.intervals[name]
        assert (row.low, row.high) == pytest.approx((ends.low, ends.high), rel=1e-9)
        assert row.shift == pytest.approx(abs(row.after - row.before) / (ends.high - ends.low) * 2, rel=1e-9)


@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_planted_outlier_is_named(place):
    y = noisy(0, sigma=0.001)
    y[place] += 0.1
    found = influence("power_offset", one_group(y), **COLUMNS)
    assert found.most_influential == f"a at compute = {X[place]:.4g} (loss = {y[place]:.5g})"
    assert f"What decides most is {found.most_influential}: without it" in found.sentence


def test_runs_without_an_outlier_change_no_conclusion():
    found = influence("power_offset", one_group(noisy(0, sigma=1e-4)), **COLUMNS)
    assert not any(row.conclusion_changes for row in found.rows)
    assert found.sentence.endswith("no conclusion changes without it.")


def test_the_leader_and_the_tests_are_followed():
    y_b = curve(X, A=2.02) + 1e-4 * np.sin(X)
    y_b[-1] -= 0.03
    found = influence("power_offset", two_groups(noisy(0, sigma=1e-4), y_b), **COLUMNS)
    changed = {(row.left_out, row.what): row for row in found.rows if row.conclusion_changes}
    last = f"b at compute = 64 (loss = {y_b[-1]:.5g})"
    leader = changed[last, "leader at compute = 64"]
    assert (leader.before, leader.after, leader.conclusion) == ("b", "a", "b → a")
    assert changed[last, "gap of a to b at compute = 64"].conclusion.endswith("a is lower")
    p_value = next(row for row in found.rows if row.what == "p of equal C in a and b")
    assert 0 <= p_value.after <= 1


def test_a_seed_is_left_out_of_every_group():
    clean = two_groups(noisy(0, sigma=1e-3), noisy(1, sigma=1e-3, A=2.2))
    spoiled = clean.assign(loss=clean.loss + 0.01 + 0.05 * (clean.compute > 60), seed=2)
    table = pd.concat([clean.assign(seed=1), spoiled])
    found = influence("power_offset", table, **COLUMNS, without=["seed"])
    rows = {(row.left_out, row.what): row for row in found.rows}
    for name in "ab":
        rest = clean[clean.arch == name]
        expected = fit("power_offset", rest.compute, rest.loss).parameters["C"]
        assert rows["seed = 2", f"irreducible loss C of {name}"].after == pytest.approx(expected, rel=1e-9)


def test_what_cannot_be_left_out_is_said():
    table = two_groups(noisy(0)[:4], noisy(1), x_a=X[:4]).assign(host=["x"] * 4 + ["y"] * 6)
    found = influence("power_offset", table, **COLUMNS, without=["host"])
    reasons = found.not_possible
    assert len(reasons) == 4 + 2
    assert reasons["host = x"] == "nothing is left of a"
    assert all(
        reason == "a is left without a degree of freedom" for label, reason in reasons.items() if "a at" in label
    )
    with pytest.raises(UserError, match="unknown column 'sed'"):
        influence("power_offset", table, **COLUMNS, without=["sed"])


def test_the_diverged_run_of_the_mup_series_is_what_lifts_its_irreducible_loss_above_its_runs():
    points = published("archscale_sambay", "points.csv")
    series = points[points.series == "tie/muP"]
    found = influence("power_offset", series, x="x", y="loss", group="series")
    assert found.most_influential == "tie/muP at x = 600 (loss = 2.0075)"
    (row,) = [r for r in found.rows if r.left_out == found.most_influential and "irreducible loss C" in r.what]
    assert row.before == pytest.approx(1.9716, abs=1e-4)
    assert row.after < series.loss.min() < row.before
    assert "above the lowest measured loss" in row.conclusion
    assert "irreducible loss C of tie/muP" in found.sentence
