"""Newton's method with |curvature|, backtracking and bounds, on many problems at once.

    q ← q − t · V |Λ|⁻¹ Vᵀ ∇O        V Λ Vᵀ the second derivatives over the parameters that no bound holds

The absolute eigenvalues make every step descend, also where O is not convex (Dauphin et al. 2014, arXiv 1406.2572).
Between the corners of a loss Λ says nothing of how far a step may go: where the whole step is no gain, shorter ones
compete with those of Λ + t·M, M the curvature of reweighted least squares, under which t = 1 always descends.
"""

from typing import Protocol

import numpy as np

_LENGTHS_T = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-5])
# Small t go far along a valley between corners, large ones turn to where all residuals shrink.
_DAMPING_T = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 1e-3])


class Smooth(Protocol):
    """Something to minimise; `rows` names the problems that q (M, Q) is given for."""

    def bounds(self) -> tuple[np.ndarray, np.ndarray]: ...

    def value(self, q: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray: ...

    def derivatives(
        self, q: np.ndarray, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    def majorant(self, q: np.ndarray, rows: np.ndarray) -> np.ndarray: ...


def newton(objective: Smooth, q: np.ndarray, *, max_steps: int = 80, tolerance: float = 1e-11) -> np.ndarray:
    """Local minima reached from q, shape (M, Q) in and out; a problem that has settled is left alone."""
    low, high = objective.bounds()
    q = np.clip(q, low, high)
    active = np.arange(len(q))
    for _ in range(max_steps):
        here = q[active]
        value, gradient, hessian = objective.derivatives(here, active)
        held = ((here <= low) & (gradient > 0)) | ((here >= high) & (gradient < 0))
        step = direction(gradient, hessian, held)
        whole = np.clip(here + step, low, high)
        found = _finite(objective.value(whole, active))
        relative = (np.abs(whole - here) / np.maximum(np.abs(here), 1e-3)).max(-1)
        # Near the end O no longer resolves the step but the gradient does: take the whole step.
        settled = (relative <= 1e-5) & (found <= value + 1e-10 * np.abs(value))
        good = settled | (found < value - 0.1 * np.abs((gradient * step).sum(-1)) * (relative > 1e-5))
        moved = np.where(good[:, None], whole, here)
        lower = good.copy()
        if not good.all():
            short = np.flatnonzero(~good)
            above = objective.majorant(here[short], active[short])
            damped = direction(
                gradient[short, None],
                hessian[short, None] + _DAMPING_T[:, None, None] * above[:, None],
                held[short, None],
            )
            steps = np.concatenate([_LENGTHS_T[:, None] * step[short, None], damped], axis=1)
            trial = np.clip(here[short, None] + steps, low, high)
            heights = _finite(objective.value(trial, active[short]))
            pick = heights.argmin(-1)
            lower[short] = heights[np.arange(len(short)), pick] < value[short]
            moved[short] = np.where(lower[short, None], trial[np.arange(len(short)), pick], here[short])
        q[active] = moved
        done = (settled & (relative <= tolerance)) | ~lower
        active = active[~done]
        if not active.size:
            break
    return q


def _finite(value: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(value), value, np.inf)


def direction(gradient: np.ndarray, hessian: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The step of the module docstring, zero for the parameters that a bound holds; shape (M, Q)."""
    free = ~held[..., None] & ~held[..., None, :]
    held = np.broadcast_to(held, np.broadcast_shapes(held.shape, hessian.shape[:-1]))
    symmetric = np.where(free, (hessian + hessian.swapaxes(-1, -2)) / 2, 0.0)
    # Parameters of very different curvature are brought to one scale first.
    size = np.sqrt(np.abs(np.diagonal(symmetric, axis1=-2, axis2=-1)))
    size = np.where(held | (size <= 1e-12 * size.max(-1, keepdims=True)), 1.0, size)
    scaled = symmetric / size[..., :, None] / size[..., None, :]
    scaled = np.where(free, scaled, np.eye(held.shape[-1]))
    values, vectors = np.linalg.eigh(np.nan_to_num(scaled))
    values = np.maximum(np.abs(values), 1e-9 * np.abs(values).max(-1, keepdims=True) + 1e-100)
    downhill = (vectors * np.where(held, 0.0, -gradient / size)[..., None]).sum(-2) / values
    return np.where(held, 0.0, (vectors * downhill[..., None, :]).sum(-1) / size)
