"""The parametric surface through all budgets at once, and the best sizes that follow from it.

    L = A·N^-α + B·D^-β + E,   C = k·N·D        N* = G·(C/k)^a,  D* = (C/k)^(1 − a) / G
    a = β / (α + β),   G = (α·A / β·B)^(1 / (α + β))

Hoffmann et al. 2022 (arXiv 2203.15556), equation 4 ("approach 3"). The search is over a and s = α + β instead of α and
β, so that the profile interval of a parameter is that of the exponent.
"""

from dataclasses import dataclass

import numpy as np

from analysis.fit import Fit, fit
from analysis.isoflop.points import IsoFlopPoints
from analysis.laws import Law, Parameter
from analysis.optimum import Estimate

ALLOCATION = Law(
    name="allocation",
    equation="A·N^-(s·(1 − a)) + B·D^-(s·a) + E",
    inputs=("N", "D"),
    nonlinear=(
        Parameter("a", low=1e-3, high=1 - 1e-3, meaning="exponent of the best size"),
        Parameter("s", low=1e-3, high=6.0, meaning="sum of the exponents"),
    ),
    linear=(
        Parameter("A", low=0.0, meaning="amplitude of N"),
        Parameter("B", low=0.0, meaning="amplitude of D"),
        Parameter("E", low=0.0, unit="y", meaning="irreducible loss"),
    ),
    design=lambda N, D, a, s: np.column_stack([N ** (-s * (1 - a)), D ** (-s * a), np.ones_like(N)]),
    order=("A", "B", "E", "a", "s"),
    source="Hoffmann et al. 2022, arXiv 2203.15556, eq. 2 and 4",
    separate=True,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """`exponents` of "N" and "D" with the profile interval of `fit`; `flops_per_parameter_token` is k."""

    fit: Fit
    exponents: dict[str, Estimate]
    flops_per_parameter_token: float

    @property
    def parameters(self) -> dict[str, float]:
        """A, B, E, alpha and beta."""
        found = self.fit.parameters
        a, s = found["a"], found["s"]
        return {name: found[name] for name in "ABE"} | {"alpha": s * (1 - a), "beta": s * a}

    def optimum(self, of: str, budget: float) -> float:
        """N* or D* at a budget in FLOPs."""
        A, B, _, alpha, beta = self.parameters.values()
        product = budget / self.flops_per_parameter_token
        scale = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        size = scale * product ** (beta / (alpha + beta))
        return float(size if of == "N" else product / size)


def surface(points: IsoFlopPoints, *, loss: str = "ls", level: float = 0.95) -> Surface:
    """Fitted to all points by the losses of analysis.fit; k is the median of C / (N·D).

    Raises:
        UserError: where N and D of the points cannot tell the terms apart, or as `fit`.
    """
    found = fit(
        ALLOCATION,
        np.column_stack([points.parameters, points.tokens]),
        points.loss,
        level=level,
        loss=loss,
        x_name="N,D",
    )
    a, ends = found.parameters["a"], found.intervals["a"]
    other = type(ends)(low=1 - ends.high, high=1 - ends.low, level=ends.level)
    return Surface(
        fit=found,
        exponents={"N": Estimate(value=a, interval=ends), "D": Estimate(value=1 - a, interval=other)},
        flops_per_parameter_token=float(np.median(points.budget / (points.parameters * points.tokens))),
    )
