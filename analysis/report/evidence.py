"""Everything a study's finished runs say under one law: fits, comparisons and hold-outs, each with its gaps named.

RunTable ── fit_points ──▶ one fit a group ──▶ comparisons between groups, hold-out of the largest x
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import formatting
from analysis.columns import COLUMNS, NUMERIC, Column
from analysis.compare import compare_pairs
from analysis.equality import Comparison
from analysis.fit import Fit, fit_groups
from analysis.gap import LossGap
from analysis.holdout import HoldOut, hold_out
from analysis.laws import LAWS, Law
from analysis.pair import Pair
from analysis.report.gathered import Gathered, Settings, check_columns, gathered
from analysis.report.pairs import compared, fitted_pairs
from analysis.solve.losses import Loss
from analysis.table import RunTable
from archscale.registry import UserError, unknown
from archscale.spec import EvaluateSettings, FitSettings, TransferSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence(Gathered):
    """`not_fitted` says by label why a group has no fit, `not_compared` why nothing is compared, if nothing is.

    `fitted_pairs` are every two fitted groups, in the order of their names.
    """

    settings: FitSettings
    fits: dict[str, Fit]
    not_fitted: dict[str, str]
    fitted_pairs: Mapping[tuple[str, str], Pair]
    comparisons: tuple[Comparison | LossGap, ...]
    not_compared: str
    holdouts: dict[str, HoldOut]

    @property
    def law(self) -> Law:
        return LAWS[self.settings.law]


def check_settings(
    settings: Settings, columns: Mapping[str, Column] = COLUMNS, numeric: Sequence[str] = NUMERIC
) -> None:
    """Of a study, or of a table with columns of its own.

    Raises:
        UserError: for a law or a column that does not exist, or that cannot be read as it is asked.
    """
    match settings:
        case FitSettings():
            law, names = LAWS[settings.law], settings.inputs or (settings.x,)
            if len(names) != len(law.inputs):
                raise UserError(
                    f"law {law.name!r} ({law.equation}) has the inputs {', '.join(law.inputs)}, and {len(names)} "
                    f"{'column is' if len(names) == 1 else 'columns are'} named: {', '.join(names)}"
                )
            Loss.parse(settings.loss)
            check_columns(settings, *names, settings.y, columns=columns, numeric=numeric)
        case TransferSettings():
            check_columns(settings, settings.x, settings.y, settings.along)
        case EvaluateSettings():
            check_columns(settings, settings.y)
            if settings.x not in COLUMNS:
                raise unknown("column", settings.x, COLUMNS)


def gather(*, table: RunTable, missing: Sequence[str], settings: FitSettings) -> Evidence:
    """Fit, compare and hold out what can be; name what cannot.

    Raises:
        UserError: when no run has finished, or RunTable.fit_points refuses to mix the runs, or a name in the settings
            does not exist.
    """
    check_settings(settings, table.columns, table.numeric)
    found = gathered(table=table, missing=missing, settings=settings)
    points = found.points
    names = dict(sorted(found.names.items(), key=lambda item: item[1]))
    not_fitted = {label: reason for label in names if (reason := _too_few(points, label, settings))}
    fitted = points[~points["label"].isin(not_fitted.keys())]
    fits: dict[str, Fit] = {}
    holdouts: dict[str, HoldOut] = {}
    comparisons: tuple[Comparison | LossGap, ...] = ()
    not_compared = ""
    if len(fitted):
        fits = fit_groups(
            settings.law,
            fitted,
            x=settings.inputs or settings.x,
            y=settings.y,
            group="label",
            level=settings.level,
            loss=settings.loss,
            interval=settings.interval,
        )
    # What follows writes sentences: there the columns go by what they mean.
    inputs, y = settings.inputs or (settings.x,), found.column(settings.y).phrase
    columns = {name: found.column(name).phrase for name in inputs} | {settings.y: y}
    if len(set(columns.values())) < len(columns):
        columns, y = {name: name for name in columns}, settings.y
    if fits:
        worded = fitted[["label", *columns]].rename(columns=columns)
        held = hold_out(
            settings.law,
            worded,
            x=[columns[name] for name in inputs],
            y=y,
            group="label",
            level=settings.level,
            loss=settings.loss,
        )
        holdouts = {name: one.results[0] for name, one in held.items()}
    pairs = fitted_pairs(fits, [columns[name] for name in inputs], y)
    if len(fits) < 2:
        not_compared = f"a comparison needs two fitted {found.noun}s and there is {'one' if fits else 'none'}"
    elif Loss.parse(settings.loss).kind == "lad":
        not_compared = "least absolute deviations have no test that holds its level; huber:δ has one"
    else:
        comparisons = tuple(compare_pairs(pairs[both] for both in compared(points, fits, settings.y)))
    own = {"settings": settings, "names": names, "label_by_value": dict(sorted(found.label_by_value.items()))}
    return Evidence(
        **vars(found) | own,
        fits=fits,
        not_fitted=not_fitted,
        fitted_pairs=pairs,
        comparisons=comparisons,
        not_compared=not_compared,
        holdouts=holdouts,
    )


def _too_few(points: pd.DataFrame, label: str, settings: FitSettings) -> str:
    """Why the group cannot be fitted, empty when it can."""
    distinct = len(points.loc[points["label"] == label, list(settings.inputs or [settings.x])].drop_duplicates())
    needed = len(LAWS[settings.law].parameters)
    if distinct >= needed:
        return ""
    more = formatting.plural(needed + 1 - distinct, "more scale")
    return (
        f"{formatting.plural(distinct, 'scale')} finished, and {LAWS[settings.law].equation} has {needed} parameters: "
        f"it needs {needed} scales, and {needed + 1} for intervals; {more} would do"
    )
