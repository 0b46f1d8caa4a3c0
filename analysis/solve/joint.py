"""Several groups under one law fitted together, some parameters equal in all of them and the others free in each.

Φ = [Φ₁(θ₁)    0   ]   with the columns of a shared amplitude added, and one θ for a shared nonlinear parameter
    [   0    Φ₂(θ₂)]

The search starts where the groups, each free in what they do not share, agree best on what they do: their sums of
squares over a grid, each minimised over the private axes, are added up on the shared ones.
Seber & Wild 1989, Nonlinear Regression, section 5.9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.intervals import ConfidenceSet
from analysis.laws import Law, Parameter
from analysis.observations import Observations, require_enough
from analysis.solve.amplitudes import solve_amplitudes
from analysis.solve.losses import Loss
from analysis.solve.minimum import minimum
from analysis.solve.objective import Objective
from analysis.solve.profile import Profile
from analysis.solve.projection import Problem, law_problem
from analysis.solve.scaled import ScaledLaw

_START_COUNT, _LEVEL_COUNT = 8, 9


def shareable_alone(law: Law, parameter: Parameter) -> bool:
    """False for an amplitude whose unit contains an exponent: A of A·x^-b is equal in one unit of x only."""
    names = [p.name for p in law.linear]
    if parameter.name not in names:
        return True
    middle = np.array([[np.median(p.grid(9)) for p in law.nonlinear]])
    inputs = len(law.inputs)
    column = names.index(parameter.name)
    for size in (2.0, 8.0):
        scaled = ScaledLaw(law=law, scale=size if inputs == 1 else np.full(inputs, size))
        if not np.isclose(scaled.amplitude_factors(scaled.searched(middle))[0, column], 1.0):
            return False
    return True


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """The optimum of the joint model; `q` are its nonlinear parameters and then its amplitudes, on scaled inputs."""

    scaled: ScaledLaw
    groups: tuple[str, ...]
    shared: tuple[str, ...]
    objective: Objective
    theta_columns: tuple[tuple[int, ...], ...]
    beta_columns: tuple[tuple[int, ...], ...]
    q: np.ndarray
    value: float

    def parameters(self) -> dict[str, dict[str, float]]:
        """By group and name, in the unit of the data and in the order of the equation."""
        law = self.scaled.law
        theta, beta = self.objective.split(self.q)
        found = {}
        for group, thetas, betas in zip(self.groups, self.theta_columns, self.beta_columns, strict=True):
            own = theta[list(thetas)]
            amplitudes = beta[list(betas)] * self.scaled.amplitude_factors(own)
            values = dict(zip([p.name for p in law.nonlinear], self.scaled.values(own), strict=True))
            values |= dict(zip([p.name for p in law.linear], amplitudes, strict=True))
            found[group] = {p.name: float(values[p.name]) for p in law.parameters}
        return found

    def intervals(self, names: Sequence[str], limit: float) -> dict[str, tuple[float, float]]:
        """All values of each shared parameter, in the unit of the data, at which the model still fits with O ≤ limit.

        An end is the bound of its parameter where the profile never rises enough.
        """
        law, thetas, betas = self.scaled.law, list(self.theta_columns[0]), list(self.beta_columns[0])
        chosen = [p for p in (*law.nonlinear, *law.linear) if p.name in names]
        if self.objective.loss.is_plain and self.objective.weights is None and self.objective.nonlinear_count == 1:
            return self._closed_form(chosen, limit)
        places = np.array([(*law.nonlinear, *law.linear).index(p) for p in chosen])

        def quantity(q: np.ndarray, which: np.ndarray) -> np.ndarray:
            theta, beta = self.objective.split(q)
            own = theta[..., thetas]
            amplitudes = beta[..., betas] * self.scaled.amplitude_factors(own)
            values = np.concatenate([self.scaled.values(own), amplitudes], axis=-1)
            at = places[which].reshape(len(which), *[1] * (q.ndim - 1))
            return np.take_along_axis(values, np.broadcast_to(at, (*q.shape[:-1], 1)), axis=-1)[..., 0]

        low, high = Profile(objective=self.objective, q=self.q).ends(
            quantity,
            len(chosen),
            limit,
            low=np.array([p.low for p in chosen]),
            high=np.array([p.high for p in chosen]),
        )
        return {p.name: (float(a), float(b)) for p, a, b in zip(chosen, low, high, strict=True)}

    def _closed_form(self, chosen: Sequence[Parameter], limit: float) -> dict[str, tuple[float, float]]:
        """By the confidence set of a single curve, as least squares with one exponent is one curve to it."""
        problem, law, betas = self.objective.problem, self.scaled.law, list(self.beta_columns[0])
        inside = ConfidenceSet(problem=problem, y=self.objective.y, theta=float(self.q[0]), limit=limit)
        pick_VK = np.eye(len(problem.bounded))[betas]

        ends = {}
        for p in chosen:
            if p in law.nonlinear:
                low, high = (float(self.scaled.values(np.array([end]))[0]) for end in inside.theta_range())
                ends[p.name] = low, high
                continue
            k = law.linear.index(p)

            def amplitude(theta_P: np.ndarray, k: int = k) -> np.ndarray:
                return self.scaled.amplitude_factors(theta_P)[..., k, None] * pick_VK[k]

            first, last = inside.extremes(amplitude)
            ends[p.name] = float(first[0]), float(last[0])
        return ends


def joint_fit(
    law: Law,
    points: Sequence[Observations],
    shared: Sequence[str] = (),
    *,
    loss: Loss,
    separate: Sequence["Joint"] = (),
) -> Joint:
    """The joint optimum of one group or several; `separate` are those of each group alone, further starts.

    With nothing shared it is made of the separate optima without another search.

    Raises:
        UserError: for a group with fewer distinct points than the law has parameters.
    """
    for group in points:
        require_enough(law, group)
    scaled = ScaledLaw.of(law, np.concatenate([p.x for p in points]))
    u = [p.x / scaled.scale for p in points]
    theta_columns, theta_source = _layout([p.name in shared for p in law.nonlinear], len(points))
    beta_columns, beta_source = _layout([p.name in shared for p in law.linear], len(points))
    ends = np.cumsum([0, *(p.y.size for p in points)])
    rows = [slice(a, b) for a, b in pairwise(ends)]

    def design(theta_P: np.ndarray) -> np.ndarray:
        out = np.zeros((*theta_P.shape[:-1], ends[-1], len(beta_source)))
        for part, u_N, thetas, betas in zip(rows, u, theta_columns, beta_columns, strict=True):
            out[..., part, list(betas)] = scaled.design(u_N, theta_P[..., list(thetas)])
        return out

    def offset(theta_P: np.ndarray) -> np.ndarray:
        parts = [
            scaled.offsets(u_N, theta_P[..., None, list(thetas)]) for u_N, thetas in zip(u, theta_columns, strict=True)
        ]
        return np.concatenate(parts, axis=-1)

    low, high, _ = scaled.search_range(2)
    if len(points) == 1:
        grid = law_problem(scaled, u[0]).grid
    else:
        agreeing = _agreeing(scaled, u, [p.y for p in points], shared, theta_columns, len(theta_source))
        grid = np.concatenate([agreeing, _separate(scaled, separate, theta_columns, len(theta_source))])
    problem = Problem(
        design=design,
        low=low[theta_source],
        high=high[theta_source],
        grid=grid,
        bounded=tuple(law.linear[k].low == 0 for k in beta_source),
        offset=None if law.fixed is None else offset,
    )
    y_N = np.concatenate([p.y for p in points])
    weights_N = None
    if any(p.weights is not None for p in points):
        weights_N = np.concatenate([np.ones_like(p.y) if p.weights is None else p.weights for p in points])
    if shared or len(points) == 1:
        best = minimum(problem, y_N, loss=loss, weights_N=weights_N, spread=12 if len(points) == 1 else 4)
        q, value = np.concatenate([best.theta[0], best.beta[0]]), float(best.objective[0])
    else:
        q, value = _side_by_side(scaled, separate), sum(one.value for one in separate)
    return Joint(
        scaled=scaled,
        groups=tuple(p.group for p in points),
        shared=tuple(shared),
        objective=Objective(problem=problem, loss=loss, y=y_N, weights=weights_N),
        theta_columns=theta_columns,
        beta_columns=beta_columns,
        q=q,
        value=value,
    )


def _layout(shared: Sequence[bool], groups: int) -> tuple[tuple[tuple[int, ...], ...], list[int]]:
    """Where each group's parameters stand in the joint vector, and which parameter of the law each entry is."""
    columns: list[list[int]] = [[] for _ in range(groups)]
    source: list[int] = []
    for k, is_shared in enumerate(shared):
        for group in range(groups):
            if group == 0 or not is_shared:
                source.append(k)
            columns[group].append(len(source) - 1)
    return tuple(tuple(own) for own in columns), source


