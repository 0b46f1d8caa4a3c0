"""Exponents of N* or D* side by side: parabola, cubic and surface, with all points and without the flagged ones."""

from collections.abc import Mapping

import pandas as pd

from analysis.isoflop.experiment import CURVES, Experiment
from analysis.optimum import Estimate

COLUMNS = ("experiment", "points", "n", "curve", "budgets", "measured_budgets", "exponent", "low", "high")


def side_by_side(found: Mapping[str, Experiment], *, of: str = "D") -> pd.DataFrame:
    """A row for each experiment, selection of points and curve; its columns are COLUMNS.

    `points` is "all" or "without flagged", `budgets` how many have an optimum, which for a surface is all of
    `measured_budgets`. Exponent and ends are missing where fewer than two budgets have an optimum.
    """
    rows = [
        {
            "experiment": name,
            "points": chosen,
            "n": len(selection.points.loss),
            "curve": curve,
            "budgets": selection.budgets(curve, of),
            "measured_budgets": len(set(selection.points.budget)),
        }
        | _ends(selection.exponent(curve, of))
        for name, experiment in found.items()
        for chosen, selection in experiment.selections.items()
        for curve in CURVES
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ends(found: Estimate | None) -> dict[str, float]:
    if found is None:
        return {}
    return {"exponent": found.value, "low": found.interval.low, "high": found.interval.high}
