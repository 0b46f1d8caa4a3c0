"""Everything a study's finished runs say under one law: fits, comparisons and hold-outs, each with its gaps named.

    RunTable ── fit_points ──▶ one fit a group ──▶ comparisons between groups, hold-out of the largest x

Groups go by their label (an architecture's title) throughout, because sentences and figures are made from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import formatting
from analysis.compare import Comparison, LossGap, compare_all
from analysis.fit import Fit, fit_groups
from analysis.holdout import HoldOut, hold_out_largest
from analysis.laws import LAWS, Law
from analysis.table import COLUMNS, NUMERIC, RunTable
from archscale.registry import UserError, unknown
from archscale.spec import FitSettings


@dataclass(frozen=True, kw_only=True, eq=False)  # one object is one analysis; it can key a cache
class Evidence:
    """`points` are the rows of RunTable.fit_points() with a column `label`, the name of their group in every output.

    `names` maps the labels of the groups with points to the values of the group column, and `label_by_value` every
    value of that column to its label.
    `not_fitted` says by label why a group has no fit, `not_compared` why there is no comparison (empty if there is),
    `left_out` by run id why a run is no point, `missing` which cells of the study have no result.
    """

    table: RunTable
    settings: FitSettings
    points: pd.DataFrame
    names: dict[str, str]
    label_by_value: dict[str, str]
    fits: dict[str, Fit]
    not_fitted: dict[str, str]
    comparisons: tuple[Comparison | LossGap, ...]
    not_compared: str
    holdouts: dict[str, HoldOut]
    left_out: dict[str, str]
    missing: tuple[str, ...]

    @property
    def law(self) -> Law:
        return LAWS[self.settings.law]

    @property
    def noun(self) -> str:
        """What one group is."""
        return "architecture" if self.settings.group == "architecture" else "group"

    @property
    def unigram_entropy(self) -> float | None:
        """Of the corpus that all points share, in nats per token; None when no run recorded it."""
        values = self.points["unigram_entropy"]
        known = values[values > 0]
        return float(known.iloc[0]) if len(known) else None

    @property
    def accounting(self) -> str:
        return str(self.points["flops_accounting"].iloc[0])

    def label_of(self, row: Mapping[str, Any]) -> str:
        """The label of any run of the table, finished or not."""
        return self.label_by_value[str(row[self.settings.group])]

    @property
    def labels(self) -> list[str]:
        """Of every group of the table, also of those without a finished run."""
        return sorted(set(self.label_by_value.values()))


def check_settings(settings: FitSettings) -> None:
    """
    Raises:
        UserError: for a law or a column that does not exist.
    """
    LAWS[settings.law]
    for column in (settings.x, settings.y):
        if column not in NUMERIC:
            raise unknown("column of numbers", column, NUMERIC)
    if settings.group not in COLUMNS:
        raise unknown("column", settings.group, COLUMNS)


def gather(*, table: RunTable, missing: Sequence[str], settings: FitSettings) -> Evidence:
    """Fit, compare and hold out what can be; name what cannot.

    Raises:
        UserError: when no run has finished, or RunTable.fit_points refuses to mix the runs, or a name in the settings
            does not exist.
    """
    check_settings(settings)
    points = table.fit_points()
    if points.empty:
        states = table.runs["state"].value_counts()
        counted = ", ".join(f"{states[state]} {state}" for state in sorted(states.index)) or "no runs at all"
        raise UserError(
            f"no run of this study has finished ({counted}): `archscale sweep STUDY` runs it, then report again"
        )
    titles = table.titles() if settings.group == "architecture" else {}
    label_by_value = {
        value: titles.get(value, value) for value in sorted(table.runs[settings.group].astype(str).unique())
    }
    points = points.assign(label=points[settings.group].astype(str).map(label_by_value))
    present = set(points["label"])
    names = {label: value for value, label in label_by_value.items() if label in present}

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
    return Evidence(
        table=table,
        settings=settings,
        points=points,
        names=names,
        label_by_value=label_by_value,
        fits=fits,
        not_fitted=not_fitted,
        comparisons=comparisons,
        not_compared=not_compared,
        holdouts=holdouts,
        left_out=table.left_out(),
        missing=tuple(missing),
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
