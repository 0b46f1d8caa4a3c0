"""metrics.jsonl: the small local mirror of what a run logs, one JSON object a line.

Every row has `train_step`; a run resumed from a checkpoint repeats some steps, and the last row of a step wins. A torn
last line (the process was killed while writing) is left out.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class MetricsFile:
    """Appends rows; each is handed to the kernel at once, so that only a crash of the machine can lose one."""

    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._file = path.open("a", buffering=1)
        if torn:
            self._file.write("\n")

    def append(self, row: Mapping[str, float | int]) -> None:
        self._file.write(json.dumps(dict(row)) + "\n")

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows in order of `train_step`, the columns of one step merged, the last value of each winning."""
    if not path.exists():
        return []
    return merge_rows(_parsed_lines(path))


def merge_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_step: dict[int, dict[str, Any]] = {}
    for row in rows:
        by_step.setdefault(int(row["train_step"]), {}).update(row)
    return [by_step[step] for step in sorted(by_step)]


def _parsed_lines(path: Path) -> Iterable[dict[str, Any]]:
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "train_step" in row:
            yield row
