"""Confidence intervals by profile likelihood with F calibration.

    { m : min_{θ, β : g(θ)·β = m} S(θ, β) ≤ T }        T = S_min · (1 + F_{1, ν}(level) / ν)        ν = n − parameters

g·β is whatever the interval is about: an amplitude, a prediction, a new observation. For given θ the condition is an
ellipse in β, cut by β ≥ 0, whose extremes are known in closed form; only θ is searched, so no end of an interval
depends on a root finder that starts in the wrong place. Bates & Watts 1988, Nonlinear Regression Analysis, section 6.1.

Shapes: V functionals at once, G points of θ, N points, P = 1 nonlinear parameter, K amplitudes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats

from analysis.laws import Parameter
from analysis.solve.amplitudes import Factor, active_sets
from analysis.solve.projection import Problem

# g(θ) of shape (V or 1, G, K) for θ of shape (V or 1, G, 1).
Functional = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends are a parameter's bound, or ±inf without one, where the profile never rises enough."""

    low: float
    high: float
    level: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def f_limit(S_min: float, *, degrees_of_freedom: int, level: float, floor: float) -> float:
    """T of the module docstring. Exact data keep the interval that rounding alone would give (`floor`)."""
    quantile = float(stats.f.ppf(level, 1, degrees_of_freedom))
    return S_min + max(S_min, floor) * quantile / degrees_of_freedom


