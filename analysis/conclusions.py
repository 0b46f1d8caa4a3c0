"""All that is concluded from one set of points, and how each conclusion moves when points are left out.

    points ─▶ a fit a group ─▶ tests of shared parameters, gaps, the leader      without(…) ─▶ the same from the rest

What is left out changes its own group alone: the other fits, and the tests between other groups, stand.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from analysis.compare import equality_of
from analysis.equality import Comparison, testable_names
from analysis.fit import Fit, fit_observations
from analysis.gap import LossGap, gap_of
from analysis.laws import Law
from analysis.observations import Observations
from analysis.pair import Pair
from analysis.solve.losses import Loss
from archscale.registry import UserError

# Up to so many groups every pair is compared; beyond, the leader with each other.
_FEW = 3
_ANSWERS = {True: "differ", False: "not distinguishable", None: "cannot be tested"}


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One figure with and without what is left out.

    `what` is the figure in words. `kind` is loss (a parameter in the unit of the loss), parameter, p, gap or leader;
    `name` is the parameter that it is about and `groups` are its groups. `before` and `after` are its values, of
    groups' names for the leader; `low` and `high` are the interval without the point, nan where the figure has none.
    `shift` is |after − before| in half widths of that interval, nan without one. `conclusion_changes` says, of a
    parameter, that it becomes or ceases to be usable (identified or weak), to lie on a bound, or to be an irreducible
    loss above the lowest measured loss; of a p-value, that it crosses 1 − level; of a gap, that it becomes or ceases to
    be distinguishable, or changes sign while it is; of the leader, that it is another. `conclusion` is it with and
    without, in words.
    """

    left_out: str
    what: str
    kind: str
    name: str
    groups: tuple[str, ...]
    before: float | str
    after: float | str
    low: float
    high: float
    shift: float
    conclusion_changes: bool
    conclusion: str


@dataclass(frozen=True, kw_only=True)
class Conclusions:
    """`at` is the x at which gaps and the leader are taken, the largest that all groups reach; nan for several."""

    law: Law
    level: float
    loss: Loss
    points: Mapping[str, Observations]
    fits: Mapping[str, Fit]
    at: float
    pairs: Mapping[tuple[str, str], Pair]
    tests: Mapping[tuple[tuple[str, str], str], Comparison]
    gaps: Mapping[tuple[str, str], LossGap]

    @classmethod
    def of(cls, law: Law, points: Mapping[str, Observations], *, level: float, loss: Loss) -> "Conclusions":
        fits = {name: fit_observations(law, own, level=level, loss=loss) for name, own in points.items()}
        at = min(float(own.x.max()) for own in points.values()) if len(law.inputs) == 1 else math.nan
        named = list(combinations(points, 2))
        if len(points) > _FEW:
            first = _leader(fits, at) if math.isfinite(at) else next(iter(points))
            named = [(first, name) for name in points if name != first]
        pairs = {both: _pair(law, points, fits, both, level) for both in named}
        return cls(
            law=law,
            level=level,
            loss=loss,
            points=points,
            fits=fits,
            at=at,
            pairs=pairs,
            tests={(both, name): test for both, pair in pairs.items() for name, test in _tests(pair).items()},
            gaps={both: gap_of(pair, at) for both, pair in pairs.items() if pair.has_heights},
        )

    def without(self, label: str, changed: Mapping[str, Observations | None]) -> Iterator[Shift]:
        """Every figure of the groups in `changed`, which are given with what is left of them.

        Raises:
            UserError: where a group is left without a degree of freedom.
        """
        kept = {name: own for name, own in changed.items() if own is not None}
        if len(kept) < len(changed):
            gone = ", ".join(name or "the table" for name in changed if name not in kept)
            raise UserError(f"nothing is left of {gone}")
        refits = {name: fit_observations(self.law, own, level=self.level, loss=self.loss) for name, own in kept.items()}
        for name, fit in refits.items():
            if not fit.degrees_of_freedom:
                raise UserError(f"{name or 'the table'} is left without a degree of freedom")
        return iter([*self._shifts(label, {**self.points, **kept}, refits)])

    def _shifts(self, label: str, points: Mapping[str, Observations], refits: Mapping[str, Fit]) -> Iterator[Shift]:
        fits = {**self.fits, **refits}
        for name in refits:
            yield from self._parameters(label, name, fits[name])
        for both in self.pairs:
            if set(both) & set(refits):
                pair = _pair(self.law, points, fits, both, self.level)
                for name, test in _tests(pair).items():
                    yield self._test(label, both, name, test)
                if both in self.gaps:
                    yield self._gap(label, both, gap_of(pair, self.at))
        if math.isfinite(self.at) and len(fits) > 1:
            before, after = _leader(self.fits, self.at), _leader(fits, self.at)
            what = f"leader at {self._place()}"
            yield _shift(label, what, "leader", "", (), before, after, conclusions=(before, after))

    def _parameters(self, label: str, name: str, after: Fit) -> Iterator[Shift]:
        before = self.fits[name]
        for p in self.law.parameters:
            ends = after.intervals[p.name]
            yield _shift(
                label,
                f"{p.label} of {name}" if name else p.label,
                "loss" if p.unit == "y" else "parameter",
                p.name,
                (name,),
                before.parameters[p.name],
                after.parameters[p.name],
                ends=(ends.low, ends.high),
                conclusions=(_standing(before, p.name, p.unit), _standing(after, p.name, p.unit)),
            )

    def _test(self, label: str, both: tuple[str, str], name: str, after: Comparison) -> Shift:
        before = self.tests[both, name]
        what = f"p of equal {name} in {both[0]} and {both[1]}"
        said = _ANSWERS[before.distinguishable], _ANSWERS[after.distinguishable]
        return _shift(label, what, "p", name, both, before.p_value, after.p_value, conclusions=said)

    def _gap(self, label: str, both: tuple[str, str], after: LossGap) -> Shift:
        before = self.gaps[both]
        what = f"gap of {both[0]} to {both[1]} at {self._place()}"
        ends, said = (after.interval.low, after.interval.high), (_ordered(before), _ordered(after))
        return _shift(label, what, "gap", "", both, before.gap, after.gap, ends=ends, conclusions=said)

    def _place(self) -> str:
        return f"{next(iter(self.points.values())).x_name} = {self.at:.3g}"


