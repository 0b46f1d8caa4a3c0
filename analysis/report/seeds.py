"""How far apart runs of one cell lie that differ in their seed alone, and which gaps are no larger than that.

    s² = Σ_cells Σ_runs (y − ȳ_cell)² / Σ_cells (runs − 1)         pooled over cells
    a gap of means over n₁ and n₂ runs is within the spread where |gap| ≤ t_{ν, (1 + level)/2} · s · √(1/n₁ + 1/n₂)

The pooled two-sample t-test of Student 1908 (Biometrika 6, 1), for one noise in all cells.
"""

import math
from dataclasses import dataclass

from scipy import stats

from analysis.report.gathered import Gathered


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """`standard_deviation` of one run, in the unit of y; from `cells` cells with two or more runs."""

    standard_deviation: float
    degrees_of_freedom: int
    cells: int
    level: float

    def limit(self, first_runs: int = 1, second_runs: int = 1) -> float:
        """The largest gap between means over so many runs that seeds alone explain, at the level."""
        quantile = float(stats.t.ppf((1 + self.level) / 2, self.degrees_of_freedom))
        return quantile * self.standard_deviation * math.sqrt(1 / first_runs + 1 / second_runs)


def _place(found: Gathered) -> list[str]:
    return list(getattr(found.settings, "inputs", ())) or [found.settings.x]


def seed_spread(found: Gathered, *, level: float) -> SeedSpread | None:
    """None where no cell has two runs. A cell of a study is its recipe, one of a table a group at one x."""
    y = found.settings.y
    rows = found.points.dropna(subset=[y])
    cells = rows.groupby("recipe" if found.table.noun == "runs" else ["label", *_place(found)])[y]
    squares, degrees = float(((rows[y] - cells.transform("mean")) ** 2).sum()), int((cells.size() - 1).sum())
    if not degrees:
        return None
    return SeedSpread(
        standard_deviation=math.sqrt(squares / degrees),
        degrees_of_freedom=degrees,
        cells=int((cells.size() > 1).sum()),
        level=level,
    )
