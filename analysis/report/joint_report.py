"""The reading of a law of several inputs, such as L(N, D) = A·N^-alpha + B·D^-beta + E (Hoffmann et al. 2022)."""

import math
from collections.abc import Iterator

import numpy as np

from analysis import formatting
from analysis.equality import Comparison
from analysis.report import coverage, series
from analysis.report.evidence import Evidence
from analysis.report.summary import Summary, tested, weak_points


def joint_summary(evidence: Evidence) -> Summary:
    return Summary(
        headline=_headline(evidence),
        establishes=tuple(_established(evidence)) or ("Nothing yet: see what is missing.",),
        extrapolates=tuple(_extrapolated(evidence)) or ("Nothing: there is no fit.",),
        cannot_tell=tuple(_open(evidence)) or ("Nothing that they were asked here.",),
        missing=tuple(coverage.absent(evidence)),
        drift=tuple(coverage.drift(evidence)),
        notes=(*tested(evidence), *evidence.table.notes),
    )


def law_text(evidence: Evidence) -> str:
    return f"L({', '.join(evidence.law.inputs)}) = {formatting.equation(evidence.law.equation)}"


def _headline(evidence: Evidence) -> str:
    if not evidence.fits:
        return f"There are too few points to fit {law_text(evidence)}."
    parts = series.residuals(evidence)
    worst = max(parts, key=lambda label: _typical(parts[label]["residual"]))
    count = sum(map(len, parts.values()))
    unit = f" {evidence.loss_unit}" if evidence.loss_unit else ""
    of = f" ({worst} is the worst of {len(parts)} {evidence.noun}s)" if len(parts) > 1 else ""
    return (
        f"{law_text(evidence)} describes {count} points with a typical error of "
        f"{formatting.small(_typical(parts[worst]['residual']))}{unit}{of}."
    )


def _established(evidence: Evidence) -> Iterator[str]:
    unit = f" {evidence.loss_unit}" if evidence.loss_unit else ""
    for label, part in series.residuals(evidence).items():
        worst = part.iloc[int(part["residual"].abs().to_numpy().argmax())]
        relative = (part["residual"].abs() / part[evidence.settings.y]).mean()
        yield (
            f"{label}: over {len(part)} points the root mean square of measured − fitted is "
            f"{formatting.small(_typical(part['residual']))}{unit}, and the mean relative error "
            f"{100 * relative:.2g} %; the furthest point is {worst['run_id']} "
            f"({formatting.signed_loss(worst['residual'])})."
        )
    yield from _held_out(evidence)
    for item in evidence.comparisons:
        if item.distinguishable and isinstance(item, Comparison) and not _is_limit(evidence, item):
            yield formatting.polished(item.sentence)
    for name in evidence.settings.inputs:
        values = evidence.points[name]
        factor = formatting.general(float(values.max() / values.min()))
        yield (
            f"{evidence.column(name).meaning}: varied by a factor of {factor}, from "
            f"{_place(evidence, name, float(values.min()))} to {_place(evidence, name, float(values.max()))}."
        )


def _extrapolated(evidence: Evidence) -> Iterator[str]:
    for item in evidence.comparisons:
        if item.distinguishable and isinstance(item, Comparison) and _is_limit(evidence, item):
            yield formatting.polished(item.sentence)
    for p in evidence.law.parameters:
        if p.meaning != "irreducible loss":
            continue
        for label, fit in evidence.fits.items():
            if fit.degrees_of_freedom:
                value, ends = fit.parameters[p.name], fit.intervals[p.name]
                shown = formatting.estimate(value, ends.low, ends.high)
                yield (
                    f"The irreducible loss of {label}, {p.name} = {shown} with {100 * evidence.settings.level:g} % "
                    f"interval {formatting.interval(ends.low, ends.high)}: its lowest measured loss is "
                    f"{formatting.loss(float(fit.y.min()))}."
                )


def _open(evidence: Evidence) -> Iterator[str]:
    if len(evidence.names) > 1 and evidence.not_compared:
        yield f"How the groups compare: {evidence.not_compared}."
    for item in evidence.comparisons:
        if not item.distinguishable:
            yield formatting.polished(item.sentence)
    for label, note in weak_points(evidence):
        yield f"{label}: {note}."


def _held_out(evidence: Evidence) -> Iterator[str]:
    """What the law fitted without the largest scale says of it."""
    for label, item in evidence.holdouts.items():
        if not math.isnan(item.predicted):
            ends = item.interval
            said = "" if ends is None else f" {formatting.loss_interval(ends.low, ends.high)}"
            where = "" if item.inside is None else f", {'inside' if item.inside else 'outside'} the interval"
            yield (
                f"{label}: fitted without its largest scale the law predicts {formatting.loss(item.predicted)}{said} "
                f"there, and {formatting.loss(item.actual)} was measured{where}."
            )


def _is_limit(evidence: Evidence, item: Comparison) -> bool:
    meanings = {p.name: p.meaning for p in evidence.law.parameters}
    return len(item.shared) == 1 and meanings[item.shared[0]] == "irreducible loss"


def _place(evidence: Evidence, name: str, value: float) -> str:
    return formatting.place(value, evidence.column(name).unit)


def _typical(residual: "np.typing.ArrayLike") -> float:
    return float(np.sqrt(np.mean(np.square(residual))))
