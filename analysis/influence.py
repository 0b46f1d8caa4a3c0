"""How much one point, or one kind of run, decides: every conclusion of a table again without it.

    for each point, and for each value of the columns named: refit ─▶ parameters, tests of shared parameters,
    the gap of two curves and the leader at the largest x in common, beside what they were with it

A leave-one-out shift is measured in half widths of the interval without the point: far above 1 means that the others do
not support where the point pulls the fit. Cook 1977 (Technometrics 19, 15); Seber & Wild 1989, Nonlinear Regression,
section 5.1, for the intervals.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.compare import Comparison, LossGap, equality_of, gap_of, require_testable
from analysis.fit import Fit, fit_observations
from analysis.intervals import Interval
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups
from analysis.pair import Pair
from analysis.sentences import influence_sentence
from analysis.solve.joint import Joint, joint_fit, shareable_alone
from analysis.solve.losses import Loss
from archscale.registry import UserError, unknown

# Up to so many groups every pair is compared; beyond, the leader with each other.
_FEW = 3
_ANSWERS = {True: "differ", False: "not distinguishable", None: "cannot be tested"}


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One figure with and without what is left out.

    `what` is the figure in words. `before` and `after` are its values, of groups' names for the leader; `low` and
    `high` are the interval without the point, nan where the figure has none. `shift` is |after − before| in half widths
    of that interval, nan without one. `conclusion_changes` says, of a parameter, that it becomes or ceases to be usable
    (identified or weak), to lie on a bound, or to be an irreducible loss above the lowest measured loss; of a p-value,
    that it crosses 1 − level; of a gap, that it becomes or ceases to be distinguishable, or changes sign while it is;
    of the leader, that it is another. `conclusion` is it with and without, in words.
    """

    left_out: str
    what: str
    before: float | str
    after: float | str
    low: float
    high: float
    shift: float
    conclusion_changes: bool
    conclusion: str


@dataclass(frozen=True, kw_only=True)
class Influence:
    """`not_possible` says by what is left out why nothing can be said without it."""

    rows: tuple[Shift, ...]
    most_influential: str
    not_possible: Mapping[str, str]
    sentence: str


def influence(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str | None,
    without: Sequence[str] = (),
    level: float = 0.95,
    loss: str | Loss = "ls",
) -> Influence:
    """Leaves out each point, then all rows of each value of each column in `without`, such as a seed.

    With up to three groups every pair is compared, with more the leader with each other one.

    Raises:
        UserError: for an unknown law or column, a group that `fit` refuses, or several groups under least absolute
            deviations.
    """
    found, parsed = find_law(law), Loss.parse(loss)
    check_level(level)
    for column in without:
        if column not in table.columns:
            raise unknown("column", column, [str(c) for c in table.columns])
    names = [x] if isinstance(x, str) else list(x)
    zero = tuple(name for name, of in zip(names, found.inputs, strict=False) if of in found.zero_inputs)
    points = observe_groups(table, x=x, y=y, group=group, may_be_zero=zero)
    if len(points) > 1:
        require_testable(parsed)
    base = _State.of(found, points, level=level, loss=parsed)
    rows: list[Shift] = []
    not_possible: dict[str, str] = {}
    parts = [*_one_by_one(points)]
    for column in without:
        for value in sorted(table[column].dropna().unique(), key=str):
            rest = table[table[column] != value]
            kept = observe_groups(rest, x=x, y=y, group=group, may_be_zero=zero) if len(rest) else {}
            parts.append((f"{column} = {value}", {name: kept.get(name) for name in points}))
    for label, rest_points in parts:
        changed = {
            name: part for name, part in rest_points.items() if part is None or part.y.size < points[name].y.size
        }
        try:
            rows += base.without(label, changed)
        except UserError as error:
            not_possible[label] = str(error)
    carries_units = {p.label for p in found.parameters if not shareable_alone(found, p)}
    best = _most_influential([row for row in rows if row.what.split(" of ")[0] not in carries_units])
    return Influence(
        rows=tuple(rows),
        most_influential=best.left_out if best else "",
        not_possible=not_possible,
        sentence=influence_sentence(
            left_out=best.left_out if best else "",
            what=best.what if best else "",
            before=_shown(best.before) if best else "",
            after=_shown(best.after) if best else "",
            interval=Interval(low=best.low, high=best.high, level=level) if best else None,
            changes=[
                f"{row.what} ({row.conclusion})"
                for row in rows
                if best and row.left_out == best.left_out and row.conclusion_changes
            ],
        ),
    )


def _one_by_one(points: Mapping[str, Observations]) -> Iterator[tuple[str, dict[str, Observations | None]]]:
    for name, own in points.items():
        for i in range(own.y.size):
            at = ", ".join(f"{column} = {value:.4g}" for column, value in zip(own.names, own.columns[i], strict=True))
            who = f"{name} at " if name else ""
            yield f"{who}{at} ({own.y_name} = {own.y[i]:.5g})", {name: own.taking(np.arange(own.y.size) != i)}


