"""Two curves of one law fitted together, some parameters equal in both and the others free in each.

Φ = [Φ₁(θ₁)    0   ]   with the columns of a shared amplitude added, and one θ for a shared nonlinear parameter
    [   0    Φ₂(θ₂)]
"""

import numpy as np

from analysis.curve import Curve
from analysis.laws import Law, Parameter
from analysis.observations import Observations
from analysis.solve.projection import Problem, ScaledLaw, minimise, product_grid, search_range

# Grid points per nonlinear parameter, by how many there are.
_GRID_COUNTS = {1: 64, 2: 32}


def shareable_alone(law: Law, parameter: Parameter) -> bool:
    """False for an amplitude whose unit contains an exponent: A of A·x^-b is equal in one unit of x only."""
    names = [p.name for p in law.linear]
    if parameter.name not in names:
        return True
    middle = np.array([np.median(p.grid(9)) for p in law.nonlinear])
    factors = [ScaledLaw(law=law, scale=scale).amplitude_factors(middle) for scale in (2.0, 8.0)]
    column = names.index(parameter.name)
    return all(bool(np.isclose(f[column], 1.0)) for f in factors)


def joint_sum_of_squares(
    law: Law, points: tuple[Observations, Observations], curves: tuple[Curve, Curve], shared: tuple[str, ...]
) -> float:
    """The least S of the joint model; `curves` are the separate optima, from which the search also starts."""
    scaled = ScaledLaw(law=law, scale=float(np.exp(np.log(np.concatenate([p.x for p in points])).mean())))
    u = [p.x / scaled.scale for p in points]
    *theta_columns, theta_source = _layout([p.name in shared for p in law.nonlinear])
    *beta_columns, beta_source = _layout([p.name in shared for p in law.linear])
    sizes = (u[0].size, u[1].size)

    def design(theta_P: np.ndarray) -> np.ndarray:
        out = np.zeros((*theta_P.shape[:-1], sum(sizes), len(beta_source)))
        for rows, u_N, thetas, betas in zip(
            (slice(None, sizes[0]), slice(sizes[0], None)), u, theta_columns, beta_columns, strict=True
        ):
            out[..., rows, betas] = scaled.design(u_N, theta_P[..., thetas])
        return out

    low, high, axes = search_range(scaled, _GRID_COUNTS.get(len(theta_source), 12))
    starts = np.zeros((2, len(theta_source)))
    for start, order in zip(starts, ((0, 1), (1, 0)), strict=True):
        for group in order:  # a shared parameter starts at the optimum of the later group
            start[theta_columns[group]] = curves[group].theta * curves[group].scaled.units() / scaled.units()
    problem = Problem(
        design=design,
        low=low[theta_source],
        high=high[theta_source],
        grid=np.concatenate([product_grid([axes[k] for k in theta_source]), starts]),
        bounded=tuple(law.linear[k].low == 0 for k in beta_source),
    )
    y = np.concatenate([p.y for p in points])
    return float(minimise(problem, y[None], spread=4).sum_of_squares[0])


def _layout(shared: list[bool]) -> tuple[list[int], list[int], list[int]]:
    """Where each group's parameters stand in the joint vector, and which parameter of the law each entry is."""
    first: list[int] = []
    second: list[int] = []
    source: list[int] = []
    for k, is_shared in enumerate(shared):
        first.append(len(source))
        source += [k] if is_shared else [k, k]
        second.append(len(source) - 1)
    return first, second, source
