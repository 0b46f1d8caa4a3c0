"""Does the best learning rate stay where it is? Sweeps of it for every group, at every value of another column.

    runs of a group at one width ──optimum.optima──▶ best rate x*(width) ──▶ movement: x*(largest) / x*(smallest)

What is swept is `settings.x`, measured is `settings.y`, and `settings.along` is width, or depth. A run that diverged
counts as above every loss, and so does a rate at which one of several seeds diverged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.intervals import Interval
from analysis.optimum import Estimate, Optimum, Sweep, Unbracketed, exponential, log_ratio, log_slope, optima
from analysis.report.evidence import check_settings
from analysis.report.gathered import Gathered, check_cells, gathered
from analysis.table import RunTable, records_of
from archscale.registry import UserError
from archscale.spec import TransferSettings


@dataclass(frozen=True, kw_only=True)
class Movement:
    """From the smallest to the largest value of `along` that has an optimum.

    `slope` is of ln x* against ln along, through all optima between. `cost` is what the best x of the first value
    loses at the last one, None where that is not swept there, or next to a run that diverged.
    """

    first: float
    last: float
    factor: float
    interval: Interval
    slope: Estimate
    cost: float | None

    @property
    def moves(self) -> bool:
        return 1.0 not in self.interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer(Gathered):
    """`measured` are the points and the diverged runs, whose y is infinite; `sweeps` and `optima` go by label and by
    value of along, `movements` by label, without those that have fewer than two optima.
    """

    settings: TransferSettings
    measured: pd.DataFrame
    sweeps: dict[str, dict[float, Sweep]]
    optima: dict[str, dict[float, Optimum | Unbracketed]]
    movements: dict[str, Movement]

    def shape_of(self, row: Mapping[str, Any]) -> str:
        along, x = self.settings.along, self.settings.x
        words = f"{along.replace('_', ' ')} {formatting.short(row[along])}, {x.replace('_', ' ')}"
        return f"{words} {formatting.short(row[x])}" + (f", seed {row['seed']}" if self.several_seeds else "")

    def found(self, label: str) -> dict[float, Optimum]:
        return {place: item for place, item in self.optima[label].items() if isinstance(item, Optimum)}

    @property
    def places(self) -> list[float]:
        """Every value of along."""
        return sorted({place for of_one in self.sweeps.values() for place in of_one})


def gather_transfer(*, table: RunTable, missing: Sequence[str], settings: TransferSettings) -> Transfer:
    """Fit every sweep that can be fitted; name what cannot.

    Raises:
        UserError: when no run has finished, runs at one place differ in more than their seed, RunTable.fit_points
            refuses to mix the runs, or a name in the settings does not exist.
    """
    check_settings(settings)
    base = gathered(table=table, missing=missing, settings=settings)
    x, y, along = settings.x, settings.y, settings.along
    diverged = table.runs[table.runs["state"] == "diverged"]
    diverged = diverged.assign(label=[base.label_of(row) for row in records_of(diverged)], **{y: np.inf})
    measured = pd.concat([base.points, diverged], ignore_index=True) if len(diverged) else base.points
    measured = measured.dropna(subset=[x, y, along])
    measured = measured[(measured[x] > 0) & (measured[along] > 0)]
    if measured.empty:
        raise UserError(
            f"no finished run has a positive {x} and {along}: transfer.x and transfer.along name other columns"
        )
    check_cells(measured, ["label", along, x])
    sweeps = {
        label: {
            place: Sweep(x=part[x].to_numpy(dtype=float), y=part[y].to_numpy(dtype=float))
            for place, part in parts_of(measured[measured["label"] == label], along)
        }
        for label in base.label_by_value.values()
        if label in set(measured["label"])
    }
    fitted = {label: optima(of_one, level=settings.level) for label, of_one in sweeps.items()}
    movements = {
        label: movement
        for label, of_one in fitted.items()
        if (movement := movement_of(of_one, sweeps[label])) is not None
    }
    own = {"settings": settings}
    return Transfer(**vars(base) | own, measured=measured, sweeps=sweeps, optima=fitted, movements=movements)


def parts_of(rows: pd.DataFrame, column: str) -> list[tuple[float, pd.DataFrame]]:
    """The rows of each value of a column of numbers, ascending."""
    return [(float(value), rows[rows[column] == value]) for value in sorted(rows[column].unique())]


def movement_of(found: Mapping[float, Optimum | Unbracketed], sweeps: Mapping[float, Sweep]) -> Movement | None:
    """None where fewer than two optima are bracketed."""
    fitted = {place: item for place, item in sorted(found.items()) if isinstance(item, Optimum)}
    if len(fitted) < 2:
        return None
    first, last = min(fitted), max(fitted)
    ratio = log_ratio(fitted[first], fitted[last])
    return Movement(
        first=first,
        last=last,
        factor=float(np.exp(ratio.value)),
        interval=exponential(ratio.interval),
        slope=log_slope(list(fitted.values()), list(fitted)),
        cost=_cost(fitted[first].x, fitted[last], sweeps[last]),
    )


def _cost(x: float, best: Optimum, sweep: Sweep) -> float | None:
    """Of the parabola where it was fitted, else of a straight line between the two means around x."""
    if best.used[0] <= x <= best.used[-1]:
        return float(best.parabola(np.array([x]))[0] - best.y)
    places, means = sweep.means
    above = int(np.searchsorted(places, x))
    if not 0 < above < len(places) or not np.isfinite(means[above - 1 : above + 1]).all():
        return None
    return float(np.interp(np.log(x), np.log(places), np.where(np.isfinite(means), means, 0.0)) - best.y)
