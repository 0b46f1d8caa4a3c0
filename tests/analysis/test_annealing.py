import numpy as np
import pandas as pd
import pytest

from analysis.annealing import annealing_inputs, areas
from analysis.fit import fit
from archscale.registry import UserError


def by_a_loop(rates, decay, warmup_steps=0):
    first, second, momentum, S1, S2, before = [], [], 0.0, 0.0, 0.0, rates[0]
    for step, rate in enumerate(rates):
        fall = 0.0 if step < warmup_steps else before - rate
        momentum = decay * momentum + fall
        S1, S2, before = S1 + rate, S2 + momentum, rate
        first.append(S1)
        second.append(S2)
    return np.array(first), np.array(second)


def warm_then_cosine(steps=500, warmup=50):
    k = np.arange(steps)
    return 3e-4 * np.where(k < warmup, (k + 1) / warmup, (1 + np.cos(np.pi * (k - warmup) / (steps - warmup))) / 2)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("warmup_steps", [0, 50])
def test_areas_are_those_of_a_loop(decay, warmup_steps):
    rates = warm_then_cosine()
    found = areas(rates, decay=decay, warmup_steps=warmup_steps)
    np.testing.assert_allclose(found, by_a_loop(rates, decay, warmup_steps), rtol=1e-12, atol=1e-16)


def test_a_constant_rate_is_never_annealed():
    S1, S2 = areas(np.full(100, 0.01))
    np.testing.assert_allclose(S1, 0.01 * np.arange(1, 101))
    assert not S2.any()


def test_one_drop_anneals_towards_its_size_over_the_delay():
    """Σ_{k < n} λ^k of the drop: a geometric series."""
    S2 = areas(np.r_[np.full(10, 1.0), np.full(5000, 0.2)], decay=0.99)[1]
    n = np.arange(1, 5001)
    np.testing.assert_allclose(S2[10:], 0.8 * (1 - 0.99**n) / 0.01, rtol=1e-9)


def test_schedules_of_one_length_go_together():
    rates = np.stack([warm_then_cosine(), np.linspace(1, 0, 500)])
    together = areas(rates)
    for row in (0, 1):
        np.testing.assert_array_equal([area[row] for area in together], areas(rates[row]))


def test_a_table_gets_the_areas_of_its_steps():
    schedules = {"cosine": warm_then_cosine(), "line": np.linspace(1, 0, 300)}
    table = pd.DataFrame(
        {"run": ["line", "cosine", "line"], "at": [300, 7, 1], "loss": [2.0, 3.0, 4.0]}, index=[5, 3, 9]
    )
    found = annealing_inputs(table, schedules, schedule="run", step="at", decay=0.95)
    for (name, step), both in zip([("line", 300), ("cosine", 7), ("line", 1)], found[["S1", "S2"]].values, strict=True):
        expected = by_a_loop(schedules[name], 0.95)
        np.testing.assert_allclose(both, [area[step - 1] for area in expected], rtol=1e-12)
    pd.testing.assert_frame_equal(found[["run", "at", "loss"]], table)


def test_the_law_of_annealing_is_found_from_schedules_and_losses():
    schedules = {
        "linear": np.linspace(3e-4, 0, 2000),
        "late": 3e-4 * np.minimum(1, (2000 - np.arange(2000)) / 300),
        "constant": np.full(2000, 2e-4),
    }
    steps = np.arange(100, 2001, 100)
    rows = [{"run": name, "at": step} for name in schedules for step in steps]
    table = annealing_inputs(pd.DataFrame(rows), schedules, schedule="run", step="at", decay=0.99)
    loss = 2.5 + 0.4 * table.S1**-0.5 - 3.0 * table.S2
    found = fit("annealing", table[["S1", "S2"]].to_numpy(), loss)
    assert found.parameters == pytest.approx({"A": 0.4, "K": 3.0, "L0": 2.5, "alpha": 0.5}, rel=1e-6)


@pytest.mark.parametrize(
    ("rates", "decay", "message"),
    [
        ([0.1, -0.1], 0.9, "-0.1 in 1 of 2 steps"),
        ([0.1, np.nan], 0.9, "nan in 1 of 2"),
        ([], 0.9, "without steps"),
        ([0.1], 1.0, "0.999 is that of the paper"),
    ],
)
def test_impossible_schedules_are_refused(rates, decay, message):
    with pytest.raises(UserError, match=message):
        areas(np.array(rates), decay=decay)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"run": ["line"], "at": [11]}, "steps 1 to 10, and a row is at step 11"),
        ({"run": ["lin"], "at": [1]}, "Did you mean 'line'"),
        ({"run": ["line"], "step": [1]}, "unknown column 'at'"),
    ],
)
def test_rows_without_a_step_are_refused(table, message):
    with pytest.raises(UserError, match=message):
        annealing_inputs(pd.DataFrame(table), {"line": np.linspace(1, 0, 10)}, schedule="run", step="at")
