"""What the fitted curves say where runs measured: the gap of two fits at each common scale, told apart or not.

Each gap has the profile-F interval of the joint model at its own scale (analysis/compare.py); a gap whose interval
leaves out 0 is called distinguishable.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from analysis import formatting
from analysis.gap import LossGap, gap_of
from analysis.report.evidence import Evidence
from analysis.report.measured import common_scales
from analysis.report.pairs import FEW, leader, pairs

# Of more common scales, so many from the first to the last: a gap takes 50 ms.
_SCALES = 8


@lru_cache(maxsize=2)
def fitted_gaps(evidence: Evidence) -> dict[tuple[str, str], tuple[LossGap, ...]]:
    """By pair, the gap of the fitted losses at each scale that both measured; pairs without two fits have none."""
    settings = evidence.settings
    wanted = [both for both in pairs(evidence) if set(both) <= evidence.fits.keys()]
    if not all(evidence.fitted_pairs[both].has_heights for both in wanted):
        return {}
    known = {(item.groups, item.x): item for item in evidence.comparisons if isinstance(item, LossGap)}
    found = {}
    for pair in (evidence.fitted_pairs[both] for both in wanted):
        scales = np.sort(common_scales(evidence, list(pair.groups))[settings.x, pair.groups[0]].to_numpy(dtype=float))
        chosen = scales[np.unique(np.linspace(0, len(scales) - 1, min(_SCALES, len(scales))).round().astype(int))]
        found[pair.groups] = tuple(
            known.get((pair.groups, float(scale))) or gap_of(pair, float(scale)) for scale in chosen
        )
    return found


def told_apart(evidence: Evidence) -> Iterator[str]:
    """The pairs whose fitted losses differ at some of the measured scales: at which, and by how much."""
    everywhere: dict[str, list[str]] = {}
    for gaps in fitted_gaps(evidence).values():
        sure = [gap for gap in gaps if gap.distinguishable]
        if not sure:
            continue
        signs = {gap.gap < 0 for gap in sure}
        if len(signs) == 1:
            lower, higher = sure[0].groups if signs == {True} else sure[0].groups[::-1]
            if len(sure) == len(gaps) > 1 and len(evidence.names) > FEW and lower == leader(evidence):
                ends = [formatting.small(abs(gap.gap)) for gap in (gaps[0], gaps[-1])]
                everywhere.setdefault(lower, []).append(
                    f"{higher} (by {ends[0]} at the smallest, {ends[1]} at the largest)"
                )
                continue
            where = _where(evidence, sure, gaps)
            yield f"The fitted loss of {lower} is distinguishably lower than that of {higher} {where}."
        else:
            parts = [
                f"that of {label} is lower {_where(evidence, [gap for gap in sure if (gap.gap < 0) == first], gaps)}"
                for label, first in zip(sure[0].groups, (True, False), strict=True)
            ]
            yield f"The fitted losses of {formatting.listed(sure[0].groups)} cross: {', '.join(parts)}."
    for lower, others in everywhere.items():
        yield (
            f"The fitted loss of {lower} is distinguishably lower at every common scale than that of "
            f"{formatting.listed(others)}."
        )


def not_told_apart(evidence: Evidence) -> Iterator[str]:
    """The pairs whose fitted losses cannot be told apart at some of the measured scales."""
    for (first, second), gaps in fitted_gaps(evidence).items():
        open_ = [gap for gap in gaps if gap.distinguishable is False]
        if not open_:
            continue
        count = f"all {len(gaps)}" if len(open_) == len(gaps) > 1 else f"{len(open_)} of {len(gaps)}"
        last = open_[-1]
        ends = ", ".join(formatting.signed_loss(end) for end in (last.interval.low, last.interval.high))
        where = formatting.listed(evidence.place(gap.x) for gap in open_)
        yield (
            f"Which fitted loss is lower, that of {first} or that of {second}, at {count} measured scales ({where}): "
            f"at the largest of these the {_level(evidence)} interval of the gap is [{ends}]."
        )


def _where(evidence: Evidence, sure: list[LossGap], gaps: tuple[LossGap, ...]) -> str:
    count = f"at all {len(gaps)}" if len(sure) == len(gaps) > 1 else f"at {len(sure)} of the {len(gaps)}"
    ends = [sure[0], sure[-1]] if len(sure) > 1 else sure
    sizes = (" to " if len(sure) > 2 else " and ").join(f"{_gap(gap)} at {evidence.place(gap.x)}" for gap in ends)
    return f"{count} measured scales: by {sizes}"


def _gap(gap: LossGap) -> str:
    low, high = sorted((abs(gap.interval.low), abs(gap.interval.high)))
    return f"{formatting.small(abs(gap.gap))} {formatting.loss_interval(low, high)}"


def _level(evidence: Evidence) -> str:
    return f"{100 * evidence.settings.level:g} %"
