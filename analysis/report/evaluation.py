"""A measured column side by side, without a law: every group at every value of x, and how much of a gap is chance.

    cell      mean of the runs of a group at one x, which may differ in their seed alone
    spread    s = √(Σ (nᵢ − 1)·sᵢ² / Σ (nᵢ − 1)) over all cells with several seeds: one noise for the whole study
    gap       cell − cell of the baseline at the same x, ± t(ν) · s · √(1/n + 1/n₀), ν = Σ (nᵢ − 1)

Without repeated seeds there is no spread, and no gap can be called more than chance. Two-sample intervals with pooled
variance: Student 1908. Each gap has its level alone; among many, some of them miss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analysis.columns import NUMERIC
from analysis.intervals import Interval
from analysis.report.evidence import check_settings
from analysis.report.gathered import Gathered, check_cells, gathered
from analysis.table import RunTable, records_of
from archscale.registry import UserError
from archscale.spec import EvaluateSettings

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`diverged` seeds have no value and are left out of the mean; with no other run there is no mean."""

    mean: float | None
    runs: int
    diverged: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Over the baseline at the same x; `tied` is None without a measure of chance."""

    difference: float
    interval: Interval | None

    @property
    def tied(self) -> bool | None:
        return None if self.interval is None else 0.0 in self.interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation(Gathered):
    """`places` are the values of x in order; `cells` and `gaps` go by label and place, gaps without the baseline's.

    `baseline_measured` is false where the group that was asked for has no finished run, and the first one stands in.
    """

    settings: EvaluateSettings
    places: tuple[Any, ...]
    cells: dict[str, dict[Any, Cell]]
    baseline: str
    baseline_measured: bool
    gaps: dict[str, dict[Any, Gap]]
    spread: float | None
    spread_degrees_of_freedom: int

    def measured(self, label: str) -> dict[Any, float]:
        return {place: cell.mean for place, cell in self.cells[label].items() if cell.mean is not None}

    def between(self, first: str, second: str, place: Any) -> Gap:
        """Of two groups that both have a mean there."""
        cells = self.cells[first][place], self.cells[second][place]
        return gap_of(*cells, self.spread, self.spread_degrees_of_freedom)


def gather_evaluation(*, table: RunTable, missing: Sequence[str], settings: EvaluateSettings) -> Evaluation:
    """
    Raises:
        UserError: when no run has finished, runs of one cell differ in more than their seed,
            RunTable.fit_points refuses to mix the runs, or a name in the settings does not exist.
    """
    check_settings(settings)
    base = gathered(table=table, missing=missing, settings=settings)
    x, y = settings.x, settings.y
    points = base.points.dropna(subset=[x, y])
    if points.empty:
        raise UserError(f"no finished run has both {x} and {y}: evaluate.x and evaluate.y name other columns")
    check_cells(points, ["label", x])
    diverged = table.runs[table.runs["state"] == "diverged"].dropna(subset=[x])
    lost = [(base.label_of(row), row[x]) for row in records_of(diverged)]
    places = sorted({*points[x], *(place for _, place in lost)})
    if x not in NUMERIC:
        places = [place for place in dict.fromkeys(table.runs[x]) if place in places]
    values = {key: part[y].to_numpy(dtype=float) for key, part in points.groupby(["label", x])}
    cells = {
        label: {
            place: _cell(values.get((label, place)), lost.count((label, place)))
            for place in places
            if (label, place) in values or (label, place) in lost
        }
        for label in base.label_by_value.values()
    }
    cells = {label: of_one for label, of_one in cells.items() if of_one}
    measured = [label for label, of_one in cells.items() if any(cell.mean is not None for cell in of_one.values())]
    asked = _baseline(base, settings, measured)
    baseline = asked or measured[0]
    dof = sum(len(part) - 1 for part in values.values())
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in values.values())
    spread = math.sqrt(squares / dof) if dof else None
    gaps = {
        label: {
            place: gap_of(cell, other, spread, dof)
            for place, cell in of_one.items()
            if cell.mean is not None and (other := cells[baseline].get(place)) is not None and other.mean is not None
        }
        for label, of_one in cells.items()
        if label != baseline
    }
    own = {"settings": settings, "points": points}
    return Evaluation(
        **vars(base) | own,
        places=tuple(places),
        cells=cells,
        baseline=baseline,
        baseline_measured=asked is not None,
        gaps=gaps,
        spread=spread,
        spread_degrees_of_freedom=dof,
    )


def _cell(values: np.ndarray | None, diverged: int) -> Cell:
    if values is None:
        return Cell(mean=None, runs=0, diverged=diverged)
    return Cell(mean=float(values.mean()), runs=len(values), diverged=diverged)


def gap_of(cell: Cell, other: Cell, spread: float | None, dof: int) -> Gap:
    difference = float(cell.mean or 0.0) - float(other.mean or 0.0)
    if spread is None:
        return Gap(difference=difference, interval=None)
    half = float(stats.t.ppf((1 + LEVEL) / 2, dof)) * spread * math.sqrt(1 / cell.runs + 1 / other.runs)
    return Gap(difference=difference, interval=Interval(low=difference - half, high=difference + half, level=LEVEL))


def _baseline(base: Gathered, settings: EvaluateSettings, measured: list[str]) -> str | None:
    """The group that evaluate.baseline names by its value or by its label; None where no run of such a group is there.

    The first one where it names none.
    """
    if settings.baseline is None:
        return measured[0]
    for value, label in base.label_by_value.items():
        if label in measured and settings.baseline in (value, label):
            return label
    return None
