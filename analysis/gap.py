"""The gap of two fitted curves at one x, with the values that these points allow.

    f₁(x) − f₂(x)        { g : some allowed pair of curves has f₁(x) − f₂(x) = g }

What is allowed is said in analysis/pair.py. Seber & Wild 1989, Nonlinear Regression, section 5.3.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.intervals import Interval
from analysis.laws import Law
from analysis.pair import Pair, check_place, walk
from analysis.sentences import gap_sentence


@dataclass(frozen=True, kw_only=True)
class LossGap:
    """Fitted loss of the first group minus that of the second at x; `extrapolated` where x is outside either's data."""

    groups: tuple[str, str]
    x: float
    gap: float
    interval: Interval
    distinguishable: bool | None
    extrapolated: bool
    sentence: str


def loss_gap(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    groups: tuple[str, str],
    at: float,
    level: float = 0.95,
    pooled: bool | None = None,
) -> LossGap:
    """The gap of the curves fitted by least squares at x = `at`, with a profile-F interval from the joint model.

    `pooled` says whether the groups have one noise; without it the points decide (analysis/noise.py).

    Raises:
        UserError: as `compare`, and for an `at` that is not finite and positive.
    """
    pair = Pair.of(law, table, x=x, y=y, group=group, groups=groups, level=level)
    return gap_of(replace(pair, pooled=pooled), at)


def gap_of(pair: Pair, at: float) -> LossGap:
    """`loss_gap` of two groups that are already fitted."""
    pair.require_one_input("the gap of two curves")
    check_place(at, "at", "the gap of two curves is taken")
    first, second = (float(pair.predict(side, np.array([at]))[0]) for side in (0, 1))
    gap, low, high, differs = first - second, -math.inf, math.inf, None
    if pair.degrees_of_freedom:
        ends = _gap_ends(pair, at, gap)
        low, high = min(ends[0], gap), max(ends[1], gap)
        differs = not low <= 0 <= high
    interval = Interval(low=low, high=high, level=pair.level)
    extrapolated = not (pair.covers(0, at) and pair.covers(1, at))
    return LossGap(
        groups=pair.groups,
        x=at,
        gap=gap,
        interval=interval,
        distinguishable=differs,
        extrapolated=extrapolated,
        sentence=gap_sentence(
            groups=pair.groups,
            x=f"{pair.points[0].x_name} = {at:.3g}",
            y_name=pair.points[0].y_name,
            gap=gap,
            interval=interval,
            differs=differs,
            extrapolated=extrapolated,
            untestable=pair.untestable(),
        ),
    )


def largest_common(pair: Pair) -> float:
    """The largest x that both measured; without one, the largest inside both ranges, or the end of the lower range."""
    common = np.intersect1d(pair.points[0].x, pair.points[1].x)
    return float(common[-1] if common.size else min(p.x[-1] for p in pair.points))


def _gap_ends(pair: Pair, at: float, gap: float) -> tuple[float, float]:
    """The gaps between which some allowed pair of curves lies, ±inf where none is too large."""
    place = np.array([at])
    limit = float(pair.allowed(place, place)[0])

    def excess(other: float) -> float:
        return float(pair.meeting_rise(place, place, gap=other)[0]) - limit

    largest = max(float(points.y.max()) for points in pair.points)
    step = max(0.5 * pair.standard_error(at), 1e-12 * largest)
    low, high = (walk(excess, gap, side, step=step, reach=1e3 * largest) for side in (-1, 1))
    return low, high
