"""How often intervals hold the truth: made-up data of stated designs, fitted again and again.

    y = f(x; truth) + noise        covered: the share of data sets whose interval for g holds g(truth)

g is an exponent, the irreducible loss, and the loss at four times the largest inputs. A profile interval holds g(truth)
where the best fit with that value stays below the limit, which needs no search for its ends: all data sets at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats

from analysis.curve import Curve, fit_curve
from analysis.laws import LAWS, Law
from analysis.methods import METHODS, ends_of
from analysis.methods.quantities import Parameters
from analysis.methods.wald import spread
from analysis.observations import Observations, observe
from analysis.solve.dispersion import robust_scale
from analysis.solve.losses import Loss
from analysis.solve.minimum import refit_near
from analysis.solve.newton import newton
from analysis.solve.objective import Objective
from analysis.solve.profile import Pinned, Quantity, slopes
from analysis.solve.projection import minimise
from archscale.registry import unknown

LEVEL = 0.9
_AHEAD = 4.0
_BATCH = 100
# Each round leaves 1 / (1 + _STIFFNESS) of the distance to the pinned value.
_STIFFNESS, _ROUNDS = 50.0, 5


@dataclass(frozen=True, kw_only=True)
class Design:
    """`noise` is the standard deviation of each point in nats; a share `outliers` of points has ten times as much.

    `x` is (n,) or (n, I), ascending; the prediction is at four times the largest inputs. `asked` names the exponent and
    the irreducible loss.
    """

    name: str
    law: str
    x: np.ndarray
    truth: Mapping[str, float]
    noise: float
    asked: tuple[str, str] = ("b", "C")
    loss: str = "ls"
    outliers: float = 0.0

    @property
    def quantities(self) -> tuple[str, ...]:
        return (*self.asked, "4×")

    @property
    def said(self) -> str:
        """In one line."""
        law = LAWS[self.law]
        values = ", ".join(f"{name} {self.truth[name]:g}" for name in (p.name for p in law.parameters))
        odd = f", {100 * self.outliers:g} % of points 10 ×" if self.outliers else ""
        return f"{law.equation}, {len(self.x)} points, {values}, noise {self.noise:g}{odd}, {self.loss}"

    def simulate(self, count: int, *, seed: int = 0) -> np.ndarray:
        """(count, n); the first rows are the same whatever the count."""
        mean = _Truth(design=self).heights(self.x)
        rows = []
        for number in range(count):
            generator = np.random.default_rng([seed, number])
            size = np.where(generator.random(len(self.x)) < self.outliers, 10 * self.noise, self.noise)
            rows.append(mean + size * generator.standard_normal(len(self.x)))
        return np.stack(rows)


def _grid(sizes: Sequence[float], tokens: Sequence[float]) -> np.ndarray:
    return np.array([(size, seen) for size in sizes for seen in tokens])


_SIX = np.geomspace(1.0, 64.0, 6)
_FALL = {"A": 2.0, "b": 0.3, "C": 1.5}
_JOINT = {"A": 2.0, "B": 1.0, "E": 1.8, "alpha": 0.35, "beta": 0.4}
DESIGNS = {
    design.name: design
    for design in (
        Design(name="quiet", law="power_offset", x=_SIX, truth=_FALL, noise=0.001),
        Design(name="noisy", law="power_offset", x=_SIX, truth=_FALL, noise=0.01),
        Design(name="steep", law="power_offset", x=_SIX[:5], truth={"A": 1.0, "b": 0.9, "C": 2.0}, noise=0.01),
        Design(name="bound", law="power_offset", x=_SIX, truth={"A": 2.0, "b": 0.15, "C": 0.1}, noise=0.01),
        Design(
            name="grid",
            law="chinchilla",
            x=_grid(np.geomspace(0.1, 2.7, 4), np.geomspace(2, 54, 4)),
            truth=_JOINT,
            noise=0.01,
            asked=("alpha", "E"),
        ),
        Design(
            name="outliers",
            law="power_offset",
            x=np.geomspace(1.0, 64.0, 16),
            truth=_FALL,
            noise=0.01,
            loss="huber:0.0134",
            outliers=0.1,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """`covered` is the share of `simulations` by quantity, nominally LEVEL."""

    design: str
    method: str
    simulations: int
    covered: Mapping[str, float]

    def error(self) -> float:
        """The standard error of a share that is LEVEL."""
        return math.sqrt(LEVEL * (1 - LEVEL) / self.simulations)


def find_design(name: str) -> Design:
    """Raises: UserError for a name that is not in DESIGNS."""
    if name not in DESIGNS:
        raise unknown("design", name, DESIGNS)
    return DESIGNS[name]


def coverage(design: Design, simulations: int, *, methods: Sequence[str] = tuple(METHODS)) -> list[CoverageRow]:
    """One row a method, all on the same data sets."""
    simulated = Simulated(design=design, y=design.simulate(simulations))
    rows = []
    for method in methods:
        hit = simulated.profile_holds() if method == "profile" else simulated.holds(method)
        shares = dict(zip(design.quantities, hit.mean(axis=0).tolist(), strict=True))
        rows.append(CoverageRow(design=design.name, method=method, simulations=simulations, covered=shares))
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class _Truth:
    design: Design

    @property
    def law(self) -> Law:
        return LAWS[self.design.law]

    def heights(self, x: np.ndarray) -> np.ndarray:
        """f(x; truth), (n,)."""
        columns, truth = x.T if x.ndim == 2 else x[None], self.design.truth
        theta = [np.full(len(x), truth[p.name]) for p in self.law.nonlinear]
        beta = np.array([truth[p.name] for p in self.law.linear])
        return np.asarray(self.law.design(*columns, *theta) @ beta)


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """Data sets y (R, n) of one design, each with its fit."""

    design: Design
    y: np.ndarray

    @cached_property
    def truths(self) -> np.ndarray:
        """Of the quantities, (3,)."""
        values = [self.design.truth[name] for name in self.design.asked]
        return np.array([*values, *_Truth(design=self.design).heights(self._ahead)])

    def curve(self, number: int) -> Curve:
        """The fit of one data set."""
        q = self.q[number]
        theta, beta = self._first.objective.split(q)
        minimum = float(replace(self._first.objective, y=self.y[number]).value(q[None])[0])
        return replace(self._first, y=self.y[number], theta=theta, beta=beta, minimum=minimum)

    def points(self, number: int) -> Observations:
        return replace(self._points, y=self.y[number])

    @cached_property
    def q(self) -> np.ndarray:
        """The optimum of each data set, (R, Q)."""
        objective = replace(self._first.objective, y=self.y)
        if not self._first.loss.is_plain:
            return refit_near(objective, self._first.q)
        parts = [self.y[begin : begin + _BATCH] for begin in range(0, len(self.y), _BATCH)]
        found = [minimise(self._first.problem, part, spread=0) for part in parts]
        return np.concatenate([np.concatenate([one.theta, one.beta], axis=-1) for one in found])

    def quantity(self, curve: Curve) -> Quantity:
        """The three quantities of one curve."""
        parameters, heights = Parameters(curve=curve), curve.heights(self._ahead / curve.scaled.scale)
        places = np.array([parameters.names.index(name) for name in self.design.asked])

        def asked(q: np.ndarray, which: np.ndarray) -> np.ndarray:
            own = parameters.quantity(q, places[np.minimum(which, 1)])
            is_height = (which == 2).reshape(len(which), *[1] * (q.ndim - 2))
            return np.where(is_height, heights(q, np.zeros(len(which), dtype=int)), own)

        return asked

    def holds(self, method: str) -> np.ndarray:
        """Whether each interval holds the truth, (R, 3)."""
        rows = []
        for number in range(len(self.y)):
            curve = self.curve(number)
            low, high = ends_of(curve, self.points(number), self.quantity(curve), 3, level=LEVEL, method=method)
            rows.append((low <= self.truths) & (self.truths <= high))
        return np.array(rows)

    def profile_holds(self) -> np.ndarray:
        """The same of profile intervals, without their ends, (R, 3)."""
        return self.pinned_objectives() <= self.limits()[:, None]

    def limits(self) -> np.ndarray:
        """(R,)."""
        curves = [self.curve(number) for number in range(len(self.y))]
        return np.array([curve.limit(LEVEL) for curve in curves])

    def pinned_objectives(self) -> np.ndarray:
        """The least objective with each quantity at its truth, (R, 3)."""
        count, first = len(self.y), self._first
        which, rows = np.tile(np.arange(3), count), np.repeat(np.arange(count), 3)
        quantity, goal = self.quantity(first), self.truths[which]
        objective = replace(first.objective, y=self.y[rows])
        best = np.full(len(which), np.inf)
        # From the fit, and from the truth, which has the wanted value already.
        for start in (self.q[rows], np.repeat(first.q[None], len(which), axis=0)):
            q, target = start, goal
            pinned = Pinned(
                objective=objective, quantity=quantity, which=which, target=goal, stiffness=self._stiffness()[which]
            )
            for _ in range(_ROUNDS):
                q = newton(replace(pinned, target=target), q)
                target = target + goal - quantity(q, which)
            best = np.minimum(best, objective.value(q))
        return best.reshape(count, 3)

    def _stiffness(self) -> np.ndarray:
        first = self._first
        slope = slopes(self.quantity(first), np.repeat(first.q[None], 3, axis=0), np.arange(3))
        curvature = float(first.loss.curvature(np.zeros(1))[0]) / 2
        return _STIFFNESS * curvature / np.einsum("vq,qp,vp->v", slope, spread(first, first.q[None])[0], slope)

    @property
    def _ahead(self) -> np.ndarray:
        return _AHEAD * self.design.x.max(axis=0, keepdims=True)

    @cached_property
    def _points(self) -> Observations:
        truth = _Truth(design=self.design)
        return observe(self.design.x, truth.heights(self.design.x), x_names=truth.law.inputs)

    @cached_property
    def _first(self) -> Curve:
        """Of the design's curve without noise: q is the truth."""
        return fit_curve(LAWS[self.design.law], self._points, loss=Loss.parse(self.design.loss))
