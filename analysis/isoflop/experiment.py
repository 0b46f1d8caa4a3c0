"""One set of isoFLOP curves with all that is asked of it: three ways to the best size, and how far to trust them.

points ─▶ "all" ──────────────▶ parabola, cubic, surface
      └─▶ "without flagged" ──▶ parabola, cubic, surface        where somebody flagged any
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.isoflop.allocation import DEGREES, IsoFlop, isoflop_of
from analysis.isoflop.points import Columns, IsoFlopPoints, read
from analysis.isoflop.sensitivity import Sensitivity, sensitivity
from analysis.isoflop.surface import Surface, surface
from analysis.optimum import Estimate
from archscale.registry import UserError

CURVES = (*DEGREES, "surface")


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Of some of the points; `surface` is None where they cannot be fitted by one, and `no_surface` says why."""

    points: IsoFlopPoints
    laws: IsoFlop
    surface: Surface | None
    no_surface: str = ""

    def exponent(self, curve: str, of: str) -> Estimate | None:
        """Of N* or D* by one of CURVES; None where there is no law."""
        if curve == "surface":
            return self.surface.exponents[of] if self.surface else None
        law = self.laws.allocations[curve, of].law
        return law.exponents["C"] if law else None

    def budgets(self, curve: str, of: str) -> int:
        """How many budgets the law goes through; a surface goes through all."""
        if curve == "surface":
            return int(np.unique(self.points.budget).size)
        return len(self.laws.allocations[curve, of].optima)

    def predict(self, curve: str, of: str, budget: float) -> tuple[float, Estimate | None] | None:
        """N* or D* at a budget, and the interval of its law; the surface has none, and None is for no law."""
        if curve == "surface":
            return (self.surface.optimum(of, budget), None) if self.surface else None
        law = self.laws.allocations[curve, of].law
        if law is None:
            return None
        found = law.predict(C=budget)
        return found.value, found


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """`selections` by "all" and "without flagged"; `sensitivities`, of the parabolas, by "N" and "D"."""

    name: str
    points: IsoFlopPoints
    selections: Mapping[str, Selection]
    sensitivities: Mapping[str, Sensitivity]
    level: float


def experiments(
    table: pd.DataFrame, columns: Columns, *, group: str | None = None, level: float = 0.95
) -> dict[str, Experiment]:
    """An experiment for each value of `group`, or one of the name "" without it.

    Raises:
        UserError: as `read`, with the group that it is about.
    """
    parts = {"": table} if group is None else {str(name): rows for name, rows in table.groupby(group, sort=True)}
    found = {}
    for name, rows in parts.items():
        try:
            found[name] = experiment(read(rows, columns), name=name, level=level)
        except UserError as error:
            raise UserError(f"{group} = {name}: {error}" if name else str(error)) from None
    return found


def experiment(points: IsoFlopPoints, *, name: str = "", level: float = 0.95) -> Experiment:
    chosen = {"all": points}
    if points.flagged.any() and np.unique(points.budget[~points.flagged]).size > 1:
        chosen["without flagged"] = points.where(~points.flagged)
    return Experiment(
        name=name,
        points=points,
        selections={text: _selection(some, level) for text, some in chosen.items()},
        sensitivities={of: sensitivity(points, of=of, level=level) for of in ("N", "D")},
        level=level,
    )


def _selection(points: IsoFlopPoints, level: float) -> Selection:
    laws = isoflop_of(points, level=level)
    try:
        return Selection(points=points, laws=laws, surface=surface(points, level=level))
    except UserError as error:
        return Selection(points=points, laws=laws, surface=None, no_surface=str(error))
