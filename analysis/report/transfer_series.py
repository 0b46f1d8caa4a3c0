"""What the figures of a transfer study share, in print and on the page: their axes, and the bars of the optima."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.optimum import Optimum
from analysis.report.transfer import Transfer

# The axis ends this many times as far above the lowest loss as the highest point of a parabola does.
_ROOM = 1.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    x: tuple[float, float]
    y: tuple[float, float]


def limits_of(found: Transfer) -> Limits:
    """One pair of axes for all panels, around the parabolas; what is far above them is drawn at the top edge."""
    x = found.measured[found.settings.x]
    y = found.points[found.settings.y]
    low = float(min([y.min(), *(item.y for label in found.optima for item in found.found(label).values())]))
    tops = [
        value
        for label, sweeps in found.sweeps.items()
        for place, item in found.found(label).items()
        for at, value in zip(*sweeps[place].means, strict=True)
        if at in item.used
    ]
    top = low + _ROOM * (max(tops) - low) if tops else float(y.max())
    top = max(min(top, float(y.max())), low + 1e-3)
    pad = 0.06 * (top - low)
    return Limits(x=(float(x.min()) / 1.3, float(x.max()) * 1.3), y=(low - pad, top + 2 * pad))


def optimum_bars(items: Iterable[Optimum], limits: Limits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best x and the lengths of its bars, which end where the sweep does: beyond it nothing was measured."""
    found = list(items)
    x = np.array([item.x for item in found])
    low, high = np.clip([(item.interval.low, item.interval.high) for item in found], *limits.x).T
    return x, x - low, high - x
