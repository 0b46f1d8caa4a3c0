"""What a run opens to on the page: its provenance, its frozen spec and the end of its log.

Runs of a study share most of their specs, so the page holds each kind of spec once, line by line, and for every run the
lines that differ; the text that the page shows is that of the file.

    bases[b] = lines of one spec        spec of a run = [b, {line number: line}]
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import formatting
from analysis.report import traces
from analysis.report.gathered import Gathered
from analysis.report.style import styles
from archscale.runlog.directory import RunDirectory

_LOG_LINES, _FEWEST_LINES = 40, 8
_LINES_OF_FINISHED_RUNS = 8000
_LOG_BYTES = 65536
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_WEB = re.compile(r"https?://[^\s/]+(/|$)")


def run_summaries(rows: Sequence[Mapping[str, Any]], found: Gathered) -> list[dict[str, Any]]:
    """The line of each run in the list of runs."""
    look = styles(found.labels)
    return [_summary(row, found) | {"color": look[found.label_of(row)].color} for row in rows]


def run_details(rows: Sequence[Mapping[str, Any]], found: Gathered) -> dict[str, Any]:
    """In strict JSON types: `keys` of what is said about a run, `bases` of specs, and by anchor the `runs`."""
    keys: dict[str, None] = {}
    specs = _Specs()
    few = max(_FEWEST_LINES, min(_LOG_LINES, _LINES_OF_FINISHED_RUNS // max(len(rows), 1)))
    told: dict[str, Any] = {}
    for row in rows:
        if "details" in row:
            about: dict[str, Any] = {"Row": row["run_id"]} | dict(row["details"])
            run: dict[str, Any] = {}
        else:
            directory = RunDirectory(Path(row["path"]))
            about = _about(row, directory)
            log = directory.log_path()
            lines = few if row["state"] == "finished" else _LOG_LINES
            run = {"spec": specs.add(_spec_text(directory)), "log": _log_tail(log, lines)}
            if (page := directory.wandb_page()) and _WEB.match(page):
                run["wandb"] = page
        said = {key: str(value) for key, value in about.items() if isinstance(value, str | int) and value != ""}
        keys.update(dict.fromkeys(said))
        told[traces.anchor(row["run_id"])] = {"about": said} | {key: value for key, value in run.items() if value}
    for run in told.values():
        run["about"] = [run["about"].get(key) for key in keys]
    return {"keys": list(keys), "bases": specs.bases, "runs": told}


def _summary(row: Mapping[str, Any], found: Gathered) -> dict[str, Any]:
    if "details" in row:
        units = [(found.settings.x, found.number), (found.settings.y, formatting.loss)]
        cells = [(text(row[name]), formatting.unit(found.column(name).unit)) for name, text in units]
        state = "left out" if row["run_id"] in found.left_out else "in the fits"
    else:
        values = (
            (formatting.count(row["parameters"]), "params"),
            (formatting.count(row["tokens"]), "tokens"),
            (formatting.scientific(row["compute"]), "FLOPs"),
            (formatting.loss(row["validation_loss"]), "nats/token"),
        )
        cells = [(value, "" if value == formatting.MISSING else unit) for value, unit in values]
        state = row["state"]
    return {
        "anchor": traces.anchor(row["run_id"]),
        "label": found.label_of(row),
        "shape": found.shape_of(row),
        "cells": cells,
        "state": state,
    }


def _about(row: Mapping[str, Any], directory: RunDirectory) -> dict[str, Any]:
    provenance, log = directory.provenance(), directory.log_path()
    commit = row["git_commit"] if isinstance(row["git_commit"], str) else "not recorded"
    versions = (("ArchScale", "archscale"), ("PyTorch", "torch"), ("Python", "python"))
    offline = directory.wandb_folders()
    return {
        "Run": row["run_id"],
        "State": " ".join(str(part) for part in (row["state"], row["failure"]) if isinstance(part, str)),
        "Message": row["message"],
        "Commit": commit + (" with local changes (see diff.patch of the attempt)" if row["git_dirty"] else ""),
        "Versions": ", ".join(f"{name} {provenance[key]}" for name, key in versions if provenance.get(key)),
        "Machine": provenance.get("host"),
        "Started": row["started"],
        "Attempts": row["attempts"],
        "Training time": formatting.seconds(row["train_seconds"]),
        "Command": provenance.get("command"),
        "Frozen spec": str(directory.path / "spec.json"),
        "Log file": str(log) if log else "",
        "W&B files": str(offline[-1]) if offline else "",
    }


class _Specs:
    """Specs as lines, each against one that went before it and has as many."""

    def __init__(self) -> None:
        self.bases: list[list[str]] = []

    def add(self, text: str) -> list[Any]:
        """[number of the base, {line number: line}] for the spec `text`; empty for no spec."""
        if not text:
            return []
        lines = text.split("\n")
        fewest = len(lines) // 3
        best: tuple[int, dict[int, str]] | None = None
        for number, base in enumerate(self.bases):
            if len(base) != len(lines):
                continue
            other = {place: mine for place, (mine, its) in enumerate(zip(lines, base, strict=True)) if mine != its}
            if len(other) <= fewest:
                fewest, best = len(other), (number, other)
        if best is None:
            self.bases.append(lines)
            best = len(self.bases) - 1, {}
        return list(best)


def _spec_text(directory: RunDirectory) -> str:
    path = directory.path / "spec.json"
    return path.read_text(errors="replace").rstrip("\n") if path.exists() else ""


def _log_tail(path: Path | None, count: int) -> str:
    """The last lines, without terminal codes; of a line that was overwritten in place only its last state."""
    if path is None:
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        lines = file.read().decode(errors="replace").rstrip().split("\n")
    return "\n".join(_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines[-count:])
