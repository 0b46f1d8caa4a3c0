"""How an isoFLOP law depends on which points enter: all, without those somebody flagged, without each one, and without
the budgets whose optimum is weakly bracketed.

Dropping points may drop whole budgets from the law, which is another change than a moved optimum; both are told apart
by the law of all points through the budgets that remain.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis import formatting
from analysis.isoflop.allocation import DEGREES, Allocation, allocation, law_of
from analysis.isoflop.minimum import minimum
from analysis.isoflop.points import IsoFlopPoints
from analysis.optimum import Unbracketed


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """Exponents are nan where fewer than two budgets have an optimum.

    `without_flagged` is None where nothing is flagged. `same_budgets` is the exponent of all points through the
    budgets that keep an optimum without the flagged, `lost` the others. `each` holds the exponent without each point,
    (n,) in the order of the points, and `bracketed` that through the budgets whose optimum is not weak.
    """

    points: IsoFlopPoints
    everything: Allocation
    without_flagged: Allocation | None
    same_budgets: float
    lost: tuple[float, ...]
    each: np.ndarray
    bracketed: float

    @property
    def shift(self) -> float:
        """What dropping the flagged points does to the exponent; nan where none is flagged."""
        return math.nan if self.without_flagged is None else self.without_flagged.exponent - self.everything.exponent

    @property
    def most_influential(self) -> int:
        """The place of the point without which the exponent moves most."""
        return int(np.nanargmax(np.abs(self.each - self.everything.exponent)))

    @property
    def sentences(self) -> tuple[str, ...]:
        found = self.everything
        if found.law is None:
            return (
                f"No law of {found.of}*: fewer than two budgets have a minimum between their points.",
                *_left_out(found),
            )
        optima = formatting.plural(len(found.optima), "budget")
        lines = [f"With all {len(self.points.loss)} points, {_law(found)} through {optima}."]
        lines += _left_out(found)
        if self.without_flagged is not None:
            lines += self._without_flagged()
        lines += self._without_one()
        if found.weak:
            weak = formatting.plural(len(found.weak), "optimum is", "optima are")
            listed = "; ".join(f"{budgets} FLOPs, {reason}" for reason, budgets in _by_reason(found.weak).items())
            through = "fewer than two are not" if math.isnan(self.bracketed) else (
                f"through the others the exponent is {self.bracketed:.4f}"
            )  # fmt: skip
            lines.append(f"{weak} weak ({listed}): {through}.")
        return tuple(lines)

    def _without_one(self) -> list[str]:
        if np.isnan(self.each).all():
            return ["Without any one of these points fewer than two budgets have a minimum."]
        i, found = self.most_influential, self.everything
        return [
            f"No single point moves the exponent by more than {abs(self.each[i] - found.exponent):.4f}: "
            f"the one of {formatting.short(self.points.sizes(found.of)[i])} at {_flops(self.points.budget[i])} FLOPs."
        ]

    def _without_flagged(self) -> list[str]:
        other, flagged = self.without_flagged, int(self.points.flagged.sum())
        assert other is not None
        dropped = f"Without the {formatting.plural(flagged, 'flagged point')}"
        if other.law is None:
            return [f"{dropped} fewer than two budgets have a minimum between their points."]
        half = self.everything.law.exponents["C"].interval  # type: ignore[union-attr]
        inside = other.exponent in half
        lines = [
            f"{dropped}, {_law(other)}: the exponent moves by {formatting.minus(f'{self.shift:+.4f}')}, "
            f"which {'stays inside' if inside else 'leaves'} its interval."
        ]
        if self.lost:
            listed = formatting.listed(_flops(budget) for budget in self.lost)
            lines.append(
                f"The law then loses its {'optimum' if len(self.lost) == 1 else 'optima'} at {listed} FLOPs; "
                f"through the other budgets all points give {self.same_budgets:.4f}."
            )
        return lines


def sensitivity(points: IsoFlopPoints, *, curve: str = "parabola", of: str = "D", level: float = 0.95) -> Sensitivity:
    """Of the law of N* or D* with one kind of curve."""
    everything = allocation(points, curve=curve, of=of, level=level)
    clean = allocation(points.where(~points.flagged), curve=curve, of=of, level=level) if points.flagged.any() else None
    kept = set(everything.optima) if clean is None else set(everything.optima) & set(clean.optima)
    strong = set(everything.optima) - set(everything.weak)
    return Sensitivity(
        points=points,
        everything=everything,
        without_flagged=clean,
        same_budgets=_exponent({budget: everything.optima[budget].x for budget in sorted(kept)}, level),
        lost=tuple(sorted(set(everything.optima) - kept)),
        each=np.array([_without(points, everything, i, level) for i in range(len(points.loss))]),
        bracketed=_exponent({budget: everything.optima[budget].x for budget in sorted(strong)}, level),
    )


def _without(points: IsoFlopPoints, everything: Allocation, i: int, level: float) -> float:
    """The exponent without point i: only the curve of its budget changes."""
    budget = float(points.budget[i])
    here = points.budget == budget
    here[i] = False
    sizes = points.sizes(everything.of)[here]
    degree = DEGREES[everything.curve]
    found = minimum(sizes, points.loss[here], degree=degree, level=level) if here.any() else Unbracketed(reason="")
    optima = {place: item.x for place, item in everything.optima.items() if place != budget}
    if not isinstance(found, Unbracketed):
        optima[budget] = found.x
    return _exponent(optima, level)


def _exponent(optima: dict[float, float], level: float) -> float:
    law = law_of(optima, level=level)
    return law.exponents["C"].value if law else math.nan


def _left_out(found: Allocation) -> list[str]:
    """One sentence a reason."""
    return [
        f"Left out of {found.of}*: {budgets} FLOPs, {reason}." for reason, budgets in _by_reason(found.left_out).items()
    ]


def _by_reason(found: Mapping[float, str]) -> dict[str, str]:
    """The budgets that share a reason, listed, by that reason."""
    reasons: dict[str, list[str]] = {}
    for budget, reason in found.items():
        reasons.setdefault(reason.removeprefix("weak: "), []).append(_flops(budget))
    return {reason: formatting.listed(budgets) for reason, budgets in reasons.items()}


def _law(found: Allocation) -> str:
    assert found.law is not None
    exponent = found.law.exponents["C"]
    c = found.law.coefficient.value
    ends = exponent.interval
    fitted = f"{found.of}* = {formatting.general(c, 4)}·C^{exponent.value:.4f}"
    return f"{fitted} ({100 * ends.level:g} % interval of the exponent {ends.low:.3f} to {ends.high:.3f})"


def _flops(budget: float) -> str:
    return formatting.short(budget)
