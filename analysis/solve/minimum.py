"""The global minimum of any loss: variable projection for least squares, starts all over the grid for the others.

    scan     for each θ of the grid the amplitudes by linear least squares, on relative errors for a loss on logarithms
    polish   the best of them, and others spread over the grid, by Newton's method on all parameters
    lad      Huber's loss with a shrinking δ, then linear programs

How many starts end at the same optimum says how sure it is the global one.
"""

import math
from dataclasses import replace

import numpy as np

from analysis.solve.deviations import polish_deviations
from analysis.solve.losses import Loss
from analysis.solve.newton import newton
from analysis.solve.objective import Objective
from analysis.solve.projection import Minimum, Problem, minimise, rounding_floor

_SHRINK = 4.0
_CHUNK = 256
# How close two starts must end to count as the same optimum, as a share of the objective.
_SAME = {"ls": 1e-8, "huber": 1e-8, "lad": 1e-4}


def minimum(
    problem: Problem,
    y_N: np.ndarray,
    *,
    loss: Loss,
    weights_N: np.ndarray | None = None,
    spread: int = 12,
    best: int = 3,
) -> Minimum:
    """Of one data set, as a Minimum with R = 1."""
    if loss.is_plain:
        factor = None if weights_N is None else np.sqrt(weights_N)
        weighted = problem if factor is None else problem.rows_times(factor)
        return minimise(weighted, (y_N if factor is None else factor * y_N)[None], spread=spread, best=best)
    smooth = _smooth(loss, y_N)
    objective = Objective(problem=problem, loss=smooth, y=y_N, weights=weights_N)
    starts = _starts(objective, spread=spread, best=best)
    # Straight to a δ far below the residuals Newton's method gets stuck: least deviations go by stages from each start.
    staged = _by_stages(objective, starts if loss.kind == "lad" else starts[:1])
    ends = newton(objective, staged if loss.kind == "lad" else np.concatenate([starts, staged]))
    values = objective.value(ends)
    lowest = values.min()
    floor = float(rounding_floor(y_N)) if loss.kind == "ls" else float(np.sqrt(rounding_floor(y_N)))
    # Ascending starts and a margin for rounding, so that equal minima resolve to the same one.
    winner = int(np.argmax(values <= lowest * (1 + 1e-13) + floor * 1e-3))
    q, given = ends[winner], Objective(problem=problem, loss=loss, y=y_N, weights=weights_N)
    flat = 0.0
    if loss.kind == "lad":
        q, flat = polish_deviations(given, q)
    elif values[winner] > floor:
        flat = scaled_gradient(objective, q)
    theta_P, beta_K = objective.split(q)
    return Minimum(
        theta=theta_P[None],
        beta=beta_K[None],
        objective=given.value(q[None]),
        start_count=len(ends),
        starts_at_optimum=np.array([(values <= lowest * (1 + _SAME[loss.kind]) + floor).sum()]),
        scaled_gradient=np.array([flat]),
    )


def refit_near(objective: Objective, q: np.ndarray) -> np.ndarray:
    """The local minima of many data sets, shape (R, Q), from one point that is near all of them.

    `objective.y` or `objective.weights` is (R, N). For simulations and bootstraps of a fit whose optimum is known.
    """
    parts = (objective.y, objective.weights)
    count = next(len(part) for part in parts if part is not None and part.ndim == 2)
    ends = []
    for begin in range(0, count, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        y, weights = (part[rows] if part is not None and part.ndim == 2 else part for part in parts)
        assert y is not None
        size = min(_CHUNK, count - begin)
        part = replace(objective, y=y, weights=weights, loss=_smooth(objective.loss, np.atleast_2d(y)[0]))
        ends.append(newton(part, np.repeat(q[None], size, axis=0)))
    return np.concatenate(ends)


def scaled_gradient(objective: Objective, q: np.ndarray) -> float:
    """The largest |cos| between the slopes of the loss and a tangent of the curve, over what no bound holds."""
    low, high = objective.bounds()
    _, gradient, _ = objective.derivatives(q[None])
    outer = objective.loss.slope(objective.residual(q))
    weighted = outer if objective.weights is None else outer * objective.weights
    lengths = np.sqrt(np.square(objective.slopes(q)).sum(-1) * np.square(weighted).sum(-1))
    held = ((q <= low) & (gradient[0] > 0)) | ((q >= high) & (gradient[0] < 0)) | (lengths == 0)
    return float(np.where(held, 0.0, np.abs(gradient[0]) / np.where(lengths == 0, 1.0, lengths)).max())


def _smooth(loss: Loss, y_N: np.ndarray) -> Loss:
    """Itself, or for least absolute deviations Huber's loss with a δ far below any residual."""
    if loss.kind != "lad":
        return loss
    return Loss(
        kind="huber", logarithmic=loss.logarithmic, delta=1e-6 * (1.0 if loss.logarithmic else float(np.median(y_N)))
    )


def _starts(objective: Objective, *, spread: int, best: int) -> np.ndarray:
    """q of shape (M, Q), the most promising first."""
    problem, y_N = objective.problem, objective.y
    relative = problem.rows_times(1 / y_N) if objective.loss.logarithmic else problem
    target = np.ones_like(y_N) if objective.loss.logarithmic else y_N
    beta_GK, _ = relative.solve(target, problem.grid)
    q_GQ = np.concatenate([problem.grid, beta_GK], axis=-1)
    order = np.argsort(np.nan_to_num(objective.value(q_GQ), nan=np.inf), kind="stable")
    even = np.linspace(0, len(q_GQ) - 1, spread).round().astype(int)
    return np.concatenate([q_GQ[order[:best]], q_GQ[even]])


def _by_stages(objective: Objective, q: np.ndarray) -> np.ndarray:
    """Huber's loss with δ from beyond every residual down to the one asked for, each from the end of the last."""
    if objective.loss.kind != "huber":
        return q
    delta = float(np.abs(objective.residual(q)).max())
    while math.isfinite(delta) and delta > objective.loss.delta:
        q = newton(replace(objective, loss=replace(objective.loss, delta=delta)), q)
        delta /= _SHRINK
    return q
