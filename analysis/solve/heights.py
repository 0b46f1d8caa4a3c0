"""How badly a curve has to fit in order to pass through a given point: the profile of its height.

    S*(x, h) = min { S(θ, β) : f(x; θ, β) = h } = min_θ min_sets S(θ) + (h − ĥ)² / gᵀ(ΦᵀΦ)⁻¹g      ĥ = g·β̂(θ)

g is the row of the design at x; `sets` are the active sets of β ≥ 0. Where two curves may meet, and how much compute
one saves, are questions about sums of two such profiles. Bates & Watts 1988, Nonlinear Regression Analysis, section
6.1.

Shapes: V places x, H heights at each, T points of θ, N observations, K amplitudes of an active set.
"""

from dataclasses import dataclass

import numpy as np

from analysis.curve import Curve
from analysis.solve.amplitudes import Factor, active_sets

# The remaining error of a minimum on the grid, after the parabola through its neighbours, is below 1e-3 of the excess.
_GRID_COUNT = 161


@dataclass(frozen=True, kw_only=True)
class _ActiveSet:
    columns: tuple[int, ...]
    beta: np.ndarray  # (T, K)
    inverse: np.ndarray  # (ΦᵀΦ)⁻¹, (T, K, K)
    sums: np.ndarray  # S(θ), (T,), inf where the columns are dependent


@dataclass(frozen=True, kw_only=True)
class Heights:
    """The height profile of one curve, over the θ that fit with S(θ) ≤ the limit it was made for."""

    curve: Curve
    theta: np.ndarray  # (T, 1)
    sets: tuple[_ActiveSet, ...]

    @classmethod
    def of(cls, curve: Curve, limit: float) -> "Heights":
        low, high = curve.confidence_set(0.0, limit=limit).theta_range()
        searched = curve.problem.grid[:, 0]
        low, high = max(low, float(searched.min())), min(high, float(searched.max()))
        share = (1 - np.cos(np.linspace(0, np.pi, _GRID_COUNT))) / 2
        theta_T1 = (low + (high - low) * share)[:, None]
        design = curve.problem.design(theta_T1)
        sets = []
        for columns in active_sets(curve.problem.bounded):
            factor = Factor(design, columns)
            target = np.broadcast_to(curve.problem.target(curve.y, theta_T1), design.shape[:-1])
            beta, residual = factor.project(target)
            one, zero = np.ones(len(theta_T1)), np.zeros(len(theta_T1))
            inverse = [
                factor.back_substitute(factor.forward_substitute([one if i == j else zero for i in columns]))
                for j in columns
            ]
            sets.append(
                _ActiveSet(
                    columns=columns,
                    beta=np.stack(beta, axis=-1) if columns else np.zeros((len(theta_T1), 0)),
                    inverse=np.stack([np.stack(row, axis=-1) for row in inverse], axis=-1)
                    if columns
                    else np.zeros((len(theta_T1), 0, 0)),
                    sums=np.where(factor.full_rank, np.square(residual).sum(-1), np.inf),
                )
            )
        return cls(curve=curve, theta=theta_T1, sets=tuple(sets))

    def predict(self, x_V: np.ndarray) -> np.ndarray:
        return self.curve.predict(x_V / self.curve.scaled.scale)

    def sum_of_squares(self, x_V: np.ndarray, h_VH: np.ndarray) -> np.ndarray:
        """S*(x, h), shape (V, H), for x in the unit of the data; inf where no such curve was tried."""
        scaled, u_V1 = self.curve.scaled, x_V[:, None] / self.curve.scaled.scale
        rows_VTK, offset_VT = scaled.rows(u_V1, self.theta), scaled.offsets(u_V1, self.theta)
        best_VHT = np.full((*h_VH.shape, len(self.theta)), np.inf)
        for one in self.sets:
            if not one.columns:
                continue
            g_VTK = rows_VTK[..., list(one.columns)]
            d_VTK = (g_VTK[..., None, :] * one.inverse).sum(-1)
            variance_VT, height_VT = (g_VTK * d_VTK).sum(-1), offset_VT + (g_VTK * one.beta).sum(-1)
            low_VT, high_VT = self._allowed(one, d_VTK)
            miss_VHT = h_VH[..., None] - height_VT[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                pull_VHT = miss_VHT / variance_VT[:, None]
                sums_VHT = one.sums + miss_VHT * pull_VHT
            feasible = (pull_VHT >= low_VT[:, None]) & (pull_VHT <= high_VT[:, None])
            np.copyto(best_VHT, sums_VHT, where=feasible & (sums_VHT < best_VHT))
        return lowest(best_VHT)

    def _allowed(self, one: _ActiveSet, d_VTK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The range of t, two arrays (V, T), in which β̂ + t·(ΦᵀΦ)⁻¹g keeps every bounded amplitude at or above 0."""
        low_VT, high_VT = np.full(d_VTK.shape[:2], -np.inf), np.full(d_VTK.shape[:2], np.inf)
        for place, column in enumerate(one.columns):
            if not self.curve.problem.bounded[column]:
                continue
            d_VT, beta_T = d_VTK[..., place], one.beta[:, place]
            with np.errstate(divide="ignore", invalid="ignore"):
                turn_VT = -beta_T / d_VT
            low_VT = np.where(d_VT > 0, np.maximum(low_VT, turn_VT), low_VT)
            high_VT = np.where(d_VT < 0, np.minimum(high_VT, turn_VT), high_VT)
            high_VT = np.where((d_VT == 0) & (beta_T < 0), -np.inf, high_VT)
        return low_VT, high_VT


def lowest(values: np.ndarray) -> np.ndarray:
    """The minimum over the last axis: that of the parabola through the smallest value and its neighbours."""
    at = np.clip(values.argmin(axis=-1), 1, values.shape[-1] - 2)[..., None]
    left, middle, right = (np.take_along_axis(values, at + side, axis=-1)[..., 0] for side in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        bend = left - 2 * middle + right
        bottom = middle - np.square(left - right) / (8 * bend)
    inner = (middle <= left) & (middle <= right) & np.isfinite(bend) & (bend > 0)
    return np.where(inner, np.where(inner, bottom, 0.0), np.minimum(np.minimum(left, middle), right))
