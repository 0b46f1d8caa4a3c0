"""The exact end of a fit by least absolute deviations: linear programs around the point reached so far.

    min_d Σ_i w_i |r_i + ∂r_i·d|   with |d_k| ≤ Δ_k and bounds on q + d

Such an optimum passes through as many points as it has free parameters, a corner that smooth methods only approach;
there the programs converge quadratically (Osborne & Watson 1971, Comput. J. 14, 184).
"""

import numpy as np
from scipy import optimize

from analysis.solve.objective import Objective

_ROUNDS = 40


def polish_deviations(objective: Objective, q: np.ndarray) -> tuple[np.ndarray, float]:
    """From q (Q,) near the optimum of one problem to its corner.

    Returns:
        The corner, and by what share of the objective the last program still hoped to improve it within 0.1 % of
        each parameter: the proof that it is a local minimum.
    """
    low, high = objective.bounds()
    weights = np.ones(objective.y.size) if objective.weights is None else objective.weights
    size = np.maximum(np.abs(q), 1e-2)
    reach, best = 0.1, float(objective.value(q[None])[0])
    for _ in range(_ROUNDS):
        r, slopes_QN = objective.residual(q), objective.slopes(q)
        step = _program(
            r, slopes_QN.T * size, weights, np.maximum((low - q) / size, -reach), np.minimum((high - q) / size, reach)
        )
        moved = np.clip(q + size * step, low, high)
        found = float(objective.value(moved[None])[0])
        if found < best:
            small = np.abs(step).max() < 1e-10
            q, best, reach = moved, found, min(2 * reach, 1.0)
            if small:
                break
        else:
            reach /= 4
            if reach < 1e-12:
                break
    r, slopes_QN = objective.residual(q), objective.slopes(q)
    step = _program(
        r, slopes_QN.T * size, weights, np.maximum((low - q) / size, -1e-3), np.minimum((high - q) / size, 1e-3)
    )
    hoped = float((weights * np.abs(r + (size * step) @ slopes_QN)).sum())
    return q, max(0.0, (best - hoped) / best) if best > 0 else 0.0


def _program(
    r: np.ndarray, slopes_NQ: np.ndarray, weights: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    n, count = slopes_NQ.shape
    solved = optimize.linprog(
        np.concatenate([np.zeros(count), weights]),
        A_ub=np.block([[slopes_NQ, -np.eye(n)], [-slopes_NQ, -np.eye(n)]]),
        b_ub=np.concatenate([-r, r]),
        bounds=[*zip(low, high, strict=True), *[(0, None)] * n],
        method="highs",
    )
    return np.asarray(solved.x[:count]) if solved.x is not None else np.zeros(count)
