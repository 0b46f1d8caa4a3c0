"""Which groups a summary sets side by side: all of a few, of many each against those that lead.

leader     the group of the lowest measured loss
promise    the group of the lowest fitted irreducible loss C, which no run has measured
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from analysis import formatting
from analysis.equality import Comparison
from analysis.fit import Fit
from analysis.gap import LossGap
from analysis.observations import Observations
from analysis.pair import Pair

if TYPE_CHECKING:
    from analysis.report.evidence import Evidence

# Up to so many groups every comparison gets its sentence.
FEW = 3
# Up to so many groups every pair is compared; of more, those that a summary may speak of.
_ALL_PAIRS = 5


def compared(points: pd.DataFrame, fits: Mapping[str, Fit], y: str) -> list[tuple[str, str]]:
    """The pairs of fitted groups that are compared."""
    if len(fits) <= _ALL_PAIRS:
        return list(combinations(sorted(fits), 2))
    ends = {_leader(points[points["label"].isin(fits.keys())], y), _promise(fits)} - {None}
    return [pair for pair in combinations(sorted(fits), 2) if ends & set(pair)]


def fitted_pairs(fits: Mapping[str, Fit], inputs: Sequence[str], y: str) -> dict[tuple[str, str], Pair]:
    """Every two groups as they are fitted, with the names that their columns have in sentences."""
    points = {
        label: Observations(
            x=fit.x,
            y=fit.y,
            x_name=", ".join(inputs),
            y_name=y,
            group=label,
            x_names=tuple(inputs) if len(inputs) > 1 else (),
        )
        for label, fit in fits.items()
    }
    return {
        (a, b): Pair(
            law=fits[a].law, points=(points[a], points[b]), curves=(fits[a].curve, fits[b].curve), level=fits[a].level
        )
        for a, b in combinations(sorted(fits), 2)
    }


def leading_pair(evidence: "Evidence") -> tuple[str, str] | None:
    """The leader and the group that it is set against first: the promise, or else the runner-up by measured loss."""
    first = leader(evidence)
    lowest = evidence.points[evidence.points["label"].isin(evidence.fits.keys())].groupby("label")[evidence.settings.y]
    ranked = [str(label) for label in lowest.min().sort_values(kind="stable").index if label != first]
    low = promise(evidence)
    other = low if low not in (None, first) else next(iter(ranked), None)
    if other is None or first not in evidence.fits:
        return None
    return min(first, other), max(first, other)


def leader(evidence: "Evidence") -> str:
    return _leader(evidence.points, evidence.settings.y)


def promise(evidence: "Evidence") -> str | None:
    """None without two fits that have a C with an interval."""
    return _promise(evidence.fits)


def pairs(evidence: "Evidence") -> list[tuple[str, str]]:
    """All pairs of up to three groups; of more, each group against the leader."""
    labels = sorted(evidence.names)
    if len(labels) <= FEW:
        return list(combinations(labels, 2))
    return _against(leader(evidence), labels)


def told(evidence: "Evidence") -> list[Comparison | LossGap]:
    """All comparisons of up to three groups; of more, the limits of each against the leader and against the promise."""
    if len(evidence.names) <= FEW:
        return list(evidence.comparisons)
    chosen = pairs(evidence)
    limits = _against(end, sorted(evidence.names)) if (end := promise(evidence)) else []
    return [
        item
        for item in evidence.comparisons
        if (isinstance(item, LossGap) and item.groups in chosen)
        or (isinstance(item, Comparison) and item.shared == ("C",) and item.groups in [*chosen, *limits])
    ]


def limit_test(evidence: "Evidence", first: str, second: str) -> Comparison | None:
    """The test whether the irreducible losses of two groups are equal, if there is one with a p-value."""
    for item in evidence.comparisons:
        if isinstance(item, Comparison) and item.shared == ("C",) and set(item.groups) == {first, second}:
            return None if math.isnan(item.p_value) else item
    return None


def p_told(test: Comparison) -> str:
    """The p of a test, and that by Holm where the two decide differently."""
    alone = formatting.p_text(test.p_value)
    if test.p_value < 1 - test.level <= test.p_adjusted:
        return f"{alone}, {formatting.p_value(test.p_adjusted)} by Holm"
    return alone


def _leader(points: pd.DataFrame, y: str) -> str:
    return str(points["label"].iloc[int(points[y].argmin())])


def _promise(fits: Mapping[str, Fit]) -> str | None:
    limits = {
        label: fit.parameters["C"]
        for label, fit in fits.items()
        if "C" in fit.parameters and fit.degrees_of_freedom and fit.verdicts["C"] != "on bound"
    }
    return min(limits, key=lambda label: limits[label]) if len(limits) > 1 else None


def _against(one: str, labels: list[str]) -> list[tuple[str, str]]:
    return [(min(one, label), max(one, label)) for label in labels if label != one]
