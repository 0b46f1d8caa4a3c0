"""The points of isoFLOP curves: a row a run, with its budget of compute, its size, its tokens and its loss.

C = k·N·D,  k = 6 FLOPs per parameter and token unless said otherwise: of N and D, one follows from the other
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.rules import flags
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Which columns hold what; at least one of `parameters` and `tokens`.

    Where one of them is missing it follows from C = `flops_per_parameter_token`·N·D. `flagged` is a column of true and
    false that somebody else marked outliers with.
    """

    budget: str
    loss: str
    parameters: str | None = None
    tokens: str | None = None
    flagged: str | None = None
    flops_per_parameter_token: float = 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class IsoFlopPoints:
    """One entry a run: budgets in FLOPs, sizes, loss, and whether somebody flagged it."""

    budget: np.ndarray
    parameters: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray
    flagged: np.ndarray
    independent: bool

    def sizes(self, of: str) -> np.ndarray:
        return self.parameters if of == "N" else self.tokens

    def where(self, keep: np.ndarray) -> "IsoFlopPoints":
        return IsoFlopPoints(
            budget=self.budget[keep],
            parameters=self.parameters[keep],
            tokens=self.tokens[keep],
            loss=self.loss[keep],
            flagged=self.flagged[keep],
            independent=self.independent,
        )


def read(table: pd.DataFrame, columns: Columns) -> IsoFlopPoints:
    """
    Raises:
        UserError: as `isoflop`.
    """
    if columns.parameters is None and columns.tokens is None:
        raise UserError("an isoFLOP curve needs the column of parameters, or that of tokens, or both: name one")
    budget, loss = _positive(table, columns.budget), _positive(table, columns.loss)
    product = budget / columns.flops_per_parameter_token
    parameters = product / _positive(table, columns.tokens) if columns.parameters is None else None
    parameters = _positive(table, columns.parameters) if parameters is None else parameters
    tokens = product / parameters if columns.tokens is None else _positive(table, columns.tokens)
    if np.unique(budget).size < 2:
        raise UserError(f"column {columns.budget!r} has one value: a law of the best size needs at least two budgets")
    flagged = np.zeros(len(table), dtype=bool)
    if columns.flagged is not None:
        _column(table, columns.flagged)
        flagged = flags(table, columns.flagged).to_numpy()
    return IsoFlopPoints(
        budget=budget,
        parameters=parameters,
        tokens=tokens,
        loss=loss,
        flagged=flagged,
        independent=not np.allclose(parameters * tokens, product, rtol=1e-3),
    )


def _column(table: pd.DataFrame, name: str | None) -> pd.Series:
    if name not in table.columns:
        raise unknown("column", str(name), [str(column) for column in table.columns])
    return table[name]


def _positive(table: pd.DataFrame, name: str | None) -> np.ndarray:
    values = pd.to_numeric(_column(table, name), errors="coerce").to_numpy(dtype=float)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        raise UserError(
            f"column {name!r} is not a finite positive number in {int(bad.sum())} of {len(values)} rows: an isoFLOP "
            "curve needs positive budgets, sizes and losses; drop diverged or unfinished runs first"
        )
    return values
