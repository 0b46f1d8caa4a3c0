"""Do groups differ? Tests of shared parameters in nested models, and the gap of two curves at one x.

    F = ((S_shared − S_separate) / q) / (S_separate / ν)        q = (groups − 1) · shared parameters,  ν = Σ n − Σ k

S is the sum of squares of the loss or, for log-ls, of its logarithm. All groups are taken to have the same noise, so
that a group without degrees of freedom of its own can lean on the others. Seber & Wild 1989, Nonlinear Regression,
sections 5.3 and 5.9; the gap uses the profile-F set of analysis/pair.py. For Huber's loss, with D the sum of ρ over all
residuals,

    F = (D_shared − D_separate) / q / (λ / 2)        λ = (Σρ′² / ν) / mean ρ″, of the separate fits

the drop-in-dispersion test of Schrader & Hettmansperger 1980 (Biometrika 67, 93), which is the F above for ρ = r².
Measured level of nominal 5 % for equal curves and δ of one noise, on the loss and on its logarithm together: 14 of 300
at 8 points a group, 25 of 300 at 20. Least absolute deviations (33 of 150 at 8 points) are refused.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from analysis.curve import aicc
from analysis.intervals import Interval, f_limit
from analysis.laws import Law, Parameter
from analysis.observations import Observations, check_level, find_law, observe_groups, pick_group
from analysis.pair import Pair, all_pairs, check_place, walk
from analysis.sentences import comparison_sentence, differing, gap_sentence, untestable
from analysis.solve.dispersion import robust_scale
from analysis.solve.joint import Joint, joint_fit, shareable_alone
from analysis.solve.losses import Loss
from analysis.solve.projection import rounding_floor
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Test of "the parameters `shared` are equal in all groups" against "all differ".

    `distinguishable` is True where p < 1 − level, and None (statistics nan) without pooled degrees of freedom.
    `p_adjusted` is Holm's p where several pairs of a table were asked the same question (Holm 1979, Scand. J. Statist.
    6, 65), and p otherwise. `aicc_difference` is separate − shared: negative favours separate parameters; nan where n
    is too small for AICc, or the loss is not a sum of squares. `parameters` are those of the joint model by group, and
    `intervals` profile-F intervals of the shared ones in it, for sums of squares; `compare_all` leaves them out.
    """

    groups: tuple[str, ...]
    shared: tuple[str, ...]
    f_statistic: float
    p_value: float
    p_adjusted: float
    degrees_of_freedom: tuple[int, int]
    aicc_shared: float
    aicc_separate: float
    aicc_difference: float
    parameters: dict[str, dict[str, float]]
    intervals: dict[str, Interval]
    distinguishable: bool | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class LossGap:
    """Fitted loss of the first group minus that of the second at x; `extrapolated` where x is outside either's data."""

    groups: tuple[str, str]
    x: float
    gap: float
    interval: Interval
    distinguishable: bool | None
    extrapolated: bool
    sentence: str


def compare(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str,
    groups: Sequence[str],
    shared: Sequence[str],
    level: float = 0.95,
    loss: str | Loss = "ls",
) -> Comparison:
    """Test that `shared` are equal in two or more groups, the other parameters free in each.

    Raises:
        UserError: for an unknown law, column, group or parameter, an empty `shared`, the same group twice, an
            amplitude shared without the exponent it carries the unit of, least absolute deviations, or points that
            `fit` refuses.
    """
    found, observed = find_law(law), observe_groups(table, x=x, y=y, group=group)
    check_level(level)
    if len(groups) < 2 or len(set(groups)) < len(groups):
        raise UserError(f"groups = {tuple(groups)!r}: name two different groups, or more, out of {', '.join(observed)}")
    points = [pick_group(observed, name) for name in groups]
    return _Groups.of(found, points, Loss.parse(loss), level).test(shared, intervals=True)


def loss_gap(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    groups: tuple[str, str],
    at: float,
    level: float = 0.95,
) -> LossGap:
    """The gap of the curves fitted by least squares at x = `at`, with a profile-F interval from the joint model.

    Raises:
        UserError: as `compare`, and for an `at` that is not finite and positive.
    """
    return gap_of(Pair.of(law, table, x=x, y=y, group=group, groups=groups, level=level), at)


