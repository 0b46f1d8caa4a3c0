"""The sum of losses as a function of all parameters of a law at once, with its gradient and curvature.

    O(q) = Σ_i w_i ρ(r_i(f_i(q)))      q = (θ, β),  f = f₀(θ) + Φ(θ) β
    ∂O/∂q = Σ w ρ′ ∂r        ∂²O/∂q² = Σ w (ρ″ ∂r ∂rᵀ + ρ′ ∂²r)

Exact in β; derivatives in θ are central differences of Φ and f₀. On inputs divided by their geometric means the
amplitudes are of the size of the loss, and the problem is as well conditioned as in logarithms of them, with a bound
at 0 that can be reached.

Shapes: M problems at once, Q = P + K parameters, N points.
"""

from dataclasses import dataclass

import numpy as np

from analysis.solve.losses import Loss
from analysis.solve.projection import Problem

_FINE, _COARSE = 6e-6, 2e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective:
    """`y` and `weights` are (N,) for all problems, or (M, N) for each its own; `weights` of None means equal ones."""

    problem: Problem
    loss: Loss
    y: np.ndarray
    weights: np.ndarray | None = None

    @property
    def nonlinear_count(self) -> int:
        return self.problem.low.size

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        amplitudes = np.where(self.problem.bounded, 0.0, -np.inf)
        low = np.concatenate([self.problem.low, amplitudes])
        return low, np.concatenate([self.problem.high, np.full(amplitudes.size, np.inf)])

    def split(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return q[..., : self.nonlinear_count], q[..., self.nonlinear_count :]

    def model(self, q: np.ndarray) -> np.ndarray:
        return self.problem.model(*self.split(q))

    def residual(self, q: np.ndarray) -> np.ndarray:
        return self.loss.residual(self.y, self.model(q))

    def value(self, q: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """O at q (M, ..., Q); `rows` are the problems that q is given for, all without it."""
        y, weights = (_aligned(part, rows, q.ndim - 1) for part in (self.y, self.weights))
        assert y is not None
        return self.loss.total(y, self.model(q), weights)

    def derivatives(self, q: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O (M,), its gradient (M, Q) and its second derivatives (M, Q, Q) at q (M, Q)."""
        y, weights = (_aligned(part, rows, 1) for part in (self.y, self.weights))
        assert y is not None
        f, slopes_QN, curved_QQN = self._model_derivatives(q)
        r = self.loss.residual(y, f)
        outer, bend = self.loss.slope(r), self.loss.curvature(r)
        value = self.loss.total(y, f, weights)
        if weights is not None:
            outer, bend = outer * weights, bend * weights
        if self.loss.logarithmic:
            inner = -1 / f[..., None, :] * slopes_QN
            second = -curved_QQN / f[..., None, None, :] + inner[..., :, None, :] * inner[..., None, :, :]
        else:
            inner, second = -slopes_QN, -curved_QQN
        gradient = (outer[..., None, :] * inner).sum(-1)
        hessian = np.einsum("...an,...bn->...ab", inner * bend[..., None, :], inner)
        return value, gradient, hessian + (outer[..., None, None, :] * second).sum(-1)

    def majorant(self, q: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Σ w (ρ′/r) ∂r ∂rᵀ at q (M, Q), shape (M, Q, Q): the curvature that reweighted least squares would use."""
        y, weights = (_aligned(part, rows, 1) for part in (self.y, self.weights))
        assert y is not None
        f, slopes_QN, _ = self._model_derivatives(q)
        steep = self.loss.majorant(self.loss.residual(y, f))
        inner = slopes_QN / f[..., None, :] if self.loss.logarithmic else slopes_QN
        return np.einsum(
            "...an,...bn->...ab", inner * (steep if weights is None else steep * weights)[..., None, :], inner
        )

    def slopes(self, q: np.ndarray) -> np.ndarray:
        """∂r/∂q, shape (..., Q, N)."""
        f, slopes_QN, _ = self._model_derivatives(q)
        return -slopes_QN / f[..., None, :] if self.loss.logarithmic else -slopes_QN

    def _model_derivatives(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """f (..., N), ∂f (..., Q, N) and ∂²f (..., Q, Q, N)."""
        theta_P, beta_K = self.split(q)
        count, total = self.nonlinear_count, q.shape[-1]
        size = np.maximum(np.abs(theta_P), 0.1)
        fine, coarse = _FINE * size, _COARSE * size
        pairs = [(a, b) for a in range(count) for b in range(a)]
        unit = np.eye(count)
        offsets = [np.zeros_like(theta_P)]
        offsets += [sign * step * unit[a] for step in (fine, coarse) for a in range(count) for sign in (1, -1)]
        offsets += [
            coarse * (s * unit[a] + t * unit[b]) for a, b in pairs for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))
        ]
        stencil = theta_P[..., None, :] + np.stack(offsets, axis=-2)
        design = self.problem.design(stencil)
        with_beta = (design * beta_K[..., None, None, :]).sum(-1)
        if self.problem.offset is not None:
            with_beta = with_beta + self.problem.offset(stencil)
        f = with_beta[..., 0, :]
        slopes = np.zeros((*f.shape[:-1], total, f.shape[-1]))
        curved = np.zeros((*f.shape[:-1], total, total, f.shape[-1]))
        slopes[..., count:, :] = np.moveaxis(design[..., 0, :, :], -1, -2)
        for a in range(count):
            ahead, behind = 1 + 2 * a, 2 + 2 * a
            slopes[..., a, :] = (with_beta[..., ahead, :] - with_beta[..., behind, :]) / (2 * fine[..., a, None])
            mixed = np.moveaxis(design[..., ahead, :, :] - design[..., behind, :, :], -1, -2)
            curved[..., a, count:, :] = mixed / (2 * fine[..., a, None, None])
            curved[..., count:, a, :] = curved[..., a, count:, :]
            far = 1 + 2 * count + 2 * a
            bent = with_beta[..., far, :] + with_beta[..., far + 1, :] - 2 * f
            curved[..., a, a, :] = bent / coarse[..., a, None] ** 2
        for place, (a, b) in enumerate(pairs):
            corner = with_beta[..., 1 + 4 * count + 4 * place : 5 + 4 * count + 4 * place, :]
            cross = corner[..., 0, :] - corner[..., 1, :] - corner[..., 2, :] + corner[..., 3, :]
            curved[..., a, b, :] = curved[..., b, a, :] = cross / (4 * coarse[..., a, None] * coarse[..., b, None])
        return f, slopes, curved


def _aligned(part: np.ndarray | None, rows: np.ndarray | None, axes: int) -> np.ndarray | None:
    """Of the problems in `rows`, with room for the axes of q between problem and point."""
    if part is None or part.ndim == 1:
        return part
    chosen = part if rows is None else part[rows]
    return chosen.reshape(chosen.shape[0], *[1] * (axes - 1), chosen.shape[-1])
