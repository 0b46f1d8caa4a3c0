"""Exponents of N* or D* side by side: parabola, cubic and surface, with all points and without the flagged ones."""

from collections.abc import Mapping

import pandas as pd

from analysis.isoflop import DEGREES, IsoFlopPoints, allocation
from analysis.isoflop_surface import surface
from analysis.optimum import Estimate


def side_by_side(experiments: Mapping[str, IsoFlopPoints], *, of: str = "D", level: float = 0.95) -> pd.DataFrame:
    """A row for each experiment, selection of points and curve.

    Columns: experiment, points ("all" or "without flagged"), n, curve, budgets (with an optimum) and measured_budgets,
    exponent, low, high; missing where fewer than two budgets have an optimum. A surface goes through all budgets.
    """
    rows = []
    for name, everything in experiments.items():
        selections = {"all": everything}
        if everything.flagged.any():
            selections["without flagged"] = everything.where(~everything.flagged)
        for selection, points in selections.items():
            measured = len(set(points.budget))
            common = {"experiment": name, "points": selection, "n": len(points.loss), "measured_budgets": measured}
            for curve in DEGREES:
                found = allocation(points, curve=curve, of=of, level=level)
                law = found.law.exponents["C"] if found.law else None
                rows.append(common | {"curve": curve, "budgets": len(found.optima)} | _ends(law))
            exponent = surface(points, level=level).exponents[of]
            rows.append(common | {"curve": "surface", "budgets": measured} | _ends(exponent))
    columns = ["experiment", "points", "n", "curve", "budgets", "measured_budgets", "exponent", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _ends(found: Estimate | None) -> dict[str, float]:
    if found is None:
        return {}
    return {"exponent": found.value, "low": found.interval.low, "high": found.interval.high}
