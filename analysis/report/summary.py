"""What a study says in plain sentences: what is measured, what is extrapolated, what is open, missing or uneven.

A sentence is measured only if it speaks of runs that exist; whatever leans on a curve beyond the largest run, on the
irreducible loss above all, is called extrapolated however small its p-value.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis import formatting
from analysis.equality import Comparison
from analysis.gap import LossGap
from analysis.noise import noise_sentence
from analysis.report import coverage, fitted, limits, measured, sizes
from analysis.report.evidence import Evidence
from analysis.report.pairs import FEW, leader, limit_test, p_told, promise, told
from analysis.report.ranking import ranked, ranking
from analysis.report.sensitivity import hinges


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The shortest answer, and sentences under the headings a report opens with, without those that have none."""

    headline: str
    establishes: tuple[str, ...]
    extrapolates: tuple[str, ...] = ()
    cannot_tell: tuple[str, ...]
    missing: tuple[str, ...]
    drift: tuple[str, ...]
    notes: tuple[str, ...] = ()
    hinges: tuple[str, ...] = ()

    def headed(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        parts = (
            ("What these runs establish", self.establishes),
            ("What is only extrapolated", self.extrapolates),
            ("What they cannot tell", self.cannot_tell),
            ("What hangs on a single run", self.hinges),
            ("Missing or diverged", self.missing),
            ("Drift between runs", self.drift),
            ("How to read the numbers", self.notes),
        )
        return tuple((heading, sentences) for heading, sentences in parts if sentences)


def summarise(evidence: Evidence) -> Summary:
    return Summary(
        headline=_headline(evidence),
        establishes=tuple(_established(evidence)) or ("Nothing yet: see what is missing.",),
        extrapolates=tuple(_extrapolated(evidence)) or ("Nothing: without a fit no curve leaves the measured range.",),
        cannot_tell=tuple(_open(evidence)) or ("Nothing that they were asked here.",),
        missing=tuple(coverage.absent(evidence)),
        drift=tuple(coverage.drift(evidence)),
        notes=(*tested(evidence), *evidence.table.notes),
        hinges=tuple(hinges(evidence)),
    )


def _headline(evidence: Evidence) -> str:
    points, y = evidence.points, evidence.settings.y
    end = evidence.place(float(points[evidence.settings.x].max()))
    if len(evidence.names) == 1:
        label = next(iter(evidence.names))
        highest, lowest = (formatting.loss(end) for end in (points[y].max(), points[y].min()))
        return (
            f"One {evidence.noun}, {label}, was measured up to {end}: its loss goes from {highest} to {lowest} "
            f"{evidence.loss_unit}".rstrip()
            + ". There is nothing to compare it with."
        )
    if ranks := ranking(evidence):
        best, second = ranks[:2]
        close = ", within seed spread" if second.within_seeds else ""
        return (
            f"{best.label} has the lowest measured loss of {len(ranks)} {evidence.noun}s at one scale, "
            f"{formatting.small(second.gap)} below the next, {second.label}{close}."
        )
    side_by_side = measured.common_scales(evidence, list(evidence.names))
    if side_by_side.empty:
        return f"The {evidence.noun}s have no scale in common, so their runs cannot be compared one to one."
    losses, spent = (pd.DataFrame(side_by_side[column]) for column in (y, evidence.settings.x))
    best_at = losses.idxmin(axis=1)
    where = f"each of the {len(best_at)} common scales" if len(best_at) > 1 else "the one common scale"
    if best_at.nunique() == 1:
        what = evidence.column(evidence.settings.x).phrase
        ratio = float((spent.max(axis=1) / spent.min(axis=1)).max())
        unequal = (
            f", though {what} there differs by a factor of up to {ratio:.2f}" if ratio > measured.SAME_COMPUTE else ""
        )
        first = f"{best_at.iloc[0]} has the lowest measured loss at {where}{unequal}."
    else:
        first = f"No {evidence.noun} has the lowest measured loss at {where}; at the largest it is {best_at.iloc[-1]}."
    return f"{first} {_beyond(evidence, end)}"


def _beyond(evidence: Evidence, end: str) -> str:
    tests = [item for item in told(evidence) if isinstance(item, Comparison) and item.shared == ("C",)]
    if not tests:
        return f"Beyond {end} nothing was measured."
    low, first = promise(evidence), leader(evidence)
    if low is not None and low != first and (test := limit_test(evidence, low, first)) and not test.distinguishable:
        return (
            f"Beyond {end} nothing was measured: that the curve of {low} ends lower than that of {first} is an "
            f"extrapolation, and these runs cannot tell whether it does ({p_told(test)})."
        )
    differing = [item for item in tests if item.distinguishable]
    if differing:
        pairs_told = formatting.listed(f"{item.groups[0]} and {item.groups[1]}" for item in differing)
        return (
            f"Beyond {end} nothing was measured; by extrapolation the irreducible losses of {pairs_told} differ "
            f"(smallest {formatting.p_text(min(item.p_value for item in differing))})."
        )
    p_values = [item.p_value for item in tests if not math.isnan(item.p_value)]
    smallest = "smallest " if len(p_values) > 1 else ""
    how = f" ({smallest}{formatting.p_text(min(p_values))})" if p_values else ""
    return f"Beyond {end} nothing was measured, and these runs cannot tell which curve ends lower{how}."


def _established(evidence: Evidence) -> Iterator[str]:
    if ranking(evidence):
        yield from ranked(evidence)
    else:
        yield from measured.gaps(evidence)
    yield from measured.seeds(evidence)
    yield from measured.monotone(evidence)
    yield from fitted.told_apart(evidence)
    for item in _tests(evidence):
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
    yield from limits.limits(evidence)
    for item in _tests(evidence):
        if item.distinguishable and _leaves_the_data(item):
            yield formatting.polished(item.sentence)
    yield from limits.crossings(evidence)
    yield from limits.misses(evidence)


def _open(evidence: Evidence) -> Iterator[str]:
    yield from sizes.unequal(evidence)
    if evidence.not_compared and not ranking(evidence):
        yield f"How the groups compare: {evidence.not_compared}."
    yield from _untold(evidence)
    yield from fitted.not_told_apart(evidence)
    if len(told(evidence)) < len(evidence.comparisons):
        yield f"{len(evidence.comparisons) - len(told(evidence))} more comparisons are in the table below."
    said: dict[str, list[str]] = {}
    for label, note in weak_points(evidence):
        said.setdefault(note, []).append(label)
    for note, labels in said.items():
        yield f"{formatting.listed(labels)}: {note}."
    yield from _design_gaps(evidence)


def tested(evidence: Evidence) -> Iterator[str]:
    """What the tests take into account: their number, and groups that do not scatter alike."""
    tests = [item for item in evidence.comparisons if isinstance(item, Comparison)]
    by_pair = {item.groups: item for item in tests if item.distinguishable is not None}
    if len(by_pair) > 1:
        small = formatting.general(1 - evidence.settings.level, 1)
        yield (
            f"Each question, such as whether two irreducible losses are equal, was asked of {len(by_pair)} pairs. A "
            f"parameter or a curve is said to differ where p is below {small} by Holm's correction for these "
            f"{len(by_pair)} tests; the p in brackets are without it. Intervals of gaps are one at a time."
        )
    if text := noise_sentence([item.noise for item in by_pair.values() if item.noise]):
        yield text


def _untold(evidence: Evidence) -> Iterator[str]:
    """Tests that find no difference; of many groups those of one limit against the others share a sentence."""
    untold = [item for item in _tests(evidence) if not item.distinguishable]
    if len(evidence.names) <= FEW:
        yield from (formatting.polished(item.sentence) for item in untold)
        return
    items = [item for item in untold if isinstance(item, Comparison)]
    for one in dict.fromkeys([leader(evidence), promise(evidence)]):
        mine = [item for item in items if one in item.groups and not math.isnan(item.p_value)]
        items = [item for item in items if item not in mine]
        if mine:
            others = formatting.listed(f"{item.groups[1 - item.groups.index(one)]} ({p_told(item)})" for item in mine)
            yield f"These runs cannot tell whether the irreducible loss C of {one} differs from that of {others}."
    rest: list[Comparison | LossGap] = [*items, *(item for item in untold if isinstance(item, LossGap))]
    yield from dict.fromkeys(formatting.polished(item.sentence) for item in rest)


def _tests(evidence: Evidence) -> list[Comparison | LossGap]:
    """What is told of the comparisons; a gap at the largest scale is told with those at the others where it can."""
    gaps = fitted.fitted_gaps(evidence)
    return [item for item in told(evidence) if isinstance(item, Comparison) or not gaps.get(item.groups)]


def weak_points(evidence: Evidence) -> Iterator[tuple[str, str]]:
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
        limit = next((p.name for p in evidence.law.parameters if p.meaning == "irreducible loss"), None)
        if limit and fit.parameters[limit] > fit.y.min():
            yield (
                label,
                f"the fitted irreducible loss {limit} = {formatting.loss(fit.parameters[limit])} lies above the lowest "
                f"measured loss, {formatting.loss(float(fit.y.min()))}: a fit that must not do so ends on that bound, "
                "and a single bad run is likely",
            )
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
    cell = ["label", "depth", "width", "tokens"] if evidence.table.noun == "runs" else ["label", evidence.settings.x]
    if (points.groupby(cell).size() == 1).all():
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


def _leaves_the_data(item: Comparison | LossGap) -> bool:
    return item.extrapolated if isinstance(item, LossGap) else item.shared == ("C",)


def _level(evidence: Evidence) -> str:
    return f"{100 * evidence.settings.level:g} %"
