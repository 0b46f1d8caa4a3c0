"""Which rows of a table are meant: conditions on columns, all of which have to hold.

    COLUMN=VALUE   COLUMN!=VALUE   COLUMN<VALUE   COLUMN<=VALUE   COLUMN>VALUE   COLUMN>=VALUE

Several COLUMN=VALUE of one column mean any of these values.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.sources.expressions import numbers
from archscale.registry import UserError, unknown

_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    column: str
    relation: str
    values: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.column}{self.relation}{'|'.join(self.values)}"


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Raises: UserError for a text without a relation."""
    return _joined(_parse(text) for text in texts)


def conditions_of(where: Mapping[str, Any] | Sequence[str]) -> tuple[Condition, ...]:
    """Of a description: {COLUMN: VALUE} or {COLUMN: [VALUE, …]}, or the texts of the command line."""
    if not isinstance(where, Mapping):
        return parse_conditions(where)
    wanted = {column: value if isinstance(value, list) else [value] for column, value in where.items()}
    return tuple(Condition(column=c, relation="=", values=tuple(map(str, values))) for c, values in wanted.items())


def matching_rows(frame: pd.DataFrame, conditions: Iterable[Condition]) -> pd.Series:
    """Which rows fulfil every condition, a boolean column.

    Raises:
        UserError: for an unknown column, a value no row has, text where a number is compared, or no row at all.
    """
    chosen = pd.Series(True, index=frame.index)
    conditions = tuple(conditions)
    for condition in conditions:
        if condition.column not in frame.columns:
            raise unknown(
                "column", condition.column, [str(c) for c in frame.columns], hint=f"It stands in {condition.text}."
            )
        chosen &= _fulfils(frame[condition.column], condition)
    if conditions and len(frame) and not chosen.any():
        listed = " and ".join(condition.text for condition in conditions)
        raise UserError(f"where {listed}: no row of {len(frame)} fulfils all of it; leave one condition out")
    return chosen


def _parse(text: str) -> Condition:
    found = re.fullmatch(r"\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", text)
    if not found:
        raise UserError(f"where {text!r}: write COLUMN=VALUE, or one of != < <= > >= for =")
    column, relation, value = found.groups()
    return Condition(column=column, relation=relation, values=(value,))


def _joined(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Equalities of one column become one condition."""
    equal: dict[str, tuple[str, ...]] = {}
    others = []
    for condition in conditions:
        if condition.relation == "=":
            equal[condition.column] = equal.get(condition.column, ()) + condition.values
        else:
            others.append(condition)
    return (*(Condition(column=c, relation="=", values=values) for c, values in equal.items()), *others)


def _fulfils(column: pd.Series, condition: Condition) -> pd.Series:
    if condition.relation in _ORDER:
        limit = _number(condition.values[0])
        if limit is None:
            raise UserError(f"where {condition.text}: {condition.relation} compares with a number; use = for text")
        return _ORDER[condition.relation](numbers(column, f"where {condition.text}"), limit)
    equal = pd.Series(False, index=column.index)
    for value in condition.values:
        same = _equals(column, value)
        if condition.relation == "=" and not same.any() and len(column):
            raise unknown(f"value of column {column.name!r}", value, sorted(set(column.dropna().astype(str)))[:20])
        equal |= same
    return equal if condition.relation == "=" else ~equal


def _equals(column: pd.Series, value: str) -> pd.Series:
    if value.lower() in ("true", "false"):
        return column.astype(str).str.lower() == value.lower()
    number = _number(value)
    if pd.api.types.is_numeric_dtype(column) and number is not None:
        # A number that was typed with the digits a table shows means that number.
        return pd.Series(np.isclose(column.astype(float), number, rtol=1e-12, atol=0), index=column.index)
    return column.astype(str) == value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
