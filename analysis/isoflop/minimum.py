"""The lowest point of one isoFLOP curve: a polynomial in ln x, with an interval for where its slope is zero.

    L = Σ_k p_k·t^k,  t = ln x − mean        p'(t*) = 0,  p''(t*) > 0
    t* is in the set where the slope may be zero:  p'(t)² ≤ q²·Var p'(t),  of which the piece around t* is the interval

For a parabola this is Fieller's interval (optimum.py); for a cubic the same inequality has degree four. The noise is
that of the curve itself: unlike seeds of one recipe, isoFLOP curves of small budgets span wider ranges and lie further
off a parabola (in the Llama 3 points by a factor of 8), so that one noise for all would be wrong for each.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from analysis import formatting
from analysis.intervals import Interval
from analysis.optimum import Unbracketed, exponential

# Where an end of an interval is looked for, in spans of the points from the vertex: so close that two ends do not fall
# between neighbours, and so far that what lies beyond is no answer.
_DISTANCES = np.geomspace(1e-12, 1e3, 600)


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """`x` in the unit of what was varied; `below` and `above` count the distinct x on either side.

    Without a residual degree of freedom the interval is unbounded, and `residual_std` nan.
    """

    x: float
    interval: Interval
    y: float
    below: int
    above: int
    span: tuple[float, float]
    residual_std: float
    coefficients: tuple[float, ...]
    centre: float

    @property
    def verdict(self) -> str:
        """ "bracketed", or what is weak about it."""
        fewest = min(self.below, self.above)
        if fewest < 2:
            return f"weak: one point {'below' if self.below == fewest else 'above'}"
        if not math.isfinite(self.interval.high):
            return "weak: curvature not distinguishable from 0"
        if self.interval.low < self.span[0] or self.interval.high > self.span[1]:
            return "weak: interval beyond the points"
        return "bracketed"

    def curve(self, x: np.ndarray) -> np.ndarray:
        return np.polynomial.Polynomial(self.coefficients)(np.log(x) - self.centre)


def minimum(x_N: np.ndarray, y_N: np.ndarray, *, degree: int, level: float) -> Minimum | Unbracketed:
    """Where the polynomial of that degree through (ln x, y) is lowest, if that lies between measured points."""
    places = np.unique(x_N)
    if places.size <= degree:
        return Unbracketed(reason=f"{formatting.plural(places.size, 'value')}, and the curve needs {degree + 1}")
    log_x = np.log(x_N)
    centre = float(log_x.mean())
    design = np.vander(log_x - centre, degree + 1, increasing=True)
    coefficients, *_ = np.linalg.lstsq(design, y_N)
    polynomial = np.polynomial.Polynomial(coefficients)
    low, high = float(log_x.min()) - centre, float(log_x.max()) - centre
    vertex = _lowest_stationary(polynomial, low, high)
    if isinstance(vertex, Unbracketed):
        return vertex
    residual = y_N - design @ coefficients
    dof = len(y_N) - degree - 1
    noise = math.sqrt(float(residual @ residual) / dof) if dof else math.nan
    ends = (-math.inf, math.inf)
    if dof:
        quantile = float(stats.t.ppf((1 + level) / 2, dof))
        covariance = noise**2 * np.linalg.inv(design.T @ design)
        ends = _zero_slope(polynomial, covariance, quantile, vertex, high - low)
    return Minimum(
        x=math.exp(centre + vertex),
        interval=exponential(Interval(low=centre + ends[0], high=centre + ends[1], level=level)),
        y=float(polynomial(vertex)),
        below=int((np.log(places) < centre + vertex).sum()),
        above=int((np.log(places) > centre + vertex).sum()),
        span=(float(places[0]), float(places[-1])),
        residual_std=noise,
        coefficients=tuple(float(value) for value in coefficients),
        centre=centre,
    )


def _lowest_stationary(polynomial: np.polynomial.Polynomial, low: float, high: float) -> float | Unbracketed:
    bends = polynomial.deriv(2)
    real = _real_roots(polynomial.deriv())
    minima = [root for root in real if bends(root) > 0]
    inside = [root for root in minima if low < root < high]
    if inside:
        return min(inside, key=polynomial)
    if not minima:
        return Unbracketed(reason="the curve through its points has no minimum")
    side = "below" if minima[0] <= low else "above"
    return Unbracketed(reason=f"the minimum lies {side} the values measured", side=side)


def _zero_slope(
    polynomial: np.polynomial.Polynomial, covariance: np.ndarray, quantile: float, vertex: float, span: float
) -> tuple[float, float]:
    """The piece around the vertex of {t: p'(t)² ≤ q²·Var p'(t)}; an end that is not there is infinite.

    Each end is a root of ±p'(t) = q·sd p'(t), which is a single one also where the noise vanishes; that of the squares
    is then double, and its digits are lost.
    """
    slope = polynomial.deriv()
    factors = np.arange(1.0, polynomial.degree() + 1)

    def excess(t: np.ndarray | float, side: int) -> np.ndarray:
        row = factors * np.vander(np.atleast_1d(t), len(factors), increasing=True)
        variance = np.einsum("ti,ij,tj->t", row, covariance[1:, 1:], row)
        return side * slope(np.atleast_1d(t)) - quantile * np.sqrt(np.maximum(variance, 0.0))

    ends = []
    for side in (-1, 1):
        places = vertex + side * span * _DISTANCES
        outside = np.flatnonzero(excess(places, side) > 0)
        if not outside.size:
            ends.append(side * math.inf)
        elif outside[0] == 0:
            ends.append(vertex)
        else:
            bracket = places[outside[0] - 1], places[outside[0]]
            ends.append(float(optimize.brentq(lambda t, side=side: float(excess(t, side)[0]), *bracket, xtol=1e-15)))
    return ends[0], ends[1]


def _real_roots(polynomial: np.polynomial.Polynomial) -> np.ndarray:
    """Ascending. Newton's steps restore the digits that a leading coefficient near 0 costs."""
    roots = polynomial.roots()
    real = roots.real[np.abs(roots.imag) <= 1e-7 * (1 + np.abs(roots.real))]
    slope = polynomial.deriv()
    for _ in range(3):
        steep = slope(real)
        real = real - np.divide(polynomial(real), steep, out=np.zeros_like(real), where=steep != 0)
    return np.sort(real)
