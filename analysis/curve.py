"""One law at its optimum on one curve, on the scale u = x / scale that every interval is computed on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analysis.intervals import ConfidenceSet, Functional, f_limit, zoom
from analysis.laws import Law
from analysis.observations import Observations, find_law, require_enough
from analysis.solve.amplitudes import solve_amplitudes
from analysis.solve.dispersion import robust_limit
from analysis.solve.losses import Loss
from analysis.solve.minimum import minimum, refit_near
from analysis.solve.objective import Objective
from analysis.solve.profile import Profile, Quantity
from analysis.solve.projection import Problem, law_problem, minimise, rounding_floor
from analysis.solve.scaled import ScaledLaw

LEAST_SQUARES = Loss()


@dataclass(frozen=True, kw_only=True)
class Starts:
    """How sure the minimum is the global one: starts in all, starts that ended there, and how flat it is there.

    `scaled_gradient_norm` is the largest |cos| between the residual and a tangent of the curve (0 at a minimum).
    """

    count: int
    at_optimum: int
    scaled_gradient_norm: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve and its optimum on the scale u = x / scale, on which intervals are computed.

    `problem` and `y` hold the weights of least squares already, as rows multiplied by their roots; `weights` are those
    of any other loss. `u` has shape (n,), or (n, I) for a law of I inputs.
    """

    scaled: ScaledLaw
    u: np.ndarray
    y: np.ndarray
    problem: Problem
    theta: np.ndarray  # (P,)
    beta: np.ndarray  # (K,)
    minimum: float
    starts: Starts
    loss: Loss = LEAST_SQUARES
    weights: np.ndarray | None = None

    @property
    def sum_of_squares(self) -> float:
        """The objective, which for least squares is Σ w·r²; of logarithms for log-ls."""
        return self.minimum

    @property
    def floor(self) -> float:
        """The objective that rounding alone leaves on exact data."""
        squares = float(rounding_floor(np.log(self.y) if self.loss.logarithmic else self.y))
        return squares if self.loss.kind == "ls" else math.sqrt(squares * self.y.size)

    @property
    def degrees_of_freedom(self) -> int:
        return self.y.size - self.theta.size - self.beta.size

    @property
    def is_closed_form(self) -> bool:
        """Least squares with one nonlinear parameter, whose intervals need no search beyond it."""
        return self.loss.is_plain and self.theta.size == 1

    @property
    def q(self) -> np.ndarray:
        """All parameters of the search, (Q,)."""
        return np.concatenate([self.theta, self.beta])

    @cached_property
    def objective(self) -> Objective:
        """Of all parameters at once; least deviations are rounded off within a thirtieth of a usual residual."""
        loss = self.loss
        if loss.kind == "lad":
            residual = loss.residual(self.y, self.problem.model(self.theta, self.beta))
            loss = Loss(
                kind="huber", logarithmic=loss.logarithmic, delta=max(3e-2 * float(np.median(np.abs(residual))), 1e-9)
            )
        return Objective(problem=self.problem, loss=loss, y=self.y, weights=self.weights)

    @cached_property
    def profile(self) -> Profile:
        return Profile(objective=self.objective, q=self.q)

    def limit(self, level: float) -> float:
        """How far the objective may rise at a level of confidence.

        F calibration for least squares, and for other losses the drop in dispersion of Schrader & Hettmansperger 1980.
        """
        if self.loss.kind == "ls":
            return f_limit(self.minimum, degrees_of_freedom=self.degrees_of_freedom, level=level, floor=self.floor)
        return robust_limit(
            self.objective, self.q, degrees_of_freedom=self.degrees_of_freedom, level=level, floor=self.floor
        )

    def confidence_set(self, level: float, *, limit: float | None = None) -> ConfidenceSet:
        """The set at a level of confidence, or at a limit that was found otherwise."""
        limit = self.limit(level) if limit is None else limit
        return ConfidenceSet(problem=self.problem, y=self.y, theta=float(self.theta[0]), limit=limit)

    def prediction(self, u_V: np.ndarray) -> Functional:
        """The height of the curve at each u, as a functional of shape (V, G, K)."""
        return lambda theta_P: self.scaled.rows(u_V[:, None], theta_P)

    def predict(self, u_V: np.ndarray) -> np.ndarray:
        return self._height(u_V, self.theta, self.beta)

    def heights(self, u_V: np.ndarray) -> Quantity:
        """The height of the curve at each u, as a quantity of all parameters."""

        def height(q: np.ndarray, which: np.ndarray) -> np.ndarray:
            theta_P, beta_K = self.objective.split(q)
            places = u_V[which].reshape(len(which), *[1] * (q.ndim - 2), *u_V.shape[1:])
            return self._height(places, theta_P, beta_K)

        return height

    def prediction_ends(self, u_V: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Profile interval of the height of the curve at each u, two arrays (V,)."""
        if self.is_closed_form:
            return self.confidence_set(level).extremes(self.prediction(u_V))
        return self.profile.ends(self.heights(u_V), len(u_V), self.limit(level))

    def parameters(self) -> dict[str, float]:
        """In the unit of x and in the order of the equation."""
        linear = self.beta * self.scaled.amplitude_factors(self.theta)
        named = _named(self.scaled, linear, self.scaled.values(self.theta))
        return {name: float(value) for name, value in named.items()}

    def _height(self, u: np.ndarray, theta_P: np.ndarray, beta_K: np.ndarray) -> np.ndarray:
        found: np.ndarray = (self.scaled.rows(u, theta_P) * beta_K).sum(-1)
        return found if self.scaled.law.fixed is None else found + self.scaled.offsets(u, theta_P)


def fit_curve(law: Law, points: Observations, *, loss: Loss = LEAST_SQUARES) -> Curve:
    """The optimum alone, without intervals.

    Raises:
        UserError: for points that say too little for the law: see `require_enough`.
    """
    require_enough(law, points)
    scaled = ScaledLaw.of(law, points.x)
    u = points.x / scaled.scale
    problem, y = law_problem(scaled, u), points.y
    best = minimum(problem, y, loss=loss, weights_N=points.weights)
    if loss.is_plain and points.weights is not None:
        root = np.sqrt(points.weights)
        problem, y = problem.rows_times(root), root * y
    return Curve(
        scaled=scaled,
        u=u,
        y=y,
        problem=problem,
        theta=best.theta[0],
        beta=best.beta[0],
        minimum=float(best.objective[0]),
        starts=Starts(
            count=best.start_count,
            at_optimum=int(best.starts_at_optimum[0]),
            scaled_gradient_norm=float(best.scaled_gradient[0]),
        ),
        loss=loss,
        weights=None if loss.is_plain else points.weights,
    )


def refit(
    law: str | Law,
    x: Sequence[float] | np.ndarray,
    y_RN: np.ndarray,
    *,
    loss: str | Loss = LEAST_SQUARES,
    weights_RN: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Parameters of R data sets on the same x at once, each of shape (R,); for simulations and bootstraps.

    Least squares without weights scans the global grid for each data set and polishes its three best points. With
    another loss, or weights such as the counts of a resample, each data set starts at the optimum of the first row's
    points with equal weights.
    """
    law, loss, x_N = find_law(law), Loss.parse(loss), np.asarray(x, dtype=float)
    scaled = ScaledLaw.of(law, x_N)
    problem, y = law_problem(scaled, x_N / scaled.scale), np.asarray(y_RN, dtype=float)
    if loss.is_plain and weights_RN is None:
        best = minimise(problem, y, spread=0)
        theta, beta = best.theta, best.beta
    else:
        first = minimum(problem, np.atleast_2d(y)[0], loss=loss)
        objective = Objective(problem=problem, loss=loss, y=y, weights=weights_RN)
        theta, beta = objective.split(refit_near(objective, np.concatenate([first.theta[0], first.beta[0]])))
    linear = beta * scaled.amplitude_factors(theta)
    return _named(scaled, linear.T, scaled.values(theta).T)


def aicc(sum_of_squares: float, *, n: int, parameters: int, floor: float) -> float:
    """n·ln(S/n) + 2K + 2K(K + 1)/(n − K − 1) with K counting the noise variance too; nan where n ≤ K + 1.

    Hurvich & Tsai 1989 (Biometrika 76, 297).
    """
    k = parameters + 1
    if n <= k + 1:
        return math.nan
    return n * math.log(max(sum_of_squares, floor) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def profiled_amplitude(curve: Curve, column: int, values_V: np.ndarray) -> np.ndarray:
    """min over θ and the other amplitudes of S with amplitude `column` held at each value (in the unit of x).

    For the curves of `is_closed_form`.
    """
    others = [j for j in range(curve.beta.size) if j != column]
    bounded = tuple(curve.problem.bounded[j] for j in others)

    def negative(theta_VG: np.ndarray) -> np.ndarray:
        theta_P = theta_VG[..., None]
        design = curve.problem.design(theta_P)
        held = values_V[:, None] / curve.scaled.amplitude_factors(theta_P)[..., column]
        target = curve.problem.target(curve.y, theta_P) - held[..., None] * design[..., column]
        return -np.square(solve_amplitudes(design[..., others], target, bounded)[1]).sum(-1)

    low, high = float(curve.problem.low[0]), float(curve.problem.high[0])
    near = curve.theta[0] + np.linspace(-1, 1, 129) * max(abs(curve.theta[0]), 1e-3)
    scan = np.unique(np.clip(np.concatenate([curve.problem.grid[:, 0], near]), low, high))
    return -zoom(negative, scan[None])[1]


def _named(scaled: ScaledLaw, linear: Any, nonlinear: Any) -> dict[str, Any]:
    """Values, or arrays of them, under their names in the order of the equation."""
    law = scaled.law
    found = dict(zip([p.name for p in law.linear + law.nonlinear], [*linear, *nonlinear], strict=True))
    return {p.name: found[p.name] for p in law.parameters}
