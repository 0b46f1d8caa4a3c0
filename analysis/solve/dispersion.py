"""How much a fit gains by chance from a parameter it does not need, for losses that are not least squares.

    λ = (Σ w ρ′² / ν) / m        m = Σ w ρ″ / Σ w        2·(O_reduced − O) / λ  ~  F(1, ν)  about

For least squares λ = 2s². Schrader & Hettmansperger 1980 (Biometrika 67, 93). For the other losses m leaves out the
residuals that the fit itself pulls to 0, which to first order is the correction K of Huber 1973 (Ann. Statist. 1, 799,
section 4). Where ρ has corners, m is what the density of residuals near 0 makes of it, from the central residuals
(Siddiqui 1960, J. Res. NBS 64B, 145).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.solve.losses import Loss
from analysis.solve.objective import Objective

# Fewer residuals inside δ than this, or a smaller share of all, say less of mean ρ″ than the central ones do.
_FEWEST, _LEAST_INSIDE = 3, 0.15


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
    if loss.kind != "ls":
        # As many points as parameters are pulled to residuals near 0 by the fit itself.
        pulled = r.size - degrees_of_freedom
        curvature = (r.size * curvature - pulled) / degrees_of_freedom
        if curvature < max(_FEWEST / degrees_of_freedom, _LEAST_INSIDE):
            curvature = _central_curvature(loss, np.sort(np.abs(r))[pulled:])
    return Dispersion(value=squares / curvature if curvature > 0 else math.inf, curvature=curvature)


def _central_curvature(loss: Loss, sizes: np.ndarray) -> float:
    """Mean ρ″ from the density of residuals near 0, of which `sizes` are the ascending absolute values."""
    # About n^(2/3) of them: few enough to see the peak, enough to count.
    share = min(1.0, max(sizes.size ** (-1 / 3), _FEWEST / sizes.size))
    width = float(np.quantile(sizes, share))
    if loss.kind == "lad":
        return share / width if width > 0 else math.inf
    return loss.delta * share / max(width, loss.delta)
