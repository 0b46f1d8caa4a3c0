"""What `archscale fit` computes: data rules, one fit a group, hold-out, comparisons, predictions.

PointTable ─ rules ─▶ points ─▶ one Fit a group ─▶ hold-out, predictions
                                                └▶ comparisons of 2 … 8 groups
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.compare import compare_all
from analysis.curve import fit_curve
from analysis.equality import Comparison
from analysis.fit import Fit, fit_groups
from analysis.gap import LossGap
from analysis.holdout import HoldOuts, hold_out
from analysis.laws import LAWS, Law
from analysis.noise import noise_sentence
from analysis.observations import observe_groups, zero_names
from analysis.points import PointTable
from analysis.rule_choices import Rules
from analysis.rules import Delta, Ruled, apply_rules, refit_delta, robust_residuals
from analysis.solve.losses import Loss
from analysis.sources.expressions import numbers
from archscale.registry import UserError

MOST_COMPARED_GROUPS = 8
# The one group of a table that is not divided.
ALL = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to fit. `x` has a column for each input of the law; `predict` a value of each for every prediction."""

    law: str
    x: tuple[str, ...]
    y: str
    group: str | None
    loss: str
    interval: str
    level: float
    holdout: str
    holdout_size: str | None
    weights: str | None
    clusters: str | None
    predict: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The fitted curve at `x` with its interval; `beyond` is x over the largest measured one, for each input."""

    x: tuple[float, ...]
    value: float
    low: float
    high: float
    beyond: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """By group throughout. `notes` say what is missing of this and why."""

    table: PointTable
    request: Request
    ruled: Ruled
    fits: Mapping[str, Fit]
    holdouts: Mapping[str, HoldOuts]
    predictions: Mapping[str, Sequence[Prediction]]
    comparisons: Sequence[Comparison | LossGap]
    deltas: Sequence[Delta]
    notes: Sequence[str]

    @property
    def law(self) -> Law:
        return LAWS[self.request.law]


def fit_table(table: PointTable, request: Request) -> Results:
    """
    Raises:
        UserError: for names that do not exist, points that no fit may read, and groups that cannot be fitted.
    """
    law = _checked(table, request)
    rules = table.rules

    def ruled(chosen: Rules) -> Ruled:
        return apply_rules(
            chosen,
            points,
            x=request.x,
            y=request.y,
            group=request.group,
            residuals=robust_residuals(law, x=request.x, y=request.y, loss=request.loss),
        )

    points = _numeric(table.points, request)
    kept = ruled(rules)
    fits = _fits(kept.points, request)
    holdouts, not_held = _held_out(kept.points, request)
    comparisons, of_comparisons = _compared(kept.points, request, fits)
    return Results(
        table=table,
        request=request,
        ruled=kept,
        fits=fits,
        holdouts=holdouts,
        predictions={name: [_prediction(found, x) for x in request.predict] for name, found in fits.items()},
        comparisons=comparisons,
        deltas=refit_delta(rules, lambda chosen: _optima(ruled(chosen).points, request), kept.left_out),
        notes=[text for text in (not_held, of_comparisons) if text],
    )


def _checked(table: PointTable, request: Request) -> Law:
    law = LAWS[request.law]
    inputs = law.inputs
    if len(request.x) != len(inputs):
        raise UserError(
            f"--x {','.join(request.x)}: law {law.name!r} ({law.equation}) has {len(inputs)} inputs,"
            f" {', '.join(inputs)}; name {len(inputs)} columns, with commas between them"
        )
    given = [*request.x, request.y, *([request.group] if request.group else [])]
    table.require(*given, *(name for name in (request.weights, request.clusters) if name))
    table.require_one_scale(request.x)
    if twice := [name for name in dict.fromkeys(given) if given.count(name) > 1]:
        raise UserError(f"column {twice[0]!r} is named twice among --x, --y and --group; each needs one of its own")
    for x in request.predict:
        if len(x) != len(inputs):
            raise UserError(f"--predict {','.join(map(str, x))}: law {law.name!r} needs {len(inputs)} values at once")
    return law


def _numeric(points: pd.DataFrame, request: Request) -> pd.DataFrame:
    columns = [*request.x, request.y, *([request.weights] if request.weights else [])]
    if points.empty:
        raise UserError("no row is a point: every run of the source is unfinished or diverged")
    return points.assign(**{name: numbers(points[name], "archscale fit") for name in columns})


def _fits(points: pd.DataFrame, request: Request) -> dict[str, Fit]:
    return fit_groups(
        request.law,
        points,
        x=request.x,
        y=request.y,
        group=request.group,
        level=request.level,
        loss=request.loss,
        interval=request.interval,
        weights=request.weights,
        clusters=request.clusters,
    )


def _optima(points: pd.DataFrame, request: Request) -> dict[str, dict[str, float]]:
    """Parameters by group, without the intervals that take most of the time of a fit."""
    law, loss = LAWS[request.law], Loss.parse(request.loss)
    curves = observe_groups(
        points,
        x=request.x,
        y=request.y,
        group=request.group,
        weights=request.weights,
        may_be_zero=zero_names(law, request.x),
    )
    return {name: fit_curve(law, observed, loss=loss).parameters() for name, observed in curves.items()}


def _prediction(found: Fit, x: tuple[float, ...]) -> Prediction:
    place = np.array(x) if len(x) == 1 else np.array([x])
    low, high = found.band(place)
    largest = found.x.reshape(found.n, -1).max(axis=0)
    return Prediction(
        x=x,
        value=float(found.predict(place)[0]),
        low=float(low[0]),
        high=float(high[0]),
        beyond=tuple(float(ratio) for ratio in np.array(x) / largest),
    )


def _held_out(points: pd.DataFrame, request: Request) -> tuple[Mapping[str, HoldOuts], str]:
    if request.holdout == "none":
        return {}, ""
    if request.weights:
        return {}, "no hold-out where points have weights"
    found = hold_out(
        request.law,
        points,
        x=request.x,
        y=request.y,
        group=request.group,
        mode=request.holdout,
        size=request.holdout_size,
        level=request.level,
        loss=request.loss,
    )
    return found, ""


def _compared(
    points: pd.DataFrame, request: Request, fits: Mapping[str, Fit]
) -> tuple[Sequence[Comparison | LossGap], str]:
    if len(fits) < 2 or request.group is None:
        return (), ""
    if len(fits) > MOST_COMPARED_GROUPS:
        return (), f"{len(fits)} groups are not compared in pairs; choose up to {MOST_COMPARED_GROUPS} with --where"
    if request.weights:
        return (), "groups are not compared where points have weights"
    if Loss.parse(request.loss).kind == "lad":
        return (), "groups are not compared under least absolute deviations, which has no test; choose huber:δ"
    found = compare_all(
        request.law, points, x=request.x, y=request.y, group=request.group, level=request.level, loss=request.loss
    )
    noises = {entry.groups: entry.noise for entry in found if isinstance(entry, Comparison)}
    return found, noise_sentence([noise for noise in noises.values() if noise])
