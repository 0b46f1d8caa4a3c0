"""The points of one curve, checked once: finite, positive, enough of them, none counted twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.laws import LAWS, Law
from archscale.registry import UserError, unknown

# Inputs whose logarithms leave less than this share of their spread beside a straight line say nothing of their own.
_ON_ONE_LINE = 0.02


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The points of one curve, sorted by their inputs and then y, so that no result depends on the order of rows.

    `x` has shape (n,), or (n, I) for a law of I inputs, whose names are `x_names`; `x_name` names them all. `weights`
    of None means equal ones. `clusters` tells apart what was not measured independently, for a bootstrap.
    """

    x: np.ndarray
    y: np.ndarray
    x_name: str
    y_name: str
    group: str
    x_names: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    clusters: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.x_names or (self.x_name,)

    @property
    def columns(self) -> np.ndarray:
        """The inputs as shape (n, I)."""
        return self.x if self.x.ndim == 2 else self.x[:, None]

    def taking(self, rows: np.ndarray) -> "Observations":
        """Of some rows, by a mask or by places that ascend."""
        chosen = {name: value[rows] for name in ("weights", "clusters") if (value := getattr(self, name)) is not None}
        return replace(self, x=self.x[rows], y=self.y[rows], **chosen)


def find_law(law: str | Law) -> Law:
    """Raises: UserError for a name that is not registered."""
    return LAWS[law] if isinstance(law, str) else law


