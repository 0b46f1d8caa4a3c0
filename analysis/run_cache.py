"""The table of a study's runs kept beside its report, so that a run whose files have not changed is not read again.

    runs.cache = SHA-256 of the rest │ npz { rows: JSON of a row a run, curves: float64, lengths }

A run is taken from the cache only if each of its files has the size, the time and the inode that it had when it was
read, and the code that reads it is the same. A cache that is damaged, or of another kind, is as good as none.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import columns, table
from analysis.columns import CURVE_COLUMNS
from analysis.table import RunTable, read_directory
from archscale import identity, spec
from archscale.runlog import directory, metrics
from archscale.runlog.directory import RunDirectory, State
from archscale.runlog.files import write_atomically

_NUMBERS = [name for name in CURVE_COLUMNS if name != "run_id"]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One run as its files were at `mark`; `curve` has a row a logged step and the numbers of CURVE_COLUMNS."""

    mark: str
    row: Mapping[str, Any]
    curve: np.ndarray


def read_runs(
    directories: Iterable[RunDirectory], states: Mapping[str, State] | None = None, *, cache: Path
) -> RunTable:
    """As RunTable.from_directories, reading again only what has changed since `cache` was written.

    Raises:
        UserError: as RunTable.from_directories.
    """
    known, entries, fresh = _load(cache), {}, False
    for place in directories:
        key, mark = str(place.path), _mark(place)
        entry = known.get(key)
        if entry is None or entry.mark != mark:
            row, rows = read_directory(place)
            curve = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))[_NUMBERS]
            entry = _Entry(mark=mark, row=row, curve=curve.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float))
            fresh = True
        entries[key] = entry
    if fresh:
        _store(cache, {**known, **entries})
    rows = [dict(entry.row) for entry in entries.values()]
    for row in rows:
        row["state"] = (states or {}).get(row["run_id"], row["state"])
    if not rows:
        return RunTable.from_rows([], pd.DataFrame(columns=list(CURVE_COLUMNS)))
    curves = pd.DataFrame(np.concatenate([entry.curve for entry in entries.values()]), columns=_NUMBERS)
    curves.insert(0, "run_id", np.repeat([row["run_id"] for row in rows], [len(e.curve) for e in entries.values()]))
    return RunTable.from_rows(rows, curves)


def _mark(place: RunDirectory) -> str:
    """What changes when a file of the run that is read does."""
    attempts = place.attempts()
    files = [place.path / name for name in ("spec.json", "status.json", "result.json")]
    files += [place.metrics_path]
    files += [place.attempt_path(number) / "provenance.json" for number in attempts]
    seen = []
    for file in files:
        try:
            about = file.stat()
        except FileNotFoundError:
            continue
        seen.append((file.name, about.st_size, about.st_mtime_ns, about.st_ino))
    return json.dumps([_reader(), attempts, seen])


@lru_cache
def _reader() -> str:
    """A digest of the code that turns files into rows: a cache does not outlive a change of it."""
    files = [Path(str(module.__file__)) for module in (columns, table, identity, directory, metrics)]
    files += sorted(Path(str(spec.__file__)).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _store(cache: Path, entries: Mapping[str, _Entry]) -> None:
    about = [[key, entry.mark, dict(entry.row)] for key, entry in entries.items()]
    curves = [entry.curve for entry in entries.values()]
    content = io.BytesIO()
    np.savez(
        content,
        rows=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        curves=np.concatenate(curves) if curves else np.zeros((0, len(_NUMBERS))),
        lengths=np.array([len(curve) for curve in curves], dtype=np.int64),
    )
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(cache, hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def _load(cache: Path) -> dict[str, _Entry]:
    """By path of the run directory; empty for a cache that cannot be trusted."""
    try:
        content = cache.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return {}
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as stored:
            about = json.loads(stored["rows"].tobytes())
            curves = np.split(stored["curves"], np.cumsum(stored["lengths"])[:-1]) if about else []
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
    return {key: _Entry(mark=mark, row=row, curve=curve) for (key, mark, row), curve in zip(about, curves, strict=True)}
