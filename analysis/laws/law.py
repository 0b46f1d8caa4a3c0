"""Scaling laws: an equation whose amplitudes enter linearly, so that a fit searches the exponents only.

    L(x) = Σ_j β_j · φ_j(x; θ)        linear amplitudes β_j ≥ 0, nonlinear parameters θ

    power          L = A·x^-b          Kaplan et al. 2020 (arXiv 2001.08361), equation 1.1
    power_offset   L = A·x^-b + C      Henighan et al. 2020 (arXiv 2010.14701), equation 1.1; C is the irreducible loss

A new law is one `LAWS.register(Law(...))`; nothing else has to know it.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from archscale.registry import Registry


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law and the range a fit may search.

    `unit` is "x" for a parameter that is measured in the unit of x, "y" for one in the unit of the loss, and empty
    for a pure number or an amplitude that carries both. `meaning` is what a report calls it.
    """

    name: str
    _: KW_ONLY
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"parameter {self.name!r}: low = {self.low} must be below high = {self.high}")

    @property
    def label(self) -> str:
        return f"{self.meaning} {self.name}".strip()

    def grid(self, count: int) -> np.ndarray:
        """`count` ascending values that cover the range, dense towards a bound at or above 0; x has geometric mean 1.

        An open end is searched to 1000, which is 1000 times the middle of the data for a parameter in units of x.
        """
        high = self.high if math.isfinite(self.high) else 1e3
        if self.low > 0:
            return np.geomspace(self.low, high, count)
        if self.low == 0:
            return np.concatenate([[0.0], np.geomspace(high * 1e-3, high, count - 1)])
        return np.linspace(self.low if math.isfinite(self.low) else -1e3, high, count)


@dataclass(frozen=True, kw_only=True)
class Law:
    """An equation L(x) = Σ_j β_j · φ_j(x; θ).

    `design(x, *θ)` returns φ with one column per linear parameter. It is called with x and every nonlinear parameter
    as one-dimensional arrays of the same length and must treat each element on its own. A change of the unit of x
    (and with it of the parameters whose unit is "x") may only multiply each column by a constant; every
    dimensionally sound law does.
    """

    name: str
    equation: str
    nonlinear: tuple[Parameter, ...]
    linear: tuple[Parameter, ...]
    design: Callable[..., np.ndarray]

    def __post_init__(self) -> None:
        names = [p.name for p in self.nonlinear + self.linear]
        if len(set(names)) != len(names):
            raise ValueError(f"law {self.name!r} names a parameter twice: {names}")
        for p in self.linear:
            if p.low not in (0.0, -math.inf) or p.high != math.inf:
                raise ValueError(
                    f"law {self.name!r}: linear parameter {p.name!r} must be free or bounded by low=0 only"
                )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """In the order a reader writes them, A, b, C: first amplitude, nonlinear ones, other amplitudes."""
        return self.linear[:1] + self.nonlinear + self.linear[1:]


class LawRegistry(Registry[Law]):
    def register(self, law: Law) -> Law:  # type: ignore[override]  # a law already carries its name
        self.add(law.name, law)
        return law


LAWS = LawRegistry("law")