def compare_all(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    level: float = 0.95,
    only: Collection[tuple[str, str]] | None = None,
) -> list[Comparison | LossGap]:
    """For each pair: is C equal, is b equal, is the whole curve equal, and the gap at the largest x both measured.

    With `only`, of the pairs it names alone; each pair in the order of its names.

    Where the groups have no x in common, the gap is taken at the largest x that lies inside the range of both or,
    for ranges that do not overlap, at the end of the lower one.

    Raises:
        UserError: for an unknown law or column, or a group that `fit` refuses.
    """
    found = find_law(law)
    pairs = [
        pair
        for pair in all_pairs(found, table, x=x, y=y, group=group, level=level)
        if only is None or pair.groups in only
    ]
    points = {p.group: p for pair in pairs for p in pair.points}
    alone = {name: joint_fit(found, (own,), loss=Loss()) for name, own in points.items()}
    asked: list[tuple[str, ...]] = [(p.name,) for p in reversed(found.parameters) if shareable_alone(found, p)]
    asked.append(tuple(p.name for p in found.parameters))
    results: list[Comparison | LossGap] = []
    for pair in pairs:
        fitted = [alone[name] for name in pair.groups]
        results += [equality_of(found, pair.points, fitted, names, level=level) for names in asked]
        common = np.intersect1d(pair.points[0].x, pair.points[1].x)
        results.append(gap_of(pair, float(common[-1] if common.size else min(p.x[-1] for p in pair.points))))
    return _adjusted(results)


def equality_of(
    law: Law,
    points: Sequence[Observations],
    alone: Sequence[Joint],
    shared: Sequence[str],
    *,
    level: float,
) -> Comparison:
    """`compare` for groups that are already fitted alone, without intervals."""
    loss = alone[0].objective.loss
    return _Groups(law=law, points=points, alone=alone, loss=loss, level=level).test(shared, intervals=False)


def gap_of(pair: Pair, at: float) -> LossGap:
    """`loss_gap` of two groups that are already fitted."""
    pair.require_one_input("the gap of two curves")
    check_place(at, "at", "the gap of two curves is taken")
    first, second = (float(pair.predict(side, np.array([at]))[0]) for side in (0, 1))
    gap, low, high, differs = first - second, -math.inf, math.inf, None
    if pair.degrees_of_freedom:
        ends = _gap_ends(pair, at, gap)
        low, high = min(ends[0], gap), max(ends[1], gap)
        differs = not low <= 0 <= high
    interval = Interval(low=low, high=high, level=pair.level)
    extrapolated = not (pair.covers(0, at) and pair.covers(1, at))
    return LossGap(
        groups=pair.groups,
        x=at,
        gap=gap,
        interval=interval,
        distinguishable=differs,
        extrapolated=extrapolated,
        sentence=gap_sentence(
            groups=pair.groups,
            x=f"{pair.points[0].x_name} = {at:.3g}",
            y_name=pair.points[0].y_name,
            gap=gap,
            interval=interval,
            differs=differs,
            extrapolated=extrapolated,
            untestable=pair.untestable(),
        ),
    )


