"""Bootstrap intervals: the fit is repeated on resampled points, from its own optimum and within the bounds.

pairs   n points drawn with replacement; the ends are percentiles of the refits
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 9 and 13
wild    y* = f̂ + v_c · (I − H_cc)^-½ r_c      one v a cluster c: ±√½, ±1, ±√(3/2), a sixth each (Webb 2014, QED 1315)
        ends are g(q̂) ± z · se, where z is the quantile of |g(q*) − g(q̂)| / se* (percentile-t, symmetric) and se is
        robust to clusters: √(Σ_c (∂gᵀ (JᵀWJ)⁻¹ J_cᵀ W_c r_c)²)
        Cameron, Gelbach & Miller 2008 (Rev. Econ. Stat. 90, 414), unrestricted; (I − H_cc)^-½ undoes what the fit took
        out of the residuals of a cluster: Bell & McCaffrey 2002 (Survey Methodology 28, 169)

Shapes: B draws, N points, Q parameters, V quantities, C clusters.
"""

from dataclasses import replace

import numpy as np

from analysis.curve import Curve
from analysis.methods.wald import spread
from analysis.observations import Observations
from analysis.solve.minimum import refit_near
from analysis.solve.profile import Quantity, slopes

DRAWS, SEED = 1000, 0
_WEBB = np.sqrt([0.5, 1.0, 1.5])
# Of the residuals of a cluster that the fit follows wholly nothing is left to scale up.
_LEAST_SHARE = 0.02


def pairs_ends(
    curve: Curve, points: Observations, quantity: Quantity, count: int, level: float, *, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile ends for each of `count` quantities, two arrays (V,).

    A draw with fewer distinct points than the law has parameters has no fit and is drawn again.
    """
    counts_BN = resample(points, draws, at_least=curve.q.size, seed=SEED)
    weights = counts_BN if curve.objective.weights is None else counts_BN * curve.objective.weights
    q_BQ = refit_near(replace(curve.objective, weights=weights), curve.q)
    found_BV = _all_of(quantity, q_BQ, count)
    tail = (1 - level) / 2
    low, high = np.quantile(found_BV, [tail, 1 - tail], axis=0)
    return low, high


def resample(points: Observations, draws: int, *, at_least: int, seed: int) -> np.ndarray:
    """How often each point is in each draw, (B, N), with no fewer than `at_least` distinct inputs in any."""
    generator, n = np.random.default_rng(seed), points.y.size
    place = np.unique(points.columns, axis=0, return_inverse=True)[1].ravel()
    kept, missing = [], draws
    while missing:
        counts = generator.multinomial(n, np.full(n, 1 / n), size=2 * missing)
        at_place = np.zeros((len(counts), place.max() + 1))
        np.add.at(at_place.T, place, counts.T)
        enough = counts[(at_place > 0).sum(-1) >= at_least][:missing]
        kept.append(enough)
        missing -= len(enough)
    return np.concatenate(kept).astype(float)


def wild_ends(
    curve: Curve, points: Observations, quantity: Quantity, count: int, level: float, *, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile-t ends for each of `count` quantities, two arrays (V,); each point is a cluster without clusters."""
    clusters = (
        np.arange(points.y.size) if points.clusters is None else np.unique(points.clusters, return_inverse=True)[1]
    )
    members_CN = np.arange(clusters.max() + 1)[:, None] == clusters
    residual = _unfitted(curve, members_CN)
    generator = np.random.default_rng(SEED)
    webb_BC = generator.choice(np.concatenate([-_WEBB, _WEBB]), size=(draws, len(members_CN)))
    moved_BN = webb_BC[:, clusters] * residual
    fitted = curve.objective.model(curve.q)
    y_BN = fitted * np.exp(moved_BN) if curve.loss.logarithmic else fitted + moved_BN
    again = replace(curve.objective, y=y_BN)
    q_BQ = refit_near(again, curve.q)
    here = quantity(np.repeat(curve.q[None], count, axis=0), np.arange(count))
    error_V = _errors(curve, curve.q[None], curve.objective.residual(curve.q)[None], quantity, count, members_CN)[0]
    error_BV = _errors(curve, q_BQ, again.residual(q_BQ), quantity, count, members_CN)
    shift_BV = np.abs(_all_of(quantity, q_BQ, count) - here)
    # A quantity that a bound holds in a draw neither moves nor errs there; one that moves without error counts as far.
    with np.errstate(divide="ignore", invalid="ignore"):
        z_BV = np.where(shift_BV > 0, shift_BV / error_BV, 0.0)
    half = np.quantile(z_BV, level, axis=0, method="higher") * error_V
    return here - half, here + half


def _unfitted(curve: Curve, members_CN: np.ndarray) -> np.ndarray:
    """(I − H_cc)^-½ r_c of each cluster, (N,)."""
    root = np.ones(curve.y.size) if curve.objective.weights is None else np.sqrt(curve.objective.weights)
    rows_NQ = curve.objective.slopes(curve.q).T * root[:, None]
    hat_NN = rows_NQ @ spread(curve, curve.q[None])[0] @ rows_NQ.T
    residual = curve.objective.residual(curve.q) * root
    for member_N in members_CN:
        own = np.ix_(member_N, member_N)
        values, vectors = np.linalg.eigh(np.eye(int(member_N.sum())) - hat_NN[own])
        residual[member_N] = vectors @ ((vectors.T @ residual[member_N]) / np.sqrt(np.maximum(values, _LEAST_SHARE)))
    return np.asarray(residual / root)


def _errors(
    curve: Curve, q: np.ndarray, residual: np.ndarray, quantity: Quantity, count: int, members_CN: np.ndarray
) -> np.ndarray:
    """Standard errors robust to clusters at each q (B, Q), shape (B, V)."""
    objective = curve.objective
    slopes_BQN, bread = objective.slopes(q), spread(curve, q)
    pull_BN = residual if objective.weights is None else residual * objective.weights
    scores_BQC = (slopes_BQN * pull_BN[:, None]) @ members_CN.T
    which = np.repeat(np.arange(count), len(q))
    gradient = slopes(quantity, np.tile(q, (count, 1)), which).reshape(count, *q.shape)
    influence_VBC = (gradient[:, :, None] @ (bread @ scores_BQC))[:, :, 0]
    return np.asarray(np.sqrt(np.square(influence_VBC).sum(-1)).T)


def _all_of(quantity: Quantity, q_BQ: np.ndarray, count: int) -> np.ndarray:
    """Every quantity at every q, (B, V)."""
    which = np.repeat(np.arange(count), len(q_BQ))
    return quantity(np.tile(q_BQ, (count, 1)), which).reshape(count, len(q_BQ)).T
