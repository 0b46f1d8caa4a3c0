"""A scaling law: an equation whose amplitudes enter linearly, so that a fit searches the other parameters only.

    L(x) = f₀(x; θ) + Σ_j β_j · φ_j(x; θ)        linear amplitudes β_j, nonlinear parameters θ, inputs x = (x₁, x₂, …)

f₀ is absent in most laws. A new law is one `LAWS.register(Law(...))`; nothing else has to know it.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from archscale.registry import Registry


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law and the range a fit may search.

    `unit` is the name of the input whose unit the parameter has ("x" where the law has one input), "y" for one in the
    unit of the loss, and empty for a pure number or an amplitude that carries several. `meaning` is what a report calls
    it. A `logarithmic` parameter is positive and searched by its logarithm: one that may lie many powers of ten away.
    """

    name: str
    _: KW_ONLY
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    meaning: str = ""
    logarithmic: bool = False

    def __post_init__(self) -> None:
        if self.logarithmic and self.low < 0:
            raise ValueError(
                f"parameter {self.name!r}: low = {self.low} of a logarithmic parameter must not be negative"
            )
        if not self.low < self.high:
            raise ValueError(f"parameter {self.name!r}: low = {self.low} must be below high = {self.high}")

    @property
    def label(self) -> str:
        return f"{self.meaning} {self.name}".strip()

    def grid(self, count: int) -> np.ndarray:
        """`count` ascending values that cover the range, dense towards a bound at 0; inputs have geometric mean 1.

        An open end is searched to 1000, which is 1000 times the middle of the data for a parameter in units of x.
        """
        if self.logarithmic:
            high = self.high if math.isfinite(self.high) else 1e10
            return np.geomspace(self.low or 1e-4, high, count)
        if self.high == 0:
            return -Parameter(self.name, low=0.0, high=-self.low).grid(count)[::-1]
        high = self.high if math.isfinite(self.high) else 1e3
        if self.low > 0:
            return np.geomspace(self.low, high, count)
        if self.low == 0:
            return np.concatenate([[0.0], np.geomspace(high * 1e-3, high, count - 1)])
        return np.linspace(self.low if math.isfinite(self.low) else -1e3, high, count)


@dataclass(frozen=True, kw_only=True)
class Law:
    """An equation L(x) = f₀(x; θ) + Σ_j β_j · φ_j(x; θ).

    `design(x₁, x₂, …, θ₁, θ₂, …)` returns φ with one column per linear parameter, shape (n, K), and `fixed`, with the
    same arguments, f₀ of shape (n,). Both are called with every input and every nonlinear parameter as
    one-dimensional arrays of the same length and must treat each element on its own. A change of the unit of an input
    (and with it of the parameters that have its unit) may only multiply each column by a constant, and leaves f₀ as it
    is; every dimensionally sound law does.

    `order` is that in which a reader writes the parameters; without it, the first amplitude, the nonlinear ones and
    the other amplitudes. `source` is the paper and the equation. `separate` says that the inputs stand in terms of
    their own, so that runs whose inputs rise together cannot tell the terms apart. Inputs named together in
    `shared_units` are measured in one unit, such as tokens seen and unique tokens; `zero_inputs` may be 0.
    """

    name: str
    equation: str
    nonlinear: tuple[Parameter, ...]
    linear: tuple[Parameter, ...]
    design: Callable[..., np.ndarray]
    inputs: tuple[str, ...] = ("x",)
    fixed: Callable[..., np.ndarray] | None = None
    order: tuple[str, ...] = ()
    source: str = ""
    separate: bool = False
    shared_units: tuple[tuple[str, ...], ...] = ()
    zero_inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [p.name for p in self.nonlinear + self.linear]
        if len(set(names)) != len(names):
            raise ValueError(f"law {self.name!r} names a parameter twice: {names}")
        for p in self.linear:
            if p.low not in (0.0, -math.inf) or p.high != math.inf:
                raise ValueError(
                    f"law {self.name!r}: linear parameter {p.name!r} must be free or bounded by low=0 only"
                )

        if self.order and sorted(self.order) != sorted(names):
            raise ValueError(f"law {self.name!r}: order {self.order} does not name its parameters {names}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """In the order a reader writes them."""
        found = self.linear[:1] + self.nonlinear + self.linear[1:]
        return tuple(sorted(found, key=lambda p: self.order.index(p.name))) if self.order else found


class LawRegistry(Registry[Law]):
    def register(self, law: Law) -> Law:  # type: ignore[override]  # a law already carries its name
        self.add(law.name, law)
        return law


LAWS = LawRegistry("law")
