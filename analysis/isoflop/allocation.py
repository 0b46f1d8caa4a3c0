"""IsoFLOP curves: at each budget of compute the best size, and the power laws of best sizes and tokens.

    at each budget C:   L = p(ln x), x parameters or tokens        x*(C) where it is lowest
    over budgets:       N*(C) = c_N·C^a,   D*(C) = c_D·C^b         where 6·N·D = C:  a + b = 1

Hoffmann et al. 2022 (arXiv 2203.15556), section 3.2 ("approach 2"); Dubey et al. 2024 (arXiv 2407.21783), 3.2.1.
A budget without a minimum between its points has no best size: it is named, and no law goes through it.

Two intervals for each law. `law` is the scatter of the optima about it, Student's t: it holds what no noise explains,
such as curves that are no parabolas. `noise` is what the residuals of the curves alone leave open, from the Fieller
intervals of the optima by MOVER (optimum.py); it is unbounded where that of an optimum is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.intervals import Interval
from analysis.isoflop.minimum import Minimum, minimum
from analysis.isoflop.points import Columns, IsoFlopPoints, read
from analysis.log_lines import LogLine, log_line
from analysis.observations import check_level
from analysis.optimum import Estimate, Unbracketed, log_slope

DEGREES = {"parabola": 2, "cubic": 3}


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """The best `of` (N, parameters, or D, tokens) at each budget, and the law of them.

    `law` and `noise`, an interval of its exponent, are None where fewer than two budgets have an optimum. `left_out`
    says by budget why it has none.
    """

    of: str
    curve: str
    optima: dict[float, Minimum]
    left_out: dict[float, str]
    law: LogLine | None
    noise: Interval | None

    @property
    def exponent(self) -> float:
        return self.law.exponents["C"].value if self.law else math.nan

    @property
    def weak(self) -> dict[float, str]:
        return {budget: found.verdict for budget, found in self.optima.items() if found.verdict != "bracketed"}


@dataclass(frozen=True, kw_only=True, eq=False)
class IsoFlop:
    """`allocations` by (curve, of): ("parabola", "N") … ("cubic", "D")."""

    points: IsoFlopPoints
    allocations: dict[tuple[str, str], Allocation]
    level: float

    def exponent_sum(self, curve: str) -> Estimate | None:
        """a + b; None where it is 1 by construction, because C = 6·N·D in every row, or a law is missing.

        The interval takes the two exponents for independent, which makes it wide rather than narrow.
        """
        laws = [self.allocations[curve, of].law for of in ("N", "D")]
        if not self.points.independent or laws[0] is None or laws[1] is None:
            return None
        found = [law.exponents["C"] for law in laws if law]
        value = sum(item.value for item in found)
        half = math.hypot(*(item.interval.high - item.value for item in found))
        return Estimate(value=value, interval=Interval(low=value - half, high=value + half, level=self.level))


def isoflop(table: pd.DataFrame, columns: Columns, *, level: float = 0.95) -> IsoFlop:
    """Optima and laws of a table with a row a run, of every curve of DEGREES for both N and D.

    Raises:
        UserError: for an unknown column, neither parameters nor tokens, values that are not finite and positive, or a
            single budget.
    """
    return isoflop_of(read(table, columns), level=level)


def isoflop_of(points: IsoFlopPoints, *, level: float = 0.95) -> IsoFlop:
    """`isoflop` for points that are already read."""
    check_level(level)
    return IsoFlop(
        points=points,
        allocations={
            (curve, of): allocation(points, curve=curve, of=of, level=level) for curve in DEGREES for of in ("N", "D")
        },
        level=level,
    )


def allocation(points: IsoFlopPoints, *, curve: str, of: str, level: float) -> Allocation:
    """Of one kind of curve and one of N and D."""
    found: dict[float, Minimum] = {}
    left_out: dict[float, str] = {}
    for budget in np.unique(points.budget):
        here = points.budget == budget
        lowest = minimum(points.sizes(of)[here], points.loss[here], degree=DEGREES[curve], level=level)
        if isinstance(lowest, Unbracketed):
            left_out[float(budget)] = lowest.reason
        else:
            found[float(budget)] = lowest
    law = law_of({budget: item.x for budget, item in found.items()}, level=level)
    return Allocation(
        of=of,
        curve=curve,
        optima=found,
        left_out=left_out,
        law=law,
        noise=log_slope(list(found.values()), list(found)).interval if law else None,
    )


def law_of(optima: Mapping[float, float], *, level: float) -> LogLine | None:
    """x* = c·C^a by least squares in logarithms; None for fewer than two budgets."""
    if len(optima) < 2:
        return None
    budgets = np.array(list(optima))
    return log_line({"C": budgets}, np.array(list(optima.values())), deviations=None, level=level)
