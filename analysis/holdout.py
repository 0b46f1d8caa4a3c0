"""Hold-out: fit without some scales, then predict them. The test a scaling law exists for.

    rows ─folds.py─▶ held out | the rest ─fit─▶ prediction and interval at the held-out x ◀─▶ the mean measured there

A scale is an x, a value of a declared column or, for a law of several inputs, their product. The interval is that of a
new observation: the profile-F set of m for which the pair (x, m), added as one more point, still fits,
min_{θ, β} S(θ, β) + k·(m − f(x; θ, β))² ≤ T, where m is the mean of k runs at the held-out x (of logarithms for a loss
on them). For a robust loss the square counts λ/2s² times: s² is the mean square residual per degree of freedom and λ
the scale of dispersion.robust_scale, 2s² for least squares. Seber & Wild 1989, Nonlinear Regression, section 5.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.curve import Curve, fit_curve
from analysis.folds import folds
from analysis.intervals import ConfidenceSet, Interval
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups
from analysis.solve.dispersion import robust_scale
from analysis.solve.losses import Loss
from analysis.solve.projection import Problem
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """One scale of one group predicted from others; `error` is predicted − actual, in the unit of y.

    `x` is the size of the scale and `inputs` what the law is predicted at. `actual` is the mean of the `runs` that
    share them. `relative_error` is error / actual. `predicted` is nan where too few scales remain, and `interval` and
    `inside` are None where no interval can be given; `note` says so in plain words.
    """

    group: str
    x: float
    inputs: tuple[float, ...]
    runs: int
    actual: float
    predicted: float
    error: float
    relative_error: float
    interval: Interval | None
    inside: bool | None
    note: str


@dataclass(frozen=True, kw_only=True)
class HoldOuts:
    """All hold-outs of one group under one mode.

    `hits` of `intervals` prediction intervals hold what was measured; `mean_relative_error` is that of |relative_error|
    over what was predicted, nan where nothing was.
    """

    group: str
    mode: str
    results: tuple[HoldOut, ...]
    hits: int
    intervals: int
    mean_relative_error: float
    sentence: str


def hold_out_largest(
    law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float = 0.95
) -> dict[str, HoldOut]:
    """One hold-out for each value of column `group`, in the order of their names.

    Raises:
        UserError: for an unknown law or column, a level outside (0, 1), or points that are not finite, positive and
            distinct.
    """
    found = hold_out(law, table, x=x, y=y, group=group, level=level)
    return {name: one.results[0] for name, one in found.items()}


def hold_out(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str | None,
    mode: str = "largest",
    size: str | None = None,
    level: float = 0.95,
    loss: str | Loss = "ls",
) -> dict[str, HoldOuts]:
    """Hold-outs for each value of column `group`, in the order of their names; one named "" without a group.

    Args:
        mode: one of folds.MODES: which rows are held out.
        size: the column that orders the scales, such as compute; without it x, or the product of the inputs.

    Raises:
        UserError: for an unknown law, column, mode or value, a level outside (0, 1), a mode that holds out no row, or
            points that are not finite, positive and distinct.
    """
    found, parsed = find_law(law), Loss.parse(loss)
    check_level(level)
    zero = tuple(name for name, of in zip(_names(x), found.inputs, strict=False) if of in found.zero_inputs)
    observe_groups(table, x=x, y=y, group=group, may_be_zero=zero)
    if size is not None and size not in table.columns:
        raise unknown("column", size, [str(c) for c in table.columns])
    labels = table[group].astype(str) if group else pd.Series("", index=table.index)
    sizes = table[size] if size else table[_names(x)].astype(float).prod(axis=1)
    results = {}
    for name in sorted(labels.unique()):
        part, own = table[labels == name], sizes[labels == name]
        held_out: list[HoldOut] = []
        for held in folds(part, own, mode):
            rest = part[~held]
            points = observe_groups(rest, x=x, y=y, group=group, may_be_zero=zero)[name] if len(rest) else None
            places = part[held].assign(**{_SIZE: own[held]}).groupby(_names(x), sort=True)
            measured = [
                _Place(
                    inputs=tuple(np.atleast_1d(at)), size=float(rows[_SIZE].iloc[0]), y=rows[y].to_numpy(dtype=float)
                )
                for at, rows in places
            ]
            held_out += _predict(found, name, points, measured, level=level, loss=parsed)
        results[name] = _summed(name, mode, held_out, level)
    if not any(one.results for one in results.values()):
        raise UserError(f"hold-out = {mode}: no row is held out; the values are {_values(table, mode)}")
    return results


_SIZE = "size of the scale"


@dataclass(frozen=True, kw_only=True)
class _Place:
    inputs: tuple[float, ...]
    size: float
    y: np.ndarray


def _names(x: str | Sequence[str]) -> list[str]:
    return [x] if isinstance(x, str) else list(x)


def _values(table: pd.DataFrame, mode: str) -> str:
    column = next((str(c) for c in table.columns if mode.strip().startswith(str(c))), None)
    return ", ".join(str(value) for value in table[column].unique()[:8]) if column else "not those of the table"


def _predict(
    law: Law, group: str, rest: Observations | None, held: Sequence[_Place], *, level: float, loss: Loss
) -> list[HoldOut]:
    """Every held-out place from one fit to the rest."""
    parameters, n = len(law.parameters), 0 if rest is None else rest.y.size
    if rest is None or np.unique(rest.columns, axis=0).shape[0] < parameters:
        note = (
            f"{n} {_points(n)} left for {parameters} parameters: nothing can be predicted; at least"
            f" {parameters + 1} scales are needed, {parameters + 2} for an interval"
        )
        return [_result(group, place, math.nan, None, note) for place in held]
    curve = fit_curve(law, rest, loss=loss)
    found = []
    for place in held:
        inputs = np.array(place.inputs) if len(place.inputs) > 1 else np.array(place.inputs[0])
        u = inputs / curve.scaled.scale
        predicted = float(curve.predict(u[None])[0])
        if not curve.degrees_of_freedom:
            note = f"{n} points determine {parameters} parameters exactly: no interval can be given"
            found.append(_result(group, place, predicted, None, note))
            continue
        interval = _new_observation(curve, u, place.y.size, level)
        where = "inside" if _mean(place.y, loss) in interval else "outside"
        smaller = "smaller" if rest.x.ndim == 1 and rest.x.max() < place.inputs[0] else "other"
        told = f"the measured loss lies {where} the {100 * level:g} % prediction interval"
        note = f"predicted from {n} {smaller} runs; {told}"
        found.append(_result(group, place, predicted, interval, note, loss))
    return found


def _mean(y: np.ndarray, loss: Loss) -> float:
    """Of several runs of one scale; of their logarithms for a loss on these."""
    return float(np.exp(np.log(y).mean()) if loss.logarithmic and y.size > 1 else y.mean())


def _result(
    group: str, place: _Place, predicted: float, interval: Interval | None, note: str, loss: Loss | None = None
) -> HoldOut:
    actual = _mean(place.y, loss or Loss())
    return HoldOut(
        group=group,
        x=place.size,
        inputs=tuple(float(value) for value in place.inputs),
        runs=place.y.size,
        actual=actual,
        predicted=predicted,
        error=predicted - actual,
        relative_error=(predicted - actual) / actual,
        interval=interval,
        inside=None if interval is None else actual in interval,
        note=note,
    )


def _summed(group: str, mode: str, results: Sequence[HoldOut], level: float) -> HoldOuts:
    judged = [one for one in results if one.inside is not None]
    errors = [abs(one.relative_error) for one in results if not math.isnan(one.predicted)]
    hits = sum(bool(one.inside) for one in judged)
    mean = float(np.mean(errors)) if errors else math.nan
    who = f" of {group}" if group else ""
    if not errors:
        sentence = f"None of the {len(results)} held-out scales{who} can be predicted." if results else ""
    else:
        whose = "their prediction intervals" if len(judged) > 1 else "its prediction interval"
        rate = f", {hits} of {len(judged)} inside {whose} ({100 * level:g} %)" if judged else ""
        many = "held-out scale" if len(errors) == 1 else f"{len(errors)} held-out scales"
        sentence = f"The {many}{who} {'is' if len(errors) == 1 else 'are'} missed by {100 * mean:.2g} %"
        sentence += f"{' on average' if len(errors) > 1 else ''}{rate}."
    return HoldOuts(
        group=group,
        mode=mode,
        results=tuple(results),
        hits=hits,
        intervals=len(judged),
        mean_relative_error=mean,
        sentence=sentence,
    )


def _new_observation(curve: Curve, u: np.ndarray, runs: int, level: float) -> Interval:
    """Of the mean of `runs` new runs at u."""
    if curve.is_closed_form and curve.scaled.law.fixed is None:
        return _added_amplitude(curve, u, runs, level)
    heights = curve.heights(u[None])

    def quantity(q: np.ndarray, which: np.ndarray) -> np.ndarray:
        height = heights(q, which)
        return np.log(np.maximum(height, np.finfo(float).tiny)) if curve.loss.logarithmic else height

    weight = float(runs)
    if curve.loss.kind != "ls":
        residual = curve.loss.residual(curve.y, curve.predict(curve.u))
        variance = float(np.square(residual).sum()) / curve.degrees_of_freedom
        weight *= robust_scale(curve.objective, curve.q, curve.degrees_of_freedom) / (2 * variance)
    low, high = curve.profile.new_observation(quantity, 1, curve.limit(level), weight)
    if curve.loss.logarithmic:
        low, high = np.exp(low), np.exp(high)
    return Interval(low=float(low[0]), high=float(high[0]), level=level)


def _added_amplitude(curve: Curve, u: np.ndarray, runs: int, level: float) -> Interval:
    """The mean m of the new runs becomes one more amplitude, and its deviation from the curve one more row."""
    weight = math.sqrt(runs)

    def design(theta_P: np.ndarray) -> np.ndarray:
        seen = curve.problem.design(theta_P)
        new = curve.scaled.rows(u, theta_P)
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
