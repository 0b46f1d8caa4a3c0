"""How much one point, or one kind of run, decides: every conclusion of a table again without it.

    for each point, and for each value of the columns named: refit ─▶ parameters, tests of shared parameters,
    the gap of two curves and the leader at the largest x in common, beside what they were with it

A leave-one-out shift is measured in half widths of the interval without the point: far above 1 means that the others do
not support where the point pulls the fit. Cook 1977 (Technometrics 19, 15); Seber & Wild 1989, Nonlinear Regression,
section 5.1, for the intervals.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.conclusions import Conclusions, Shift
from analysis.equality import require_testable, testable_names
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups, zero_names
from analysis.sentences import influence_sentence
from analysis.solve.losses import Loss
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a point stands: its group, its inputs in the unit of x, and its loss."""

    group: str
    inputs: tuple[float, ...]
    y: float


@dataclass(frozen=True, kw_only=True)
class Influence:
    """`places` are those of the points that were left out alone, by what the rows call them.

    `not_possible` says by what is left out why nothing can be said without it.
    """

    rows: tuple[Shift, ...]
    places: Mapping[str, Place]
    most_influential: str
    not_possible: Mapping[str, str]
    sentence: str


def influence(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str | None,
    without: Sequence[str] = (),
    level: float = 0.95,
    loss: str | Loss = "ls",
) -> Influence:
    """Leaves out each point, then all rows of each value of each column in `without`, such as a seed.

    With up to three groups every pair is compared, with more the leader with each other one.

    Raises:
        UserError: for an unknown law or column, a group that `fit` refuses, or several groups under least absolute
            deviations.
    """
    found, parsed = find_law(law), Loss.parse(loss)
    check_level(level)
    for column in without:
        if column not in table.columns:
            raise unknown("column", column, [str(c) for c in table.columns])
    zero = zero_names(found, x)
    points = observe_groups(table, x=x, y=y, group=group, may_be_zero=zero)
    if len(points) > 1:
        require_testable(parsed)
    base = Conclusions.of(found, points, level=level, loss=parsed)
    parts: list[tuple[str, Mapping[str, Observations | None]]] = []
    places = {}
    for label, place, rest_of_group in _one_by_one(points):
        places[label] = place
        parts.append((label, {place.group: rest_of_group}))
    for column in without:
        for value in sorted(table[column].dropna().unique(), key=str):
            rest = table[table[column] != value]
            kept = observe_groups(rest, x=x, y=y, group=group, may_be_zero=zero) if len(rest) else {}
            fewer = {name: kept.get(name) for name, own in points.items() if _size(kept.get(name)) < own.y.size}
            parts.append((f"{column} = {value}", fewer))
    rows: list[Shift] = []
    not_possible: dict[str, str] = {}
    for label, changed in parts:
        try:
            rows += base.without(label, changed)
        except UserError as error:
            not_possible[label] = str(error)
    asked = testable_names(found)
    best = _most_influential([row for row in rows if not row.name or row.name in asked])
    return Influence(
        rows=tuple(rows),
        places=places,
        most_influential=best.left_out if best else "",
        not_possible=not_possible,
        sentence=influence_sentence(
            left_out=best.left_out if best else "",
            what=best.what if best else "",
            before=shown(best, best.before) if best else "",
            after=shown(best, best.after) if best else "",
            ends=f"{100 * level:g} % interval [{shown(best, best.low)}, {shown(best, best.high)}]" if best else "",
            changes=[
                f"{row.what} ({row.conclusion})"
                for row in rows
                if best and row.left_out == best.left_out and row.conclusion_changes
            ],
        ),
    )


def shown(row: Shift, value: float | str) -> str:
    """A value of the figure: losses with four decimals, p with two significant digits, others with three."""
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if row.kind == "p":
        return formatting.p_value(value)
    if row.kind == "gap":
        return formatting.signed_loss(value)
    return formatting.loss(value) if row.kind == "loss" else formatting.general(value)


def _one_by_one(points: Mapping[str, Observations]) -> Iterator[tuple[str, Place, Observations]]:
    for name, own in points.items():
        for i in range(own.y.size):
            at = ", ".join(f"{column} = {value:.4g}" for column, value in zip(own.names, own.columns[i], strict=True))
            label = f"{name} at {at}" if name else at
            place = Place(group=name, inputs=tuple(map(float, own.columns[i])), y=float(own.y[i]))
            yield f"{label} ({own.y_name} = {own.y[i]:.5g})", place, own.taking(np.arange(own.y.size) != i)


def _size(points: Observations | None) -> int:
    return 0 if points is None else points.y.size


def _most_influential(rows: Sequence[Shift]) -> Shift | None:
    """The largest shift; where all stay below one half width, the largest of what changes a conclusion, if any does."""
    measured = [row for row in rows if not math.isnan(row.shift)]
    changing = {row.left_out for row in rows if row.conclusion_changes}
    if not any(row.shift > 1 for row in measured):
        measured = [row for row in measured if row.left_out in changing] or measured
    return max(measured, key=lambda row: row.shift, default=None)
