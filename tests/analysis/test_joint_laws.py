"""Laws of several inputs: found again from points that follow them, and refused where the points cannot tell."""

import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit, fit_groups
from analysis.laws import LAWS
from archscale.registry import UserError
from tests.analysis.joint_points import SIZES, TOKENS, TRUTHS, crossed, inputs, loss


def points(law: str, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = inputs(law)
    return x, loss(law, x, TRUTHS[law]) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(x)))


@pytest.mark.parametrize("name", ["ls", "huber-log:1e-3"])
@pytest.mark.parametrize("law", list(TRUTHS))
def test_exact_points_return_the_law_that_made_them(law, name):
    found = fit(law, *points(law), loss=name, interval="wald")
    assert list(found.parameters) == [p.name for p in LAWS[law].parameters]
    for parameter, value in TRUTHS[law].items():
        assert found.parameters[parameter] == pytest.approx(value, rel=1e-6)
    assert found.starts.at_optimum >= 1


@pytest.mark.parametrize("law", [law for law in TRUTHS if law != "data_constrained"])
def test_noisy_points_have_intervals_around_the_truth(law):
    """99.9 % intervals of up to five parameters and one seed."""
    found = fit(law, *points(law, noise=0.003, seed=1), loss="log-ls", level=0.999)
    for parameter, value in TRUTHS[law].items():
        assert value in found.intervals[parameter], parameter
        assert found.intervals[parameter].high - found.intervals[parameter].low > 0


def test_repeated_data_have_intervals_around_the_truth():
    found = fit("data_constrained", *points("data_constrained", noise=0.002, seed=1), loss="log-ls", interval="wald")
    for parameter, value in TRUTHS["data_constrained"].items():
        assert abs(found.parameters[parameter] - value) < 3 * (
            found.intervals[parameter].high - found.intervals[parameter].low
        ) / 2  # fmt: skip
    x = np.array([[1e9, 4e9, 4e9], [1e9, 4e9, 4e8], [1e9, 4e10, 4e8], [1e9, 4e11, 4e8]])
    fresh, repeated, many, endless = found.predict(x)
    assert fresh < repeated
    assert repeated > many > endless > fresh - 1
    assert many - endless < 0.05 * (repeated - fresh) + 0.05


@pytest.mark.parametrize("law", ["chinchilla", "kaplan", "data_constrained", "annealing", "growth_joint"])
def test_units_of_the_inputs_change_only_the_parameters_that_carry_them(law):
    x, y = points(law, noise=0.003)
    unit = np.array([1e6, 1e9, 1e9])[: x.shape[1]] if law != "annealing" else np.array([1e-3, 1e-3])
    plain, scaled = (fit(law, x / factor, y, interval="wald") for factor in (1.0, unit))
    assert scaled.objective == pytest.approx(plain.objective, rel=1e-9)
    np.testing.assert_allclose(scaled.predict(2 * x / unit), plain.predict(2 * x), rtol=1e-7)
    for p in LAWS[law].nonlinear:
        factor = dict(zip(LAWS[law].inputs, np.broadcast_to(unit, x.shape[1]), strict=True)).get(p.unit, 1.0)
        assert scaled.parameters[p.name] * factor == pytest.approx(plain.parameters[p.name], rel=1e-5)


def test_the_worth_of_data_seen_once_is_the_chinchilla_law():
    truth = TRUTHS["data_constrained"]
    x = np.array([(N, D, D) for N, D in crossed(SIZES, TOKENS)])
    p = {"A": truth["N0"] ** truth["alpha"], "B": truth["D0"] ** truth["beta"]} | truth
    few = x[:, 0] < 2e7
    np.testing.assert_allclose(
        loss("data_constrained", x, truth)[few], loss("chinchilla", x[:, :2], p)[few], rtol=1e-12
    )  # fmt: skip


def test_a_fixed_number_of_tokens_per_parameter_is_refused_in_one_line():
    N = np.geomspace(1e7, 1e9, 8)
    x = np.column_stack([N, 20 * N])
    y = loss("chinchilla", x, TRUTHS["chinchilla"])
    with pytest.raises(UserError, match=r"D / N is 20 to 20 in all 8 rows.*cannot tell the terms") as refused:
        fit("chinchilla", x, y)
    assert "\n" not in str(refused.value)
    assert "power_offset over one of them" in str(refused.value)
    # Along the same line the law of one input is fine, and a few runs beside it identify both.
    assert fit("power_offset", N, y).n == 8
    more = np.vstack([x, x[:3] * [1, 8]])
    found = fit("chinchilla", more, loss("chinchilla", more, TRUTHS["chinchilla"]))
    assert found.parameters["alpha"] == pytest.approx(TRUTHS["chinchilla"]["alpha"], rel=1e-6)


@pytest.mark.parametrize("law", ["chinchilla", "kaplan"])
def test_inputs_on_any_line_of_logarithms_are_refused(law):
    N = np.geomspace(1e7, 1e9, 8)
    x = np.column_stack([N, 3e4 * N**0.7])
    with pytest.raises(UserError, match="N and D lie on one line in their logarithms"):
        fit(law, x, loss(law, x, TRUTHS[law]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (crossed(SIZES[:2], TOKENS[:2]), r"4 points at 4 distinct N, D.*5 parameters: at least 5 distinct"),
        (crossed(SIZES[:1], np.geomspace(1e9, 1e11, 6)), r"N = 1e\+07 in all 6 rows"),
        (crossed(SIZES, TOKENS) * [1, 0], r"D is zero or negative in 16 of 16 rows"),
    ],
)
def test_points_that_cannot_identify_a_joint_law_are_refused(rows, message):
    y = np.linspace(4, 3, len(rows))
    with pytest.raises(UserError, match=message):
        fit("chinchilla", rows, y, x_names=("N", "D"))


def test_a_weakly_spread_design_is_called_weak():
    """Four sizes at 15 to 27 tokens a parameter: a fit exists, and says how little it knows."""
    N = np.repeat(np.geomspace(1e7, 1e9, 4), 2)
    x = np.column_stack([N, N * np.tile([15.0, 27.0], 4)])
    y = loss("chinchilla", x, TRUTHS["chinchilla"]) * np.exp(0.01 * np.random.default_rng(0).standard_normal(8))
    found = fit("chinchilla", x, y)
    assert "identified" not in [found.verdicts[name] for name in ("A", "B")]


def test_groups_of_a_joint_law_are_fitted_by_columns():
    x, y = points("chinchilla", noise=0.003)
    table = pd.DataFrame({"size": x[:, 0], "seen": x[:, 1], "loss": y, "arch": "a"})
    found = fit_groups("chinchilla", table, x=("size", "seen"), y="loss", group="arch")["a"]
    assert found.x_names == ("size", "seen")
    assert found.parameters == fit("chinchilla", x, y).parameters
    assert found.predict(x).shape == (16,)
    low, high = found.band(x[:2])
    assert (low < found.predict(x[:2])).all()
    assert (found.predict(x[:2]) < high).all()
