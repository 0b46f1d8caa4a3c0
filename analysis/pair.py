"""Two groups under one law: every pair of curves that these points allow.

    S₁/s₁² + S₂/s₂² ≤ ν₁ + ν₂ + F_{1, ν}(level)

Where the noise is pooled (analysis/noise.py) s₁² = s₂² = S_min / (ν₁ + ν₂) and ν = ν₁ + ν₂, the profile-F limit of the
two separate optima together, and a group without degrees of freedom of its own leans on the other. Where it is not,
each group has its own and ν is that of Welch and Satterthwaite for the difference of two heights. Seber & Wild 1989,
Nonlinear Regression, section 5.3.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.curve import Curve, fit_curve
from analysis.laws import Law
from analysis.methods.wald import spread
from analysis.noise import Noise
from analysis.observations import Observations, check_level, find_law, observe_groups, pick_group
from analysis.sentences import untestable
from analysis.solve.heights import Heights, lowest
from analysis.solve.profile import slopes
from archscale.registry import UserError

# Between the two fitted heights; a parabola through the best three finds the minimum.
_SHARES_H = np.linspace(0, 1, 25)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two fitted groups; `degrees_of_freedom` are pooled. `pooled` of None leaves the kind of noise to the points."""

    law: Law
    points: tuple[Observations, Observations]
    curves: tuple[Curve, Curve]
    level: float
    pooled: bool | None = None

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

    @cached_property
    def noise(self) -> Noise:
        found = noise_of(self.points, self.curves)
        return found if self.pooled is None else replace(found, pooled=self.pooled)

    @cached_property
    def variances(self) -> tuple[float, float]:
        """s² of each group, for which at least one pooled degree of freedom is needed."""
        if not self.noise.pooled:
            first, second = self.noise.variances
            return first, second
        least = sum(curve.sum_of_squares for curve in self.curves)
        floor = sum(curve.floor for curve in self.curves)
        return (max(least, floor) / self.degrees_of_freedom,) * 2

    @cached_property
    def heights(self) -> tuple[Heights, Heights]:
        fewest = self.degrees_of_freedom if self.noise.pooled else min(self.noise.degrees_of_freedom)
        rise = self._quantile(fewest)
        first, second = (
            Heights.of(curve, curve.sum_of_squares + rise * s)
            for curve, s in zip(self.curves, self.variances, strict=True)
        )
        return first, second

    def predict(self, side: int, x_V: np.ndarray) -> np.ndarray:
        """The fitted loss of one group at each x, shape (V,)."""
        curve = self.curves[side]
        return curve.predict(x_V / curve.scaled.scale)

    def covers(self, side: int, x: float) -> bool:
        """Whether x lies inside the data of one group."""
        return bool(self.points[side].x.min() <= x <= self.points[side].x.max())

    def excess(self, x_V: np.ndarray, x_other_V: np.ndarray) -> np.ndarray:
        """How far all pairs of curves with f₁(x) = f₂(x_other) lie outside the limit, shape (V,); ≤ 0 is inside."""
        return self.meeting_rise(x_V, x_other_V) - self.allowed(x_V, x_other_V)

    def meeting_rise(self, x_V: np.ndarray, x_other_V: np.ndarray, *, gap: float = 0.0) -> np.ndarray:
        """The least rise of all pairs of curves with f₁(x) = f₂(x_other) + gap, shape (V,).

        The height of the first lies between the two fits, as both profiles of a height rise on either side of theirs.
        """
        first, second = self.heights
        ends = first.predict(x_V)[:, None], second.predict(x_other_V)[:, None] + gap
        h_VH = ends[0] * (1 - _SHARES_H) + ends[1] * _SHARES_H
        return lowest(self.rise(x_V, x_other_V, h_VH, h_VH - gap))

    def rise(self, x_V: np.ndarray, x_other_V: np.ndarray, h_VH: np.ndarray, h_other_VH: np.ndarray) -> np.ndarray:
        """Σ (S − S_min) / s² of curves that pass through these heights, shape (V, H)."""
        places, heights = (x_V, x_other_V), (h_VH, h_other_VH)
        return sum(
            (
                (profile.sum_of_squares(x, h) - curve.sum_of_squares) / s
                for profile, curve, s, x, h in zip(
                    self.heights, self.curves, self.variances, places, heights, strict=True
                )
            ),
            start=np.zeros(h_VH.shape),
        )

    def allowed(self, x_V: np.ndarray, x_other_V: np.ndarray) -> np.ndarray:
        """F_{1, ν}(level) for the heights of the first at x and of the second at x_other, shape (V,)."""
        if self.noise.pooled:
            return np.full(x_V.shape, self._pooled_quantile)
        parts_GV = np.stack([self._variance(side, x) for side, x in enumerate((x_V, x_other_V))])
        found = [self.noise.effective_degrees_of_freedom(parts_G[:, None, None]) for parts_G in parts_GV.T]
        return np.array([self._quantile(dof) for dof in found])

    def standard_error(self, x: float) -> float:
        """Of the gap of the two curves at x."""
        return math.sqrt(sum(float(self._variance(side, np.array([x]))[0]) for side in (0, 1)))

    @cached_property
    def _pooled_quantile(self) -> float:
        return self._quantile(self.degrees_of_freedom)

    @cached_property
    def _inverses(self) -> tuple[np.ndarray, np.ndarray]:
        """(JᵀJ)⁻¹ of each curve at its optimum."""
        first, second = (spread(curve, curve.q[None])[0] for curve in self.curves)
        return first, second

    def _quantile(self, degrees_of_freedom: float) -> float:
        return float(stats.f.ppf(self.level, 1, degrees_of_freedom))

    def _variance(self, side: int, x_V: np.ndarray) -> np.ndarray:
        """Of the height of one curve at each x, by its tangents."""
        curve = self.curves[side]
        slope_VQ = slopes(
            curve.heights(x_V / curve.scaled.scale), np.repeat(curve.q[None], x_V.size, axis=0), np.arange(x_V.size)
        )
        return self.variances[side] * np.einsum("vq,qp,vp->v", slope_VQ, self._inverses[side], slope_VQ)

    @property
    def has_heights(self) -> bool:
        """Whether gaps, leverage and crossings can be taken: least squares with one input and one exponent."""
        return len(self.law.inputs) == 1 and all(curve.is_closed_form for curve in self.curves)

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


def noise_of(points: Sequence[Observations], curves: Sequence[Curve]) -> Noise:
    """Of groups fitted by least squares."""
    return Noise.of(
        [own.group for own in points],
        [curve.sum_of_squares for curve in curves],
        [curve.floor for curve in curves],
        [curve.degrees_of_freedom for curve in curves],
    )


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
