"""Wald intervals: the estimate and a quantile of Student's t times its standard error.

    g(q̂) ± t_ν · √(∂gᵀ Σ ∂g)        Σ = λ / m · (JᵀWJ)⁻¹        J = ∂r/∂q,  m = mean ρ″,  λ: solve/dispersion.py

For least squares λ / m = s², the textbook covariance. Seber & Wild 1989, Nonlinear Regression, section 5.1; Huber &
Ronchetti 2009, Robust Statistics, section 7.6. A parameter on its bound is treated as if it were free, and ends are cut
at the bounds.
"""

import numpy as np
from scipy import stats

from analysis.curve import Curve
from analysis.solve.dispersion import dispersion
from analysis.solve.profile import Quantity, slopes

# Directions that move the curve less than this share of the best known one are unknown rather than very uncertain.
_SINGULAR = 1e-12


def covariance(curve: Curve) -> np.ndarray:
    """Σ of the module docstring, (Q, Q); infinite on the diagonal in directions that no point says anything about."""
    scale = dispersion(curve.objective, curve.q, curve.degrees_of_freedom)
    inverse = spread(curve, curve.q[None])[0]
    return np.asarray(scale.value / scale.curvature * inverse)


def spread(curve: Curve, q: np.ndarray) -> np.ndarray:
    """(JᵀWJ)⁻¹ at each q (M, Q), shape (M, Q, Q)."""
    slopes_MNQ = np.moveaxis(curve.objective.slopes(q), -1, -2)
    if curve.objective.weights is not None:
        slopes_MNQ = slopes_MNQ * np.sqrt(curve.objective.weights)[:, None]
    size_MQ = np.sqrt(np.square(slopes_MNQ).sum(-2))
    size_MQ = np.where(size_MQ > 0, size_MQ, 1.0)
    _, values, vectors = np.linalg.svd(slopes_MNQ / size_MQ[:, None], full_matrices=False)
    values = np.maximum(values, _SINGULAR * values.max(-1, keepdims=True))
    roots = np.swapaxes(vectors, -1, -2) / values[:, None] / size_MQ[..., None]
    return np.asarray(roots @ np.swapaxes(roots, -1, -2))


def wald_ends(curve: Curve, quantity: Quantity, count: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends for each of `count` quantities, two arrays (V,)."""
    which = np.arange(count)
    q = np.repeat(curve.q[None], count, axis=0)
    slope = slopes(quantity, q, which)
    error = np.sqrt(np.einsum("vq,qp,vp->v", slope, covariance(curve), slope))
    half = float(stats.t.ppf((1 + level) / 2, curve.degrees_of_freedom)) * error
    here = quantity(q, which)
    return here - half, here + half
