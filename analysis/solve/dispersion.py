"""How much a fit gains by chance from a parameter it does not need, for losses that are not least squares.

    λ = (Σ w ρ′² / ν) / m        m = Σ w ρ″ / Σ w        2·(O_reduced − O) / λ  ~  F(1, ν)  about

For least squares λ = 2s². Schrader & Hettmansperger 1980 (Biometrika 67, 93). Where ρ has corners, m is what the
density of residuals near 0 makes of it, from the central residuals (Siddiqui 1960, J. Res. NBS 64B, 145).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.solve.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Dispersion:
    """`value` is λ and `curvature` is m of the module docstring."""

    value: float
    curvature: float


def robust_limit(objective: Objective, q: np.ndarray, *, degrees_of_freedom: int, level: float, floor: float) -> float:
    """How far the objective may rise from q (Q,) at a level of confidence: O + ½·λ·F₁,ν(level)."""
    quantile = float(stats.f.ppf(level, 1, degrees_of_freedom))
    scale = robust_scale(objective, q, degrees_of_freedom)
    return float(objective.value(q[None])[0]) + max(0.5 * scale, floor / degrees_of_freedom) * quantile


def robust_scale(objective: Objective, q: np.ndarray, degrees_of_freedom: int) -> float:
    """λ alone."""
    return dispersion(objective, q, degrees_of_freedom).value


def dispersion(objective: Objective, q: np.ndarray, degrees_of_freedom: int) -> Dispersion:
    """At the optimum q (Q,) of one problem."""
    r, loss = objective.residual(q), objective.loss
    weights = np.ones(r.size) if objective.weights is None else objective.weights
    squares = float((weights * np.square(loss.slope(r))).sum()) / degrees_of_freedom
    curvature = float((weights * loss.curvature(r)).sum() / weights.sum())
    inside = r.size if loss.kind == "ls" else int((np.abs(r) <= loss.delta).sum()) if loss.kind == "huber" else 0
    if loss.kind != "ls" and inside < max(8, 0.15 * r.size):
        # About n^(2/3) central residuals, and no fewer than 8: few enough to see the peak, enough to count.
        share = min(1.0, max(r.size ** (-1 / 3), 8 / r.size))
        width = float(np.quantile(np.abs(r), share))
        jump = 1.0 if loss.kind == "lad" else loss.delta
        curvature = jump * share / width if width > 0 else math.inf
    return Dispersion(value=squares / curvature if curvature > 0 else math.inf, curvature=curvature)
