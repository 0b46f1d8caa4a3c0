"""Two groups under one law and one noise: their pooled limit, and every pair of curves that stays within it.

    S₁ + S₂ ≤ T = S_min · (1 + F_{1, ν}(level) / ν)        ν = n₁ + n₂ − 2k

S_min is the sum of the two separate optima. Both groups are taken to have the same noise, so that a group without
degrees of freedom of its own can lean on the other. Seber & Wild 1989, Nonlinear Regression, section 5.3.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import optimize

from analysis.curve import Curve, fit_curve
from analysis.intervals import f_limit
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups, pick_group
from analysis.sentences import untestable
from analysis.solve.heights import Heights, lowest
from archscale.registry import UserError

# Between the two fitted heights; a parabola through the best three finds the minimum.
_SHARES_H = np.linspace(0, 1, 25)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two fitted groups; `degrees_of_freedom` and sums are pooled."""

    law: Law
    points: tuple[Observations, Observations]
    curves: tuple[Curve, Curve]
    level: float

    @classmethod
    def of(
        cls, law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, groups: Sequence[str], level: float
    ) -> "Pair":
        """
        Raises:
            UserError: for an unknown law, column or group, one group twice, or points that `fit` refuses.
        """
        found, observed = find_law(law), observe_groups(table, x=x, y=y, group=group)
        check_level(level)
        first, second = two_of(groups, observed)
        points = (pick_group(observed, first), pick_group(observed, second))
        return cls(
            law=found, points=points, curves=(fit_curve(found, points[0]), fit_curve(found, points[1])), level=level
        )

    @property
    def groups(self) -> tuple[str, str]:
        return self.points[0].group, self.points[1].group

    @property
    def degrees_of_freedom(self) -> int:
        return self.curves[0].degrees_of_freedom + self.curves[1].degrees_of_freedom

    @property
    def separate(self) -> float:
        return self.curves[0].sum_of_squares + self.curves[1].sum_of_squares

    @property
    def floor(self) -> float:
        return self.curves[0].floor + self.curves[1].floor

    @cached_property
    def limit(self) -> float:
        """T of the module docstring, for which at least one pooled degree of freedom is needed."""
        return f_limit(self.separate, degrees_of_freedom=self.degrees_of_freedom, level=self.level, floor=self.floor)

    @cached_property
    def heights(self) -> tuple[Heights, Heights]:
        excess = self.limit - self.separate
        first, second = (Heights.of(curve, curve.sum_of_squares + excess) for curve in self.curves)
        return first, second

    def predict(self, side: int, x_V: np.ndarray) -> np.ndarray:
        """The fitted loss of one group at each x, shape (V,)."""
        curve = self.curves[side]
        return curve.predict(x_V / curve.scaled.scale)

    def covers(self, side: int, x: float) -> bool:
        """Whether x lies inside the data of one group."""
        return bool(self.points[side].x.min() <= x <= self.points[side].x.max())

    def meeting_sum(self, x_V: np.ndarray, x_other_V: np.ndarray, *, gap: float = 0.0) -> np.ndarray:
        """min of S₁ + S₂ over all pairs of curves with f₁(x) = f₂(x_other) + gap, shape (V,).

        The height of the first lies between the two fits, as both profiles of a height rise on either side of theirs.
        """
        first, second = self.heights
        ends = first.predict(x_V)[:, None], second.predict(x_other_V)[:, None] + gap
        h_VH = ends[0] * (1 - _SHARES_H) + ends[1] * _SHARES_H
        return lowest(first.sum_of_squares(x_V, h_VH) + second.sum_of_squares(x_other_V, h_VH - gap))

    def require_one_input(self, what: str) -> None:
        """Raises: UserError for a law of several inputs or exponents, whose sets are not those of heights.py."""
        if len(self.law.inputs) != 1:
            raise UserError(
                f"{what} needs a law of one input, and {self.law.name!r} has {', '.join(self.law.inputs)}: fit a law"
                " such as 'power_offset' to the loss against compute"
            )
        if not all(curve.is_closed_form for curve in self.curves):
            raise UserError(
                f"{what} needs a law with one exponent, and {self.law.name!r} has"
                f" {', '.join(p.name for p in self.law.nonlinear)}: fit a law such as 'power_offset'"
            )

    def untestable(self) -> str:
        return untestable([p.y.size for p in self.points], parameters=len(self.law.parameters))


def two_of(groups: Sequence[str], known: Mapping[str, object]) -> tuple[str, str]:
    """Raises: UserError unless two different groups are named."""
    if len(groups) != 2 or groups[0] == groups[1]:
        raise UserError(f"groups = {tuple(groups)!r}: name two different groups out of {', '.join(known)}")
    return groups[0], groups[1]


def all_pairs(law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float) -> Iterator[Pair]:
    """Every two groups of a table in the order of their names, each group fitted once."""
    found, observed = find_law(law), observe_groups(table, x=x, y=y, group=group)
    check_level(level)
    fitted = {name: fit_curve(found, points) for name, points in observed.items()}
    for a, b in combinations(observed, 2):
        yield Pair(law=found, points=(observed[a], observed[b]), curves=(fitted[a], fitted[b]), level=level)


def walk(excess: Callable[[float], float], start: float, side: int, *, step: float, reach: float) -> float:
    """Where `excess` first becomes positive on one side of a start inside, ±inf where that is beyond `reach`."""
    inside = start
    while abs(inside - start) < reach:
        outside = inside + side * step
        if excess(outside) > 0:
            return float(optimize.brentq(excess, inside, outside, xtol=1e-12, rtol=1e-10))
        inside, step = outside, 1.6 * step
    return side * math.inf


def check_place(value: float, name: str, what: str) -> None:
    """Raises: UserError unless the place is finite and positive."""
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} = {value}: {what} at a finite positive value")
