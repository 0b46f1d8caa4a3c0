"""PointRows: the rows of a PointTable where a report expects runs.

    PointTable ──▶ PointRows    its own columns under their declared meaning
                                what only a run of this program has (spec, log, depth, seed …) is missing

A column of the table that has the name of a run's column is kept apart from it under another name: nobody said that it
means the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.columns import COLUMNS, CURVE_COLUMNS, Column
from analysis.points import PointTable
from analysis.rules import apply_rules, robust_residuals
from analysis.table import RunTable, records_of
from archscale.registry import UserError
from archscale.spec import FitSettings

_ONE_GROUP = "group_of_all_points"
# Names that a report's own columns have.
_TAKEN = {*COLUMNS, "label", "details", "fitted", "residual", _ONE_GROUP}
# What a point has of the columns of a run; all others are missing.
_OF_A_POINT: Mapping[str, Any] = {"state": "finished", "message": "", "git_dirty": False, "path": ""}


@dataclass(frozen=True, kw_only=True)
class PointRows(RunTable):
    """`runs` has the columns of COLUMNS, those of `points`, and `details`: label and text of each own value of a row.

    `given` maps the names of own columns in `runs` to those in `points`; `fitted` are the rows that its rules leave.
    """

    points: PointTable
    given: Mapping[str, str]
    fitted: pd.DataFrame
    left_out_rows: Mapping[str, str]

    @classmethod
    def of(cls, points: PointTable, settings: FitSettings) -> tuple["PointRows", FitSettings]:
        """The rows, and the settings with the names that their columns have among the runs.

        Raises:
            UserError: for a table without rows, a column that it does not have, or one of numbers that holds text.
        """
        if points.frame.empty:
            raise UserError(f"{points.source} has no rows: nothing to report")
        frame, names = points.frame, list(settings.inputs or (settings.x,))
        points.require(*names, settings.y, *([settings.group] if settings.group else []))
        points.require_one_scale(names)
        for name in (*names, settings.y):
            _check_numbers(frame[name], name)
        own = {str(name): f"given_{name}" if name in _TAKEN else str(name) for name in frame.columns}
        runs = frame.rename(columns=own).astype({own[name]: float for name in (*names, settings.y)})
        missing = {name: _OF_A_POINT.get(name, np.nan) for name in COLUMNS if name != "run_id"}
        runs = runs.assign(
            run_id=[f"row-{label + 1}" for label in frame.index],
            details=pd.Series([_details(row, points.columns) for row in records_of(frame)], index=frame.index),
            **missing | {"flops_accounting": points.flops_accounting},
            **{_ONE_GROUP: points.title or points.name},
        )
        inside = replace(
            settings,
            x=own[names[0]],
            y=own[settings.y],
            group=own[settings.group] if settings.group else _ONE_GROUP,
            inputs=tuple(own[name] for name in settings.inputs),
        )
        left_out = dict(points.left_out) | _unusable(
            runs.drop(index=list(points.left_out)), [*(own[name] for name in names), inside.y]
        )
        ruled = apply_rules(
            points.rules,
            frame.drop(index=list(left_out)),
            x=names,
            y=settings.y,
            group=settings.group or None,
            residuals=robust_residuals(settings.law, x=names, y=settings.y, loss=settings.loss),
        )
        left_out |= ruled.reasons
        return cls(
            runs=runs,
            curves=pd.DataFrame(columns=list(CURVE_COLUMNS)),
            points=points,
            given={inner: name for name, inner in own.items()},
            fitted=runs.loc[ruled.points.index].assign(**{inside.y: ruled.points[settings.y].astype(float)}),
            left_out_rows={runs["run_id"][label]: reason for label, reason in left_out.items()},
        ), inside

    @property
    def columns(self) -> Mapping[str, Column]:
        own = {inner: self.points.columns.get(name, Column(meaning=name)) for inner, name in self.given.items()}
        return {**COLUMNS, _ONE_GROUP: Column(meaning="group"), **own}

    @property
    def noun(self) -> str:
        return "points"

    def given_name(self, column: str) -> str:
        return self.given.get(column, column)

    @property
    def notes(self) -> Sequence[str]:
        return self.points.notes

    @property
    def listing(self) -> pd.DataFrame:
        return self.points.frame

    @property
    def numeric(self) -> Sequence[str]:
        return [name for name in self.given if pd.api.types.is_numeric_dtype(self.runs[name])]

    def titles(self, column: str = "architecture") -> dict[str, str]:
        shown = dict(self.points.titles) if column in self.given else {}
        shared = {title for title in shown.values() if list(shown.values()).count(title) > 1}
        return {value: f"{title} ({value})" if title in shared else title for value, title in shown.items()}

    def records(self) -> list[dict[str, Any]]:
        """In the order of the table."""
        return records_of(self.runs)

    def left_out(self) -> dict[str, str]:
        return dict(self.left_out_rows)

    def fit_points(self) -> pd.DataFrame:
        return self.fitted.reset_index(drop=True)


def _check_numbers(values: pd.Series, name: str) -> None:
    if not pd.api.types.is_numeric_dtype(values):
        text = next(value for value in values if not isinstance(value, int | float))
        raise UserError(f"column {name!r} holds {text!r}, which is no number: name a column of numbers or mend the row")


def _unusable(runs: pd.DataFrame, names: Sequence[str]) -> dict[int, str]:
    """A law needs finite positive numbers; a row without them is shown and named, and is no point."""
    numbers = runs[list(names)].to_numpy(dtype=float)
    usable = (np.isfinite(numbers) & (numbers > 0)).all(axis=1)
    return {int(label): "without finite positive numbers" for label in runs.index[~usable]}


def _details(row: Mapping[str, Any], columns: Mapping[str, Column]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (columns.get(str(name), Column(meaning=str(name))).label, formatting.cell(value)) for name, value in row.items()
    )
