"""One law fitted to one curve by least squares on the loss, with intervals, verdicts and a band.

    (θ̂, β̂) = argmin Σ_i (y_i − Σ_j β_j φ_j(x_i; θ))²

Variable projection finds the global minimum (projection.py); profile likelihood with F calibration gives every
interval (intervals.py). Measured coverage of nominal 90 % on six points (A = 2, b = 0.3, C = 1.5, noise 0.01, 600
simulations): b 91 %, C 90 %, the curve at 4 times the largest x 90 %.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.curve import Curve, Starts, aicc, fit_curve, profiled_amplitude
from analysis.intervals import Interval, verdict
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe, observe_groups
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted curve. Arrays are sorted by x; parameters are in the order of the equation and in the unit of x.

    Without residual degrees of freedom `residual_std` is nan, every verdict is "not identified" and every interval
    spans the bounds of its parameter. `aicc` is nan where n is too small for its correction.
    """

    law: Law
    group: str
    x_name: str
    y_name: str
    x: np.ndarray
    y: np.ndarray
    parameters: dict[str, float]
    intervals: dict[str, Interval]
    verdicts: dict[str, str]
    sum_of_squares: float
    residual_std: float
    degrees_of_freedom: int
    n: int
    aicc: float
    starts: Starts
    level: float
    curve: Curve = field(repr=False)

    def predict(self, x: Any) -> np.ndarray:
        """The fitted loss at each x > 0, shape (V,)."""
        return self.curve.predict(self._positive(x) / self.curve.scaled.scale)

    def band(self, x: Any, *, level: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Profile interval of the mean loss at each x, two arrays of shape (V,); ±inf without degrees of freedom.

        It is an interval at each x on its own, for the curve and not for a single new run.
        """
        u_V = self._positive(x) / self.curve.scaled.scale
        level = self.level if level is None else level
        check_level(level)
        if not self.degrees_of_freedom:
            return np.full(u_V.shape, -np.inf), np.full(u_V.shape, np.inf)
        low, high = self.curve.confidence_set(level).extremes(self.curve.prediction(u_V))
        estimate = self.curve.predict(u_V)
        return np.minimum(low, estimate), np.maximum(high, estimate)

    def profile(self, parameter: str, points: int = 41) -> tuple[np.ndarray, np.ndarray]:
        """The smallest sum of squares at each of `points` values of one parameter, the others free.

        The values reach somewhat beyond the interval of the parameter (or ±50 % of the estimate without one), evenly,
        or in equal ratios where they span more than a factor 10.

        Raises:
            UserError: for a parameter the law does not have.
        """
        if parameter not in self.parameters:
            raise unknown("parameter", parameter, self.parameters, hint=f"The law is {self.law.equation}.")
        values = self._profile_values(parameter, points)
        names = [p.name for p in self.law.linear]
        if parameter not in names:
            return values, self.curve.problem.sum_of_squares(self.curve.y, values[:, None])
        return values, profiled_amplitude(self.curve, names.index(parameter), values)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; an infinite end or an undefined figure is null, and the verdict says why."""
        return {
            "law": self.law.name,
            "equation": self.law.equation,
            "group": self.group,
            "x_name": self.x_name,
            "y_name": self.y_name,
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "level": self.level,
            "parameters": {
                name: {
                    "value": _finite(value),
                    "low": _finite(self.intervals[name].low),
                    "high": _finite(self.intervals[name].high),
                    "verdict": self.verdicts[name],
                }
                for name, value in self.parameters.items()
            },
            "sum_of_squares": self.sum_of_squares,
            "residual_std": _finite(self.residual_std),
            "degrees_of_freedom": self.degrees_of_freedom,
            "n": self.n,
            "aicc": _finite(self.aicc),
            "starts": {
                "count": self.starts.count,
                "at_optimum": self.starts.at_optimum,
                "scaled_gradient_norm": self.starts.scaled_gradient_norm,
            },
        }

    def _positive(self, x: Any) -> np.ndarray:
        values = np.atleast_1d(np.asarray(x, dtype=float))
        if not (np.isfinite(values) & (values > 0)).all():
            raise UserError(f"{self.x_name} = {values.tolist()}: a curve is predicted at finite positive values only")
        return values

    def _profile_values(self, parameter: str, points: int) -> np.ndarray:
        bounds = next(p for p in self.law.parameters if p.name == parameter)
        value, interval = self.parameters[parameter], self.intervals[parameter]
        low, high = interval.low, interval.high
        if not self.degrees_of_freedom or not math.isfinite(high - low) or high == low:
            low, high = value - 0.5 * abs(value), value + 0.5 * abs(value) + (value == 0)
        ratio = high / low if low > 0 else math.inf
        if 10 < ratio < math.inf:
            return np.geomspace(max(bounds.low, low / ratio**0.15), min(bounds.high, high * ratio**0.15), points)
        margin = 0.15 * (high - low)
        return np.linspace(max(bounds.low, low - margin), min(bounds.high, high + margin), points)


def fit(
    law: str | Law,
    x: Any,
    y: Any,
    *,
    group: str = "",
    level: float = 0.95,
    x_name: str = "x",
    y_name: str = "loss",
) -> Fit:
    """Fits a law with one nonlinear parameter to points (x, y) of shape (n,).

    Raises:
        UserError: for an unknown law, a level outside (0, 1), too few distinct x, or points that are not finite,
            positive and distinct.
    """
    return fit_observations(find_law(law), observe(x, y, group=group, x_name=x_name, y_name=y_name), level=level)


def fit_groups(
    law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float = 0.95
) -> dict[str, Fit]:
    """One fit for each value of column `group`, in the order of their names.

    Raises:
        UserError: for an unknown law or column, or a group that `fit` refuses.
    """
    curves = observe_groups(table, x=x, y=y, group=group)
    return {name: fit_observations(find_law(law), points, level=level) for name, points in curves.items()}


def fit_observations(law: Law, points: Observations, *, level: float) -> Fit:
    """`fit` for points that are already checked."""
    check_level(level)
    curve = fit_curve(law, points)
    dof = curve.degrees_of_freedom
    parameters = curve.parameters()
    intervals = _intervals(curve, parameters, level)
    return Fit(
        law=law,
        group=points.group,
        x_name=points.x_name,
        y_name=points.y_name,
        x=points.x,
        y=points.y,
        parameters=parameters,
        intervals=intervals,
        verdicts={p.name: verdict(p, parameters[p.name], intervals[p.name] if dof else None) for p in law.parameters},
        sum_of_squares=curve.sum_of_squares,
        residual_std=math.sqrt(curve.sum_of_squares / dof) if dof else math.nan,
        degrees_of_freedom=dof,
        n=points.x.size,
        aicc=aicc(curve.sum_of_squares, n=points.x.size, parameters=len(law.parameters), floor=curve.floor),
        starts=curve.starts,
        level=level,
        curve=curve,
    )


def _intervals(curve: Curve, parameters: dict[str, float], level: float) -> dict[str, Interval]:
    law, dof = curve.scaled.law, curve.degrees_of_freedom
    if not dof:
        return {p.name: Interval(low=p.low, high=p.high, level=level) for p in law.parameters}
    inside = curve.confidence_set(level)
    identity_VGK = np.eye(len(law.linear))[:, None, :]
    low, high = inside.extremes(lambda theta: identity_VGK * curve.scaled.amplitude_factors(theta))
    ends = {p.name: (float(a), float(b)) for p, a, b in zip(law.linear, low, high, strict=True)}
    unit = float(curve.scaled.units()[0])
    first, last = inside.theta_range()
    ends[law.nonlinear[0].name] = (first * unit, last * unit)
    # Rounding must not leave an estimate outside its own interval when the data are exact.
    return {
        p.name: Interval(
            low=min(ends[p.name][0], parameters[p.name]), high=max(ends[p.name][1], parameters[p.name]), level=level
        )
        for p in law.parameters
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
