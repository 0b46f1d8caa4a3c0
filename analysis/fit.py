"""One law fitted to one curve, with intervals, verdicts and a band.

    (θ̂, β̂) = argmin Σ_i w_i ρ(y_i − f₀(x_i; θ) − Σ_j β_j φ_j(x_i; θ)),  or of logarithms        ρ: solve/losses.py

solve/minimum.py finds the global minimum; profile likelihood with F calibration gives every interval, in closed form
for least squares with one nonlinear parameter (intervals.py) and by search for the rest (solve/profile.py), unless
another of the methods is asked for (methods/). Measured coverage: `archscale bench coverage`, docs/fitting.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.curve import Curve, Starts, aicc, fit_curve
from analysis.intervals import Interval, verdict
from analysis.laws import Law
from analysis.methods import METHODS, caution, intervals_of, profile_of
from analysis.observations import Observations, check_level, find_law, observe, observe_groups, zero_names
from analysis.solve.losses import Loss
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted curve. Arrays are sorted by x; parameters are in the order of the equation and in the unit of x.

    `x` has shape (n,), or (n, I) for a law of I inputs. `objective` is Σ w·ρ over the points, a sum of squares for the
    losses ls and log-ls; `residual_std` is in the unit of y, or of ln y for a loss on logarithms.
    Without residual degrees of freedom `residual_std` is nan, every verdict is "not identified" and every interval
    spans the bounds of its parameter. `aicc` is nan where n is too small for its correction. `interval_note` says how
    the intervals were made, what is known of their coverage, and what speaks against them here.
    """

    law: Law
    group: str
    x_name: str
    x_names: tuple[str, ...]
    y_name: str
    x: np.ndarray
    y: np.ndarray
    parameters: dict[str, float]
    intervals: dict[str, Interval]
    verdicts: dict[str, str]
    objective: float
    loss: str
    interval_kind: str
    interval_note: str
    residual_std: float
    degrees_of_freedom: int
    n: int
    aicc: float
    starts: Starts
    level: float
    curve: Curve = field(repr=False)

    @property
    def sum_of_squares(self) -> float:
        """The objective of least squares."""
        return self.objective

    def predict(self, x: Any) -> np.ndarray:
        """The fitted loss at each x > 0, shape (V,); x is (V,), or (V, I) for a law of I inputs."""
        return self.curve.predict(self._positive(x) / self.curve.scaled.scale)

    def band(self, x: Any, *, level: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Profile interval of the mean loss at each x, two arrays of shape (V,); ±inf without degrees of freedom.

        It is an interval at each x on its own, for the curve and not for a single new run, and a profile interval
        whatever the intervals of the parameters are.
        """
        u_V = self._positive(x) / self.curve.scaled.scale
        level = self.level if level is None else level
        check_level(level)
        if not self.degrees_of_freedom:
            return np.full(len(u_V), -np.inf), np.full(len(u_V), np.inf)
        low, high = self.curve.prediction_ends(u_V, level)
        estimate = self.curve.predict(u_V)
        return np.minimum(low, estimate), np.maximum(high, estimate)

    def profile(self, parameter: str, points: int = 41) -> tuple[np.ndarray, np.ndarray]:
        """The smallest objective at each of `points` values of one parameter, the others free.

        The values reach somewhat beyond the interval of the parameter (or ±50 % of the estimate without one), evenly,
        or in equal ratios where they span more than a factor 10.

        Raises:
            UserError: for a parameter the law does not have.
        """
        if parameter not in self.parameters:
            raise unknown("parameter", parameter, self.parameters, hint=f"The law is {self.law.equation}.")
        return profile_of(self.curve, parameter, self._profile_values(parameter, points))

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
            "loss": self.loss,
            "interval": self.interval_kind,
            "interval_note": self.interval_note,
            "objective": self.objective,
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
        inputs = len(self.law.inputs)
        if inputs > 1 and values.ndim == 1:
            values = values[None]
        if values.ndim != (1 if inputs == 1 else 2) or (inputs > 1 and values.shape[1] != inputs):
            raise UserError(f"{self.x_name}: the law {self.law.equation} is predicted at {inputs} values a point")
        if not (np.isfinite(values) & (values >= 0)).all() or ((values == 0).any() and not self.law.zero_inputs):
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
    x_names: Sequence[str] = (),
    loss: str | Loss = "ls",
    weights: Any = None,
    interval: str = "profile",
    clusters: Any = None,
) -> Fit:
    """Fits a law to points (x, y).

    Args:
        x: (n,), or (n, I) for a law of I inputs, in the order of `law.inputs`; `x_names` are their columns' names.
        loss: one of ls, log-ls, huber:δ, huber-log:δ, lad, lad-log (solve/losses.py).
        weights: (n,), each point's share in the sum: for least squares 1 / variance.
        interval: how intervals are made: one of METHODS in analysis/methods; profile is the one that covers best.
        clusters: (n,), what was not measured independently, for the wild cluster bootstrap.

    Raises:
        UserError: for an unknown law, loss or interval, a level outside (0, 1), too few distinct x, inputs on one line,
            or points that are not finite, positive and distinct.
    """
    found = find_law(law)
    names = tuple(x_names) or (found.inputs if np.ndim(x) == 2 and np.shape(x)[1] == len(found.inputs) else ())
    points = observe(
        x,
        y,
        group=group,
        x_name=x_name,
        y_name=y_name,
        x_names=names,
        weights=weights,
        clusters=clusters,
        may_be_zero=zero_names(found, names),
    )
    return fit_observations(found, points, level=level, loss=loss, interval=interval)


def fit_groups(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str | None,
    level: float = 0.95,
    loss: str | Loss = "ls",
    interval: str = "profile",
    weights: str | None = None,
    clusters: str | None = None,
) -> dict[str, Fit]:
    """One fit for each value of column `group`, in the order of their names; one named "" without a group.

    Raises:
        UserError: for an unknown law or column, or a group that `fit` refuses.
    """
    found = find_law(law)
    names = (x,) if isinstance(x, str) else tuple(x)
    curves = observe_groups(
        table, x=x, y=y, group=group, weights=weights, clusters=clusters, may_be_zero=zero_names(found, names)
    )
    return {
        name: fit_observations(found, points, level=level, loss=loss, interval=interval)
        for name, points in curves.items()
    }


def fit_observations(
    law: Law, points: Observations, *, level: float, loss: str | Loss = "ls", interval: str = "profile"
) -> Fit:
    """`fit` for points that are already checked."""
    check_level(level)
    parsed = Loss.parse(loss)
    curve = fit_curve(law, points, loss=parsed)
    dof = curve.degrees_of_freedom
    parameters = curve.parameters()
    intervals = intervals_of(curve, points, parameters, level=level, method=interval)
    squares = curve.minimum if parsed.kind == "ls" else math.nan
    return Fit(
        law=law,
        group=points.group,
        x_name=points.x_name,
        x_names=points.names,
        y_name=points.y_name,
        x=points.x,
        y=points.y,
        parameters=parameters,
        intervals=intervals,
        verdicts={p.name: verdict(p, parameters[p.name], intervals[p.name] if dof else None) for p in law.parameters},
        objective=curve.minimum,
        loss=parsed.name,
        interval_kind=interval,
        interval_note="; ".join(filter(None, [METHODS[interval], caution(points, interval)])),
        residual_std=_residual_std(curve, points),
        degrees_of_freedom=dof,
        n=points.y.size,
        aicc=aicc(squares, n=points.y.size, parameters=len(law.parameters), floor=curve.floor),
        starts=curve.starts,
        level=level,
        curve=curve,
    )


def _residual_std(curve: Curve, points: Observations) -> float:
    if not curve.degrees_of_freedom:
        return math.nan
    if curve.loss.kind == "ls":
        return math.sqrt(curve.minimum / curve.degrees_of_freedom)
    residual = curve.loss.residual(points.y, curve.predict(curve.u))
    return math.sqrt(float(np.square(residual).sum()) / curve.degrees_of_freedom)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
