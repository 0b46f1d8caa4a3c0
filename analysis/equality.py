"""One test of whether groups share parameters, by nested models.

    F = ((S_shared − S_separate) / q) / (S_separate / ν)        q = (groups − 1) · shared parameters,  ν = Σ n − Σ k

S is the sum of squares of the loss or, for log-ls, of its logarithm, and the noise is pooled: a group without degrees
of freedom of its own leans on the others. Seber & Wild 1989, Nonlinear Regression, sections 5.3 and 5.9. Where the
groups scatter unlike (analysis/noise.py), each has its own noise,

    F = Σ_g (S_g,shared − S_g) / s_g² / q        ν: analysis/noise.py

For Huber's loss, with D the sum of ρ over all residuals,

    F = (D_shared − D_separate) / q / (λ / 2)        λ = (Σρ′² / ν) / mean ρ″, of the separate fits

the drop-in-dispersion test of Schrader & Hettmansperger 1980 (Biometrika 67, 93), which is the F above for ρ = r².
Measured level of nominal 5 % for equal curves and δ of one noise, on the loss and on its logarithm together: 14 of 300
at 8 points a group, 25 of 300 at 20. Least absolute deviations (33 of 150 at 8 points) are refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.curve import Curve, aicc, fit_curve
from analysis.intervals import Interval, f_limit
from analysis.laws import Law, Parameter
from analysis.noise import Noise
from analysis.observations import Observations
from analysis.sentences import comparison_sentence, differing, untestable
from analysis.solve.dispersion import robust_scale
from analysis.solve.joint import Joint, joint_fit, shareable_alone
from analysis.solve.losses import Loss
from analysis.solve.projection import rounding_floor
from archscale.registry import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Test of "the parameters `shared` are equal in all groups" against "all differ".

    `p_adjusted` is Holm's p where several pairs of a table were asked the same question (Holm 1979, Scand. J. Statist.
    6, 65), and p otherwise. `distinguishable` is True where it is below 1 − level, and None (statistics nan) without
    pooled degrees of freedom. `aicc_difference` is separate − shared: negative favours separate parameters; nan where n
    is too small for AICc, the loss is not a sum of squares, or each group has its own `noise` (None for a loss that is
    no sum of squares). `parameters` are those of the joint model by group, and `intervals` profile-F intervals of the
    shared ones in it, for sums of squares with one noise; `compare_all` leaves them out.
    """

    groups: tuple[str, ...]
    shared: tuple[str, ...]
    f_statistic: float
    p_value: float
    p_adjusted: float
    degrees_of_freedom: tuple[int, float]
    noise: Noise | None
    aicc_shared: float
    aicc_separate: float
    aicc_difference: float
    parameters: dict[str, dict[str, float]]
    intervals: dict[str, Interval]
    distinguishable: bool | None
    level: float
    what: str
    sentence: str

    def adjusted(self, p_value: float, tests: int) -> "Comparison":
        """The same test as one of several that are asked together, with its p among them."""
        if self.distinguishable is None or tests < 2:
            return self
        differs = p_value < 1 - self.level
        sentence = comparison_sentence(
            groups=self.groups,
            what=self.what,
            f_statistic=self.f_statistic,
            p_value=self.p_value,
            degrees_of_freedom=self.degrees_of_freedom,
            differs=differs,
            untestable="",
            among=f"{p_value:.2g} by Holm over {tests} pairs" if differs != self.distinguishable else "",
        )
        return replace(self, p_adjusted=p_value, distinguishable=differs, sentence=sentence)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups under one law and one loss, and the fit of each alone."""

    law: Law
    points: Sequence[Observations]
    alone: Sequence[Joint]
    loss: Loss
    level: float

    @classmethod
    def of(cls, law: Law, points: Sequence[Observations], loss: Loss, level: float) -> "Groups":
        require_testable(loss)
        alone = [alone_of(fit_curve(law, own, loss=loss), own.group) for own in points]
        return cls(law=law, points=points, alone=alone, loss=loss, level=level)

    def test(self, shared: Sequence[str], *, intervals: bool) -> Comparison:
        law, dof, n = self.law, self._degrees_of_freedom(), sum(p.y.size for p in self.points)
        chosen = _chosen(law, shared)
        names, noise = tuple(p.name for p in chosen), self._noise()
        restrictions, floor = len(chosen) * (len(self.points) - 1), self._floor()
        own = noise is not None and not noise.pooled
        joint = joint_fit(law, self._weighted(noise), names, loss=self.loss, separate=self.alone)
        if noise is not None and own:
            f_statistic, freedom = self._own_noise(noise, joint, chosen)
        else:
            f_statistic, freedom = max(joint.value - self._separate, 0.0) / restrictions / self._scale(dof), dof
        p_value = float(stats.f.sf(f_statistic, restrictions, freedom)) if dof else math.nan
        k = len(self.points) * len(law.parameters)
        sums = self.loss.kind == "ls" and not own
        together = aicc(joint.value, n=n, parameters=k - restrictions, floor=floor) if sums else math.nan
        apart = aicc(self._separate, n=n, parameters=k, floor=floor) if sums else math.nan
        differs = p_value < 1 - self.level if dof else None
        return Comparison(
            groups=joint.groups,
            shared=names,
            f_statistic=f_statistic,
            p_value=p_value,
            p_adjusted=p_value,
            degrees_of_freedom=(restrictions, freedom),
            noise=noise,
            aicc_shared=together,
            aicc_separate=apart,
            aicc_difference=apart - together,
            parameters=joint.parameters(),
            intervals=self._intervals(joint, floor) if intervals and sums else {},
            distinguishable=differs,
            level=self.level,
            what=differing(law, chosen),
            sentence=comparison_sentence(
                groups=joint.groups,
                what=differing(law, chosen),
                f_statistic=f_statistic,
                p_value=p_value,
                degrees_of_freedom=(restrictions, freedom),
                differs=differs,
                untestable=untestable([p.y.size for p in self.points], parameters=len(law.parameters)),
            ),
        )

    @property
    def _separate(self) -> float:
        return sum(one.value for one in self.alone)

    def _noise(self) -> Noise | None:
        """None for a loss whose objective is no sum of squares."""
        if self.loss.kind != "ls":
            return None
        return Noise.of(
            [p.group for p in self.points],
            [one.value for one in self.alone],
            [self._floor_of(p) for p in self.points],
            [p.y.size - len(self.law.parameters) for p in self.points],
        )

    def _weighted(self, noise: Noise | None) -> Sequence[Observations]:
        """The points with the weights 1 / s² of their groups, where each has its own."""
        if noise is None or noise.pooled:
            return self.points
        return [
            replace(p, weights=(np.ones(p.y.size) if p.weights is None else p.weights) / s)
            for p, s in zip(self.points, noise.variances, strict=True)
        ]

    def _own_noise(self, noise: Noise, joint: Joint, chosen: Sequence[Parameter]) -> tuple[float, float]:
        """F and ν of analysis/noise.py, from the tangents of the separate fits; `joint` is the weighted one."""
        apart = joint_fit(self.law, self.points, loss=self.loss, separate=self.alone)
        slopes_QN, first = apart.objective.slopes(apart.q), apart.objective.nonlinear_count
        places = [(*self.law.nonlinear, *self.law.linear).index(p) for p in chosen]
        others, end, parts = len(self.points) - 1, 0, []
        for number, (own, s) in enumerate(zip(self.points, noise.variances, strict=True)):
            columns = [*apart.theta_columns[number], *(first + k for k in apart.beta_columns[number])]
            tangents_NK = slopes_QN[columns, end : end + own.y.size].T
            end += own.y.size
            size_K = np.maximum(np.linalg.norm(tangents_NK, axis=0), np.finfo(float).tiny)
            root_KN = np.linalg.pinv(tangents_NK / size_K) / size_K[:, None]
            sign_G = np.ones(others) if number == 0 else -np.eye(others)[number - 1]
            parts.append(np.kron(np.outer(sign_G, sign_G), s * (root_KN @ root_KN.T)[np.ix_(places, places)]))
        separate = sum(one.value / s for one, s in zip(self.alone, noise.variances, strict=True))
        rise = max(joint.value - separate, 0.0)
        return rise / (len(chosen) * others), noise.effective_degrees_of_freedom(np.stack(parts))

    def _degrees_of_freedom(self) -> int:
        return sum(p.y.size - len(self.law.parameters) for p in self.points)

    def _floor(self) -> float:
        return sum(self._floor_of(p) for p in self.points)

    def _floor_of(self, own: Observations) -> float:
        """What rounding alone leaves of the objective on exact data."""
        return float(rounding_floor(np.ones_like(own.y) if self.loss.logarithmic else own.y))

    def _scale(self, dof: int) -> float:
        """λ/2 of the module docstring, which is the variance of the noise for least squares."""
        if not dof:
            return math.nan
        if self.loss.kind == "ls":
            return max(self._separate, self._floor()) / dof
        apart = joint_fit(self.law, self.points, loss=self.loss, separate=self.alone)
        return max(robust_scale(apart.objective, apart.q, dof) / 2, self._floor() / dof)

    def _intervals(self, joint: Joint, floor: float) -> dict[str, Interval]:
        dof = joint.objective.y.size - joint.q.size
        if dof <= 0:
            return {}
        limit = f_limit(joint.value, degrees_of_freedom=dof, level=self.level, floor=floor)
        values = joint.parameters()[joint.groups[0]]
        return {
            name: Interval(low=min(low, values[name]), high=max(high, values[name]), level=self.level)
            for name, (low, high) in joint.intervals(joint.shared, limit).items()
        }


def testable_names(law: Law) -> list[str]:
    """The parameters of which alone it can be asked whether they are equal, the irreducible loss first."""
    found = [p for p in reversed(law.parameters) if shareable_alone(law, p)]
    return [p.name for p in sorted(found, key=lambda p: p.unit != "y")]


def alone_of(curve: Curve, group: str) -> Joint:
    """A fitted curve as the joint model of one group."""
    thetas = tuple(range(curve.theta.size))
    return Joint(
        scaled=curve.scaled,
        groups=(group,),
        shared=(),
        objective=curve.objective,
        theta_columns=(thetas,),
        beta_columns=(tuple(range(curve.beta.size)),),
        q=curve.q,
        value=curve.minimum,
    )


def require_testable(loss: Loss) -> None:
    """Raises: UserError for least absolute deviations."""
    if loss.kind == "lad":
        raise UserError(
            f"loss = {loss.name}: least absolute deviations have no test that holds its level on few points; compare"
            f" with huber{'-log' if loss.logarithmic else ''}:δ, δ about the noise, or with ls"
        )


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