def check_level(level: float) -> None:
    """Raises: UserError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise UserError(f"level = {level}: a confidence level lies between 0 and 1; 0.95 is the usual choice")


def observe(
    x: Any,
    y: Any,
    *,
    group: str = "",
    x_name: str = "x",
    y_name: str = "loss",
    x_names: Sequence[str] = (),
    weights: Any = None,
    clusters: Any = None,
    may_be_zero: Sequence[str] = (),
) -> Observations:
    """Checks and sorts the points of one curve.

    Args:
        x: (n,), or (n, I) with a name in `x_names` for each of the I inputs.
        may_be_zero: inputs that may be 0, such as the area annealed so far.

    Raises:
        UserError: for lengths that differ, text, NaN or infinity, values at or below 0, or the same point twice.
    """
    where = f"group {group!r}: " if group else ""
    y_N = _numbers(y, y_name, where)
    if np.ndim(x) == 2:
        names = tuple(x_names) or tuple(f"x{i + 1}" for i in range(np.shape(x)[1]))
        columns = [_numbers(np.asarray(x)[:, i], name, where, zero=name in may_be_zero) for i, name in enumerate(names)]
    else:
        names = tuple(x_names) or (x_name,)
        columns = [_numbers(x, names[0], where)]
    for column, name in zip(columns, names, strict=True):
        if column.shape != y_N.shape:
            raise UserError(f"{where}{name} has {column.size} values and {y_name} has {y_N.size}: give one loss per x")
    order = np.lexsort((y_N, *reversed(columns)))
    columns, y_N = [column[order] for column in columns], y_N[order]
    same = (np.diff(np.column_stack([*columns, y_N]), axis=0) == 0).all(axis=1)
    if same.any():
        i = int(np.flatnonzero(same)[0])
        shown = ", ".join(f"{name} = {column[i]:g}" for name, column in zip(names, columns, strict=True))
        raise UserError(
            f"{where}{shown}, {y_name} = {y_N[i]:g} is listed twice: the same run counted again would"
            " shrink every interval; drop the duplicate rows"
        )
    return Observations(
        x=columns[0] if np.ndim(x) != 2 else np.column_stack(columns),
        y=y_N,
        x_name=", ".join(names),
        y_name=y_name,
        group=group,
        x_names=names if len(names) > 1 else (),
        weights=None if weights is None else _numbers(weights, "weights", where)[order],
        clusters=None if clusters is None else np.asarray(clusters)[order],
    )


def require_enough(law: Law, points: Observations) -> None:
    """
    Raises:
        UserError: when the law has another number of inputs, an input does not vary, the curve has fewer distinct
            points than the law has parameters, or its inputs rise together so that their terms cannot be told apart.
    """
    where = f"group {points.group!r}: " if points.group else ""
    columns = points.columns
    if columns.shape[1] != len(law.inputs):
        raise UserError(
            f"{where}{points.x_name}: law {law.name!r} ({law.equation}) has {len(law.inputs)}"
            f" input{'s' if len(law.inputs) > 1 else ''}, {', '.join(law.inputs)}, and {columns.shape[1]} given: name"
            " one column for each, in this order"
        )
    if len(law.parameters) > 1:
        for name, column in zip(points.names, columns.T, strict=True):
            if len(column) > 1 and np.unique(column).size == 1:
                raise UserError(
                    f"{where}{name} = {column[0]:g} in all {column.size} rows: a law needs an x that varies; choose"
                    " another column, or add runs at other values"
                )
    distinct, needed = np.unique(columns, axis=0).shape[0], len(law.parameters)
    if distinct < needed:
        raise UserError(
            f"{where}{points.y.size} points at {distinct} distinct {points.x_name}, but law {law.name!r}"
            f" ({law.equation}) has {needed} parameters: at least {needed} distinct {points.x_name} are needed"
            f" ({needed + 1} for intervals); add scales or choose a law with fewer parameters"
        )
    if law.separate:
        _require_spread(law, points, where)


def _require_spread(law: Law, points: Observations, where: str) -> None:
    """A fixed number of tokens per parameter, or any other line in the logarithms, hides which input did what."""
    logs = np.log(points.columns)
    centred = logs - logs.mean(axis=0)
    spreads = np.linalg.svd(centred, compute_uv=False)
    if spreads[-1] >= _ON_ONE_LINE * spreads[0]:
        return
    ratio = points.columns[:, 1] / points.columns[:, 0]
    first, second = points.names[:2]
    line = (
        f"{second} / {first} is {ratio.min():.3g} to {ratio.max():.3g} in all {ratio.size} rows"
        if ratio.max() < 1.2 * ratio.min()
        else f"{' and '.join(points.names)} lie on one line in their logarithms"
    )
    raise UserError(
        f"{where}{line}: runs on one such line cannot tell the terms of law {law.name!r} ({law.equation}) apart; add"
        f" runs with more and with fewer {second} per {first}, or fit power_offset over one of them"
    )


def observe_groups(
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str | None,
    weights: str | None = None,
    clusters: str | None = None,
    may_be_zero: Sequence[str] = (),
) -> dict[str, Observations]:
    """The curves of a table, one per value of column `group`, in the order of their names; one "" without a group.

    `x` is a column, or one for each input of a law; `weights` and `clusters` are columns too.

    Raises:
        UserError: for an unknown column, a table without rows, a row without group, or points `observe` refuses.
    """
    inputs = [x] if isinstance(x, str) else list(x)
    for column in (*inputs, y, *(name for name in (group, weights, clusters) if name)):
        if column not in table.columns:
            raise unknown("column", column, [str(c) for c in table.columns])
    if table.empty:
        raise UserError(f"the table has no rows: nothing to fit {y} on; are the runs of this study finished?")
    if group and table[group].isna().any():
        raise UserError(
            f"column {group!r} is empty in {int(table[group].isna().sum())} rows: name the group of every row"
        )
    names = table[group].astype(str) if group else pd.Series("", index=table.index)
    found = {}
    for name in sorted(names.unique()):
        part = table[names == name]
        found[name] = observe(
            part[inputs[0]] if len(inputs) == 1 else np.column_stack([_plain(part, column) for column in inputs]),
            part[y],
            group=name,
            y_name=y,
            x_names=inputs,
            weights=part[weights] if weights else None,
            clusters=part[clusters] if clusters else None,
            may_be_zero=may_be_zero,
        )
    return found


def zero_names(law: Law, x: str | Sequence[str]) -> tuple[str, ...]:
    """The columns that stand for inputs which may be 0."""
    names = (x,) if isinstance(x, str) else x
    return tuple(name for name, of in zip(names, law.inputs, strict=False) if of in law.zero_inputs)


def pick_group(curves: dict[str, Observations], name: str) -> Observations:
    """Raises: UserError for a group the table does not have."""
    if name not in curves:
        raise unknown("group", name, curves)
    return curves[name]


def _plain(table: pd.DataFrame, column: str) -> np.ndarray:
    return _numeric(table[column], column, "")


def _numeric(values: Iterable[Any], name: str, where: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise UserError(f"{where}{name} holds values that are not numbers: convert the column first") from None


def _numbers(values: Iterable[Any], name: str, where: str, *, zero: bool = False) -> np.ndarray:
    array = _numeric(values, name, where)
    if array.ndim != 1:
        raise UserError(f"{where}{name} has {array.ndim} dimensions: give a plain list of numbers")
    refusals = [(~np.isfinite(array), "NaN or infinite")]
    refusals += [(array < 0, "negative")] if zero else [(array <= 0, "zero or negative")]
    for refused, what in refusals:
        if refused.any():
            raise UserError(
                f"{where}{name} is {what} in {int(refused.sum())} of {array.size} rows (first: {array[refused][0]:g}):"
                " a power law needs finite positive values; drop diverged or unfinished runs first"
            )
    return array
