"""What a study says in plain sentences: what is measured, what is extrapolated, what is open, missing or uneven.

A sentence is measured only if it speaks of runs that exist; whatever leans on a curve beyond the largest run, on the
irreducible loss above all, is called extrapolated however small its p-value.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.compare import Comparison, LossGap
from analysis.report import coverage, measured, sizes
from analysis.report.evidence import Evidence
from analysis.report.series import EXTRAPOLATION
from analysis.table import COLUMNS


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The shortest answer, and sentences under the headings a report opens with, without those that have none."""

    headline: str
    establishes: tuple[str, ...]
    extrapolates: tuple[str, ...] = ()
    cannot_tell: tuple[str, ...]
    missing: tuple[str, ...]
    drift: tuple[str, ...]

    def headed(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        parts = (
            ("What these runs establish", self.establishes),
            ("What is only extrapolated", self.extrapolates),
            ("What they cannot tell", self.cannot_tell),
            ("Missing or diverged", self.missing),
            ("Drift between runs", self.drift),
        )
        return tuple((heading, sentences) for heading, sentences in parts if sentences)


# Up to so many groups every comparison gets its sentence; up to so many tests (one pair's) chance needs no warning.
_FEW = 3


def summarise(evidence: Evidence) -> Summary:
    return Summary(
        headline=_headline(evidence),
        establishes=tuple(_established(evidence)) or ("Nothing yet: see what is missing.",),
        extrapolates=tuple(_extrapolated(evidence)) or ("Nothing: without a fit no curve leaves the measured range.",),
        cannot_tell=tuple(_open(evidence)) or ("Nothing that they were asked here.",),
        missing=(*coverage.missing(evidence), *coverage.not_fitted(evidence))
        or ("Nothing: every run of the study has finished and is in the fit.",),
        drift=tuple(coverage.drift(evidence)),
    )


def _headline(evidence: Evidence) -> str:
    points, y = evidence.points, evidence.settings.y
    end = (
        f"{formatting.scientific(float(points[evidence.settings.x].max()))} {COLUMNS[evidence.settings.x].unit}".strip()
    )
    if len(evidence.names) == 1:
        label = next(iter(evidence.names))
        highest, lowest = (formatting.loss(end) for end in (points[y].max(), points[y].min()))
        return (
            f"One {evidence.noun}, {label}, was measured up to {end}: its loss goes from {highest} to {lowest} "
            "nats/token. There is nothing to compare it with."
        )
    side_by_side = measured.common_scales(evidence, list(evidence.names))
    if side_by_side.empty:
        return f"The {evidence.noun}s have no scale in common, so their runs cannot be compared one to one."
    losses, spent = (pd.DataFrame(side_by_side[column]) for column in (y, evidence.settings.x))
    best = losses.idxmin(axis=1)
    where = f"each of the {len(best)} common scales" if len(best) > 1 else "the one common scale"
    if best.nunique() == 1:
        what = COLUMNS[evidence.settings.x].meaning.lower()
        ratio = float((spent.max(axis=1) / spent.min(axis=1)).max())
        unequal = (
            f", though {what} there differs by a factor of up to {ratio:.2f}" if ratio > measured.SAME_COMPUTE else ""
        )
        first = f"{best.iloc[0]} has the lowest measured loss at {where}{unequal}."
    else:
        first = f"No {evidence.noun} has the lowest measured loss at {where}; at the largest it is {best.iloc[-1]}."
    return f"{first} {_beyond(evidence, end)}"


def _beyond(evidence: Evidence, end: str) -> str:
    limits = [item for item in _told(evidence) if isinstance(item, Comparison) and item.shared == ("C",)]
    if not limits:
        return f"Beyond {end} nothing was measured."
    told = [item for item in limits if item.distinguishable]
    if told:
        pairs = formatting.listed(f"{item.groups[0]} and {item.groups[1]}" for item in told)
        return (
            f"Beyond {end} nothing was measured; by extrapolation the irreducible losses of {pairs} differ "
            f"(smallest p = {min(item.p_value for item in told):.2g})."
        )
    p_values = [item.p_value for item in limits if not math.isnan(item.p_value)]
    how = (
        f" (smallest p = {min(p_values):.2g})" if len(p_values) > 1 else f" (p = {p_values[0]:.2g})" if p_values else ""
    )
    return f"Beyond {end} nothing was measured, and these runs cannot tell which curve ends lower{how}."


def _established(evidence: Evidence) -> Iterator[str]:
    for first, second in _pairs(evidence):
        yield from measured.gap(evidence, first, second)
    yield from measured.monotone(evidence)
    for item in _told(evidence):
        if item.distinguishable and not _leaves_the_data(item):
            yield formatting.polished(item.sentence)
    hits = [
        f"{label} ({formatting.loss(item.predicted)} against {formatting.loss(item.actual)} measured)"
        for label, item in evidence.holdouts.items()
        if item.inside
    ]
    if hits:
        yield (
            "The smaller runs alone predict the loss of the largest, inside the "
            f"{_level(evidence)} prediction interval, for {formatting.listed(hits)}."
        )
    yield from measured.against_entropy(evidence)


def _extrapolated(evidence: Evidence) -> Iterator[str]:
    for label, fit in evidence.fits.items():
        if "C" in fit.parameters and fit.degrees_of_freedom:
            value, ends = fit.parameters["C"], fit.intervals["C"]
            yield (
                f"The irreducible loss of {label}, C = {formatting.estimate(value, ends.low, ends.high)} with "
                f"{_level(evidence)} interval {formatting.interval(ends.low, ends.high)}: its lowest measured loss is "
                f"{formatting.loss(float(fit.y.min()))}."
            )
    for item in _told(evidence):
        if item.distinguishable and _leaves_the_data(item):
            yield formatting.polished(item.sentence)
    yield from _crossings(evidence)
    for label, holdout in evidence.holdouts.items():
        if holdout.inside is False and holdout.interval is not None:
            yield (
                f"{label}: the law misses its own largest run. Fitted to the smaller runs it predicts "
                f"{formatting.loss(holdout.predicted)} "
                f"{formatting.loss_interval(holdout.interval.low, holdout.interval.high)}, and "
                f"{formatting.loss(holdout.actual)} was measured: distrust the curve beyond the data."
            )


def _open(evidence: Evidence) -> Iterator[str]:
    yield from sizes.unequal(evidence)
    if evidence.not_compared:
        yield f"How the groups compare: {evidence.not_compared}."
    told = _told(evidence)
    for item in told:
        if not item.distinguishable:
            yield formatting.polished(item.sentence)
    if len(told) < len(evidence.comparisons):
        yield f"{len(evidence.comparisons) - len(told)} more comparisons are in the table below."
    tests = sum(isinstance(item, Comparison) and item.distinguishable is not None for item in evidence.comparisons)
    if tests > _FEW:
        chance = formatting.general(tests * (1 - evidence.settings.level), 1)
        yield (
            f"Which of the small p-values are luck: these are {tests} tests without correction for their number, and "
            f"about {chance} of them would come out significant if nothing differed."
        )
    said: dict[str, list[str]] = {}
    for label, note in _weak_points(evidence):
        said.setdefault(note, []).append(label)
    for note, labels in said.items():
        yield f"{formatting.listed(labels)}: {note}."
    yield from _design_gaps(evidence)


def _weak_points(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Label and note; a note that several groups share is written once.

    An amplitude whose unit depends on x is left out: it is the reducible loss at x = 1, which nobody asks for.
    """
    asked = {p.name for p in evidence.law.parameters if p in evidence.law.nonlinear or p.unit}
    for label, fit in evidence.fits.items():
        if not fit.degrees_of_freedom:
            yield (
                label,
                (
                    f"{formatting.plural(fit.n, 'point')} and {formatting.plural(len(fit.parameters), 'parameter')} "
                    "leave no degree of freedom, so the curve passes through every point and no interval can be given; "
                    "one more scale would give one"
                ),
            )
            continue
        for verdict, words in _VERDICTS.items():
            names = [name for name, found in fit.verdicts.items() if found == verdict and name in asked]
            if names:
                yield label, f"{formatting.listed(names)} {'is' if len(names) == 1 else 'are'} {words}"
        if fit.degrees_of_freedom == 1:
            yield label, "the noise is estimated from a single degree of freedom, so every interval is wide"
    for label, holdout in evidence.holdouts.items():
        if holdout.interval is None:
            yield label, f"with the largest run held out, {holdout.note}"


_VERDICTS = {
    "on bound": "on the bound of its range, which points to another law or a bad run",
    "not identified": "not identified by these runs",
    "weak": "only weakly identified (the interval is wider than the value, or reaches a bound)",
}


def _design_gaps(evidence: Evidence) -> Iterator[str]:
    points = evidence.points
    repeats = points.groupby(["label", "depth", "width", "tokens"]).size()
    if (repeats == 1).all():
        yield (
            "How far apart two seeds of one cell lie: every cell has one run, so a small gap may be no more than that "
            "noise."
        )
    ratio = points["tokens"] / points["parameters"]
    if len(points) > 1 and ratio.max() / ratio.min() < 1.25:
        yield (
            f"What more tokens or more parameters would each bring: all runs have about {ratio.median():.2g} tokens "
            "per parameter, and only the two growing together was measured."
        )


def _crossings(evidence: Evidence) -> Iterator[str]:
    """Where two fitted curves cross beyond the largest run, inside the range that is drawn."""
    if not evidence.fits:
        return
    end = float(evidence.points[evidence.settings.x].max())
    grid = np.geomspace(end, end * EXTRAPOLATION, 400)
    what = COLUMNS[evidence.settings.x].meaning.lower()
    for first, second in _pairs(evidence):
        if not {first, second} <= evidence.fits.keys():
            continue
        gap = evidence.fits[first].predict(grid) - evidence.fits[second].predict(grid)
        turns = np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0)
        if turns.size:
            at = float(grid[turns[0]])
            yield (
                f"The fitted curves of {first} and {second} cross at a {what} of about {formatting.scientific(at)}, "
                f"{at / end:.2g} times the largest run: no run has measured which is lower there."
            )


def _pairs(evidence: Evidence) -> list[tuple[str, str]]:
    """All pairs of up to three groups; of more, each group against the one with the lowest measured loss."""
    labels = sorted(evidence.names)
    if len(labels) <= _FEW:
        return list(combinations(labels, 2))
    points = evidence.points
    best = str(points["label"].iloc[int(points[evidence.settings.y].argmin())])
    return [(min(best, label), max(best, label)) for label in labels if label != best]


def _told(evidence: Evidence) -> list[Comparison | LossGap]:
    """All comparisons of up to three groups; of more, the limits and the gaps of the pairs above."""
    pairs, few = _pairs(evidence), len(evidence.names) <= _FEW
    main = [item for item in evidence.comparisons if few or isinstance(item, LossGap) or item.shared == ("C",)]
    return [item for item in main if item.groups in pairs]


def _leaves_the_data(item: Comparison | LossGap) -> bool:
    return item.extrapolated if isinstance(item, LossGap) else item.shared == ("C",)


def _level(evidence: Evidence) -> str:
    return f"{100 * evidence.settings.level:g} %"
