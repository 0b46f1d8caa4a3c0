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
_DRIFT = {
    "git_commit": "code commits",
    "archscale_version": "ArchScale versions",
    "torch_version": "PyTorch versions",
    "batch_tokens": "batch sizes",
    "parametrization": "parametrizations",
    "precision": "precisions",
    "corpus_hash": "corpora",
}
_SINGULAR = {"corpora": "corpus"}


def missing(found: Gathered, words: Words = FIT) -> Iterator[str]:
    rows = {row["run_id"]: row for row in found.table.records()}
    for state, said in _STATES.items():
        runs = [run_id for run_id, reason in found.left_out.items() if reason == state]
        if runs:
            said = said.format(diverged=words.diverged)
            yield f"{formatting.plural(len(runs), 'run')} {said}: {'; '.join(_named(rows[r]) for r in runs)}."
    for run_id, reason in found.left_out.items():
        if reason not in _STATES:
            yield f"{run_id}: {reason}, left out of the {words.whole}."
    never = [run_id for run_id in found.missing if run_id not in rows]
    if never:
        yield f"{formatting.plural(len(never), 'cell')} of the study never started: {', '.join(never)}."


def not_fitted(evidence: Evidence) -> Iterator[str]:
    for reason in dict.fromkeys(evidence.not_fitted.values()):
        labels = [label for label, given in evidence.not_fitted.items() if given == reason]
        if len(labels) == 1:
            yield f"{labels[0]} has no fit: {reason}."
        else:
            yield f"{formatting.listed(labels)} have no fit, each for this reason: {reason}."


def _named(row: Mapping[str, Any]) -> str:
    message = " ".join(str(row["message"] or "").split())
    return f"{row['run_id']} ({message})" if message else str(row["run_id"])


def drift(found: Gathered, words: Words = FIT) -> Iterator[str]:
    """What the study itself varies, its group, is no drift."""
    points = found.points
    same, unrecorded = [], []
    for column, plural in _DRIFT.items():
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
