"""Do groups differ? Every pair of a table asked which parameters are equal, and the gap of their curves.

pairs ─▶ is C equal, is b equal, is the whole curve equal (analysis/equality.py), the gap (analysis/gap.py)
      ─▶ Holm's p over all pairs that are asked the same: Holm 1979, Scand. J. Statist. 6, 65
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import pandas as pd

from analysis.curve import fit_curve
from analysis.equality import Comparison, Groups, alone_of, require_testable, testable_names
from analysis.gap import LossGap, gap_of, largest_common
from analysis.laws import Law
from analysis.observations import check_level, find_law, observe_groups, pick_group, zero_names
from analysis.pair import Pair
from analysis.solve.losses import Loss
from archscale.registry import UserError


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
    found = find_law(law)
    observed = observe_groups(table, x=x, y=y, group=group, may_be_zero=zero_names(found, x))
    check_level(level)
    if len(groups) < 2 or len(set(groups)) < len(groups):
        raise UserError(f"groups = {tuple(groups)!r}: name two different groups, or more, out of {', '.join(observed)}")
    points = [pick_group(observed, name) for name in groups]
    return Groups.of(found, points, Loss.parse(loss), level).test(shared, intervals=True)


def compare_all(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    group: str,
    level: float = 0.95,
    loss: str | Loss = "ls",
) -> list[Comparison | LossGap]:
    """For each pair: is C equal, is b equal, is the whole curve equal, and the gap at the largest x both measured.

    The gap is that of least squares with one input and one exponent; others have none. Where the groups have no x in
    common, it is taken at the largest x that lies inside the range of both or, for ranges that do not overlap, at the
    end of the lower one.

    Raises:
        UserError: for an unknown law or column, least absolute deviations, or a group that `fit` refuses.
    """
    found, parsed = find_law(law), Loss.parse(loss)
    check_level(level)
    require_testable(parsed)
    observed = observe_groups(table, x=x, y=y, group=group, may_be_zero=zero_names(found, x))
    curves = {name: fit_curve(found, own, loss=parsed) for name, own in observed.items()}
    return compare_pairs(
        Pair(law=found, points=(observed[a], observed[b]), curves=(curves[a], curves[b]), level=level)
        for a, b in combinations(observed, 2)
    )


def compare_pairs(pairs: Iterable[Pair]) -> list[Comparison | LossGap]:
    """`compare_all` for groups that are already fitted, with Holm's p over all pairs that are asked the same."""
    results: list[Comparison | LossGap] = []
    for pair in pairs:
        asked: list[tuple[str, ...]] = [(name,) for name in testable_names(pair.law)]
        asked.append(tuple(p.name for p in pair.law.parameters))
        results += [equality_of(pair, names) for names in asked]
        if pair.has_heights:
            results.append(gap_of(pair, largest_common(pair)))
    return _adjusted(results)


def equality_of(pair: Pair, shared: Sequence[str]) -> Comparison:
    """`compare` for two groups that are already fitted, without intervals."""
    alone = [alone_of(curve, own.group) for curve, own in zip(pair.curves, pair.points, strict=True)]
    loss = pair.curves[0].loss
    return Groups(law=pair.law, points=pair.points, alone=alone, loss=loss, level=pair.level).test(
        shared, intervals=False
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment; a p of nan is no test and stays nan."""
    tested = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _adjusted(results: Sequence[Comparison | LossGap]) -> list[Comparison | LossGap]:
    """With Holm's p over all pairs that were asked the same question."""
    found = list(results)
    tests = {i: item for i, item in enumerate(results) if isinstance(item, Comparison)}
    for shared in {item.shared for item in tests.values()}:
        asked = {i: item for i, item in tests.items() if item.shared == shared}
        for (i, item), p in zip(asked.items(), holm([item.p_value for item in asked.values()]), strict=True):
            found[i] = item.adjusted(p, len(asked))
    return found
