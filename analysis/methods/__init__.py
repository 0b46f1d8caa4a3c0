"""How the intervals of a fit are made, by name; profile is the default because it covers what it says.

    profile   { g : min O with this g ≤ T }        solve/profile.py, and in closed form intervals.py
    wald      g ± t · se                           methods/wald.py
    pairs     percentiles of refits                methods/bootstrap.py
    wild      g ± z* · se                          methods/bootstrap.py

g is a parameter on the scale of methods/quantities.py.
"""

import numpy as np

from analysis.curve import Curve, profiled_amplitude
from analysis.intervals import Interval
from analysis.methods.bootstrap import pairs_ends, wild_ends
from analysis.methods.quantities import Parameters
from analysis.methods.wald import wald_ends
from analysis.observations import Observations
from analysis.solve.profile import Quantity
from archscale.registry import unknown

# Each with what nominal 90 % covered of exponents, irreducible losses and 4× predictions: `archscale bench coverage`.
METHODS = {
    "profile": "profile likelihood with F calibration; 90 % covers 89 to 92 % in six designs",
    "wald": "standard errors and Student's t; 90 % covers 89 to 93 % in six designs",
    "pairs": "pairs bootstrap, percentiles of 1000 refits; 90 % covers 81 to 96 % in six designs",
    "wild": "wild cluster bootstrap, percentile-t of 1000 refits; 90 % covers 86 to 92 % in six designs",
}
BOOTSTRAPS = ("pairs", "wild")
_FEW = 8


def caution(points: Observations, method: str) -> str:
    """What a reader of these intervals should know before using them; empty where there is nothing to say."""
    if method not in BOOTSTRAPS:
        return ""
    count, what = points.y.size, "points"
    if method == "wild" and points.clusters is not None:
        count, what = np.unique(points.clusters).size, "clusters"
    return f"a bootstrap of {count} {what} covers less than it says: use profile" if count < _FEW else ""


def intervals_of(
    curve: Curve, points: Observations, parameters: dict[str, float], *, level: float, method: str
) -> dict[str, Interval]:
    """By parameter. Without residual degrees of freedom each spans the bounds of its parameter.

    Raises:
        UserError: for an unknown method.
    """
    if method not in METHODS:
        raise unknown("interval", method, METHODS)
    law = curve.scaled.law
    if not curve.degrees_of_freedom:
        return {p.name: Interval(low=p.low, high=p.high, level=level) for p in law.parameters}
    if method == "profile" and curve.is_closed_form:
        ends = _closed_form(curve, level)
    else:
        ends = _of_parameters(curve, points, level, method)
    # Rounding must not leave an estimate outside its own interval when the data are exact, nor a bootstrap of few.
    return {
        p.name: Interval(
            low=min(ends[p.name][0], parameters[p.name]), high=max(ends[p.name][1], parameters[p.name]), level=level
        )
        for p in law.parameters
    }


def ends_of(
    curve: Curve, points: Observations, quantity: Quantity, count: int, *, level: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ends for each of `count` quantities of the optimum by one of METHODS, two arrays (V,)."""
    if method == "wald":
        return wald_ends(curve, quantity, count, level)
    if method == "pairs":
        return pairs_ends(curve, points, quantity, count, level)
    if method == "wild":
        return wild_ends(curve, points, quantity, count, level)
    return curve.profile.ends(quantity, count, curve.limit(level))


def profile_of(curve: Curve, parameter: str, values_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of one parameter, those given or close to them, and the least objective with each."""
    names = [p.name for p in curve.scaled.law.linear]
    if curve.is_closed_form:
        if parameter in names:
            return values_V, profiled_amplitude(curve, names.index(parameter), values_V)
        theta = curve.scaled.searched(values_V[:, None] / curve.scaled.units())
        return values_V, curve.problem.sum_of_squares(curve.y, theta)
    parameters = Parameters(curve=curve)
    which = np.full(len(values_V), parameters.names.index(parameter))
    reached, objective = curve.profile.at(
        lambda q, w: parameters.quantity(q, np.full(len(w), which[0])), parameters.to_quantity(which, values_V)
    )
    return parameters.to_value(which, reached), objective


def _closed_form(curve: Curve, level: float) -> dict[str, tuple[float, float]]:
    law = curve.scaled.law
    inside = curve.confidence_set(level)
    identity_VGK = np.eye(len(law.linear))[:, None, :]
    low, high = inside.extremes(lambda theta: identity_VGK * curve.scaled.amplitude_factors(theta))
    ends = {p.name: (float(a), float(b)) for p, a, b in zip(law.linear, low, high, strict=True)}
    first, last = (float(curve.scaled.values(np.array([end]))[0]) for end in inside.theta_range())
    ends[law.nonlinear[0].name] = (first, last)
    return ends


def _of_parameters(curve: Curve, points: Observations, level: float, method: str) -> dict[str, tuple[float, float]]:
    parameters = Parameters(curve=curve)
    count, (low_V, high_V) = len(parameters.names), parameters.bounds()
    if method == "profile":
        low, high = curve.profile.ends(parameters.quantity, count, curve.limit(level), low=low_V, high=high_V)
    else:
        low, high = ends_of(curve, points, parameters.quantity, count, level=level, method=method)
        low, high = np.clip(low, low_V, high_V), np.clip(high, low_V, high_V)
    places = np.arange(count)
    low, high = parameters.to_value(places, low), parameters.to_value(places, high)
    return {name: (float(a), float(b)) for name, a, b in zip(parameters.names, low, high, strict=True)}
