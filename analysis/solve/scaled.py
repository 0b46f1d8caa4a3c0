"""A law on inputs that are divided by their geometric means, which makes every result independent of units.

    u_i = x_i / scale_i        θ of the search: in units of u, or its logarithm for a logarithmic parameter

Shapes: N points, I inputs, P nonlinear and K linear parameters, `...` any leading dimensions. With one input u has no
axis for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.laws import Law

# How far a logarithmic parameter without bounds is searched, as a share of the scale of the data.
_TINY, _HUGE = 1e-30, 1e30


@dataclass(frozen=True, kw_only=True)
class ScaledLaw:
    """`scale` is one number for a law of one input, and one an input, shape (I,), for the others."""

    law: Law
    scale: float | np.ndarray

    @classmethod
    def of(cls, law: Law, x: np.ndarray) -> "ScaledLaw":
        """Scaled to points x of shape (n,) or (n, I)."""
        if len(law.inputs) == 1:
            return cls(law=law, scale=geometric_mean(x))
        scales = dict(zip(law.inputs, [geometric_mean(column) for column in x.T], strict=True))
        for names in law.shared_units:
            scales |= dict.fromkeys(names, scales[names[0]])
        return cls(law=law, scale=np.array([scales[name] for name in law.inputs]))

    def inputs(self, u: np.ndarray) -> list[np.ndarray]:
        return [u] if len(self.law.inputs) == 1 else [u[..., i] for i in range(u.shape[-1])]

    def rows(self, u: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
        """Φ(u; θ), shape (..., K), for u of shape (...) or (..., I) and θ of shape (..., P), broadcast together."""
        arguments, shape = self._arguments(u, theta_P)
        return self.law.design(*arguments).reshape(*shape, len(self.law.linear))

    def offsets(self, u: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
        """f₀(u; θ), shape (...); zero for a law without it."""
        arguments, shape = self._arguments(u, theta_P)
        return np.zeros(shape) if self.law.fixed is None else self.law.fixed(*arguments).reshape(shape)

    def design(self, u_N: np.ndarray, theta_P: np.ndarray) -> np.ndarray:
        """Shape (..., N, K)."""
        return self.rows(u_N, theta_P[..., None, :])

    def units(self) -> np.ndarray:
        """What each nonlinear parameter is multiplied by to get from u back to x, shape (P,)."""
        scales = dict(zip(self.law.inputs, np.atleast_1d(self.scale), strict=True))
        return np.array([float(scales.get(p.unit, 1.0)) for p in self.law.nonlinear])

    def natural(self, theta_P: np.ndarray) -> np.ndarray:
        """The parameters that a θ of the search stands for, in the unit of u."""
        is_logarithmic = self._logarithmic
        if not is_logarithmic.any():
            return theta_P
        return np.where(is_logarithmic, np.exp(np.where(is_logarithmic, theta_P, 0.0)), theta_P)

    def searched(self, natural_P: np.ndarray) -> np.ndarray:
        """The θ of the search for parameters in the unit of u."""
        is_logarithmic = self._logarithmic
        return np.where(
            is_logarithmic, np.log(np.where(is_logarithmic, np.clip(natural_P, _TINY, _HUGE), 1.0)), natural_P
        )

    def values(self, theta_P: np.ndarray) -> np.ndarray:
        """The parameters in the unit of x."""
        return self.natural(theta_P) * self.units()

    def amplitude_factors(self, theta_P: np.ndarray) -> np.ndarray:
        """What each amplitude is multiplied by to get from u back to x, shape (..., K); for A·x^-b it is scale^b."""
        one = np.ones(theta_P.shape[:-1])
        values = self.values(theta_P)
        theta = [values[..., k].ravel() for k in range(values.shape[-1])]
        scales = [(one * scale).ravel() for scale in np.atleast_1d(self.scale)]
        at_scale = self.law.design(*scales, *theta).reshape(*one.shape, len(self.law.linear))
        middle = one if len(self.law.inputs) == 1 else np.ones((*one.shape, len(self.law.inputs)))
        return self.rows(middle, theta_P) / at_scale

    def search_range(self, grid_count: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Bounds and grid axes of θ; parameters in units of an input are rescaled."""
        parameters, units = self.law.nonlinear, self.units()
        low_P = self.searched(np.array([p.low for p in parameters]) / units)
        high_P = self.searched(np.array([p.high for p in parameters]) / units)
        axes = []
        for p, low, high in zip(parameters, low_P, high_P, strict=True):
            grid = p.grid(grid_count)
            axes.append(np.clip(np.log(grid) if p.logarithmic else grid, low, high))
        return low_P, high_P, axes

    @cached_property
    def _logarithmic(self) -> np.ndarray:
        return np.array([p.logarithmic for p in self.law.nonlinear], dtype=bool)

    def _arguments(self, u: np.ndarray, theta_P: np.ndarray) -> tuple[list[np.ndarray], tuple[int, ...]]:
        inputs, natural_P = self.inputs(u), self.natural(theta_P)
        shape = np.broadcast_shapes(inputs[0].shape, theta_P.shape[:-1])
        theta = [natural_P[..., k] for k in range(theta_P.shape[-1])]
        return [np.broadcast_to(part, shape).ravel() for part in [*inputs, *theta]], shape


def geometric_mean(x_N: np.ndarray) -> float:
    """Of the values above 0."""
    return math.exp(float(np.log(x_N[x_N > 0]).mean()))


def product_grid(axes: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
