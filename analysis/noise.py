"""Do groups scatter alike about their own fits? One pooled noise where they do, and each group's own where they do not.

    s_g² = S_g / ν_g        F = s_1² / s_2² on (ν_1, ν_2), two-sided, times the number of pairs
    own noise:   T = Σ_g (S_g,shared − S_g) / s_g²  ~  q · F(q, ν)        ν = q / Σ_g tr[(V⁻¹V_g)²] / ν_g

V_g is what group g adds to the variance V of the q differences that are tested; for q = 1 and two groups ν is that of
Satterthwaite 1946 (Biometrics Bull. 2, 110) and Welch 1947 (Biometrika 34, 28). A check at the level of the tests finds
too little on few points, so it is made at 25 % (Bancroft 1964, Biometrics 20, 427).

Measured level of nominal 5 %, 10 000 simulations each of A·x^-b + C on its tangents, noise 1, 2, 4, 10, 30 to 1:

    points          equal C: pooled    as here          whole curve: pooled    as here
    5 and 5         5.1 to 11.1 %      4.3 to 6.4 %     4.9 to 13.4 %          4.1 to 7.5 %
    8 and 8         5.1 to 7.9 %       4.8 to 5.3 %     5.2 to 10.2 %          4.9 to 5.7 %
    5 and 10        5.1 to 30.9 %      4.9 to 8.9 %     5.0 to 45.0 %          5.3 to 12.3 %
    10 and 5        1.3 to 4.7 %       4.0 to 5.2 %     1.3 to 5.5 %           3.5 to 6.3 %

The first has the larger noise. With the check at 5 % the whole curve of 5 and 10 points came out at up to 19.1 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from analysis.formatting import listed

_UNEQUAL = 0.25


@dataclass(frozen=True, kw_only=True)
class Noise:
    """`variances` are s² by group, nan without degrees of freedom; `p_value` is nan where no two can be compared.

    `pooled` says that one noise is taken for all: none was found unequal, a group has none of its own to measure, or
    the data are exact.
    """

    groups: tuple[str, ...]
    variances: tuple[float, ...]
    degrees_of_freedom: tuple[int, ...]
    p_value: float
    pooled: bool

    @classmethod
    def of(
        cls, groups: Sequence[str], sums: Sequence[float], floors: Sequence[float], degrees_of_freedom: Sequence[int]
    ) -> "Noise":
        """From the sum of squares of each group about its own fit; `floors` are what rounding alone leaves of it."""
        measured = zip(sums, floors, degrees_of_freedom, strict=True)
        variances = [max(total, floor) / dof if dof else math.nan for total, floor, dof in measured]
        known = [(s, dof) for s, dof in zip(variances, degrees_of_freedom, strict=True) if dof]
        pairs = list(combinations(known, 2))
        p_values = [2 * stats.f.sf(max(a, b)[0] / min(a, b)[0], max(a, b)[1], min(a, b)[1]) for a, b in pairs]
        p_value = min(1.0, len(pairs) * float(min(p_values))) if pairs else math.nan
        return cls(
            groups=tuple(groups),
            variances=tuple(variances),
            degrees_of_freedom=tuple(degrees_of_freedom),
            p_value=p_value,
            pooled=len(known) < len(variances) or max(sums) <= max(floors) or not p_value < _UNEQUAL,
        )

    @property
    def ratio(self) -> float:
        """The largest residual standard deviation over the smallest."""
        known = [s for s in self.variances if not math.isnan(s)]
        return math.sqrt(max(known) / min(known)) if known else math.nan

    @property
    def sentence(self) -> str:
        """Of noise that is not pooled."""
        ordered = [group for _, group in sorted(zip(self.variances, self.groups, strict=True), reverse=True)]
        return (
            f"{ordered[0]} scatters {self.ratio:.2g} times as far about its fit as {ordered[-1]} (F-test of the"
            f" variances, p = {self.p_value:.2g}): tests of {listed(self.groups)} take each group's own noise"
            " (Welch–Satterthwaite)."
        )

    def effective_degrees_of_freedom(self, parts_GQQ: np.ndarray) -> float:
        """ν of the module docstring; `parts_GQQ` are V_g."""
        shares_GQQ = np.linalg.pinv(parts_GQQ.sum(0)) @ parts_GQQ
        traces_G = np.einsum("gab,gba->g", shares_GQQ, shares_GQQ)
        found = parts_GQQ.shape[-1] / float((traces_G / self.degrees_of_freedom).sum())
        return min(max(found, min(self.degrees_of_freedom)), sum(self.degrees_of_freedom))


def noise_sentence(tested: Sequence[Noise]) -> str:
    """Which noise the tests of several pairs take; empty where it is pooled in all of them."""
    own = [noise for noise in tested if not noise.pooled]
    if len(tested) < 2 or not own:
        return own[0].sentence if own else ""
    spreads = [math.sqrt(s) for noise in own for s in noise.variances]
    return (
        f"The groups do not scatter alike (residual standard deviations from {min(spreads):.2g} to {max(spreads):.2g}):"
        f" where an F-test of the variances has p < {_UNEQUAL}, in {len(own)} of {len(tested)} pairs, tests and gaps"
        " take each group's own noise (Welch–Satterthwaite), in the others a pooled one."
    )