def _agreeing(
    scaled: ScaledLaw,
    u: Sequence[np.ndarray],
    y: Sequence[np.ndarray],
    shared: Sequence[str],
    theta_columns: Sequence[Sequence[int]],
    width: int,
) -> np.ndarray:
    """θ of the joint model at the places of a grid where the groups agree best, shape (starts, width).

    A shared amplitude that is the same in every unit, such as an irreducible loss, is one more axis of the grid.
    """
    law = scaled.law
    names = [p.name for p in law.nonlinear]
    is_shared = [name in shared for name in names]
    common = [k for k, p in enumerate(law.linear) if p.name in shared and p.low == 0 and shareable_alone(law, p)]
    levels = np.linspace(0.0, min(float(part.min()) for part in y), _LEVEL_COUNT) if common else np.zeros(1)
    total: np.ndarray = np.zeros(1)
    chosen = []
    for u_N, y_N in zip(u, y, strict=True):
        problem = law_problem(scaled, u_N)
        count = round(len(problem.grid) ** (1 / max(len(names), 1)))
        design, target = problem.design(problem.grid), problem.target(y_N, problem.grid)
        others = [k for k in range(len(law.linear)) if k not in common[:1]]
        bounded = tuple(problem.bounded[k] for k in others)
        held = design[..., common[0]] if common else np.zeros(design.shape[:-1])
        rest = target - levels[:, None, None] * held
        sums = np.square(solve_amplitudes(design[..., others], rest, bounded)[1]).sum(-1)
        private = [1 + k for k, same in enumerate(is_shared) if not same]
        axes = [0, *[1 + k for k, same in enumerate(is_shared) if same], *private]
        ordered = sums.reshape(len(levels), *[count] * len(names)).transpose(axes)
        flat = ordered.reshape(len(levels) * count ** sum(is_shared), -1)
        places = np.broadcast_to(np.arange(len(problem.grid)), (len(levels), len(problem.grid)))
        places = places.reshape(len(levels), *[count] * len(names)).transpose(axes).reshape(flat.shape)
        best = flat.argmin(axis=1)[:, None]
        chosen.append(problem.grid[np.take_along_axis(places, best, axis=1)[:, 0]])
        total = total + np.take_along_axis(flat, best, axis=1)[:, 0]
    order = np.argsort(total, kind="stable")[:_START_COUNT]
    starts = np.zeros((len(order), width))
    for columns, theta in zip(theta_columns, chosen, strict=True):
        starts[:, list(columns)] = theta[order]
    return starts


def _separate(
    scaled: ScaledLaw, separate: Sequence[Joint], theta_columns: Sequence[Sequence[int]], width: int
) -> np.ndarray:
    """The separate optima as starts, one for each group from which the shared parameters are taken."""
    starts = np.zeros((len(separate), width))
    for first in range(len(separate)):
        for group in [*range(first + 1, len(separate)), *range(first + 1)]:
            alone = separate[group]
            values = alone.scaled.values(alone.objective.split(alone.q)[0])
            starts[first, list(theta_columns[group])] = scaled.searched(values / scaled.units())
    return starts


def _side_by_side(scaled: ScaledLaw, separate: Sequence[Joint]) -> np.ndarray:
    """The separate optima as one, on common scaled inputs; parameter by parameter, and within it group by group."""
    thetas, betas = [], []
    for one in separate:
        theta, beta = one.objective.split(one.q)
        common = scaled.searched(one.scaled.values(theta) / scaled.units())
        thetas.append(common)
        betas.append(beta * one.scaled.amplitude_factors(theta) / scaled.amplitude_factors(common))
    return np.concatenate([np.stack(thetas, axis=1).ravel(), np.stack(betas, axis=1).ravel()])
