import numpy as np
import pytest

from analysis.fit import fit
from analysis.laws import LAWS, Law, LawRegistry, Parameter
from analysis.solve.joint import shareable_alone
from analysis.solve.scaled import ScaledLaw
from archscale.registry import UserError

SATURATING = Law(
    name="saturating",
    equation="A / (1 + x/k) + C",
    nonlinear=(Parameter("k", low=0.0, unit="x"),),
    linear=(Parameter("A", low=0.0), Parameter("C", low=0.0, unit="y")),
    design=lambda x, k: np.column_stack([k / (k + x), np.ones_like(x)]),
)


def test_a_law_lists_its_parameters_as_the_equation_writes_them():
    assert [p.name for p in LAWS["power_offset"].parameters] == ["A", "b", "C"]
    assert [p.name for p in LAWS["power"].parameters] == ["A", "b"]


def test_the_design_is_the_equation():
    x, b = np.array([1.0, 2.0, 5.0]), np.array([0.5, 1.0, 2.0])
    expected = [[1.0, 1.0], [0.5, 1.0], [1 / 25, 1.0]]
    np.testing.assert_allclose(LAWS["power_offset"].design(x, b), expected, rtol=1e-15)
    np.testing.assert_allclose(LAWS["power"].design(x, b), np.array(expected)[:, :1], rtol=1e-15)


def test_amplitudes_are_rescaled_by_the_power_of_the_scale():
    theta = np.array([[0.07], [0.5]])
    factors = ScaledLaw(law=LAWS["power_offset"], scale=1e20).amplitude_factors(theta)
    np.testing.assert_allclose(factors, [[1e20**0.07, 1.0], [1e10, 1.0]], rtol=1e-13)


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (1e-3, 3.0), (0.0, np.inf), (-2.0, 2.0)])
def test_a_grid_ascends_from_bound_to_bound(low, high):
    grid = Parameter("b", low=low, high=high).grid(64)
    assert len(grid) == 64
    assert (np.diff(grid) > 0).all()
    assert grid[0] == pytest.approx(low)
    assert grid[-1] == pytest.approx(min(high, 1e3))


def test_only_an_amplitude_that_carries_a_power_of_x_cannot_be_compared_alone():
    law = LAWS["power_offset"]
    assert [p.name for p in law.parameters if shareable_alone(law, p)] == ["b", "C"]
    assert all(shareable_alone(SATURATING, p) for p in SATURATING.parameters)


@pytest.mark.parametrize("unit", [1.0, 1e18])
def test_a_new_law_needs_nothing_but_its_design(unit):
    x = np.geomspace(1, 50, 7)
    found = fit(SATURATING, x * unit, 3.0 / (1 + x / 4.0) + 1.0)
    assert list(found.parameters) == ["A", "k", "C"]
    np.testing.assert_allclose(list(found.parameters.values()), [3.0, 4.0 * unit, 1.0], rtol=1e-8)


def test_a_parameter_without_upper_bound_has_no_upper_end_when_the_data_give_none():
    law = Law(
        name="saturating_to_zero",
        equation="A / (1 + x/k)",
        nonlinear=SATURATING.nonlinear,
        linear=SATURATING.linear[:1],
        design=lambda x, k: (k / (k + x))[:, None],
    )
    x = np.geomspace(1, 4, 6)
    interval = fit(law, x, 3.0 / (1 + x / 400.0) + 0.05 * np.array([1, -1, -1, 1, 1, -1])).intervals["k"]
    assert interval.high == np.inf
    assert 4 < interval.low < 400


def test_a_registered_law_is_found_by_name_and_only_once():
    registry = LawRegistry("law")
    assert registry.register(SATURATING) is SATURATING
    assert registry["saturating"] is SATURATING
    with pytest.raises(ValueError, match="twice"):
        registry.register(SATURATING)


def test_an_unknown_law_is_refused_with_a_guess():
    with pytest.raises(UserError, match=r"unknown law 'power_ofset'.*'power_offset'"):
        fit("power_ofset", [1, 2, 3], [3, 2, 1])


def test_a_law_with_two_nonlinear_parameters_is_found_again():
    shifted = Law(
        name="shifted",
        equation="A·(x + x0)^-b",
        nonlinear=(Parameter("b", low=0.0, high=3.0), Parameter("x0", low=0.0, unit="x")),
        linear=(Parameter("A", low=0.0),),
        design=lambda x, b, x0: ((x + x0) ** -b)[:, None],
    )
    x = np.geomspace(1, 100, 8) * 1e9
    found = fit(shifted, x, 40.0 * (x + 3e9) ** -0.4)
    np.testing.assert_allclose(list(found.parameters.values()), [40.0, 0.4, 3e9], rtol=1e-6)


def test_a_law_that_contradicts_itself_is_a_programming_error():
    with pytest.raises(ValueError, match="low = 2"):
        Parameter("b", low=2.0, high=1.0)
    with pytest.raises(ValueError, match="'A' must be free or bounded by low=0"):
        Law(name="l", equation="", nonlinear=(), linear=(Parameter("A", low=1.0),), design=lambda x: x)
    with pytest.raises(ValueError, match="twice"):
        Law(name="l", equation="", nonlinear=(Parameter("A"),), linear=(Parameter("A"),), design=lambda x: x)
