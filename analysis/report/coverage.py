"""Which runs of a study a report does not rest on and why, and in what the others differ that they should share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis import formatting
from analysis.report.evidence import Evidence
from analysis.report.gathered import Gathered


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a report does with its runs: `whole` as in "runs of the fit", `one` of them, and what a diverged run is."""

    whole: str = "fit"
    one: str = "fitted run"
    diverged: str = "shown here but left out of every fit"


FIT = Words()

_STATES = {
    "diverged": "diverged, {diverged}",
    "failed": "failed",
    "interrupted": "interrupted, with a checkpoint to go on from",
    "running": "still running",
    "pending": "not started",
}

# What two runs of one fit may silently differ in, in a reader's words.
DRIFT = {
    "git_commit": "code commits",
    "archscale_version": "ArchScale versions",
    "torch_version": "PyTorch versions",
    "batch_tokens": "batch sizes",
    "parametrization": "parametrizations",
    "precision": "precisions",
    "corpus_hash": "corpora",
}
# Of rows with one reason to be left out, so many are named.
_NAMED = 12
_SINGULAR = {"corpora": "corpus"}


def absent(evidence: Evidence) -> Iterator[str]:
    """What the fits do not rest on, or that nothing is missing."""
    sentences = [*missing(evidence), *not_fitted(evidence)]
    everything = (
        "every run of the study has finished and is in the fit"
        if evidence.table.noun == "runs"
        else "every row of the table is in a fit"
    )
    yield from sentences or [f"Nothing: {everything}."]


def missing(found: Gathered, words: Words = FIT) -> Iterator[str]:
    rows = {row["run_id"]: row for row in found.table.records()}
    for state, said in _STATES.items():
        runs = [run_id for run_id, reason in found.left_out.items() if reason == state]
        if runs:
            said = said.format(diverged=words.diverged)
            yield f"{formatting.plural(len(runs), 'run')} {said}: {'; '.join(_named(rows[r]) for r in runs)}."
    for reason in dict.fromkeys(reason for reason in found.left_out.values() if reason not in _STATES):
        runs = [run_id for run_id, given in found.left_out.items() if given == reason]
        more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
        yield f"{', '.join(runs[:_NAMED])}{more}: {reason}, left out of the {words.whole}."
    never = [run_id for run_id in found.missing if run_id not in rows]
    if never:
        yield f"{formatting.plural(len(never), 'cell')} of the study never started: {', '.join(never)}."


def not_fitted(evidence: Evidence) -> Iterator[str]:
    for reason in dict.fromkeys(evidence.not_fitted.values()):
        labels = [label for label, given in evidence.not_fitted.items() if given == reason]
        if len(labels) == len(evidence.names) > 1:
            yield f"No {evidence.noun} has a fit, each for this reason: {reason}."
        elif len(labels) == 1:
            yield f"{labels[0]} has no fit: {reason}."
        else:
            yield f"{formatting.listed(labels)} have no fit, each for this reason: {reason}."


def _named(row: Mapping[str, Any]) -> str:
    message = " ".join(str(row["message"] or "").split())
    return f"{row['run_id']} ({message})" if message else str(row["run_id"])


def drift(found: Gathered, words: Words = FIT) -> Iterator[str]:
    """What the study itself varies, its group, is no drift."""
    points = found.points
    if found.table.noun != "runs":
        yield "Not known: a table does not say of its points with which code, batch size or seed they were measured."
        return
    same, unrecorded = [], []
    for column, plural in DRIFT.items():
        if column == found.settings.group:
            continue
        values = points[column].astype(object).where(points[column].notna(), "unknown")
        counts = values.value_counts().sort_index(key=lambda index: index.map(str))
        if list(counts.index) == ["unknown"]:
            unrecorded.append(_SINGULAR.get(plural, plural[:-1]))
        elif len(counts) > 1:
            shown = ", ".join(f"{_short(column, value)} ({number})" for value, number in counts.items())
            yield f"The runs of the {words.whole} differ in their {plural}: {shown}."
        else:
            same.append(f"{_SINGULAR.get(plural, plural[:-1])} {_short(column, counts.index[0])}")
    dirty = int(points["git_dirty"].astype(bool).sum())
    if dirty:
        yield (
            f"{formatting.plural(dirty, 'run')} of the {words.whole} used code that differed from its commit; "
            "the difference lies in diff.patch of the attempt."
        )
    if unrecorded:
        yield f"No {words.one} recorded its {formatting.listed(unrecorded, 'or')}."
    if same:
        yield f"All {formatting.plural(len(points), words.one)} share {formatting.listed(same)}."


def _short(column: str, value: object) -> str:
    if column == "batch_tokens" and isinstance(value, int):
        return f"{value} tokens"
    return str(value)[:12] if column in ("git_commit", "corpus_hash") else str(value)
