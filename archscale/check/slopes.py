"""From sizes on a ladder of widths or depths to slopes, and from slopes to a verdict.

    slope   of log size against log width or log depth, least squares
    flat    |slope − what a rule of the paper gives by itself| ≤ tolerance

Wrong rules show as powers of √w, w or √d, slopes of at least ½: a tolerance of ¼ lies half-way to the nearest of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, isnan, log, nan
from typing import Literal

import numpy as np

from archscale.check.probe import BY_HEAD, BY_STREAM, EMBEDDING, LOGITS, STREAM, Probe, Sizes

Axis = Literal["width", "depth"]
Measure = Literal["size", "change"]

# Which share of the logits' change is Θ(1). Over width that of the head: what the moving stream adds through the random
# initial head falls with the initial logits, as it should. Over depth that of the stream: all learning rates fall with
# depth, the head's among them.
LOGITS_OF: Mapping[Axis, str] = {"width": BY_HEAD, "depth": BY_STREAM}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One size along the ladder. `counts`: the verdict depends on it; `own_slope` is that of a rule of the paper."""

    name: str
    measure: Measure
    values: tuple[float, ...]
    slope: float
    own_slope: float = 0.0
    counts: bool = True

    @property
    def excess(self) -> float:
        return abs(self.slope - self.own_slope)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One parameter's part along the ladder; `share` is the largest part over the change of what it is a part of.

    `own_slope` is that of the global learning rate. A part has it where the layers that it is summed over move apart
    from each other, or are one layer; where they move together, and where rates do not depend on the axis, it is flat.
    """

    name: str
    values: tuple[float, ...]
    slope: float
    own_slope: float
    share: float

    @property
    def excess(self) -> float:
        """Signed distance from what lies between 0 and the own slope."""
        low, high = sorted((0.0, self.own_slope))
        return self.slope - min(max(self.slope, low), high)


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Infinite where a value is, NaN where one is zero: it has no logarithm."""
    if not all(isfinite(value) for value in values):
        return inf
    if min(values) <= 0:
        return nan
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def quantities(axis: Axis, ladder: Sequence[int], probes: Sequence[Sequence[Probe]]) -> tuple[Quantity, ...]:
    """After the last step; `probes` by rung, then by seed. Sizes are geometric means over seeds."""
    found = []
    factors = _factors(ladder, probes)
    for measure in ("size", "change"):
        table = _by_name([[(p.sizes if measure == "size" else p.changes)[-1] for p in rung] for rung in probes])
        for name, values in table.items():
            fitted = slope(ladder, values)
            if isnan(fitted):
                continue
            head = name in (LOGITS, BY_HEAD, BY_STREAM)
            counts = (measure == "change" and name == LOGITS_OF[axis]) if head else True
            own = factors.get(name, 0.0)
            found.append(
                Quantity(name=name, measure=measure, values=values, slope=fitted, own_slope=own, counts=counts)
            )
    return tuple(found)


def parts(ladder: Sequence[int], probes: Sequence[Sequence[Probe]], rates: Sequence[float]) -> tuple[Part, ...]:
    """Parameters that moved at every size, by name; `rates` are the global learning rates, by rung."""
    factors, of_rate = _factors(ladder, probes), slope(ladder, rates)
    changes = _by_name([[probe.changes[-1] for probe in rung] for rung in probes])
    found = []
    for name, values in _by_name([[probe.parts for probe in rung] for rung in probes]).items():
        fitted = slope(ladder, values)
        if isnan(fitted):
            continue
        whole = changes[STREAM] if name == EMBEDDING else changes.get(name.partition(".")[0], changes[LOGITS])
        share = max(value / total for value, total in zip(values, whole, strict=True))
        own = of_rate + factors.get(name.partition(".")[0], 0.0)
        found.append(Part(name=name, values=values, slope=fitted, own_slope=own, share=share))
    return tuple(sorted(found, key=lambda part: part.name))


def _factors(ladder: Sequence[int], probes: Sequence[Sequence[Probe]]) -> dict[str, float]:
    return {name: slope(ladder, [rung[0].factors[name] for rung in probes]) for name in probes[0][0].factors}


def _by_name(rungs: Sequence[Sequence[Sizes]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(_mean([sizes[name] for sizes in rung]) for rung in rungs) for name in rungs[0][0]}


def _mean(values: Sequence[float]) -> float:
    if not all(isfinite(value) for value in values):
        return inf
    return 0.0 if min(values) == 0 else exp(sum(map(log, values)) / len(values))
