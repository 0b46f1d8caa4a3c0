"""The amplitudes of a law at given exponents: non-negative linear least squares by enumeration of active sets.

    min ‖y − Φ β‖²  with β_j ≥ 0 where bounded

The optimum is an unconstrained one on some subset of the columns; a law has so few that all are tried, which is exact
and works on many Φ at once. Gram–Schmidt (Björck 1967, BIT 7, 1) keeps the accuracy that normal equations lose when
a small exponent makes x^-b and 1 nearly parallel.

Shapes: N points, K amplitudes, `...` any leading dimensions.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

# A column whose part outside the others is smaller than this share of it adds nothing but rounding.
_RANK_TOLERANCE = 1e-9


class Factor:
    """QR factors of some columns of Φ by modified Gram–Schmidt; `full_rank` tells where the columns are independent."""

    def __init__(self, design: np.ndarray, columns: tuple[int, ...]) -> None:
        self._q: list[np.ndarray] = []
        self._r: dict[tuple[int, int], np.ndarray] = {}
        self.full_rank = np.ones(design.shape[:-2], dtype=bool)
        for j, column in enumerate(columns):
            rest = design[..., column]
            length = np.sqrt(np.square(rest).sum(-1))
            for i, q in enumerate(self._q):
                self._r[i, j] = (q * rest).sum(-1)
                rest = rest - self._r[i, j][..., None] * q
            norm = np.sqrt(np.square(rest).sum(-1))
            independent = norm > _RANK_TOLERANCE * length
            self.full_rank &= independent
            self._r[j, j] = np.where(independent, norm, 1.0)
            self._q.append(rest / self._r[j, j][..., None])

    def project(self, y_N: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Amplitudes in column order, each of shape (...), and the residual (..., N)."""
        residual, qy = y_N, []
        for q in self._q:
            qy.append((q * residual).sum(-1))
            residual = residual - qy[-1][..., None] * q
        return self.back_substitute(qy), residual

    def back_substitute(self, z: list[np.ndarray]) -> list[np.ndarray]:
        """R⁻¹ z."""
        out = list(z)
        for j in reversed(range(len(z))):
            for i in range(j + 1, len(z)):
                out[j] = out[j] - self._r[j, i] * out[i]
            out[j] = out[j] / self._r[j, j]
        return out

    def forward_substitute(self, g: list[np.ndarray]) -> list[np.ndarray]:
        """R⁻ᵀ g."""
        out = list(g)
        for j in range(len(g)):
            for i in range(j):
                out[j] = out[j] - self._r[i, j] * out[i]
            out[j] = out[j] / self._r[j, j]
        return out


def active_sets(bounded_K: tuple[bool, ...]) -> Iterator[tuple[int, ...]]:
    """The columns that may differ from 0, largest set first; the optimum of a convex problem lies in one of them."""
    bounded = [j for j, is_bounded in enumerate(bounded_K) if is_bounded]
    free = [j for j, is_bounded in enumerate(bounded_K) if not is_bounded]
    for size in reversed(range(len(bounded) + 1)):
        for chosen in combinations(bounded, size):
            yield tuple(sorted([*free, *chosen]))


def solve_amplitudes(design: np.ndarray, y_N: np.ndarray, bounded_K: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative least squares by enumeration of active sets, exact for the few amplitudes of a law.

    Args:
        design: Φ, (..., N, K).
        y_N: (..., N), broadcast against the leading dimensions of Φ.
        bounded_K: which amplitudes must not be negative.

    Returns:
        β (..., K) and the residual (..., N).
    """
    shape = np.broadcast_shapes(design.shape[:-1], y_N.shape)
    best = np.full(shape[:-1], np.inf)
    # Where no active set has a solution, because a value is not a number, the residual is infinite.
    beta_K, residual_N = np.zeros((*shape[:-1], design.shape[-1])), np.full(shape, np.inf)
    for columns in active_sets(bounded_K):
        factor = Factor(design, columns)
        beta, residual = factor.project(np.broadcast_to(y_N, shape))
        sse = np.square(residual).sum(-1)
        better = (sse < best) & factor.full_rank
        for j, value in zip(columns, beta, strict=True):
            if bounded_K[j]:
                better &= value >= 0
        best = np.where(better, sse, best)
        residual_N = np.where(better[..., None], residual, residual_N)
        beta_K = np.where(better[..., None], _spread(beta, columns, beta_K.shape), beta_K)
        if better.all() and len(columns) == len(bounded_K):
            break
    return beta_K, residual_N


def _spread(beta: list[np.ndarray], columns: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    full = np.zeros(shape)
    for j, value in zip(columns, beta, strict=True):
        full[..., j] = value
    return full