@dataclass(frozen=True, kw_only=True)
class _State:
    """All fits and comparisons of one set of points."""

    law: Law
    level: float
    loss: Loss
    points: Mapping[str, Observations]
    fits: Mapping[str, Fit]
    alone: Mapping[str, Joint]
    pairs: tuple[tuple[str, str], ...]
    at: float
    tests: Mapping[tuple[tuple[str, str], str], Comparison]
    gaps: Mapping[tuple[str, str], LossGap]

    @classmethod
    def of(cls, law: Law, points: Mapping[str, Observations], *, level: float, loss: Loss) -> "_State":
        fits = {name: fit_observations(law, own, level=level, loss=loss) for name, own in points.items()}
        at = min(float(own.x.max()) for own in points.values()) if len(law.inputs) == 1 else math.nan
        pairs = tuple(combinations(points, 2))
        if len(points) > _FEW:
            first = _leader(fits, at) if math.isfinite(at) else next(iter(points))
            pairs = tuple((first, name) for name in points if name != first)
        alone = {name: joint_fit(law, (own,), loss=loss) for name, own in points.items()} if pairs else {}
        state = cls(
            law=law,
            level=level,
            loss=loss,
            points=points,
            fits=fits,
            alone=alone,
            pairs=pairs,
            at=at,
            tests={},
            gaps={},
        )
        tests = {key: test for pair in pairs for key, test in state.tests_of(pair, points, alone).items()}
        gaps = {pair: gap for pair in pairs if (gap := state.gap_of(pair, points, fits)) is not None}
        return cls(**vars(state) | {"tests": tests, "gaps": gaps})

    def tests_of(
        self, pair: tuple[str, str], points: Mapping[str, Observations], alone: Mapping[str, Joint]
    ) -> dict[tuple[tuple[str, str], str], Comparison]:
        asked = [p.name for p in self.law.parameters if shareable_alone(self.law, p)]
        own, fitted = [points[name] for name in pair], [alone[name] for name in pair]
        return {(pair, name): equality_of(self.law, own, fitted, (name,), level=self.level) for name in asked}

    def gap_of(
        self, pair: tuple[str, str], points: Mapping[str, Observations], fits: Mapping[str, Fit]
    ) -> LossGap | None:
        """None for a fit whose pairs of curves have no closed form."""
        first, second = pair
        if len(self.law.inputs) != 1 or not all(fits[name].curve.is_closed_form for name in pair):
            return None
        both = Pair(
            law=self.law,
            points=(points[first], points[second]),
            curves=(fits[first].curve, fits[second].curve),
            level=self.level,
        )
        return gap_of(both, self.at)

    def without(self, label: str, changed: Mapping[str, Observations | None]) -> Iterator[Shift]:
        """
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
        points, fits = {**self.points, **kept}, {**self.fits, **refits}
        alone = dict(self.alone)
        if self.pairs:
            alone |= {name: joint_fit(self.law, (own,), loss=self.loss) for name, own in kept.items()}
        rows = [row for name in refits for row in self._parameters(label, name, fits[name])]
        for pair in self.pairs:
            if not set(pair) & set(kept):
                continue
            for key, test in self.tests_of(pair, points, alone).items():
                rows.append(self._test(label, key, test))
            if pair in self.gaps and (gap := self.gap_of(pair, points, fits)) is not None:
                rows.append(self._gap(label, pair, gap))
        if math.isfinite(self.at) and len(fits) > 1:
            before, after = _leader(self.fits, self.at), _leader(fits, self.at)
            what = f"leader at {next(iter(points.values())).x_name} = {self.at:.3g}"
            rows.append(_shift(label, what, before, after, (math.nan, math.nan), (before, after)))
        return iter(rows)

    def _parameters(self, label: str, name: str, after: Fit) -> Iterator[Shift]:
        before = self.fits[name]
        for p in self.law.parameters:
            ends = after.intervals[p.name]
            said = _standing(before, p.name, p.unit), _standing(after, p.name, p.unit)
            what = f"{p.label} of {name}" if name else p.label
            yield _shift(label, what, before.parameters[p.name], after.parameters[p.name], (ends.low, ends.high), said)

    def _test(self, label: str, key: tuple[tuple[str, str], str], after: Comparison) -> Shift:
        before = self.tests[key]
        what = f"p of equal {key[1]} in {key[0][0]} and {key[0][1]}"
        said = _ANSWERS[before.distinguishable], _ANSWERS[after.distinguishable]
        return _shift(label, what, before.p_value, after.p_value, (math.nan, math.nan), said)

    def _gap(self, label: str, pair: tuple[str, str], after: LossGap) -> Shift:
        before = self.gaps[pair]
        said = _ordered(before), _ordered(after)
        what = f"gap of {pair[0]} to {pair[1]} at {self.points[pair[0]].x_name} = {self.at:.3g}"
        return _shift(label, what, before.gap, after.gap, (after.interval.low, after.interval.high), said)


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
    before: float | str,
    after: float | str,
    ends: tuple[float, float],
    conclusions: tuple[str, str],
) -> Shift:
    half, shift = (ends[1] - ends[0]) / 2, math.nan
    if isinstance(before, float) and isinstance(after, float) and math.isfinite(half) and half > 0:
        shift = abs(after - before) / half
    return Shift(
        left_out=left_out,
        what=what,
        before=before,
        after=after,
        low=ends[0],
        high=ends[1],
        shift=shift,
        conclusion_changes=conclusions[0] != conclusions[1],
        conclusion=" → ".join(dict.fromkeys(conclusions)),
    )


def _most_influential(rows: Sequence[Shift]) -> Shift | None:
    """The largest shift; where all stay below one half width, the largest of what changes a conclusion, if any does."""
    measured = [row for row in rows if not math.isnan(row.shift)]
    changing = {row.left_out for row in rows if row.conclusion_changes}
    if not any(row.shift > 1 for row in measured):
        measured = [row for row in measured if row.left_out in changing] or measured
    return max(measured, key=lambda row: row.shift, default=None)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
