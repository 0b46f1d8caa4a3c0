"""How often intervals hold the truth: made-up data of stated designs, fitted again and again.

    y = f(x; truth) + noise        covered: the share of data sets whose interval for g holds g(truth)

g is an exponent, the irreducible loss, and the loss at four times the largest inputs. A profile interval holds g(truth)
where the best fit with that value stays below the limit, which needs no search for its ends: all data sets at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.curve import Curve, fit_curve
from analysis.laws import LAWS
from analysis.methods import ends_of
from analysis.methods.quantities import Parameters
from analysis.methods.wald import spread
from analysis.observations import Observations, observe
from analysis.solve.losses import Loss
from analysis.solve.minimum import refit_near
from analysis.solve.newton import newton
from analysis.solve.profile import Pinned, Quantity, slopes
from analysis.solve.projection import minimise
from archscale.bench.designs import Design

LEVEL = 0.9
_AHEAD = 4.0
_BATCH = 100
# Each round leaves 1 / (1 + _STIFFNESS) of the distance to the pinned value.
_STIFFNESS, _ROUNDS = 50.0, 5


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """`covered` is the share of `simulations` by quantity, nominally LEVEL."""

    design: str
    method: str
    simulations: int
    covered: Mapping[str, float]

    @property
    def error(self) -> float:
        """The standard error of a share that is LEVEL."""
        return math.sqrt(LEVEL * (1 - LEVEL) / self.simulations)


def coverage(design: Design, simulations: Mapping[str, int]) -> list[CoverageRow]:
    """One row a method, each on the first so many of the same data sets; none for a method with 0 of them."""
    rows = []
    for method, count in simulations.items():
        if not count:
            continue
        simulated = Simulated(design=design, y=design.simulate(count))
        hit = simulated.profile_holds() if method == "profile" else simulated.holds(method)
        shares = dict(zip(design.quantities, hit.mean(axis=0).tolist(), strict=True))
        rows.append(CoverageRow(design=design.name, method=method, simulations=count, covered=shares))
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """Data sets y (R, n) of one design, each with its fit."""

    design: Design
    y: np.ndarray

    @cached_property
    def truths(self) -> np.ndarray:
        """Of the quantities, (3,)."""
        values = [self.design.truth[name] for name in self.design.asked]
        return np.array([*values, *self.design.heights(self._ahead)])

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
        inputs = LAWS[self.design.law].inputs
        return observe(self.design.x, self.design.heights(self.design.x), x_names=inputs)

    @cached_property
    def _first(self) -> Curve:
        """Of the design's curve without noise: q is the truth."""
        return fit_curve(LAWS[self.design.law], self._points, loss=Loss.parse(self.design.loss))
