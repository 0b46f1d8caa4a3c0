"""How the intervals of a fit are made, by name; profile is the default because it covers what it says.

    profile   profile likelihood with F calibration

Each parameter is a quantity of the optimum: an amplitude in its own unit by its logarithm, everything else as it is.
"""

import numpy as np

from analysis.curve import Curve, profiled_amplitude
from analysis.intervals import Interval
from analysis.observations import Observations
from archscale.registry import unknown

METHODS = {"profile": "profile likelihood with F calibration"}

# ln A of an amplitude that is 0, which only its bound can make.
_NOTHING = 1e-300


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
    ends = _closed_form(curve, level) if curve.is_closed_form else _by_search(curve, level)
    # Rounding must not leave an estimate outside its own interval when the data are exact.
    return {
        p.name: Interval(
            low=min(ends[p.name][0], parameters[p.name]), high=max(ends[p.name][1], parameters[p.name]), level=level
        )
        for p in law.parameters
    }


def profile_of(curve: Curve, parameter: str, values_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of one parameter, those given or close to them, and the least objective with each."""
    names = [p.name for p in curve.scaled.law.linear]
    if curve.is_closed_form:
        if parameter in names:
            return values_V, profiled_amplitude(curve, names.index(parameter), values_V)
        theta = curve.scaled.searched(values_V[:, None] / curve.scaled.units())
        return values_V, curve.problem.sum_of_squares(curve.y, theta)
    place = [p.name for p in curve.scaled.law.nonlinear + curve.scaled.law.linear].index(parameter)
    quantity, to_value, to_quantity = _parameter(curve)
    which = np.full(len(values_V), place)
    reached, objective = curve.profile.at(
        lambda q, w: quantity(q, np.full(len(w), place)), to_quantity(which, values_V)
    )
    return to_value(which, reached), objective


def _closed_form(curve: Curve, level: float) -> dict[str, tuple[float, float]]:
    law = curve.scaled.law
    inside = curve.confidence_set(level)
    identity_VGK = np.eye(len(law.linear))[:, None, :]
    low, high = inside.extremes(lambda theta: identity_VGK * curve.scaled.amplitude_factors(theta))
    ends = {p.name: (float(a), float(b)) for p, a, b in zip(law.linear, low, high, strict=True)}
    first, last = (float(curve.scaled.values(np.array([end]))[0]) for end in inside.theta_range())
    ends[law.nonlinear[0].name] = (first, last)
    return ends


def _by_search(curve: Curve, level: float) -> dict[str, tuple[float, float]]:
    law = curve.scaled.law
    parameters = law.nonlinear + law.linear
    quantity, to_value, _ = _parameter(curve)
    bounds = curve.objective.bounds()
    amplitudes = _carries_unit(curve)
    count = len(law.nonlinear)
    low_V, high_V = bounds[0].copy(), bounds[1].copy()
    low_V[count:] = np.where(amplitudes, np.log(_NOTHING), low_V[count:])
    low, high = curve.profile.ends(quantity, len(parameters), curve.limit(level), low=low_V, high=high_V)
    places = np.arange(len(parameters))
    low, high = to_value(places, low), to_value(places, high)
    return {p.name: (float(a), float(b)) for p, a, b in zip(parameters, low, high, strict=True)}


def _carries_unit(curve: Curve) -> np.ndarray:
    """Which amplitudes are multiplied by a power of the scale, (K,): those whose unit depends on an exponent."""
    shifted = curve.theta + 1e-3
    factors = [curve.scaled.amplitude_factors(theta) for theta in (curve.theta, shifted)]
    is_bounded = np.array(curve.problem.bounded, dtype=bool)
    return np.asarray(is_bounded & ~np.isclose(factors[0], factors[1], rtol=1e-12))


def _parameter(curve: Curve):  # type: ignore[no-untyped-def]
    """The parameters as quantities, nonlinear ones first, and the ways from a quantity to a value and back."""
    scaled, count = curve.scaled, curve.theta.size
    is_log = np.concatenate([np.zeros(count, dtype=bool), _carries_unit(curve)])

    def quantity(q: np.ndarray, which: np.ndarray) -> np.ndarray:
        theta_P, beta_K = curve.objective.split(q)
        amplitudes = beta_K * scaled.amplitude_factors(theta_P)
        everything = np.concatenate([theta_P, amplitudes], axis=-1)
        everything = np.where(is_log, np.log(np.maximum(everything, _NOTHING)), everything)
        places = which.reshape(len(which), *[1] * (q.ndim - 1))
        return np.take_along_axis(everything, np.broadcast_to(places, (*q.shape[:-1], 1)), axis=-1)[..., 0]

    def to_value(which: np.ndarray, found: np.ndarray) -> np.ndarray:
        theta = np.where(which[:, None] == np.arange(count), found[:, None], curve.theta)
        values = scaled.values(theta)
        nonlinear = np.take_along_axis(values, np.minimum(which, count - 1)[:, None], axis=1)[:, 0]
        with np.errstate(over="ignore"):
            linear = np.where(is_log[which], np.exp(np.where(is_log[which], found, 0.0)), found)
        linear = np.where(linear <= 2 * _NOTHING, 0.0, linear) if is_log.any() else linear
        return np.where(which < count, nonlinear, linear)

    def to_quantity(which: np.ndarray, values: np.ndarray) -> np.ndarray:
        theta = scaled.searched(np.where(which[:, None] == np.arange(count), values[:, None], 1.0) / scaled.units())
        nonlinear = np.take_along_axis(theta, np.minimum(which, count - 1)[:, None], axis=1)[:, 0]
        linear = np.where(is_log[which], np.log(np.maximum(values, _NOTHING)), values)
        return np.where(which < count, nonlinear, linear)

    return quantity, to_value, to_quantity
