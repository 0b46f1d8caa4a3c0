"""Everything a study's finished runs say under one law: fits, comparisons and hold-outs, each with its gaps named.

RunTable ── fit_points ──▶ one fit a group ──▶ comparisons between groups, hold-out of the largest x
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import formatting
from analysis.compare import Comparison, compare_all
from analysis.gap import LossGap
from analysis.fit import Fit, fit_groups
from analysis.holdout import HoldOut, hold_out_largest
from analysis.laws import LAWS, Law
from analysis.report.gathered import Gathered, Settings, check_columns, gathered
from analysis.report.pairs import compared
from analysis.solve.losses import Loss
from analysis.table import COLUMNS, NUMERIC, Column, RunTable
from archscale.registry import UserError, unknown
from archscale.spec import EvaluateSettings, FitSettings, TransferSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence(Gathered):
    """`not_fitted` says by label why a group has no fit, `not_compared` why nothing is compared, if nothing is."""

    settings: FitSettings
    fits: dict[str, Fit]
    not_fitted: dict[str, str]
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
    # These two write sentences: there the columns go by what they mean.
    x, y = (found.column(name).phrase for name in (settings.x, settings.y))
    worded = fitted[["label", settings.x, settings.y]].rename(columns={settings.x: x, settings.y: y})
    plain = not settings.inputs and settings.loss == "ls"
    if fits and plain:
        holdouts = hold_out_largest(settings.law, worded, x=x, y=y, group="label", level=settings.level)
    if len(fits) < 2:
        not_compared = f"a comparison needs two fitted {found.noun}s and there is {'one' if fits else 'none'}"
    elif not plain:
        not_compared = "groups are compared, and runs held out, under least squares on the loss and one input alone"
    else:
        only = compared(points, fits, settings.y)
        comparisons = tuple(compare_all(settings.law, worded, x=x, y=y, group="label", level=settings.level, only=only))
    own = {"settings": settings, "names": names, "label_by_value": dict(sorted(found.label_by_value.items()))}
    return Evidence(
        **vars(found) | own,
        fits=fits,
        not_fitted=not_fitted,
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
