"""IsoFLOP analysis: the best size and the best number of tokens for a budget of compute, three ways.

    points ─▶ minimum of each budget ─▶ N*(C), D*(C) by parabola and by cubic ─▶ sensitivity to single points
          └─▶ one surface L(N, D) through all budgets ──────────────────────────▶ side_by_side

Hoffmann et al. 2022 (arXiv 2203.15556), sections 3.2 and 3.3.
"""

from analysis.isoflop.allocation import DEGREES, Allocation, IsoFlop, allocation, isoflop, isoflop_of
from analysis.isoflop.experiment import CURVES, Experiment, Selection, experiment, experiments
from analysis.isoflop.minimum import Minimum, minimum
from analysis.isoflop.points import Columns, IsoFlopPoints, read
from analysis.isoflop.sensitivity import Sensitivity, sensitivity
from analysis.isoflop.surface import Surface, surface
from analysis.isoflop.table import side_by_side

__all__ = [
    "CURVES",
    "DEGREES",
    "Allocation",
    "Columns",
    "Experiment",
    "IsoFlop",
    "IsoFlopPoints",
    "Minimum",
    "Selection",
    "Sensitivity",
    "Surface",
    "allocation",
    "experiment",
    "experiments",
    "isoflop",
    "isoflop_of",
    "minimum",
    "read",
    "sensitivity",
    "side_by_side",
    "surface",
]
