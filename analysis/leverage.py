"""Compute leverage: how many times more compute the worse of two groups needs for the same fitted loss.

    f_better(x_better) = f_worse(x_worse)        leverage = x_worse / x_better

At the compute of the worse group x_worse is given and the loss follows; at a loss both x follow. The interval holds
every ratio at which some allowed pair of curves meets (analysis/pair.py), so it is neither symmetric nor
always bounded: a curve may level off above the loss it should reach. Bates & Watts 1988, Nonlinear Regression Analysis,
section 6.1; the joint limit is that of Seber & Wild 1989, Nonlinear Regression, section 5.3.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from analysis.intervals import Interval
from analysis.laws import Law
from analysis.pair import Pair, all_pairs, check_place, walk
from analysis.sentences import leverage_sentence
from analysis.solve.heights import lowest

# A ratio beyond this counts as unbounded, and a loss that is not reached by then as not reached.
FARTHEST = 1e30
_SHARES = np.linspace(0, 1, 33)


@dataclass(frozen=True, kw_only=True)
class Leverage:
    """`groups` are (better, worse) by the fitted curves; `loss` in the unit of y, both x in the unit of x.

    `multiplier` is x_worse / x_better: ≥ 1, inf where the worse group's curve never reaches the loss. The low end of
    the interval is 0 where it cannot be excluded that the better group never reaches it, the high end inf where it
    cannot be excluded for the worse. `distinguishable` says whether the interval lies above 1, None without pooled
    degrees of freedom. `extrapolated` says that x_better or x_worse lies outside the data of its group.
    """

    groups: tuple[str, str]
    loss: float
    x_better: float
    x_worse: float
    multiplier: float
    interval: Interval
    distinguishable: bool | None
    extrapolated: bool
    sentence: str


def leverage(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    groups: tuple[str, str],
    at: Sequence[float] | None = None,
    losses: Sequence[float] = (),
    level: float = 0.95,
) -> list[Leverage]:
    """The leverage at each compute in `at` (of the group that is worse there), then at each loss in `losses`.

    Without `at` and `losses`: at the largest x inside the data of both groups, and at ten times it.

    Raises:
        UserError: for an unknown law, column or group, points that `fit` refuses, or a place or loss that is not
            finite and positive.
    """
    pair = Pair.of(law, table, x=x, y=y, group=group, groups=groups, level=level)
    places = tuple(at) if at is not None else () if losses else default_places(pair)
    return [at_compute(pair, place) for place in places] + [at_loss(pair, height) for height in losses]


def leverage_all(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    at: Sequence[float] | None = None,
    level: float = 0.95,
) -> list[Leverage]:
    """`leverage` at each compute for every two groups, in the order of their names.

    Raises:
        UserError: as `leverage`.
    """
    pairs = all_pairs(law, table, x=x, y=y, group=group, level=level)
    return [at_compute(pair, place) for pair in pairs for place in (default_places(pair) if at is None else at)]


def default_places(pair: Pair) -> tuple[float, float]:
    largest = min(float(points.x.max()) for points in pair.points)
    return largest, 10 * largest


def at_compute(pair: Pair, at: float) -> Leverage:
    """The leverage where the group with the higher fitted loss has x = `at`."""
    pair.require_one_input("leverage")
    check_place(at, "at", "leverage is taken")
    heights = tuple(float(pair.predict(side, np.array([at]))[0]) for side in (0, 1))
    better, worse = (0, 1) if heights[0] <= heights[1] else (1, 0)
    loss = heights[worse]
    x_better = _reaching(pair, better, loss, at)
    multiplier = at / x_better

    def excess(log_ratio: float) -> float:
        places = [0.0, 0.0]
        places[worse], places[better] = at, at / math.exp(log_ratio)
        return float(pair.excess(np.array(places[:1]), np.array(places[1:]))[0])

    return _result(pair, (better, worse), loss, (x_better, at), multiplier, excess)


def at_loss(pair: Pair, loss: float) -> Leverage:
    """The leverage where both fitted curves have height `loss`; nan where neither reaches it."""
    pair.require_one_input("leverage")
    check_place(loss, "loss", "leverage is taken")
    middle = math.sqrt(math.prod(float(np.exp(np.log(points.x).mean())) for points in pair.points))
    x = [_reaching(pair, side, loss, middle) for side in (0, 1)]
    better, worse = (0, 1) if x[0] <= x[1] else (1, 0)
    multiplier = x[worse] / x[better] if math.isfinite(x[better]) else math.nan

    def excess(log_ratio: float) -> float:
        """Both curves pass through `loss`, at some x and at ratio·x; x lies between what the two fits ask for."""
        ratio = math.exp(log_ratio)
        first, last = math.log(x[better]), math.log(min(x[worse], FARTHEST * middle) / ratio)
        x_V = np.exp(first + (last - first) * _SHARES)
        height_V1 = np.full((x_V.size, 1), loss)
        own, other = (x_V, x_V * ratio) if better == 0 else (x_V * ratio, x_V)
        return float(lowest(pair.rise(own, other, height_V1, height_V1)[:, 0] - pair.allowed(own, other)))

    return _result(pair, (better, worse), loss, (x[better], x[worse]), multiplier, excess)


def _result(
    pair: Pair,
    order: tuple[int, int],
    loss: float,
    places: tuple[float, float],
    multiplier: float,
    excess: Callable[[float], float],
) -> Leverage:
    low, high, differs = 0.0, math.inf, None
    if pair.degrees_of_freedom and not math.isnan(multiplier):
        center = math.log(min(multiplier, FARTHEST))
        never = math.isinf(multiplier) and excess(center) > 0
        low = math.inf if never else math.exp(_end(excess, center, -1))
        high = math.exp(_end(excess, center, 1)) if math.isfinite(multiplier) else math.inf
        differs = low > 1
    better, worse = order
    extrapolated = not (pair.covers(better, places[0]) and pair.covers(worse, places[1]))
    interval = Interval(low=low, high=high, level=pair.level)
    return Leverage(
        groups=(pair.groups[better], pair.groups[worse]),
        loss=loss,
        x_better=places[0],
        x_worse=places[1],
        multiplier=multiplier,
        interval=interval,
        distinguishable=differs,
        extrapolated=extrapolated,
        sentence=leverage_sentence(
            groups=(pair.groups[better], pair.groups[worse]),
            x_name=pair.points[0].x_name,
            y_name=pair.points[0].y_name,
            loss=loss,
            x_worse=places[1],
            multiplier=multiplier,
            interval=interval,
            differs=differs,
            extrapolated=extrapolated,
            untestable=pair.untestable(),
        ),
    )


def _reaching(pair: Pair, side: int, loss: float, near: float) -> float:
    """The x at which a fitted curve has height `loss`, searched around `near`; inf where it stays above."""
    reach = math.log(FARTHEST)

    def above(log_x: float) -> float:
        return float(pair.predict(side, np.array([near * math.exp(log_x)]))[0]) - loss

    if above(0.0) == 0:
        return near
    sign = 1.0 if above(0.0) > 0 else -1.0
    if above(sign * reach) * sign > 0:
        return math.inf if sign > 0 else near / FARTHEST
    return near * math.exp(float(optimize.brentq(above, 0.0, sign * reach, xtol=1e-13, rtol=1e-13)))


def _end(excess: Callable[[float], float], center: float, side: int) -> float:
    return walk(excess, center, side, step=0.005, reach=math.log(FARTHEST))
