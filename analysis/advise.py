"""Which next run narrows an interval most for what it costs.

    quantity    a parameter of the law (C, b, …), loss@X (the curve there) or gap@X (of two groups there)
    width now   W0 of its profile-F interval with n points
    candidate   (group, x, cost): one run more, so n + 1 points and a degree of freedom more
    width then  W1 = E[W(points + (x, y))],   y ~ N(f̂(x), σ̂² + s(x)²)     s(x): what is open about f̂(x) itself
    gain        (1 − W1 / W0) / cost

W is the exact profile interval on the augmented points, fitted anew for each y; the expectation is by Gauss–Hermite
quadrature with five nodes. Expected-width designs: Chaloner & Verdinelli 1995 (Statist. Sci. 10, 273), section 2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis import formatting
from analysis.fit import Fit, fit
from analysis.gap import loss_gap
from analysis.intervals import Interval
from analysis.laws import Law
from analysis.observations import Observations, check_level, find_law, observe_groups, pick_group
from analysis.pair import noise_of
from archscale.registry import UserError, unknown

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
# The standard deviation of the curve is half the width of its interval at one standard deviation.
_ONE_SIGMA = 0.6827
# With four, the noise is known within a factor of 2.4, at 90 %.
_ENOUGH_DEGREES = 4


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """`kind` is "parameter", "loss" or "gap"; `at` the place of the last two."""

    kind: str
    name: str
    at: float = math.nan

    def __str__(self) -> str:
        return self.name if self.kind == "parameter" else f"{self.kind} at {formatting.short(self.at)}"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run that could be done: where its point would lie, and its cost in whatever unit all candidates share."""

    label: str
    group: str
    x: float
    cost: float


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Of one candidate: `width` is the mean width of the interval with it, `ratio` that over the width now."""

    candidate: Candidate
    width: float
    ratio: float
    gain: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Advised:
    """`now` is the interval of the quantity by group (of the pair under "a − b"); `advice` has the best gain first.

    `degrees_of_freedom`, by the same names, is what the noise is known from: all ratios lean on it.
    """

    quantity: Quantity
    now: dict[str, Interval]
    degrees_of_freedom: dict[str, int]
    advice: tuple[Advice, ...]
    level: float

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the noise is known too roughly for the ratios to be more than a guide."""
        rough = {name: dof for name, dof in self.degrees_of_freedom.items() if dof < _ENOUGH_DEGREES}
        lines = []
        for name, dof in rough.items():
            low, high = (math.sqrt(dof / stats.chi2.ppf(p, dof)) for p in (0.95, 0.05))
            lines.append(
                f"the noise of {name} is known from {formatting.plural(dof, 'residual degree')} of freedom, within a "
                f"factor of {low:.1f} to {high:.1f} (90 %), and every width leans on it"
            )
        return tuple(lines)

    @property
    def best(self) -> Advice:
        return self.advice[0]

    @property
    def narrowest(self) -> Advice:
        return min(self.advice, key=lambda found: found.ratio)


def quantity_of(text: str, law: str | Law) -> Quantity:
    """`C`, `b`, `loss@1e21` or `gap@1e21`.

    Raises:
        UserError: for a name that is neither a parameter of the law nor one of these, or a place that is no number.
    """
    names = [p.name for p in find_law(law).parameters]
    kind, at_sign, place = text.partition("@")
    if not at_sign:
        if text not in names:
            raise unknown("quantity", text, [*names, "loss@X", "gap@X"], hint="X is a place, as in loss@1e21.")
        return Quantity(kind="parameter", name=text)
    if kind not in ("loss", "gap"):
        raise unknown("quantity", kind, ["loss", "gap"], hint="What stands before @ is one of these.")
    try:
        at = float(place)
    except ValueError:
        at = math.nan
    if not (math.isfinite(at) and at > 0):
        raise UserError(f"quantity {text!r}: {place!r} is no positive number; write e.g. {kind}@1e21")
    return Quantity(kind=kind, name=text, at=at)


