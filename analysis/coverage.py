"""Which runs of a study are not in its fits and why, and in what the fitted ones differ that they should share."""

from collections.abc import Iterator, Mapping
from typing import Any

from analysis import formatting
from analysis.evidence import Evidence

_STATES = {
    "diverged": "diverged, shown here but left out of every fit",
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


def missing(evidence: Evidence) -> Iterator[str]:
    rows = {row["run_id"]: row for row in evidence.table.records()}
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
    for reason in dict.fromkeys(evidence.not_fitted.values()):
        labels = [label for label, given in evidence.not_fitted.items() if given == reason]
        if len(labels) == 1:
            yield f"{labels[0]} has no fit: {reason}."
        else:
            yield f"{formatting.listed(labels)} have no fit, each for this reason: {reason}."


def _named(row: Mapping[str, Any]) -> str:
    message = " ".join(str(row["message"] or "").split())
    return f"{row['run_id']} ({message})" if message else str(row["run_id"])


def drift(evidence: Evidence) -> Iterator[str]:
    points = evidence.points
    same, unrecorded = [], []
    for column, words in _DRIFT.items():
        values = points[column].astype(object).where(points[column].notna(), "unknown")
        counts = values.value_counts().sort_index(key=lambda index: index.map(str))
        if list(counts.index) == ["unknown"]:
            unrecorded.append(_SINGULAR.get(words, words[:-1]))
        elif len(counts) > 1:
            shown = ", ".join(f"{_short(column, value)} ({number})" for value, number in counts.items())
            yield f"The runs of the fit differ in their {words}: {shown}."
        else:
            same.append(f"{_SINGULAR.get(words, words[:-1])} {_short(column, counts.index[0])}")
    dirty = int(points["git_dirty"].astype(bool).sum())
    if dirty:
        yield (
            f"{formatting.plural(dirty, 'run')} of the fit used code that differed from its commit; the difference "
            "lies in diff.patch of the attempt."
        )
    if unrecorded:
        yield f"No fitted run recorded its {formatting.listed(unrecorded, 'or')}."
    if same:
        yield f"All {formatting.plural(len(points), 'fitted run')} share {formatting.listed(same)}."


def _short(column: str, value: object) -> str:
    if column == "batch_tokens" and isinstance(value, int):
        return f"{value} tokens"
    return str(value)[:12] if column in ("git_commit", "corpus_hash") else str(value)
