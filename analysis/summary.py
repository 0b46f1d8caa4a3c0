"""What a study says in plain sentences: what is measured, what is extrapolated, what is open, missing or uneven.

A sentence is measured only if it speaks of runs that exist; whatever leans on a curve beyond the largest run, on the
irreducible loss above all, is called extrapolated however small its p-value.
"""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.compare import Comparison, LossGap
from analysis.evidence import Evidence
from analysis.series import EXTRAPOLATION, loss_series
from analysis.table import COLUMNS

# What two runs of one fit may silently differ in, in a reader's words.
_DRIFT = {
    "git_commit": "code commits",
    "archscale_version": "ArchScale versions",
    "torch_version": "PyTorch versions",
    "batch_tokens": "batch sizes",
    "parametrization": "parametrizations",
    "precision": "precisions",
    "corpus_hash": "corpora",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The shortest answer, and sentences under the five headings a report opens with, none of them empty."""

    headline: str
    establishes: tuple[str, ...]
    extrapolates: tuple[str, ...]
    cannot_tell: tuple[str, ...]
    missing: tuple[str, ...]
    drift: tuple[str, ...]

    def headed(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("What these runs establish", self.establishes),
            ("What is only extrapolated", self.extrapolates),
            ("What they cannot tell", self.cannot_tell),
            ("Missing or diverged", self.missing),
            ("Drift between runs", self.drift),
        )


def summarise(evidence: Evidence) -> Summary:
    return Summary(
        headline=_headline(evidence),
        establishes=tuple(_established(evidence)) or ("Nothing yet: see what is missing.",),
        extrapolates=tuple(_extrapolated(evidence)) or ("Nothing: without a fit no curve leaves the measured range.",),
        cannot_tell=tuple(_open(evidence)),
        missing=tuple(_missing(evidence)) or ("Nothing: every run of the study has finished and is in the fit.",),
        drift=tuple(_drift(evidence)),
    )


def _headline(evidence: Evidence) -> str:
    points, y = evidence.points, evidence.settings.y
    end = f"{formatting.scientific(float(points[evidence.settings.x].max()))} {COLUMNS[evidence.settings.x].unit}".strip()
    if len(evidence.names) == 1:
        label = next(iter(evidence.names))
        return (
            f"One group, {label}, was measured up to {end}: its loss goes from {formatting.loss(points[y].max())} to "
            f"{formatting.loss(points[y].min())} nats/token. There is nothing to compare it with."
        )
    by_depth = points.pivot_table(index="depth", columns="label", values=y).dropna()
    if by_depth.empty:
        return "The groups have no depth in common, so their runs cannot be compared one to one."
    best = by_depth.idxmin(axis=1)
    where = f"each of the {len(best)} depths" if len(best) > 1 else "the one depth that all have"
    if best.nunique() == 1:
        first = f"{best.iloc[0]} has the lowest measured loss at {where}."
    else:
        last = best.index[-1]
        first = f"No group has the lowest measured loss at {where}; at the largest, {last}, it is {best[last]}."
    return f"{first} {_beyond(evidence, end)}"


def _beyond(evidence: Evidence, end: str) -> str:
    limits = [item for item in evidence.comparisons if isinstance(item, Comparison) and item.shared == ("C",)]
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
    how = f" (smallest p = {min(p_values):.2g})" if len(p_values) > 1 else f" (p = {p_values[0]:.2g})" if p_values else ""
    return f"Beyond {end} nothing was measured, and these runs cannot tell which curve ends lower{how}."


def _established(evidence: Evidence) -> Iterator[str]:
    for label in evidence.names:
        yield from _monotone(evidence, label)
    for first, second in combinations(evidence.names, 2):
        yield from _measured_gap(evidence, first, second)
    for item in evidence.comparisons:
        if item.distinguishable and not _leaves_the_data(item):
            yield formatting.powers_of_ten(item.sentence)
    for label, holdout in evidence.holdouts.items():
        if holdout.inside and holdout.interval is not None:
            yield (
                f"{label}: the smaller runs alone predict the loss of the largest, {formatting.loss(holdout.predicted)} "
                f"against {formatting.loss(holdout.actual)} measured, inside the {_level(evidence)} prediction interval."
            )
    yield from _against_entropy(evidence)


def _extrapolated(evidence: Evidence) -> Iterator[str]:
    for label, fit in evidence.fits.items():
        if "C" in fit.parameters and fit.degrees_of_freedom:
            value, ends = fit.parameters["C"], fit.intervals["C"]
            yield (
                f"The irreducible loss of {label}, C = {formatting.estimate(value, ends.low, ends.high)} with "
                f"{_level(evidence)} interval {formatting.interval(ends.low, ends.high)}: its lowest measured loss is "
                f"{formatting.loss(float(fit.y.min()))}."
            )
    for item in evidence.comparisons:
        if item.distinguishable and _leaves_the_data(item):
            yield formatting.powers_of_ten(item.sentence)
    yield from _crossings(evidence)
    for label, holdout in evidence.holdouts.items():
        if holdout.inside is False and holdout.interval is not None:
            yield (
                f"{label}: the law misses its own largest run. Fitted to the smaller runs it predicts "
                f"{formatting.loss(holdout.predicted)} {formatting.interval(holdout.interval.low, holdout.interval.high)}"
                f", and {formatting.loss(holdout.actual)} was measured: distrust the curve beyond the data."
            )


def _open(evidence: Evidence) -> Iterator[str]:
    if evidence.not_compared:
        yield f"How the groups compare: {evidence.not_compared}."
    for item in evidence.comparisons:
        if not item.distinguishable:
            yield formatting.powers_of_ten(item.sentence)
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
            yield label, (
                f"{formatting.plural(fit.n, 'point')} and {formatting.plural(len(fit.parameters), 'parameter')} leave no "
                "degree of freedom, so the curve passes through every point and no interval can be given; one more "
                "scale would give one"
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
        yield "How much two seeds differ: every cell has one run, so a gap of that size would not be seen as noise."
    ratio = points["tokens"] / points["parameters"]
    if len(points) > 1 and ratio.max() / ratio.min() < 1.25:
        yield (
            f"What more tokens or more parameters would each bring: all runs have about {ratio.median():.2g} tokens per "
            "parameter, and only the two growing together was measured."
        )


def _missing(evidence: Evidence) -> Iterator[str]:
    rows = {str(row["run_id"]): row for row in evidence.table.runs.to_dict("records")}
    for state, said in _STATES.items():
        runs = [run_id for run_id, reason in evidence.left_out.items() if reason == state]
        if runs:
            yield f"{formatting.plural(len(runs), 'run')} {said}: {'; '.join(_named(rows[r]) for r in runs)}."
    for run_id, reason in evidence.left_out.items():
        if reason not in _STATES:
            yield f"{run_id}: {reason}, left out of the fit."
    never = [run_id for run_id in evidence.missing if run_id not in rows]
    if never:
        yield f"{formatting.plural(len(never), 'cell')} of the study never started: {', '.join(never)}."
    for label, reason in evidence.not_fitted.items():
        yield f"{label} has no fit: {reason}."


_STATES = {
    "diverged": "diverged, shown here but left out of every fit",
    "failed": "failed",
    "interrupted": "interrupted, with a checkpoint to go on from",
    "running": "still running",
    "pending": "not started",
}


def _named(row: dict[Hashable, Any]) -> str:
    message = " ".join(str(row["message"] or "").split())
    return f"{row['run_id']} ({message})" if message else str(row["run_id"])


def _drift(evidence: Evidence) -> Iterator[str]:
    points = evidence.points
    same = []
    for column, words in _DRIFT.items():
        values = points[column].astype(object).where(points[column].notna(), "unknown")
        counts = values.value_counts().sort_index(key=lambda index: index.map(str))
        if len(counts) > 1:
            shown = ", ".join(f"{_short(column, value)} ({number})" for value, number in counts.items())
            yield f"The runs of the fit differ in their {words}: {shown}."
        else:
            same.append(f"{_SINGULAR.get(words, words[:-1])} {_short(column, counts.index[0])}")
    dirty = int(points["git_dirty"].astype(bool).sum())
    if dirty:
        yield (
            f"{formatting.plural(dirty, 'run')} of the fit used code that differed from its commit; the difference lies "
            "in diff.patch of the attempt."
        )
    if same:
        yield f"All {formatting.plural(len(points), 'fitted run')} share {formatting.listed(same)}."


_SINGULAR = {"corpora": "corpus"}


def _short(column: str, value: object) -> str:
    if column == "batch_tokens" and isinstance(value, int):
        return f"{value} tokens"
    return str(value)[:12] if column in ("git_commit", "corpus_hash") else str(value)


def _monotone(evidence: Evidence, label: str) -> Iterator[str]:
    x, y = evidence.settings.x, evidence.settings.y
    means = evidence.points[evidence.points["label"] == label].groupby(x)[y].mean()
    if len(means) < 2:
        return
    losses = means.to_numpy(dtype=float)
    what = COLUMNS[x].meaning.lower()
    rises = np.flatnonzero(np.diff(losses) >= 0)
    if not rises.size:
        yield (
            f"{label}: the loss falls at each of {formatting.plural(len(losses) - 1, 'step')} in {what}, from "
            f"{formatting.loss(losses[0])} to {formatting.loss(losses[-1])} nats/token."
        )
        return
    steps = ", ".join(
        f"{formatting.scientific(means.index[i])} to {formatting.scientific(means.index[i + 1])} "
        f"({formatting.signed_loss(losses[i + 1] - losses[i])})"
        for i in rises
    )
    yield f"{label}: the loss does NOT fall with every step in {what}; it rises from {steps}."


def _measured_gap(evidence: Evidence, first: str, second: str) -> Iterator[str]:
    """Of the runs themselves, at the depths that both groups have; the compute they spent there may differ."""
    y, points = evidence.settings.y, evidence.points
    one, two = (points[points["label"] == label].groupby("depth")[[y, "compute"]].mean() for label in (first, second))
    both = one.join(two, lsuffix="_one", rsuffix="_two", how="inner").sort_index()
    if both.empty:
        return
    gap = both[f"{y}_one"] - both[f"{y}_two"]
    lower = gap < 0
    if lower.all() or (~lower).all():
        winner, loser = (first, second) if lower.all() else (second, first)
        where = f"at all {len(gap)} depths" if len(gap) > 1 else f"at the one common depth, {gap.index[0]}"
        sizes = " and ".join(
            f"{formatting.loss(abs(gap[depth]))} at depth {depth}" for depth in sorted({gap.index[0], gap.index[-1]})
        )
        yield f"The measured loss of {winner} is lower than that of {loser} {where}: by {sizes}.{_cost(both)}"
        return
    depths = formatting.listed(str(depth) for depth in gap.index[lower])
    yield (
        f"The measured loss of {first} is lower than that of {second} at depth {depths} and not at "
        f"{formatting.listed(str(depth) for depth in gap.index[~lower])}.{_cost(both)}"
    )


def _cost(both: pd.DataFrame) -> str:
    ratio = both["compute_one"] / both["compute_two"]
    if ratio.between(0.995, 1.005).all():
        return " They spent the same compute there."
    return f" The first spent {ratio.min():.3g} to {ratio.max():.3g} times the compute of the second there."


def _against_entropy(evidence: Evidence) -> Iterator[str]:
    entropy = evidence.unigram_entropy
    if entropy is None:
        return
    below = entropy - evidence.points[evidence.settings.y]
    yield (
        f"The losses are {formatting.loss(below.min())} to {formatting.loss(below.max())} nats/token below the unigram "
        f"entropy of the corpus, {formatting.loss(entropy)}."
        if below.min() > 0
        else f"{int((below <= 0).sum())} of {len(below)} runs are not below the unigram entropy of the corpus, "
        f"{formatting.loss(entropy)}: they learned no more than the frequency of each token."
    )


def _crossings(evidence: Evidence) -> Iterator[str]:
    """Where two fitted curves cross beyond the largest run, inside the range that is drawn."""
    if not evidence.fits:
        return
    end = loss_series(evidence).x_end
    grid = np.geomspace(end, end * EXTRAPOLATION, 400)
    what = COLUMNS[evidence.settings.x].meaning.lower()
    for first, second in combinations(evidence.fits, 2):
        gap = evidence.fits[first].predict(grid) - evidence.fits[second].predict(grid)
        turns = np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0)
        if turns.size:
            at = float(grid[turns[0]])
            yield (
                f"The fitted curves of {first} and {second} cross at a {what} of about {formatting.scientific(at)}, "
                f"{at / end:.2g} times the largest run: no run has measured which is lower there."
            )


def _leaves_the_data(item: Comparison | LossGap) -> bool:
    return item.extrapolated if isinstance(item, LossGap) else item.shared == ("C",)


def _level(evidence: Evidence) -> str:
    return f"{100 * evidence.settings.level:g} %"
