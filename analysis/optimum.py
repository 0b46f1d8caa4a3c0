"""Where a sweep is lowest: a parabola in the logarithm of what was swept, with an interval for its vertex.

    L = a + b·t + c·t²,  t = ln x        x* = exp(−b / 2c),  L* = a − b² / 4c
    x* is in the interval where the slope b + 2c·t may be zero:  (b + 2c·t)² ≤ q² · Var(b + 2c·t)

which is a quadratic inequality in t, exact for normal noise (Fieller 1954, "Some problems in interval estimation"). Its
solution is bounded where the curvature c itself differs from zero; where it does not, the data give no interval.

Which points: the rate with the lowest mean, and up to REACH measured rates on each side, as far as no run diverged.
Every run there counts once. Further out the loss is no parabola; the noise of the fit holds what is left of that. The
noise is one number for all sweeps of a group, so that short sweeps lean on each other: q is Student's t quantile at the
pooled degrees of freedom.

Differences of vertices, and slopes through them, get intervals by recovering variances from the intervals of their
parts (MOVER: Zou & Donner 2008, "Construction of confidence limits about effect measures", equation 8), which keeps
what is lopsided about them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from scipy import stats

from analysis import formatting
from analysis.intervals import Interval

REACH = 2
FEWEST = 4
_LARGEST = 700.0

# Whatever tells sweeps apart.
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One entry a run: what was swept, and what was measured there, infinite for a run that diverged."""

    x: np.ndarray
    y: np.ndarray

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Every x once, ascending, with the mean over its runs."""
        places, group = np.unique(self.x, return_inverse=True)
        return places, np.bincount(group, weights=self.y) / np.bincount(group)


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """`coefficients` are a, b, c with t measured from `centre`; `used` the places that the parabola went through."""

    x: float
    interval: Interval
    y: float
    y_interval: Interval
    coefficients: tuple[float, float, float]
    centre: float
    used: tuple[float, ...]
    noise: float
    degrees_of_freedom: int

    def parabola(self, x: np.ndarray) -> np.ndarray:
        a, b, c = self.coefficients
        t = np.log(x) - self.centre
        return np.asarray(a + b * t + c * t**2)


@dataclass(frozen=True, kw_only=True)
class Unbracketed:
    """`side` is where the optimum may lie beyond the sweep: "below", "above", or empty where that is not known."""

    reason: str
    side: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parabola:
    centre: float
    used: np.ndarray
    coefficients: np.ndarray
    covariance_over_variance: np.ndarray
    sum_of_squares: float
    degrees_of_freedom: int


def optima(sweeps: Mapping[Key, Sweep], *, level: float) -> dict[Key, Optimum | Unbracketed]:
    """Of sweeps that share their noise, by whatever they are told apart by."""
    fitted = {key: _fit(sweep) for key, sweep in sweeps.items()}
    parabolas = [item for item in fitted.values() if isinstance(item, _Parabola)]
    dof = sum(item.degrees_of_freedom for item in parabolas)
    noise = math.sqrt(sum(item.sum_of_squares for item in parabolas) / dof) if dof else math.nan
    return {
        key: item if isinstance(item, Unbracketed) else _optimum(item, noise=noise, degrees_of_freedom=dof, level=level)
        for key, item in fitted.items()
    }


def log_ratio(first: Optimum, last: Optimum) -> Estimate:
    """ln x* of the last minus that of the first."""
    return combined([first, last], np.array([-1.0, 1.0]))


class Located(Protocol):
    """Whatever has a place with an interval."""

    @property
    def x(self) -> float: ...

    @property
    def interval(self) -> Interval: ...


def log_slope(found: Sequence[Located], along: Sequence[float]) -> Estimate:
    """Of the straight line through ln x* against ln `along`, by least squares.

    The interval holds the noise of the optima, not their distance from a straight line.
    """
    z = np.log(np.asarray(along, dtype=float))
    return combined(found, (z - z.mean()) / ((z - z.mean()) ** 2).sum())


def combined(found: Sequence[Located], weights: np.ndarray) -> Estimate:
    """Σ wᵢ ln xᵢ* with its MOVER interval; infinite where an interval it leans on is."""
    t = np.log([item.x for item in found])
    with np.errstate(divide="ignore"):
        ends = np.log([[item.interval.low, item.interval.high] for item in found])
    down = np.where(weights > 0, t - ends[:, 0], ends[:, 1] - t)
    up = np.where(weights > 0, ends[:, 1] - t, t - ends[:, 0])
    used = weights != 0
    value = float(weights @ t)
    low, high = (float(np.sqrt(((weights[used] * side[used]) ** 2).sum())) for side in (down, up))
    return Estimate(value=value, interval=Interval(low=value - low, high=value + high, level=found[0].interval.level))


def exponential(interval: Interval) -> Interval:
    """Of ln x to that of x; an end beyond what a float holds is as good as none."""
    low, high = (math.exp(end) if end < _LARGEST else math.inf for end in (interval.low, interval.high))
    return Interval(low=low, high=high, level=interval.level)


def _fit(sweep: Sweep) -> _Parabola | Unbracketed:
    x, y = sweep.means
    trained = np.isfinite(y)
    if trained.sum() < FEWEST:
        many = formatting.plural(int(trained.sum()), "value")
        return Unbracketed(reason=f"{many} trained without divergence, and a parabola needs {FEWEST}")
    best = int(np.where(trained, y, np.inf).argmin())
    if best in (0, len(x) - 1):
        side, end = ("below", "smallest") if best == 0 else ("above", "largest")
        return Unbracketed(reason=f"the lowest is at the {end} value swept, {x[best]:.3g}", side=side)
    low = best
    while low > max(0, best - REACH) and trained[low - 1]:
        low -= 1
    high = best
    while high < min(len(x) - 1, best + REACH) and trained[high + 1]:
        high += 1
    if low == best or high == best:
        side = "below" if low == best else "above"
        return Unbracketed(reason=f"the lowest is at {x[best]:.3g}, and the next value {side} it diverged", side=side)
    if high - low + 1 < FEWEST:
        return Unbracketed(
            reason=f"{high - low + 1} values around the lowest trained without divergence, "
            f"and a parabola needs {FEWEST}"
        )
    inside = (sweep.x >= x[low]) & (sweep.x <= x[high])
    log_x, measured = np.log(sweep.x[inside]), sweep.y[inside]
    centre = float(log_x.mean())
    design = np.vander(log_x - centre, 3, increasing=True)
    coefficients, *_ = np.linalg.lstsq(design, measured)
    vertex = centre - coefficients[1] / (2 * coefficients[2])
    if coefficients[2] <= 0 or not np.log(x[low]) <= vertex <= np.log(x[high]):
        return Unbracketed(reason=f"the parabola from {x[low]:.3g} to {x[high]:.3g} has no minimum there")
    residuals = measured - design @ coefficients
    return _Parabola(
        centre=centre,
        used=x[low : high + 1],
        coefficients=coefficients,
        covariance_over_variance=np.linalg.inv(design.T @ design),
        sum_of_squares=float(residuals @ residuals),
        degrees_of_freedom=len(measured) - 3,
    )


def _optimum(fit: _Parabola, *, noise: float, degrees_of_freedom: int, level: float) -> Optimum:
    a, b, c = (float(value) for value in fit.coefficients)
    quantile = float(stats.t.ppf((1 + level) / 2, degrees_of_freedom))
    covariance = noise**2 * fit.covariance_over_variance
    vertex = -b / (2 * c)
    low, high = _zero_slope(b, c, covariance, quantile)
    at = np.array([1.0, vertex, vertex**2])
    reach = quantile * math.sqrt(max(float(at @ covariance @ at), 0.0))
    lowest = a - b**2 / (4 * c)
    return Optimum(
        x=math.exp(fit.centre + vertex),
        interval=exponential(
            Interval(low=fit.centre + min(low, vertex), high=fit.centre + max(high, vertex), level=level)
        ),
        y=lowest,
        y_interval=Interval(low=lowest - reach, high=lowest + reach, level=level),
        coefficients=(a, b, c),
        centre=fit.centre,
        used=tuple(float(value) for value in fit.used),
        noise=noise,
        degrees_of_freedom=degrees_of_freedom,
    )


def _zero_slope(b: float, c: float, covariance: np.ndarray, quantile: float) -> tuple[float, float]:
    """Ends of {t: (b + 2ct)² ≤ q² Var(b + 2ct)}; infinite where the curvature cannot be told from zero."""
    q = quantile**2
    square = 4 * (c**2 - q * covariance[2, 2])
    if square <= 0:
        return -math.inf, math.inf
    half = 2 * (b * c - q * covariance[1, 2])
    root = math.sqrt(max(half**2 - square * (b**2 - q * covariance[1, 1]), 0.0))
    return (-half - root) / square, (-half + root) / square
