"""The points of one curve, checked once: finite, positive, enough of them, none counted twice."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.laws import LAWS, Law
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Observations:
    """x and y of shape (n,), sorted by x and then y, so that no result depends on the order of rows."""

    x: np.ndarray
    y: np.ndarray
    x_name: str
    y_name: str
    group: str


def find_law(law: str | Law) -> Law:
    """Raises: UserError for a name that is not registered."""
    return LAWS[law] if isinstance(law, str) else law


def check_level(level: float) -> None:
    """Raises: UserError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise UserError(f"level = {level}: a confidence level lies between 0 and 1; 0.95 is the usual choice")


def observe(x: Any, y: Any, *, group: str = "", x_name: str = "x", y_name: str = "loss") -> Observations:
    """Checks and sorts the points of one curve.

    Raises:
        UserError: for lengths that differ, text, NaN or infinity, values at or below 0, or the same (x, y) twice.
    """
    where = f"group {group!r}: " if group else ""
    x_N, y_N = _numbers(x, x_name, where), _numbers(y, y_name, where)
    if x_N.shape != y_N.shape:
        raise UserError(f"{where}{x_name} has {x_N.size} values and {y_name} has {y_N.size}: give one loss per x")
    order = np.lexsort((y_N, x_N))
    x_N, y_N = x_N[order], y_N[order]
    twice = np.flatnonzero((np.diff(x_N) == 0) & (np.diff(y_N) == 0))
    if twice.size:
        i = twice[0]
        raise UserError(
            f"{where}{x_name} = {x_N[i]:g}, {y_name} = {y_N[i]:g} is listed twice: the same run counted again would"
            " shrink every interval; drop the duplicate rows"
        )
    return Observations(x=x_N, y=y_N, x_name=x_name, y_name=y_name, group=group)


def require_enough(law: Law, points: Observations) -> None:
    """Raises: UserError when the curve has fewer distinct x than the law has parameters."""
    distinct, needed = np.unique(points.x).size, len(law.parameters)
    where = f"group {points.group!r}: " if points.group else ""
    if distinct < needed:
        raise UserError(
            f"{where}{points.x.size} points at {distinct} distinct {points.x_name}, but law {law.name!r}"
            f" ({law.equation}) has {needed} parameters: at least {needed} distinct {points.x_name} are needed"
            f" ({needed + 1} for intervals); add scales or choose a law with fewer parameters"
        )


def observe_groups(table: pd.DataFrame, *, x: str, y: str, group: str) -> dict[str, Observations]:
    """The curves of a table, one per value of column `group`, in the order of their names.

    Raises:
        UserError: for an unknown column, a table without rows, a row without group, or points `observe` refuses.
    """
    for column in (x, y, group):
        if column not in table.columns:
            raise unknown("column", column, [str(c) for c in table.columns])
    if table.empty:
        raise UserError(f"the table has no rows: nothing to fit {y} on; are the runs of this study finished?")
    if table[group].isna().any():
        raise UserError(
            f"column {group!r} is empty in {int(table[group].isna().sum())} rows: name the group of every row"
        )
    names = table[group].astype(str)
    return {
        name: observe(table.loc[names == name, x], table.loc[names == name, y], group=name, x_name=x, y_name=y)
        for name in sorted(names.unique())
    }


def pick_group(curves: dict[str, Observations], name: str) -> Observations:
    """Raises: UserError for a group the table does not have."""
    if name not in curves:
        raise unknown("group", name, curves)
    return curves[name]


def _numbers(values: Iterable[Any], name: str, where: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise UserError(f"{where}{name} holds values that are not numbers: convert the column first") from None
    if array.ndim != 1:
        raise UserError(f"{where}{name} has {array.ndim} dimensions: give a plain list of numbers")
    for refused, what in ((~np.isfinite(array), "NaN or infinite"), (array <= 0, "zero or negative")):
        if refused.any():
            raise UserError(
                f"{where}{name} is {what} in {int(refused.sum())} of {array.size} rows (first: {array[refused][0]:g}):"
                " a power law needs finite positive values; drop diverged or unfinished runs first"
            )
    return array
