"""Hold-out: fit without the largest scale, then predict it. The test a scaling law exists for.

The interval is that of a new observation: the profile-F set of m for which the pair (x, m), added as one more point,
still fits, min_{θ, β} S(θ, β) + k·(m − f(x; θ, β))² ≤ T, where m is the mean of k runs at the held-out x.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.curve import Curve, fit_curve
from analysis.intervals import ConfidenceSet, Interval
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups
from analysis.solve.projection import Problem


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """The largest scale of one group predicted from the others; `error` is predicted − actual.

    `actual` is the mean where several runs share the largest x. `predicted` is nan where too few scales remain, and
    `interval` and `inside` are None where no interval can be given; `note` says so in plain words.
    """

    group: str
    x: float
    actual: float
    predicted: float
    error: float
    interval: Interval | None
    inside: bool | None
    note: str


def hold_out_largest(
    law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float = 0.95
) -> dict[str, HoldOut]:
    """One hold-out for each value of column `group`, in the order of their names.

    Raises:
        UserError: for an unknown law or column, a level outside (0, 1), or points that are not finite, positive and
            distinct.
    """
    found = find_law(law)
    check_level(level)
    curves = observe_groups(table, x=x, y=y, group=group)
    return {name: _hold_out(found, points, level) for name, points in curves.items()}


def _hold_out(law: Law, points: Observations, level: float) -> HoldOut:
    largest = float(points.x[-1])
    held = points.x == largest
    actual, parameters = float(points.y[held].mean()), len(law.parameters)
    rest = Observations(
        x=points.x[~held], y=points.y[~held], x_name=points.x_name, y_name=points.y_name, group=points.group
    )
    n = rest.x.size
    if np.unique(rest.x).size < parameters:
        note = (
            f"{n} {_points(n)} left for {parameters} parameters: nothing can be predicted; at least"
            f" {parameters + 1} scales are needed, {parameters + 2} for an interval"
        )
        return _result(points.group, largest, actual, math.nan, None, note)
    curve = fit_curve(law, rest)
    predicted = float(curve.predict(np.array([largest / curve.scaled.scale]))[0])
    if not curve.degrees_of_freedom:
        note = f"{n} points determine {parameters} parameters exactly: no interval can be given"
        return _result(points.group, largest, actual, predicted, None, note)
    interval = _new_observation(curve, largest / curve.scaled.scale, int(held.sum()), level)
    where = "inside" if actual in interval else "outside"
    note = f"predicted from {n} smaller runs; the measured loss lies {where} the {100 * level:g} % prediction interval"
    return _result(points.group, largest, actual, predicted, interval, note)


def _result(group: str, x: float, actual: float, predicted: float, interval: Interval | None, note: str) -> HoldOut:
    return HoldOut(
        group=group,
        x=x,
        actual=actual,
        predicted=predicted,
        error=predicted - actual,
        interval=interval,
        inside=None if interval is None else actual in interval,
        note=note,
    )


def _new_observation(curve: Curve, u: float, runs: int, level: float) -> Interval:
    """The mean m of `runs` new runs at u becomes one more amplitude, and its deviation from the curve one more row."""
    weight = math.sqrt(runs)

    def design(theta_P: np.ndarray) -> np.ndarray:
        seen = curve.problem.design(theta_P)
        new = curve.scaled.rows(np.array(u), theta_P)
        out = np.zeros((*seen.shape[:-2], seen.shape[-2] + 1, seen.shape[-1] + 1))
        out[..., :-1, :-1] = seen
        out[..., -1, :-1] = weight * new
        out[..., -1, -1] = -weight
        return out

    known = curve.problem
    problem = Problem(design=design, low=known.low, high=known.high, grid=known.grid, bounded=(*known.bounded, False))
    extended = ConfidenceSet(
        problem=problem,
        y=np.append(curve.y, 0.0),
        theta=float(curve.theta[0]),
        limit=curve.confidence_set(level).limit,
    )
    pick = np.append(np.zeros(curve.beta.size), 1.0)
    low, high = extended.extremes(lambda theta: np.broadcast_to(pick, (*theta.shape[:-1], pick.size)))
    return Interval(low=float(low[0]), high=float(high[0]), level=level)


def _points(n: int) -> str:
    return "point is" if n == 1 else "points are"
