"""Variable projection: least squares over the nonlinear parameters θ, with the amplitudes β solved inside.

    S(θ) = min_{β_j ≥ 0} ‖y − f₀(θ) − Φ(θ) β‖²        ∂S/∂θ_k = −2 rᵀ ∂f/∂θ_k        r = y − f₀(θ) − Φ(θ) β

Golub & Pereyra 1973 (SIAM J. Numer. Anal. 10, 413): the search loses the ill-conditioned directions, and for one
nonlinear parameter a grid proves the minimum global. The gradient holds because r is orthogonal to the free columns.
Everything is batched over leading dimensions, so that many data sets or many θ cost one pass of numpy.

Shapes: R data sets, M starts, N points, P nonlinear and K linear parameters, `...` any leading dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.solve.amplitudes import solve_amplitudes
from analysis.solve.scaled import ScaledLaw, product_grid

_STEP_LENGTHS_T = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3])
_MAX_STEPS = 50
# Grid points per nonlinear parameter, by how many there are.
_GRID_COUNTS = {1: 64, 2: 32, 3: 14, 4: 8, 5: 5}
_FEWEST = 4


@dataclass(frozen=True, kw_only=True)
class Problem:
    """min over θ in [low, high] of S(θ); `grid` holds the θ at which the search for the global minimum begins.

    `offset` is f₀ of the law and None where there is none.
    """

    design: Callable[[np.ndarray], np.ndarray]  # θ (..., P) → Φ (..., N, K)
    low: np.ndarray  # (P,)
    high: np.ndarray  # (P,)
    grid: np.ndarray  # (G, P)
    bounded: tuple[bool, ...]  # (K,), which amplitudes must not be negative
    offset: Callable[[np.ndarray], np.ndarray] | None = None  # θ (..., P) → f₀ (..., N)

    def target(self, y_N: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
        """What the amplitudes are fitted to: y − f₀(θ)."""
        return y_N if self.offset is None else y_N - self.offset(theta_P)

    def solve(self, y_N: np.ndarray, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """β (..., K) and the residual (..., N)."""
        return solve_amplitudes(self.design(theta_P), self.target(y_N, theta_P), self.bounded)

    def sum_of_squares(self, y_N: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
        return np.square(self.solve(y_N, theta_P)[1]).sum(-1)

    def model(self, theta_P: np.ndarray, beta_K: np.ndarray) -> np.ndarray:
        """f, shape (..., N)."""
        found = (self.design(theta_P) * beta_K[..., None, :]).sum(-1)
        return found if self.offset is None else found + self.offset(theta_P)

    def rows_times(self, factor_N: np.ndarray) -> "Problem":
        """The problem with every row of Φ and f₀ multiplied by a number of its own, for weights."""
        offset = self.offset
        return replace(
            self,
            design=lambda theta_P: self.design(theta_P) * factor_N[..., None],
            offset=None if offset is None else (lambda theta_P: offset(theta_P) * factor_N),
        )


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """The best of all starts for each data set."""

    theta: np.ndarray  # (R, P)
    beta: np.ndarray  # (R, K)
    objective: np.ndarray  # (R,)
    start_count: int
    starts_at_optimum: np.ndarray  # (R,)
    scaled_gradient: np.ndarray  # (R,), see _scaled_gradient

    @property
    def sum_of_squares(self) -> np.ndarray:
        """The objective of least squares."""
        return self.objective


def law_problem(scaled: ScaledLaw, u_N: np.ndarray, *, grid_count: int = 0) -> Problem:
    """The problem of one law on one curve, u of shape (N,) or (N, I)."""
    low_P, high_P, axes = scaled.search_range(grid_count or _GRID_COUNTS.get(len(scaled.law.nonlinear), _FEWEST))
    return Problem(
        design=lambda theta_P: scaled.design(u_N, theta_P),
        low=low_P,
        high=high_P,
        grid=product_grid(axes),
        bounded=tuple(p.low == 0 for p in scaled.law.linear),
        offset=None if scaled.law.fixed is None else (lambda theta_P: scaled.offsets(u_N, theta_P[..., None, :])),
    )


def rounding_floor(y_N: np.ndarray) -> np.ndarray:
    """The sum of squares that rounding alone leaves on exact data, shape (...)."""
    return y_N.shape[-1] * np.square(16 * np.finfo(float).eps * np.abs(y_N).max(-1))


def minimise(problem: Problem, y_RN: np.ndarray, *, spread: int = 12, best: int = 3) -> Minimum:
    """The global minimum of S(θ) for every row of y.

    The whole grid is evaluated; the `best` points of it and `spread` points evenly over it are polished by Newton's
    method to the end. A start counts as "at the optimum" when its S agrees with the smallest to 1e-9.
    """
    grid_y = y_RN[:, None, :]
    grid_S = problem.sum_of_squares(grid_y, problem.grid[None])
    chosen = np.argsort(grid_S, axis=1, kind="stable")[:, :best]
    if spread:
        even = np.linspace(0, len(problem.grid) - 1, spread).round().astype(int)
        chosen = np.concatenate([chosen, np.broadcast_to(even, (len(y_RN), len(even)))], axis=1)
    # Ascending, so that equal minima resolve to the same one whatever rounding does.
    theta_RMP = _polish(problem, grid_y, problem.grid[np.sort(chosen, axis=1)])
    S_RM = problem.sum_of_squares(grid_y, theta_RMP)
    floor_R, lowest_R = rounding_floor(y_RN), S_RM.min(axis=1)
    ties_R1 = (lowest_R * (1 + 1e-13) + floor_R * 1e-3)[:, None]
    winner = np.argmax(ties_R1 >= S_RM, axis=1)
    theta_RP = np.take_along_axis(theta_RMP, winner[:, None, None], axis=1)[:, 0]
    beta_RK, residual_RN = problem.solve(y_RN, theta_RP)
    return Minimum(
        theta=theta_RP,
        beta=beta_RK,
        objective=np.square(residual_RN).sum(-1),
        start_count=theta_RMP.shape[1],
        starts_at_optimum=((lowest_R * (1 + 1e-9) + floor_R)[:, None] >= S_RM).sum(axis=1),
        scaled_gradient=_scaled_gradient(problem, y_RN, theta_RP),
    )


def _slopes(problem: Problem, theta_P: np.ndarray, beta_K: np.ndarray) -> np.ndarray:
    """∂f/∂θ_k at constant β, shape (..., P, N), by central differences."""
    steps_PP = np.eye(theta_P.shape[-1]) * (6e-6 * np.maximum(np.abs(theta_P), 0.1))[..., None]
    here_1P, beta_1K = theta_P[..., None, :], beta_K[..., None, :]
    difference = problem.model(here_1P + steps_PP, beta_1K) - problem.model(here_1P - steps_PP, beta_1K)
    return difference / (2 * np.diagonal(steps_PP, axis1=-2, axis2=-1)[..., None])


def _gradient(problem: Problem, y_N: np.ndarray, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S of shape (...) and ∂S/∂θ of shape (..., P)."""
    beta_K, residual_N = problem.solve(y_N, theta_P)
    slopes_PN = _slopes(problem, theta_P, beta_K)
    return np.square(residual_N).sum(-1), -2 * (residual_N[..., None, :] * slopes_PN).sum(-1)


