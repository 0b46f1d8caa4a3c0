"""Profile intervals of any quantity of any fit: how far it moves before the rest of the fit cannot follow.

    { g(q) : O(q) ≤ T }        found by minimising O(q) + W·(g(q) − m)² for targets m that walk outwards

At such a minimum q is the best of all with its own value g(q), whatever W and m: no constraint has to hold exactly.
z = √((O − O_min) / (T − O_min)) grows almost linearly in g, so that a few secant steps find z = 1 (Bates & Watts 1988,
Nonlinear Regression Analysis, section 6.1.2). With W = k the penalty is that of k new observations with mean m, and
the m of z = 1, with O + W·(g − m)² for O, are the ends of their interval.

Shapes: V quantities, M = 2·V rows (a side each), Q parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.solve.newton import newton
from analysis.solve.objective import Objective

# g of q (M, Q) or (M, T, Q) for the quantities `which` (M,): shape (M,) or (M, T).
Quantity = Callable[[np.ndarray, np.ndarray], np.ndarray]

_ROUNDS = 60
_STIFFNESS = 50.0
_FAR = 1e7
_CLOSE = 1e-6
_IDLE = 12
_FIRMER, _FIRMEST = 30.0, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Pinned:
    """O(q) + W·(g(q) − m)² for M rows."""

    objective: Objective
    quantity: Quantity
    which: np.ndarray
    target: np.ndarray
    stiffness: np.ndarray

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.objective.bounds()

    def value(self, q: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        which, target, stiffness = self._of(rows)
        extra = tuple(range(1, q.ndim - 1))
        miss = self.quantity(q, which) - np.expand_dims(target, extra)
        return self.objective.value(q, rows) + np.expand_dims(stiffness, extra) * miss**2

    def derivatives(self, q: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        which, target, stiffness = self._of(rows)
        value, gradient, hessian = self.objective.derivatives(q, rows)
        miss, slope = self.quantity(q, which) - target, slopes(self.quantity, q, which)
        pull = 2 * stiffness
        return (
            value + stiffness * miss**2,
            gradient + (pull * miss)[:, None] * slope,
            hessian + pull[:, None, None] * slope[:, :, None] * slope[:, None, :],
        )

    def majorant(self, q: np.ndarray, rows: np.ndarray) -> np.ndarray:
        which, _, stiffness = self._of(rows)
        slope = slopes(self.quantity, q, which)
        return self.objective.majorant(q, rows) + (2 * stiffness)[:, None, None] * slope[:, :, None] * slope[:, None, :]

    def _of(self, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = (self.which, self.target, self.stiffness)
        return parts if rows is None else (parts[0][rows], parts[1][rows], parts[2][rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The optimum q of one fit and what its quantities may move by before O reaches a limit."""

    objective: Objective
    q: np.ndarray  # (Q,)

    def ends(
        self,
        quantity: Quantity,
        count: int,
        limit: float,
        *,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value of each of `count` quantities, two arrays (V,).

        Args:
            limit: T of the module docstring.
            low, high: values that a quantity cannot pass, (V,). They are the ends where O stays below T up to them.
        """
        return self._walk(quantity, count, limit, low=low, high=high, new=None)

    def new_observation(
        self, quantity: Quantity, count: int, limit: float, weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends for a new measurement of each quantity, whose squared miss counts `weight` times in O."""
        return self._walk(quantity, count, limit, low=None, high=None, new=weight)

    def at(self, quantity: Quantity, values_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Profile of one quantity near the values asked for: those reached, and the least O with each, (V,)."""
        which = np.zeros(len(values_V), dtype=int)
        pinned = self._pinned(quantity, which, values_V, self._spread(quantity, which))
        order = np.argsort(np.abs(values_V - self._here(quantity, which)))
        q = np.repeat(self.q[None], len(values_V), axis=0)
        for sign in (-1, 1):
            last = self.q
            for place in order:
                if np.sign(values_V[place] - self._here(quantity, which)[place]) == sign:
                    rows = np.array([place])
                    part = replace(
                        pinned, which=which[rows], target=pinned.target[rows], stiffness=pinned.stiffness[rows]
                    )
                    last = q[place] = newton(part, last[None].copy())[0]
        return quantity(q, which), self.objective.value(q)

    def _walk(
        self,
        quantity: Quantity,
        count: int,
        limit: float,
        *,
        low: np.ndarray | None,
        high: np.ndarray | None,
        new: float | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        which = np.tile(np.arange(count), 2)
        side = np.repeat([-1.0, 1.0], count)
        bound = np.concatenate(
            [np.full(count, -np.inf) if low is None else low, np.full(count, np.inf) if high is None else high]
        )
        start, minimum = self._here(quantity, which), float(self.objective.value(self.q[None])[0])
        room = limit - minimum
        variance = self._spread(quantity, which)
        step = np.sqrt(2 * room * variance + (room / new if new else 0.0))
        bracket = _Bracket.at(start, side * step, self.q)
        end, open_rows = start.copy(), np.ones(len(side), dtype=bool)
        for _ in range(_ROUNDS):
            rows = np.flatnonzero(open_rows)
            target = bracket.target[rows].copy()
            pinned = self._pinned(quantity, which[rows], target, variance[rows], new)
            q = newton(pinned, bracket.q[rows].copy(), tolerance=1e-7)
            g = quantity(q, which[rows])
            z = np.sqrt(np.maximum((pinned.value(q) if new else self.objective.value(q)) - minimum, 0) / room)
            place = target if new else g
            bracket.put(rows, z, place, q)
            at_bound = (z <= 1) & (side[rows] * (place - bound[rows]) >= 0)
            size = np.maximum(np.abs(start[rows]), step[rows])
            endless = (z <= 1) & ~at_bound & (np.abs(place - start[rows]) > _FAR * size)
            end[rows] = np.where(at_bound, bound[rows], np.where(endless, side[rows] * np.inf, bracket.estimate(rows)))
            open_rows[rows] = ~(at_bound | endless | (np.abs(z - 1) <= _CLOSE) | bracket.closed(rows))
            if new is None:
                torn = rows[bracket.torn(rows) & open_rows[rows]]
                variance[torn] /= _FIRMER
                bracket.firm(torn)
            if not open_rows.any():
                break
        return end[:count], end[count:]

    def _here(self, quantity: Quantity, which: np.ndarray) -> np.ndarray:
        return quantity(np.repeat(self.q[None], len(which), axis=0), which)

    def _spread(self, quantity: Quantity, which: np.ndarray) -> np.ndarray:
        """gᵀH⁻¹g over the parameters that no bound holds: what a quantity would move by were O quadratic."""
        low, high = self.objective.bounds()
        _, gradient, hessian = self.objective.derivatives(self.q[None])
        held = ((self.q <= low) & (gradient[0] > 0)) | ((self.q >= high) & (gradient[0] < 0))
        free = ~held
        slope = slopes(quantity, np.repeat(self.q[None], len(which), axis=0), which)
        values, vectors = np.linalg.eigh(np.nan_to_num(hessian[0][np.ix_(free, free)]))
        values = np.maximum(np.abs(values), 1e-12 * np.abs(values).max(initial=0) + 1e-300)
        variance = (np.square(slope[:, free] @ vectors) / values).sum(-1)
        # A quantity that only a held parameter moves, or none: its own size has to do for a first step.
        own = np.square(0.1 * np.maximum(np.abs(self._here(quantity, which)), 0.1))
        return np.where(variance > 1e-12 * own, variance, own)

    def _pinned(
        self, quantity: Quantity, which: np.ndarray, target: np.ndarray, variance: np.ndarray, new: float | None = None
    ) -> Pinned:
        stiffness = _STIFFNESS / (2 * variance) if new is None else np.full(len(which), new)
        return Pinned(objective=self.objective, quantity=quantity, which=which, target=target, stiffness=stiffness)


@dataclass(kw_only=True)
class _Bracket:
    """Per row the outermost target inside the limit and the innermost outside, with their z and where they led.

    Targets, not places: a target is led to a place somewhat short of it.
    """

    start: np.ndarray
    target: np.ndarray
    stride: np.ndarray  # signed
    inside: np.ndarray
    z_inside: np.ndarray
    place_inside: np.ndarray
    outside: np.ndarray
    z_outside: np.ndarray
    place_outside: np.ndarray
    q: np.ndarray
    streak: np.ndarray  # rounds in a row that ended on one side of the limit
    was_inside: np.ndarray
    idle: np.ndarray
    firmness: np.ndarray

    @classmethod
    def at(cls, start: np.ndarray, stride: np.ndarray, q: np.ndarray) -> "_Bracket":
        count = len(start)
        unknown = np.full((3, count), np.nan)
        return cls(
            start=start,
            target=start + 0.7 * stride,
            stride=stride,
            inside=start.copy(),
            z_inside=np.zeros(count),
            place_inside=start.copy(),
            outside=unknown[0],
            z_outside=unknown[1],
            place_outside=unknown[2],
            q=np.repeat(q[None], count, axis=0),
            streak=np.zeros(count, dtype=int),
            was_inside=np.ones(count, dtype=bool),
            idle=np.zeros(count, dtype=int),
            firmness=np.zeros(count, dtype=int),
        )

    def put(self, rows: np.ndarray, z: np.ndarray, place: np.ndarray, q: np.ndarray) -> None:
        """What came of the targets of some rows; sets their next ones."""
        is_inside, first = z <= 1, np.isnan(self.outside[rows])
        moved = np.abs(z - self.z_inside[rows]) > 1e-3
        self.idle[rows] = np.where(is_inside & first & ~moved, self.idle[rows] + 1, 0)
        ins, outs = rows[is_inside], rows[~is_inside]
        self.z_inside[ins], self.place_inside[ins] = z[is_inside], place[is_inside]
        self.inside[ins], self.q[ins] = self.target[ins], q[is_inside]
        self.z_outside[outs], self.place_outside[outs] = z[~is_inside], place[~is_inside]
        self.outside[outs] = self.target[outs]
        self.streak[rows] = np.where(is_inside == self.was_inside[rows], self.streak[rows] + 1, 1)
        self.was_inside[rows] = is_inside
        inside, z_inside = self.inside[rows], self.z_inside[rows]
        # While nothing outside is known: as far again as z = 1 is expected, at most two strides and a half more.
        growth = np.clip(1.05 / np.maximum(z_inside, 1e-3) - 1, 0.05, 1.5)
        run = np.maximum(np.abs(inside - self.start[rows]), 0.1 * np.abs(self.stride[rows]))
        onwards = inside + np.sign(self.stride[rows]) * run * growth
        # The secant overshoots and undershoots in turn by a hundredth, so that both ends close in; where only one does,
        # z jumps or bends and halving is faster.
        share = (1 - z_inside) / (self.z_outside[rows] - z_inside)
        nudge = np.where(is_inside, 1 + 0.01 * (1 - share), 1 - 0.01 * share)
        share = np.where(self.streak[rows] > 2, 0.5, np.clip(share * nudge, 1e-3, 1 - 1e-3))
        between = inside + share * (self.outside[rows] - inside)
        self.target[rows] = np.where(np.isnan(self.outside[rows]), onwards, between)

    def torn(self, rows: np.ndarray) -> np.ndarray:
        """Where two targets side by side lead to places apart: between them O bends down, and only a larger W holds."""
        near = np.abs(self.outside[rows] - self.inside[rows]) <= 0.01 * np.abs(self.inside[rows] - self.start[rows])
        return near & (self.z_outside[rows] - self.z_inside[rows] > 0.03) & (self.firmness[rows] < _FIRMEST)

    def firm(self, rows: np.ndarray) -> None:
        """Starts again between the two places, for a larger W."""
        self.firmness[rows] += 1
        self.streak[rows] = 0
        self.inside[rows], self.outside[rows] = self.place_inside[rows], self.place_outside[rows]
        self.target[rows] = (self.inside[rows] + self.outside[rows]) / 2

    def closed(self, rows: np.ndarray) -> np.ndarray:
        """Where the two targets have met at a jump of z, or z has stopped to rise however far the target is."""
        gap = np.abs(self.outside[rows] - self.inside[rows])
        met = gap <= 1e-7 * np.abs(self.inside[rows] - self.start[rows])
        return np.asarray(met | (self.idle[rows] >= _IDLE))

    def estimate(self, rows: np.ndarray) -> np.ndarray:
        """The place with z = 1 between the two, or the inner one without an outer."""
        share = (1 - self.z_inside[rows]) / (self.z_outside[rows] - self.z_inside[rows])
        between = self.place_inside[rows] + share * (self.place_outside[rows] - self.place_inside[rows])
        return np.where(np.isnan(self.outside[rows]), self.place_inside[rows], between)


def slopes(quantity: Quantity, q: np.ndarray, which: np.ndarray) -> np.ndarray:
    """∂g/∂q, shape (M, Q), by central differences."""
    step = 6e-6 * np.maximum(np.abs(q), 1e-3)
    shifts = np.eye(q.shape[-1]) * step[:, None, :]
    ahead, behind = quantity(q[:, None] + shifts, which), quantity(q[:, None] - shifts, which)
    return np.asarray((ahead - behind) / (2 * step))
