"""Do two groups differ? Nested F-tests of shared parameters, and the gap of two curves at one x.

    F = ((S_shared − S_separate) / q) / (S_separate / ν)        q shared parameters, ν = n₁ + n₂ − 2k

Both groups are taken to have the same noise, so that a group without degrees of freedom of its own can lean on the
other. Seber & Wild 1989, Nonlinear Regression, sections 5.3 and 5.9 (tests of nested models); the gap uses the
profile-F set of intervals.py on the joint model.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.curve import Curve, aicc, fit_curve
from analysis.intervals import Interval, f_limit
from analysis.laws import Law, Parameter
from analysis.observations import Observations, check_level, find_law, observe_groups, pick_group
from analysis.sentences import comparison_sentence, differing, gap_sentence, untestable
from analysis.solve.joint import joint_sum_of_squares, shareable_alone
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Test of "the parameters `shared` are equal in both groups" against "all differ".

    `distinguishable` is True where p < 1 − level, and None (statistics nan) without pooled degrees of freedom.
    `aicc_difference` is separate − shared: negative favours separate parameters; nan where n is too small for AICc.
    """

    groups: tuple[str, str]
    shared: tuple[str, ...]
    f_statistic: float
    p_value: float
    degrees_of_freedom: tuple[int, int]
    aicc_difference: float
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
    x: str,
    y: str,
    group: str,
    groups: tuple[str, str],
    shared: tuple[str, ...],
    level: float = 0.95,
) -> Comparison:
    """Nested F-test that `shared` are equal in both groups, the other parameters free in each.

    Raises:
        UserError: for an unknown law, column, group or parameter, an empty `shared`, the same group twice, an
            amplitude shared without the exponent it carries the unit of, or points that `fit` refuses.
    """
    return _Pair.of(find_law(law), observe_groups(table, x=x, y=y, group=group), groups, level).test(shared)


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
    """The gap of the fitted curves at x = `at`, with a profile-F interval from the joint model.

    Raises:
        UserError: as `compare`, and for an `at` that is not finite and positive.
    """
    return _Pair.of(find_law(law), observe_groups(table, x=x, y=y, group=group), groups, level).gap(at)


def compare_all(
    law: str | Law, table: pd.DataFrame, *, x: str, y: str, group: str, level: float = 0.95
) -> list[Comparison | LossGap]:
    """For each pair: is C equal, is b equal, is the whole curve equal, and the gap at the largest x both measured.

    Where the groups have no x in common, the gap is taken at the largest x that lies inside the range of both or,
    for ranges that do not overlap, at the end of the lower one.

    Raises:
        UserError: for an unknown law or column, or a group that `fit` refuses.
    """
    found, curves = find_law(law), observe_groups(table, x=x, y=y, group=group)
    check_level(level)
    fitted = {name: fit_curve(found, points) for name, points in curves.items()}
    results: list[Comparison | LossGap] = []
    for a, b in combinations(curves, 2):
        pair = _Pair(law=found, points=(curves[a], curves[b]), curves=(fitted[a], fitted[b]), level=level)
        single = [p.name for p in reversed(found.parameters) if shareable_alone(found, p)]
        results += [pair.test((name,)) for name in single]
        results.append(pair.test(tuple(p.name for p in found.parameters)))
        common = np.intersect1d(curves[a].x, curves[b].x)
        results.append(pair.gap(float(common[-1] if common.size else min(curves[a].x[-1], curves[b].x[-1]))))
    return results