def _pair(
    law: Law, points: Mapping[str, Observations], fits: Mapping[str, Fit], both: tuple[str, str], level: float
) -> Pair:
    first, second = both
    return Pair(
        law=law,
        points=(points[first], points[second]),
        curves=(fits[first].curve, fits[second].curve),
        level=level,
    )


def _tests(pair: Pair) -> dict[str, Comparison]:
    return {name: equality_of(pair, (name,)) for name in testable_names(pair.law)}


def _leader(fits: Mapping[str, Fit], at: float) -> str:
    """The group with the lowest fitted loss at x = `at`."""
    return min(fits, key=lambda name: float(fits[name].predict(at)[0]))


def _standing(fit: Fit, name: str, unit: str) -> str:
    """What is concluded of a parameter: whether it is usable, on a bound, and a loss that a run has beaten."""
    verdict = fit.verdicts[name]
    beaten = unit == "y" and fit.parameters[name] > float(fit.y.min())
    usable = "usable" if verdict in ("identified", "weak") else verdict
    return f"{usable}, above the lowest measured loss" if beaten else usable


def _ordered(gap: LossGap) -> str:
    if not gap.distinguishable:
        return _ANSWERS[gap.distinguishable]
    return f"{gap.groups[0 if gap.gap < 0 else 1]} is lower"


def _shift(
    left_out: str,
    what: str,
    kind: str,
    name: str,
    groups: tuple[str, ...],
    before: float | str,
    after: float | str,
    *,
    ends: tuple[float, float] = (math.nan, math.nan),
    conclusions: tuple[str, str],
) -> Shift:
    half, shift = (ends[1] - ends[0]) / 2, math.nan
    if isinstance(before, float) and isinstance(after, float) and math.isfinite(half) and half > 0:
        shift = abs(after - before) / half
    return Shift(
        left_out=left_out,
        what=what,
        kind=kind,
        name=name,
        groups=groups,
        before=before,
        after=after,
        low=ends[0],
        high=ends[1],
        shift=shift,
        conclusion_changes=conclusions[0] != conclusions[1],
        conclusion=" → ".join(dict.fromkeys(conclusions)),
    )