def require_testable(loss: Loss) -> None:
    """Raises: UserError for least absolute deviations."""
    if loss.kind == "lad":
        raise UserError(
            f"loss = {loss.name}: least absolute deviations have no test that holds its level on few points; compare"
            f" with huber{'-log' if loss.logarithmic else ''}:δ, δ about the noise, or with ls"
        )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment; a p of nan is no test and stays nan."""
    tested = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@dataclass(frozen=True, kw_only=True)
class _Groups:
    law: Law
    points: Sequence[Observations]
    alone: Sequence[Joint]
    loss: Loss
    level: float

    @classmethod
    def of(cls, law: Law, points: Sequence[Observations], loss: Loss, level: float) -> "_Groups":
        require_testable(loss)
        alone = [joint_fit(law, (own,), loss=loss) for own in points]
        return cls(law=law, points=points, alone=alone, loss=loss, level=level)

    def test(self, shared: Sequence[str], *, intervals: bool) -> Comparison:
        law, dof, n = self.law, self._degrees_of_freedom(), sum(p.y.size for p in self.points)
        chosen = _chosen(law, shared)
        names = tuple(p.name for p in chosen)
        joint = joint_fit(law, self.points, names, loss=self.loss, separate=self.alone)
        separate, floor = sum(one.value for one in self.alone), self._floor()
        restrictions = len(chosen) * (len(self.points) - 1)
        scale = self._scale(dof)
        f_statistic = p_value = math.nan
        if dof:
            f_statistic = max(joint.value - separate, 0.0) / restrictions / scale
            p_value = float(stats.f.sf(f_statistic, restrictions, dof))
        k = len(self.points) * len(law.parameters)
        sums = self.loss.kind == "ls"
        together = aicc(joint.value, n=n, parameters=k - restrictions, floor=floor) if sums else math.nan
        apart = aicc(separate, n=n, parameters=k, floor=floor) if sums else math.nan
        differs = p_value < 1 - self.level if dof else None
        return Comparison(
            groups=joint.groups,
            shared=names,
            f_statistic=f_statistic,
            p_value=p_value,
            p_adjusted=p_value,
            degrees_of_freedom=(restrictions, dof),
            aicc_shared=together,
            aicc_separate=apart,
            aicc_difference=apart - together,
            parameters=joint.parameters(),
            intervals=self._intervals(joint, floor) if intervals else {},
            distinguishable=differs,
            sentence=comparison_sentence(
                groups=joint.groups,
                what=differing(law, chosen),
                f_statistic=f_statistic,
                p_value=p_value,
                degrees_of_freedom=(restrictions, dof),
                differs=differs,
                untestable=untestable([p.y.size for p in self.points], parameters=len(law.parameters)),
            ),
        )

    def _degrees_of_freedom(self) -> int:
        return sum(p.y.size - len(self.law.parameters) for p in self.points)

    def _floor(self) -> float:
        """What rounding alone leaves of the objective on exact data."""
        y = [np.ones_like(p.y) if self.loss.logarithmic else p.y for p in self.points]
        return sum(float(rounding_floor(part)) for part in y)

    def _scale(self, dof: int) -> float:
        """λ/2 of the module docstring, which is the variance of the noise for least squares."""
        if not dof:
            return math.nan
        if self.loss.kind == "ls":
            return max(sum(one.value for one in self.alone), self._floor()) / dof
        apart = joint_fit(self.law, self.points, loss=self.loss, separate=self.alone)
        return max(robust_scale(apart.objective, apart.q, dof) / 2, self._floor() / dof)

    def _intervals(self, joint: Joint, floor: float) -> dict[str, Interval]:
        dof = joint.objective.y.size - joint.q.size
        if dof <= 0 or self.loss.kind != "ls":
            return {}
        limit = f_limit(joint.value, degrees_of_freedom=dof, level=self.level, floor=floor)
        values = joint.parameters()[joint.groups[0]]
        return {
            name: Interval(low=min(low, values[name]), high=max(high, values[name]), level=self.level)
            for name, (low, high) in joint.intervals(joint.shared, limit).items()
        }


def _adjusted(results: Sequence[Comparison | LossGap]) -> list[Comparison | LossGap]:
    """With Holm's p over all pairs that were asked the same question."""
    found = list(results)
    tests = {i: item for i, item in enumerate(results) if isinstance(item, Comparison)}
    for shared in {item.shared for item in tests.values()}:
        asked = {i: item for i, item in tests.items() if item.shared == shared}
        for (i, item), p in zip(asked.items(), holm([item.p_value for item in asked.values()]), strict=True):
            found[i] = replace(item, p_adjusted=p)
    return found


def _gap_ends(pair: Pair, at: float, gap: float) -> tuple[float, float]:
    """The gaps between which some pair of curves within the pooled limit lies, ±inf where none is too large."""
    place = np.array([at])

    def excess(other: float) -> float:
        return float(pair.meeting_sum(place, place, gap=other)[0]) - pair.limit

    largest = max(float(points.y.max()) for points in pair.points)
    low, high = (walk(excess, gap, side, step=1e-5 * largest, reach=1e3 * largest) for side in (-1, 1))
    return low, high


def _chosen(law: Law, shared: Sequence[str]) -> tuple[Parameter, ...]:
    names = [p.name for p in law.parameters]
    for name in shared:
        if name not in names:
            raise unknown("parameter", name, names, hint=f"The law is {law.equation}.")
    if not shared:
        raise UserError(f"shared is empty: name at least one of {', '.join(names)} to test for equality")
    chosen = tuple(p for p in law.parameters if p.name in shared)
    exponents = [p.name for p in law.nonlinear]
    for p in chosen:
        if not shareable_alone(law, p) and not set(exponents) <= set(shared):
            raise UserError(
                f"shared = {', '.join(shared)}: whether {p.name} is equal depends on the unit of x while"
                f" {', '.join(exponents)} may differ; share {', '.join(exponents)} too"
            )
    return chosen
