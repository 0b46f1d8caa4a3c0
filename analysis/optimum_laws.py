"""Laws of best learning rates and best batch sizes: a parabola a cell, then a power law through the vertices.

    cell (N), (N, D), …:   L = a + b·t + c·t²,  t = ln(learning rate or batch size)       x* = exp(−b / 2c)
    over cells:            x*(N, D) = c·N^a·D^b,  in logarithms, weights 1 / (s² + τ²)

s is the half width of a vertex's Fieller interval over its quantile (optimum.py), τ how far the optima lie off the law
beyond their noise (log_lines.py). Laws of rate and batch in compute: Bi et al. 2024 (arXiv 2401.02954), equation 1; of
the rate in N and D and the batch in D: Li et al. 2025 (arXiv 2503.04715). A cell whose optimum is not bracketed is no
point of the law, and a law with too few of the others is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis import formatting
from analysis.intervals import Interval
from analysis.log_lines import LogLine, log_line
from analysis.observations import check_level
from analysis.optimum import Estimate, Optimum, Sweep, Unbracketed, optima
from archscale.registry import UserError, unknown

Cell = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimumLaw:
    """`optima` by the inputs of their cells; `left_out` says why a cell has no point in the law."""

    swept: str
    inputs: tuple[str, ...]
    line: LogLine
    optima: dict[Cell, Optimum]
    left_out: dict[Cell, str]
    level: float

    @property
    def exponents(self) -> dict[str, Estimate]:
        return self.line.exponents

    def predict(self, **inputs: float) -> Estimate:
        """The best value at one place, with the interval of the law.

        Raises:
            UserError: for an input that the law does not have, or lacks.
        """
        if set(inputs) != set(self.inputs):
            raise UserError(f"the best {self.swept} is a law of {' and '.join(self.inputs)}: give each of them")
        return self.line.predict(**inputs)

    @property
    def sentences(self) -> tuple[str, ...]:
        level = 100 * self.level
        lines = [
            f"{self.swept}* falls with {name}" if item.interval.high < 0 else
            f"{self.swept}* grows with {name}" if item.interval.low > 0 else
            f"These sweeps cannot tell whether {self.swept}* changes with {name}"
            for name, item in self.exponents.items()
        ]  # fmt: skip
        found = [
            f"{line} (exponent {formatting.estimate(item.value, *_ends(item.interval))}, {level:g} % interval "
            f"{formatting.interval(*_ends(item.interval))})."
            for line, item in zip(lines, self.exponents.values(), strict=True)
        ]
        found += [f"Left out: {_place(self.inputs, cell)}, {reason}." for cell, reason in self.left_out.items()]
        return tuple(found)


def optimum_law(table: pd.DataFrame, *, swept: str, y: str, inputs: Sequence[str], level: float = 0.95) -> OptimumLaw:
    """The law of the best value of `swept` in `inputs`, from a table with a row a run.

    Runs that share all inputs are one sweep; a diverged run has an infinite or missing `y`, and bounds the sweep. The
    noise is one number for all sweeps.

    Raises:
        UserError: for an unknown column, inputs or swept values that are not positive, fewer bracketed cells than the
            law has parameters (each of the others is named), or inputs that follow each other.
    """
    check_level(level)
    for column in (swept, y, *inputs):
        if column not in table.columns:
            raise unknown("column", column, [str(name) for name in table.columns])
    if not inputs or len(set(inputs)) < len(inputs):
        raise UserError(f"inputs = {list(inputs)}: name at least one column that the optimum depends on, each once")
    for column in (swept, *inputs):
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
        if not (np.isfinite(values) & (values > 0)).all():
            raise UserError(f"column {column!r} must be finite and positive in every row: a power law needs logarithms")
    losses = pd.to_numeric(table[y], errors="coerce").fillna(math.inf)
    sweeps: dict[Cell, Sweep] = {}
    for _, rows in table.groupby(list(inputs), sort=True):
        cell = tuple(float(rows[name].iloc[0]) for name in inputs)
        sweeps[cell] = Sweep(x=rows[swept].to_numpy(dtype=float), y=losses[rows.index].to_numpy(dtype=float))
    return law_of_sweeps(sweeps, swept=swept, inputs=inputs, level=level)


def law_of_sweeps(sweeps: Mapping[Cell, Sweep], *, swept: str, inputs: Sequence[str], level: float) -> OptimumLaw:
    """`optimum_law` for sweeps that are already told apart, by the values of `inputs`."""
    found, left_out = _located(sweeps, level)
    if len(found) <= len(inputs):
        listed = "; ".join(f"{_place(inputs, cell)}: {reason}" for cell, reason in left_out.items()) or "no others"
        raise UserError(
            f"the best {swept} is bracketed at {len(found)} of {len(sweeps)} places, and a power law in "
            f"{' and '.join(inputs)} needs {len(inputs) + 1} ({len(inputs) + 2} for intervals); not bracketed: {listed}"
        )
    columns = {name: np.array([cell[i] for cell in found]) for i, name in enumerate(inputs)}
    line = log_line(
        columns,
        np.array([item.x for item in found.values()]),
        deviations=np.array([_deviation(item) for item in found.values()]),
        level=level,
    )
    return OptimumLaw(swept=swept, inputs=tuple(inputs), line=line, optima=found, left_out=left_out, level=level)


def _located(sweeps: Mapping[Cell, Sweep], level: float) -> tuple[dict[Cell, Optimum], dict[Cell, str]]:
    """The optima with bounded intervals, and why each other cell has none."""
    found: dict[Cell, Optimum] = {}
    left_out: dict[Cell, str] = {}
    for cell, item in optima(sweeps, level=level).items():
        if isinstance(item, Unbracketed):
            left_out[cell] = item.reason
        elif not math.isfinite(_deviation(item)):
            left_out[cell] = "its points are flat for their noise"
        else:
            found[cell] = item
    return found, left_out


def _deviation(found: Optimum) -> float:
    """The standard deviation of ln x* that its interval corresponds to; infinite without an end."""
    low, high = _ends(found.interval)
    if low <= 0 or not math.isfinite(high):
        return math.inf
    quantile = float(stats.t.ppf((1 + found.interval.level) / 2, found.degrees_of_freedom))
    return (math.log(high) - math.log(low)) / (2 * quantile)


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def _place(inputs: Sequence[str], cell: Cell) -> str:
    return ", ".join(f"{name} = {formatting.short(value)}" for name, value in zip(inputs, cell, strict=True))
