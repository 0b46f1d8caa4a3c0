"""Everything a study's finished runs say under one law: fits, comparisons and hold-outs, each with its gaps named.

RunTable ── fit_points ──▶ one fit a group ──▶ comparisons between groups, hold-out of the largest x
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import formatting
from analysis.compare import Comparison, LossGap, compare_all
from analysis.fit import Fit, fit_groups
from analysis.holdout import HoldOut, hold_out_largest
from analysis.laws import LAWS, Law
from analysis.report.gathered import Gathered, Settings, check_columns, gathered
from analysis.table import COLUMNS, RunTable
from archscale.registry import unknown
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


def check_settings(settings: Settings) -> None:
    """
    Raises:
        UserError: for a law or a column that does not exist, or that cannot be read as it is asked.
    """
    match settings:
        case FitSettings():
            LAWS[settings.law]
            check_columns(settings, settings.x, settings.y)
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
    check_settings(settings)
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
        fits = fit_groups(settings.law, fitted, x=settings.x, y=settings.y, group="label", level=settings.level)
    # These two write sentences: there the columns go by what they mean.
    x, y = COLUMNS[settings.x].meaning.lower(), COLUMNS[settings.y].meaning.lower()
    worded = fitted.rename(columns={settings.x: x, settings.y: y})
    if fits:
        holdouts = hold_out_largest(settings.law, worded, x=x, y=y, group="label", level=settings.level)
    if len(fits) < 2:
        not_compared = f"a comparison needs two fitted {settings.group}s and there is {'one' if fits else 'none'}"
    else:
        comparisons = tuple(compare_all(settings.law, worded, x=x, y=y, group="label", level=settings.level))
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
    distinct = points.loc[points["label"] == label, settings.x].nunique()
    needed = len(LAWS[settings.law].parameters)
    if distinct >= needed:
        return ""
    more = formatting.plural(needed + 1 - distinct, "more scale")
    return (
        f"{formatting.plural(distinct, 'scale')} finished, and {LAWS[settings.law].equation} has {needed} parameters: "
        f"it needs {needed} scales, and {needed + 1} for intervals; {more} would do"
    )