def advise(
    law: str | Law,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    group: str,
    quantity: Quantity,
    candidates: Sequence[Candidate],
    groups: Sequence[str] | None = None,
    level: float = 0.95,
) -> Advised:
    """The candidates, those that narrow the quantity most for their cost first.

    A candidate counts for the groups whose quantity is asked for, `groups` (default all): for a parameter or a loss it
    narrows that of its own group, for a gap that of the pair.

    Raises:
        UserError: for a law with several inputs, an unknown column or group, a gap of other than two groups, fewer
            than one residual degree of freedom (with what would give it), or no candidate in these groups.
    """
    found, curves = find_law(law), observe_groups(table, x=x, y=y, group=group)
    check_level(level)
    if len(found.inputs) != 1:
        raise UserError(f"law {found.name!r} has several inputs: advice is for laws of one, such as 'power_offset'")
    chosen = list(curves) if groups is None else list(groups)
    points = {name: pick_group(curves, name) for name in chosen}
    if quantity.kind == "gap" and len(chosen) != 2:
        raise UserError(f"{quantity.name}: a gap is between two groups, and these are {len(chosen)}: name two of "
                        f"{', '.join(curves)}")  # fmt: skip
    useful = [candidate for candidate in candidates if candidate.group in points]
    for name, own in points.items():
        _check_degrees(found, own, [candidate for candidate in useful if candidate.group == name])
    if not useful:
        raise UserError(f"there is no candidate in {', '.join(chosen)}: name other groups, or other candidates")
    fits = {name: fit(found, own.x, own.y, level=level) for name, own in points.items()}
    now = _intervals_now(found, fits, points, quantity, level)
    then = {
        place: _expected_width(found, fits, points, quantity, place, level)
        for place in {(candidate.group, candidate.x) for candidate in useful}
    }
    advice = []
    for candidate in useful:
        before = _width(now[_key(quantity, candidate.group, chosen)])
        width = then[candidate.group, candidate.x]
        ratio = width / before if before > 0 else 1.0
        advice.append(Advice(candidate=candidate, width=width, ratio=ratio, gain=(1 - ratio) / candidate.cost))
    advice.sort(key=lambda item: (-item.gain, item.candidate.cost, item.candidate.label))
    dof = {name: item.degrees_of_freedom for name, item in fits.items()}
    if quantity.kind == "gap":
        dof = {" − ".join(chosen): sum(dof.values())}
    return Advised(quantity=quantity, now=now, degrees_of_freedom=dof, advice=tuple(advice), level=level)


def _key(quantity: Quantity, group: str, chosen: Sequence[str]) -> str:
    return " − ".join(chosen) if quantity.kind == "gap" else group


def _check_degrees(law: Law, points: Observations, candidates: Sequence[Candidate]) -> None:
    needed = len(law.parameters)
    places = np.unique(points.x)
    if places.size >= needed and points.x.size > needed:
        return
    fresh = sorted((c for c in candidates if c.x not in places or places.size >= needed), key=lambda c: c.cost)
    missing = max(needed - places.size, 0)
    runs = max(needed + 1 - points.x.size, missing)
    cheapest = f"; the cheapest is {fresh[0].label}" if fresh else ""
    where = f"group {points.group!r}: " if points.group else ""
    raise UserError(
        f"{where}{formatting.plural(points.x.size, 'point')} at {places.size} distinct {points.x_name}, and law "
        f"{law.name!r} has {needed} parameters: an interval needs a residual degree of freedom. First do "
        f"{formatting.plural(runs, 'more run')}, {missing} of them at new {points.x_name}{cheapest}"
    )


def _intervals_now(
    law: Law, fits: Mapping[str, Fit], points: Mapping[str, Observations], quantity: Quantity, level: float
) -> dict[str, Interval]:
    if quantity.kind == "gap":
        return {" − ".join(points): _gap(law, points, quantity.at, level)}
    return {name: _of_fit(found, quantity) for name, found in fits.items()}


def _expected_width(
    law: Law,
    fits: Mapping[str, Fit],
    points: Mapping[str, Observations],
    quantity: Quantity,
    place: tuple[str, float],
    level: float,
) -> float:
    """E[W] with one point more at `place`; nodes below 0 loss, which no law allows, are moved to almost 0."""
    group, x = place
    found, own = fits[group], points[group]
    low, high = found.band(x, level=_ONE_SIGMA)
    quantile = float(stats.t.ppf((1 + _ONE_SIGMA) / 2, found.degrees_of_freedom))
    open_about_it = float(high[0] - low[0]) / (2 * quantile)
    spread = math.hypot(found.residual_std, open_about_it)
    centre = float(found.predict(x)[0])
    # One point more must not change what the intervals assume of the noise.
    pooled = quantity.kind == "gap" and noise_of(list(points.values()), [fits[name].curve for name in points]).pooled
    widths = []
    for node in _NODES:
        y = max(centre + spread * node, 1e-6 * centre)
        more = (np.append(own.x, x), np.append(own.y, y))
        if quantity.kind == "gap":
            others = {name: (item.x, item.y) for name, item in points.items()} | {group: more}
            widths.append(_width(_gap_of(law, others, quantity.at, level, pooled=pooled)))
        else:
            widths.append(_width(_of_fit(fit(law, *more, level=level), quantity)))
    return float(_WEIGHTS @ np.array(widths) / _WEIGHTS.sum())


def _of_fit(found: Fit, quantity: Quantity) -> Interval:
    if quantity.kind == "parameter":
        return found.intervals[quantity.name]
    low, high = found.band(quantity.at)
    return Interval(low=float(low[0]), high=float(high[0]), level=found.level)


def _gap(law: Law, points: Mapping[str, Observations], at: float, level: float) -> Interval:
    return _gap_of(law, {name: (item.x, item.y) for name, item in points.items()}, at, level)


def _gap_of(
    law: Law,
    points: Mapping[str, tuple[np.ndarray, np.ndarray]],
    at: float,
    level: float,
    pooled: bool | None = None,
) -> Interval:
    first, second = points
    table = pd.concat([pd.DataFrame({"x": x, "y": y, "group": name}) for name, (x, y) in points.items()])
    names = (first, second)
    found = loss_gap(law, table, x="x", y="y", group="group", groups=names, at=at, level=level, pooled=pooled)
    return found.interval


def _width(interval: Interval) -> float:
    return interval.high - interval.low
