"""Where the fitted curves of two groups cross, with the range of x in which these runs allow a crossing.

    f₁(x) = f₂(x)        { x : some allowed pair of curves has f₁(x) = f₂(x) }

What is allowed is said in analysis/pair.py. The range around a crossing may be unbounded, and a set of its own may
exist where the fits do not cross at all: both are said. It is an interval for a place at which the curves meet, not for
their meeting anywhere. Seber & Wild 1989, Nonlinear Regression, section 5.3; inversion of a test as in Fieller 1954
(J. R. Statist. Soc. B 16, 175).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import optimize

from analysis.intervals import Interval
from analysis.laws import Law
from analysis.pair import Pair, all_pairs
from analysis.sentences import crossing_sentence

# Searched this many times below the smallest and above the largest x of the data; a range that reaches it is unbounded.
FARTHEST = 1e6
_PER_DECADE = 6


@dataclass(frozen=True, kw_only=True)
class CrossingPoint:
    """One crossing of the fitted curves, x and the interval in the unit of x.

    An end of the interval is 0 or inf where no x on that side is excluded, and the interval is None without pooled
    degrees of freedom. `extrapolated` says that x lies outside the data of at least one group.
    """

    x: float
    interval: Interval | None
    extrapolated: bool


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """All crossings of two fitted curves in ascending order of x; `possible` are the ranges of x not excluded.

    `possible` holds ranges without a fitted crossing too; empty means that the runs exclude a crossing everywhere in
    the searched range, or that they have no pooled degree of freedom.
    """

    groups: tuple[str, str]
    points: tuple[CrossingPoint, ...]
    possible: tuple[Interval, ...]
    sentence: str


def crossing(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    groups: tuple[str, str],
    level: float = 0.95,
) -> Crossing:
    """Crossings of the curves of two groups, searched from a millionth to a million times the measured x.

    Raises:
        UserError: for an unknown law, column or group, points that `fit` refuses, or a law of several inputs.
    """
    return crossing_of(Pair.of(law, table, x=x, y=y, group=group, groups=groups, level=level))


def crossing_all(
    law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float = 0.95
) -> list[Crossing]:
    """`crossing` for every two groups, in the order of their names."""
    return [crossing_of(pair) for pair in all_pairs(law, table, x=x, y=y, group=group, level=level)]


def crossing_of(pair: Pair, *, farthest: float = FARTHEST) -> Crossing:
    """`crossing` of two groups that are already fitted, searched so many times below and above the measured x."""
    pair.require_one_input("a crossing")
    smallest = min(float(points.x.min()) for points in pair.points)
    largest = max(float(points.x.max()) for points in pair.points)
    low, high = math.log(smallest / farthest), math.log(largest * farthest)
    grid = np.linspace(low, high, round(_PER_DECADE * (high - low) / math.log(10)) + 1)
    found = _roots(pair, grid)
    possible = _possible(pair, np.unique(np.concatenate([grid, found]))) if pair.degrees_of_freedom else ()
    points = tuple(
        CrossingPoint(
            x=math.exp(log_x),
            interval=next((part for part in possible if math.exp(log_x) in part), None),
            extrapolated=not (pair.covers(0, math.exp(log_x)) and pair.covers(1, math.exp(log_x))),
        )
        for log_x in found
    )
    return Crossing(
        groups=pair.groups,
        points=points,
        possible=possible,
        sentence=crossing_sentence(
            groups=pair.groups,
            x_name=pair.points[0].x_name,
            level=pair.level,
            points=[(point.x, point.extrapolated) for point in points],
            possible=possible,
            searched=(math.exp(low), math.exp(high)),
            untestable="" if pair.degrees_of_freedom else pair.untestable(),
        ),
    )


def _roots(pair: Pair, grid: np.ndarray) -> list[float]:
    """ln x of each change of sign of f₁ − f₂; curves that are equal throughout do not cross."""

    def gap(log_x: np.ndarray) -> np.ndarray:
        return pair.predict(0, np.exp(log_x)) - pair.predict(1, np.exp(log_x))

    gaps = gap(grid)
    rounding = 1e-12 * max(float(points.y.max()) for points in pair.points)
    # The sign at a point where the curves touch or coincide is that of the last clear one before it.
    clear = np.flatnonzero(np.abs(gaps) > rounding)
    return [
        float(optimize.brentq(lambda t: float(gap(np.array([t]))[0]), grid[a], grid[b], xtol=1e-13, rtol=1e-13))
        for a, b in pairwise(clear)
        if gaps[a] * gaps[b] < 0
    ]


def _possible(pair: Pair, grid: np.ndarray) -> tuple[Interval, ...]:
    """The connected ranges of x at which some pair of curves meets."""

    def excess(log_x: np.ndarray) -> np.ndarray:
        return pair.excess(np.exp(log_x), np.exp(log_x))

    def edge(outside: float, inside: float) -> float:
        return float(optimize.brentq(lambda t: float(excess(np.array([t]))[0]), outside, inside, xtol=1e-9, rtol=1e-9))

    inside = excess(grid) <= 0
    change = np.flatnonzero(np.diff(inside.astype(int)))
    edges = [math.exp(edge(grid[i], grid[i + 1])) for i in change]
    if inside[0]:
        edges.insert(0, 0.0)
    if inside[-1]:
        edges.append(math.inf)
    return tuple(Interval(low=a, high=b, level=pair.level) for a, b in zip(edges[::2], edges[1::2], strict=True))
