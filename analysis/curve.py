"""One law at its optimum on one curve, on the scale u = x / scale that every interval is computed on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.intervals import ConfidenceSet, Functional, f_limit, zoom
from analysis.laws import Law
from analysis.observations import Observations, find_law, require_enough
from analysis.solve.amplitudes import solve_amplitudes
from analysis.solve.projection import Problem, ScaledLaw, law_problem, minimise, rounding_floor
from archscale.registry import UserError


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
    """A curve and its least-squares optimum on the scale u = x / scale, on which intervals are computed."""

    scaled: ScaledLaw
    u: np.ndarray
    y: np.ndarray
    problem: Problem
    theta: np.ndarray  # (P,)
    beta: np.ndarray  # (K,)
    sum_of_squares: float
    starts: Starts

    @property
    def floor(self) -> float:
        return float(rounding_floor(self.y))

    @property
    def degrees_of_freedom(self) -> int:
        return self.y.size - self.theta.size - self.beta.size

    def confidence_set(self, level: float, *, limit: float | None = None) -> ConfidenceSet:
        """The set at a level of confidence, or at a limit that was found otherwise."""
        if limit is None:
            limit = f_limit(
                self.sum_of_squares, degrees_of_freedom=self.degrees_of_freedom, level=level, floor=self.floor
            )
        return ConfidenceSet(problem=self.problem, y=self.y, theta=float(self.theta[0]), limit=limit)

    def prediction(self, u_V: np.ndarray) -> Functional:
        """The height of the curve at each u, as a functional of shape (V, G, K)."""
        return lambda theta_P: self.scaled.rows(u_V[:, None], theta_P)

    def predict(self, u_V: np.ndarray) -> np.ndarray:
        prediction: np.ndarray = self.scaled.rows(u_V, self.theta) @ self.beta
        return prediction

    def parameters(self) -> dict[str, float]:
        """In the unit of x and in the order of the equation."""
        linear = self.beta * self.scaled.amplitude_factors(self.theta)
        named = _named(self.scaled, linear, self.theta * self.scaled.units())
        return {name: float(value) for name, value in named.items()}


def fit_curve(law: Law, points: Observations) -> Curve:
    """The optimum alone, without intervals.

    Raises:
        UserError: for too few distinct x, or a law whose number of nonlinear parameters is not one.
    """
    if len(law.nonlinear) != 1:
        raise UserError(
            f"law {law.name!r} has {len(law.nonlinear)} nonlinear parameters, but intervals are computed for laws with"
            f" one; choose a law of the form Σ β·φ(x; b) such as 'power_offset'"
        )
    require_enough(law, points)
    scaled = ScaledLaw(law=law, scale=float(np.exp(np.log(points.x).mean())))
    u = points.x / scaled.scale
    problem = law_problem(scaled, u)
    best = minimise(problem, points.y[None])
    return Curve(
        scaled=scaled,
        u=u,
        y=points.y,
        problem=problem,
        theta=best.theta[0],
        beta=best.beta[0],
        sum_of_squares=float(best.sum_of_squares[0]),
        starts=Starts(
            count=best.start_count,
            at_optimum=int(best.starts_at_optimum[0]),
            scaled_gradient_norm=float(best.scaled_gradient[0]),
        ),
    )


def refit(law: str | Law, x: Sequence[float] | np.ndarray, y_RN: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of R data sets on the same x at once, each of shape (R,); for simulations and bootstraps.

    The global grid is scanned for each data set and its three best points are polished.
    """
    law = find_law(law)
    x_N = np.asarray(x, dtype=float)
    scaled = ScaledLaw(law=law, scale=float(np.exp(np.log(x_N).mean())))
    best = minimise(law_problem(scaled, x_N / scaled.scale), np.asarray(y_RN, dtype=float), spread=0)
    linear = best.beta * scaled.amplitude_factors(best.theta)
    return _named(scaled, linear.T, (best.theta * scaled.units()).T)


def aicc(sum_of_squares: float, *, n: int, parameters: int, floor: float) -> float:
    """n·ln(S/n) + 2K + 2K(K + 1)/(n − K − 1) with K counting the noise variance too; nan where n ≤ K + 1.

    Hurvich & Tsai 1989 (Biometrika 76, 297).
    """
    k = parameters + 1
    if n <= k + 1:
        return math.nan
    return n * math.log(max(sum_of_squares, floor) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def profiled_amplitude(curve: Curve, column: int, values_V: np.ndarray) -> np.ndarray:
    """min over θ and the other amplitudes of S with amplitude `column` held at each value (in the unit of x)."""
    others = [j for j in range(curve.beta.size) if j != column]
    bounded = tuple(curve.problem.bounded[j] for j in others)

    def negative(theta_VG: np.ndarray) -> np.ndarray:
        theta_P = theta_VG[..., None]
        design = curve.problem.design(theta_P)
        held = values_V[:, None] / curve.scaled.amplitude_factors(theta_P)[..., column]
        target = curve.y - held[..., None] * design[..., column]
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
