"""Which rows a hold-out leaves out: one mask for each fit that is to predict them.

largest         the largest scale
each            every scale in turn
last:k          the k largest scales together
column=value    the rows of one kind together; also column>=value, column<=value, column>value, column<value
"""

import operator
import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from archscale.registry import UserError, unknown

MODES = ("largest", "each", "last:k", "column=value", "column>=value")
_RELATIONS: dict[str, Callable[[pd.Series, float], pd.Series]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def folds(part: pd.DataFrame, size: pd.Series, mode: str) -> Iterator[np.ndarray]:
    """Masks of shape (rows,) over the rows of one group, whose scales are `size`; none where a value has no row.

    Raises:
        UserError: for an unknown mode or column, a k that is not a positive whole number, or text compared by size.
    """
    scales = np.unique(size)
    related = re.fullmatch(r"\s*(.+?)\s*(>=|<=|=|>|<)\s*(.*?)\s*", mode)
    last = re.fullmatch(r"last:(.*)", mode)
    if mode == "largest":
        yield (size == scales[-1]).to_numpy()
    elif mode == "each":
        yield from ((size == scale).to_numpy() for scale in scales)
    elif last:
        yield (size >= scales[-min(_count(last[1]), len(scales))]).to_numpy()
    elif related:
        mask = _related(part, *related.groups())
        if mask.any():
            yield mask
    else:
        raise UserError(f"hold-out = {mode!r}: choose one of {', '.join(MODES)}, e.g. last:2 or kind=eval")


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text.strip()):
        raise UserError(f"hold-out = 'last:{text}': say how many of the largest scales, e.g. last:2")
    return int(text)


def _related(part: pd.DataFrame, column: str, relation: str, value: str) -> np.ndarray:
    if column not in part.columns:
        raise unknown("column", column, [str(c) for c in part.columns])
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    if relation == "=":
        same = part[column].astype(str) == value
        numeric = pd.to_numeric(part[column], errors="coerce") == number
        return (same | numeric).to_numpy()
    if np.isnan(number) or not pd.api.types.is_numeric_dtype(part[column]):
        raise UserError(f"hold-out = {column}{relation}{value}: only numbers are compared by size; use {column}=VALUE")
    return _RELATIONS[relation](part[column], float(number)).to_numpy()