@dataclass(frozen=True, kw_only=True)
class ConfidenceSet:
    """All θ, β of one curve with S(θ, β) ≤ limit, for a law with one nonlinear parameter; `theta` is the optimum.

    Where the set falls into pieces (several minima), the intervals are the hull of the pieces.
    """

    problem: Problem
    y: np.ndarray
    theta: float
    limit: float

    def theta_range(self) -> tuple[float, float]:
        """The interval of the nonlinear parameter."""
        low, high = self._ends
        if low <= self._reach(-1):
            low = float(self.problem.low[0])
        if high >= self._reach(1):
            high = float(self.problem.high[0])
        return low, high

    def extremes(self, functional: Functional, *, limits: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest g·β over the set, each of shape (V,).

        Args:
            functional: g(θ) of the module docstring.
            limits: (V,), one limit per functional, none above that of the set; the limit of the set without it.
        """
        low, high = self._ends
        # Dense at the ends, where an amplitude that carries units of x changes by orders of magnitude.
        scan = low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, 193))) / 2
        coarse = np.clip(np.append(self.problem.grid[:, 0], self.theta), low, high)
        scan = np.unique(np.concatenate([scan, coarse]))[None]
        limits_V1 = np.array([[self.limit]]) if limits is None else limits[:, None]

        def largest(sign: float) -> Callable[[np.ndarray], np.ndarray]:
            return lambda theta_VG: _largest(
                self.problem, self.y, theta_VG[..., None], sign * functional(theta_VG[..., None]), limits_V1
            )

        return 0.0 - zoom(largest(-1.0), scan)[1], zoom(largest(1.0), scan)[1]

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self._end(self._reach(-1)), self._end(self._reach(1))

    def _reach(self, side: int) -> float:
        """How far the set is searched: the bound, or a million times the scale of the data where there is none."""
        bound = float((self.problem.low if side < 0 else self.problem.high)[0])
        return bound if math.isfinite(bound) else side * 1e6 * max(abs(self.theta), 1.0)

    def _end(self, reach: float) -> float:
        """The outermost θ towards `reach` that belongs to the set."""
        # Eight points per decade of distance from the optimum, so that narrow and wide sets are found alike.
        points = self.theta + (reach - self.theta) * np.append(0.0, np.geomspace(1e-14, 1, 113))
        points[-1] = reach
        inside = self._excess(points) <= 0
        last = int(np.flatnonzero(inside).max(initial=0))
        if last == len(points) - 1:
            return reach
        if not inside[last]:
            return self.theta
        a, b = points[last], points[last + 1]
        return float(optimize.brentq(lambda t: float(self._excess(np.array([t]))[0]), a, b, xtol=1e-15, rtol=1e-13))

    def _excess(self, theta_G: np.ndarray) -> np.ndarray:
        return self.problem.sum_of_squares(self.y, theta_G[:, None]) - self.limit


def zoom(value: Callable[[np.ndarray], np.ndarray], scan_VG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where `value` is largest and how large, each (V,): a scan, then grids between the neighbours of the best point.

    `scan_VG` has ascending rows. Five rounds of 16 points on either side reach 1e-6 of the spacing of the scan, and
    with it about 1e-12 of the value where that is smooth. The best point so far always stays among the candidates.
    """
    values_VG = value(scan_VG)
    theta_VG = np.broadcast_to(scan_VG, values_VG.shape)
    share = np.linspace(0, 1, 17)
    for _ in range(5):
        best = values_VG.argmax(axis=1)[:, None]
        left, middle, right = (
            np.take_along_axis(theta_VG, np.clip(best + side, 0, theta_VG.shape[1] - 1), axis=1) for side in (-1, 0, 1)
        )
        below, above = left + (middle - left) * share[:-1], middle + (right - middle) * share
        theta_VG = np.concatenate([below, above], axis=1)
        values_VG = value(theta_VG)
    best = values_VG.argmax(axis=1)[:, None]
    return np.take_along_axis(theta_VG, best, axis=1)[:, 0], np.take_along_axis(values_VG, best, axis=1)[:, 0]


def verdict(parameter: Parameter, value: float, interval: Interval | None) -> str:
    """What the data say about one parameter.

    on bound         the estimate lies on a bound of the parameter: another law, or a bad point, is likely
    not identified   no residual degree of freedom; or the interval reaches both bounds; or it reaches one and is
                     wider than twice the estimate
    weak             the interval reaches one bound, or is wider than the estimate
    identified       everything else
    """
    if interval is None:
        return "not identified"
    if value <= parameter.low or value >= parameter.high:
        return "on bound"
    touched = int(interval.low <= parameter.low) + int(interval.high >= parameter.high)
    width = interval.high - interval.low
    if touched == 2 or (touched == 1 and width > 2 * abs(value)):
        return "not identified"
    return "weak" if touched or width > abs(value) else "identified"


def _largest(problem: Problem, y_N: np.ndarray, theta_P: np.ndarray, g_K: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """max g·β over β_j ≥ 0 with S(θ, β) ≤ limit, −inf where no β reaches the limit; shape (V, G).

    On each active set the maximum is the end of an ellipse: β̂ + √(limit − S) · (ΦᵀΦ)⁻¹g / √(gᵀ(ΦᵀΦ)⁻¹g).
    """
    design = problem.design(theta_P)
    best = np.full(np.broadcast_shapes(design.shape[:-2], g_K.shape[:-1], limit.shape), -np.inf)
    for columns in active_sets(problem.bounded):
        factor = Factor(design, columns)
        beta, residual = factor.project(np.broadcast_to(problem.target(y_N, theta_P), design.shape[:-1]))
        slack = limit - np.square(residual).sum(-1)
        g = [g_K[..., j] for j in columns]
        z = factor.forward_substitute(g)
        length = np.sqrt(sum((np.square(v) for v in z), start=np.zeros(best.shape)))
        reach = np.sqrt(np.maximum(slack, 0)) / np.where(length > 0, length, 1.0)
        ends = [b + reach * d for b, d in zip(beta, factor.back_substitute(z), strict=True)]
        feasible = factor.full_rank & (slack >= 0)
        for j, end in zip(columns, ends, strict=True):
            if problem.bounded[j]:
                feasible = feasible & (end >= 0)
        value = sum((gj * end for gj, end in zip(g, ends, strict=True)), start=np.zeros(best.shape))
        best = np.where(feasible & (value > best), value, best)
    return best
