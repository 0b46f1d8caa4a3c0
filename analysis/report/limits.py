"""What a summary says beyond the largest run: irreducible losses, crossings, and laws that miss their own largest run.

The standard error of a parameter is s·√(JᵀJ)⁻¹ at the optimum, J the tangent of the curve (Seber & Wild 1989, section
2.1.2). It is printed beside the profile interval, which is the one to trust: it need not be symmetric.
"""

import math
from collections.abc import Iterator

import numpy as np

from analysis import formatting
from analysis.fit import Fit
from analysis.report.evidence import Evidence
from analysis.report.pairs import FEW, leader, limit_test, p_told, pairs, promise
from analysis.report.series import EXTRAPOLATION


def standard_error(fit: Fit, parameter: str) -> float:
    """In the unit of the parameter; nan without residual degrees of freedom or with a parameter on its bound."""
    if not fit.degrees_of_freedom or "on bound" in fit.verdicts.values():
        return math.nan
    theta = [fit.parameters[p.name] for p in fit.law.nonlinear]
    beta = np.array([fit.parameters[p.name] for p in fit.law.linear])

    def columns(values: list[float]) -> np.ndarray:
        return fit.law.design(fit.x, *(np.full(fit.n, value) for value in values))

    tangents = []
    for place, value in enumerate(theta):
        step = 1e-5 * max(abs(value), 1e-3)
        ends = [columns([*theta[:place], value + side * step, *theta[place + 1 :]]) @ beta for side in (-1, 1)]
        tangents.append((ends[1] - ends[0]) / (2 * step))
    jacobian = np.column_stack([*tangents, columns(theta)])
    size = np.linalg.norm(jacobian, axis=0)
    inverse = np.linalg.pinv(jacobian / size)
    names = [p.name for p in fit.law.nonlinear + fit.law.linear]
    place = names.index(parameter)
    return float(fit.residual_std * np.linalg.norm(inverse[place]) / size[place])


def limits(evidence: Evidence) -> Iterator[str]:
    """Each C of a few groups; of many, that of the group measured lowest and of the one that promises most."""
    low, first = promise(evidence), leader(evidence)
    if low is not None and low != first and first in evidence.fits:
        yield _conflict(evidence, low, first)
    told = (
        list(evidence.fits)
        if len(evidence.names) <= FEW
        else [label for label in evidence.fits if label in (first, low)]
    )
    for label in told:
        fit = evidence.fits[label]
        if "C" in fit.parameters and fit.degrees_of_freedom:
            yield (
                f"The irreducible loss of {label}, {limit_text(evidence, label)}: its lowest measured loss is "
                f"{formatting.loss(float(fit.y.min()))}."
            )


def limit_text(evidence: Evidence, label: str) -> str:
    """C = 0.585 ± 0.033 (standard error) with 95 % profile interval [0.428, 0.715]"""
    fit = evidence.fits[label]
    value, ends, error = fit.parameters["C"], fit.intervals["C"], standard_error(fit, "C")
    span = formatting.interval(ends.low, ends.high)
    shown = formatting.estimate(value, ends.low, ends.high)
    if math.isfinite(error) and 1e-6 < error < value:
        decimals = max(1 - math.floor(math.log10(error)), 0)
        shown = f"{value:.{decimals}f} ± {error:.{decimals}f} (standard error)"
        span = f"[{', '.join(formatting.minus(f'{end:.{decimals}f}') for end in (ends.low, ends.high))}]"
    return f"C = {shown} with {100 * evidence.settings.level:g} % interval {span}"


def misses(evidence: Evidence) -> Iterator[str]:
    for label, holdout in evidence.holdouts.items():
        if holdout.inside is False and holdout.interval is not None:
            yield (
                f"{label}: the law misses its own largest run. Fitted to the smaller runs it predicts "
                f"{formatting.loss(holdout.predicted)} "
                f"{formatting.loss_interval(holdout.interval.low, holdout.interval.high)}, and "
                f"{formatting.loss(holdout.actual)} was measured: distrust the curve beyond the data."
            )


def crossings(evidence: Evidence) -> Iterator[str]:
    """Where two fitted curves cross beyond the largest run, inside the range that is drawn."""
    if not evidence.fits:
        return
    end = float(evidence.points[evidence.settings.x].max())
    grid = np.geomspace(end, end * EXTRAPOLATION, 400)
    for first, second in pairs(evidence):
        if not {first, second} <= evidence.fits.keys():
            continue
        gap = evidence.fits[first].predict(grid) - evidence.fits[second].predict(grid)
        turns = np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0)
        if turns.size:
            at = float(grid[turns[0]])
            yield (
                f"The fitted curves of {first} and {second} cross at about {evidence.place(float(f'{at:.2g}'))}, "
                f"{at / end:.2g} times the largest run: no run has measured which is lower there."
            )


def _conflict(evidence: Evidence, low: str, first: str) -> str:
    test = limit_test(evidence, low, first)
    answer = ""
    if test is not None:
        verb = "differ" if test.distinguishable else "cannot be told apart"
        answer = f"; the two limits {verb} ({p_told(test)})"
    c_low, c_first = (evidence.fits[label].parameters["C"] for label in (low, first))
    return (
        f"That {low} ends lowest is an extrapolation: its fitted irreducible loss is the lowest, {c_low:.3f} against "
        f"{c_first:.3f} for {first}, whose measured loss is the lowest{answer}."
    )