@dataclass(frozen=True, kw_only=True)
class _Pair:
    law: Law
    points: tuple[Observations, Observations]
    curves: tuple[Curve, Curve]
    level: float

    @classmethod
    def of(cls, law: Law, curves: dict[str, Observations], groups: tuple[str, str], level: float) -> "_Pair":
        check_level(level)
        if len(groups) != 2 or groups[0] == groups[1]:
            raise UserError(f"groups = {groups!r}: name two different groups out of {', '.join(curves)}")
        points = (pick_group(curves, groups[0]), pick_group(curves, groups[1]))
        return cls(law=law, points=points, curves=(fit_curve(law, points[0]), fit_curve(law, points[1])), level=level)

    @property
    def groups(self) -> tuple[str, str]:
        return self.points[0].group, self.points[1].group

    @property
    def n(self) -> int:
        return self.points[0].x.size + self.points[1].x.size

    @property
    def degrees_of_freedom(self) -> int:
        return self.curves[0].degrees_of_freedom + self.curves[1].degrees_of_freedom

    @property
    def separate(self) -> float:
        return self.curves[0].sum_of_squares + self.curves[1].sum_of_squares

    @property
    def floor(self) -> float:
        return self.curves[0].floor + self.curves[1].floor

    def test(self, shared: tuple[str, ...]) -> Comparison:
        law, dof = self.law, self.degrees_of_freedom
        chosen = _chosen(law, shared)
        together = joint_sum_of_squares(law, self.points, self.curves, shared)
        f_statistic = p_value = math.nan
        if dof:
            excess = max(together - self.separate, 0.0) / len(chosen)
            f_statistic = excess / (max(self.separate, self.floor) / dof)
            p_value = float(stats.f.sf(f_statistic, len(chosen), dof))
        k = 2 * len(law.parameters)
        difference = aicc(self.separate, n=self.n, parameters=k, floor=self.floor) - aicc(
            together, n=self.n, parameters=k - len(chosen), floor=self.floor
        )
        differs = p_value < 1 - self.level if dof else None
        return Comparison(
            groups=self.groups,
            shared=tuple(p.name for p in chosen),
            f_statistic=f_statistic,
            p_value=p_value,
            degrees_of_freedom=(len(chosen), dof),
            aicc_difference=difference,
            distinguishable=differs,
            sentence=comparison_sentence(
                groups=self.groups,
                what=differing(law, chosen),
                f_statistic=f_statistic,
                p_value=p_value,
                degrees_of_freedom=(len(chosen), dof),
                differs=differs,
                untestable=self._untestable(),
            ),
        )

    def gap(self, at: float) -> LossGap:
        if not (math.isfinite(at) and at > 0):
            raise UserError(f"at = {at}: the gap of two curves is taken at a finite positive {self.points[0].x_name}")
        first, second = (float(c.predict(np.array([at / c.scaled.scale]))[0]) for c in self.curves)
        gap, low, high, differs = first - second, -math.inf, math.inf, None
        if self.degrees_of_freedom:
            ends = self._gap_ends(at)
            low, high = min(ends[0], gap), max(ends[1], gap)
            differs = not low <= 0 <= high
        interval = Interval(low=low, high=high, level=self.level)
        extrapolated = any(not p.x[0] <= at <= p.x[-1] for p in self.points)
        return LossGap(
            groups=self.groups,
            x=at,
            gap=gap,
            interval=interval,
            distinguishable=differs,
            extrapolated=extrapolated,
            sentence=gap_sentence(
                groups=self.groups,
                x=f"{self.points[0].x_name} = {at:.3g}",
                y_name=self.points[0].y_name,
                gap=gap,
                interval=interval,
                differs=differs,
                extrapolated=extrapolated,
                untestable=self._untestable(),
            ),
        )

    def _untestable(self) -> str:
        first, second = (p.x.size for p in self.points)
        return untestable(first, second, parameters=len(self.law.parameters))

    def _gap_ends(self, at: float) -> tuple[float, float]:
        """Extremes of f₁(at) − f₂(at) over S₁ + S₂ ≤ T: the excess T − S_min is split between the two curves.

        A share sin²t for the first and cos²t for the second makes the extremes smooth in t; two scans of 33 points
        leave 1e-6 of the width.
        """
        limit = f_limit(self.separate, degrees_of_freedom=self.degrees_of_freedom, level=self.level, floor=self.floor)
        excess = limit - self.separate

        def at_shares(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            ends = []
            for curve, share in zip(self.curves, (np.sin(t) ** 2, np.cos(t) ** 2), strict=True):
                inside = curve.confidence_set(self.level, limit=curve.sum_of_squares + excess)
                place = curve.prediction(np.array([at / curve.scaled.scale]))
                ends.append(inside.extremes(place, limits=curve.sum_of_squares + share * excess))
            (low_1, high_1), (low_2, high_2) = ends
            return low_1 - high_2, high_1 - low_2

        scan = np.linspace(0, np.pi / 2, 33)
        low, high = at_shares(scan)
        around = np.linspace(-1, 1, 33) * scan[1]
        low = at_shares(np.clip(scan[low.argmin()] + around, 0, np.pi / 2))[0]
        high = at_shares(np.clip(scan[high.argmax()] + around, 0, np.pi / 2))[1]
        return float(low.min()), float(high.max())


def _chosen(law: Law, shared: tuple[str, ...]) -> tuple[Parameter, ...]:
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
