"""The parameters of a fit as quantities of its optimum, on the scale that their intervals are made on.

    nonlinear parameter   as it is searched: ln of a logarithmic one
    amplitude             as it is; its logarithm where its unit contains an exponent, as that of A in A·x^-b does

ln A of A·x^-b is linear in ln A on any other unit of x and in b, so that no interval depends on the unit.

Shapes: V quantities, Q parameters, M rows of q.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.curve import Curve

# ln A of an amplitude that is 0, which only its bound can make.
_NOTHING = 1e-300


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Of one fitted curve, the nonlinear ones first."""

    curve: Curve

    @property
    def names(self) -> tuple[str, ...]:
        law = self.curve.scaled.law
        return tuple(p.name for p in law.nonlinear + law.linear)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """What no quantity passes, two arrays (V,)."""
        low, high = self.curve.objective.bounds()
        return np.where(self.is_log, np.log(_NOTHING), low), high

    def quantity(self, q: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Of q (M, Q) or (M, T, Q) the parameters `which` (M,): shape (M,) or (M, T)."""
        theta_P, beta_K = self.curve.objective.split(q)
        amplitudes = beta_K * self.curve.scaled.amplitude_factors(theta_P)
        everything = np.concatenate([theta_P, amplitudes], axis=-1)
        everything = np.where(self.is_log, np.log(np.maximum(everything, _NOTHING)), everything)
        places = which.reshape(len(which), *[1] * (q.ndim - 1))
        return np.take_along_axis(everything, np.broadcast_to(places, (*q.shape[:-1], 1)), axis=-1)[..., 0]

    def to_value(self, which: np.ndarray, found: np.ndarray) -> np.ndarray:
        """In the unit of x, for quantities (V,) of the parameters `which` (V,)."""
        scaled, count, is_log = self.curve.scaled, self._count, self.is_log
        theta = np.where(which[:, None] == np.arange(count), found[:, None], self.curve.theta)
        nonlinear = np.take_along_axis(scaled.values(theta), np.minimum(which, count - 1)[:, None], axis=1)[:, 0]
        with np.errstate(over="ignore"):
            linear = np.where(is_log[which], np.exp(np.where(is_log[which], found, 0.0)), found)
        linear = np.where(linear <= 2 * _NOTHING, 0.0, linear) if is_log.any() else linear
        return np.where(which < count, nonlinear, linear)

    def to_quantity(self, which: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The inverse of `to_value`."""
        scaled, count = self.curve.scaled, self._count
        theta = scaled.searched(np.where(which[:, None] == np.arange(count), values[:, None], 1.0) / scaled.units())
        nonlinear = np.take_along_axis(theta, np.minimum(which, count - 1)[:, None], axis=1)[:, 0]
        linear = np.where(self.is_log[which], np.log(np.maximum(values, _NOTHING)), values)
        return np.where(which < count, nonlinear, linear)

    @property
    def _count(self) -> int:
        return self.curve.theta.size

    @cached_property
    def is_log(self) -> np.ndarray:
        """Which stand for their logarithms, (V,): bounded amplitudes multiplied by a power of the scale."""
        curve = self.curve
        factors = [curve.scaled.amplitude_factors(theta) for theta in (curve.theta, curve.theta + 1e-3)]
        is_bounded = np.array(curve.problem.bounded, dtype=bool)
        carries = is_bounded & ~np.isclose(factors[0], factors[1], rtol=1e-12)
        return np.concatenate([np.zeros(self._count, dtype=bool), carries])