def _held(problem: Problem, theta_P: np.ndarray, gradient_P: np.ndarray) -> np.ndarray:
    """Parameters on a bound that the descent would push through it."""
    return ((theta_P <= problem.low) & (gradient_P > 0)) | ((theta_P >= problem.high) & (gradient_P < 0))


def _scaled_gradient(problem: Problem, y_RN: np.ndarray, theta_RP: np.ndarray) -> np.ndarray:
    """Largest |cos| of the angle between the residual and a tangent of the curve, as in MINPACK's gtol; shape (R,)."""
    beta_RK, residual_RN = problem.solve(y_RN, theta_RP)
    slopes_RPN = _slopes(problem, theta_RP, beta_RK)
    product_RP = (residual_RN[:, None, :] * slopes_RPN).sum(-1)
    S_R = np.square(residual_RN).sum(-1)
    lengths_RP = np.sqrt(np.square(slopes_RPN).sum(-1) * S_R[:, None])
    held = _held(problem, theta_RP, -product_RP) | (rounding_floor(y_RN) >= S_R)[:, None] | (lengths_RP == 0)
    return np.where(held, 0.0, np.abs(product_RP) / np.where(held, 1.0, lengths_RP)).max(-1)


def _polish(problem: Problem, y_N: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
    """Newton's method on S with |curvature|, backtracking and bounds; shape of θ (R, M, P) in and out."""
    count = theta_P.shape[-1]
    floor = rounding_floor(y_N)
    for _ in range(_MAX_STEPS):
        width_PP = np.eye(count) * (1e-4 * np.maximum(np.abs(theta_P), 0.01))[..., None]
        here = theta_P[..., None, :]
        around = np.concatenate([here, here + width_PP, here - width_PP], axis=-2)
        S, gradient = _gradient(problem, y_N[..., None, :], around)
        S, gradient_P = S[..., 0], gradient[..., 0, :]
        curvature = gradient[..., 1 : count + 1, :] - gradient[..., count + 1 :, :]
        curvature_PP = curvature / (2 * np.diagonal(width_PP, axis1=-2, axis2=-1)[..., None])
        held_P = _held(problem, theta_P, gradient_P)
        free_PP = ~held_P[..., None] & ~held_P[..., None, :]
        curvature_PP = np.where(free_PP, (curvature_PP + curvature_PP.swapaxes(-1, -2)) / 2, np.eye(count))
        values, vectors = np.linalg.eigh(np.nan_to_num(curvature_PP))
        values = np.maximum(np.abs(values), 1e-9 * np.abs(values).max(-1, keepdims=True) + 1e-100)
        downhill = (vectors * np.where(held_P, 0.0, -gradient_P)[..., None]).sum(-2) / values
        step_P = np.clip((vectors * downhill[..., None, :]).sum(-1), problem.low - theta_P, problem.high - theta_P)
        trial_P = theta_P[..., None, :] + _STEP_LENGTHS_T[:, None] * step_P[..., None, :]
        trial_P = np.clip(trial_P, problem.low, problem.high)
        trial_S = problem.sum_of_squares(y_N[..., None, :], trial_P)
        # Near the end S no longer resolves the step but the gradient does: take the whole step.
        settled = (np.abs(step_P) <= 1e-5).all(-1) & (trial_S[..., 0] <= S * (1 + 1e-10) + floor)
        pick = np.where(settled, 0, trial_S.argmin(-1))[..., None]
        lower = np.take_along_axis(trial_S, pick, axis=-1)[..., 0] < S
        moved = np.take_along_axis(trial_P, pick[..., None], axis=-2)[..., 0, :]
        moved = np.where((settled | lower)[..., None], moved, theta_P)
        shift = np.abs(moved - theta_P).max()
        theta_P = moved
        if shift <= 1e-10:
            break
    return theta_P
