"""Points from runs: a folder of run directories, offline wandb files below a folder, or a wandb project.

Runs of this program have the columns of RunTable. Runs of any other program have `run_id`, `name`, `state`, `url`, and
one column for every key of their config and summary, called config.KEY and summary.KEY.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.columns import COLUMNS, Column
from analysis.points import PointTable
from analysis.sources.files import flat
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.runlog.directory import RunDirectory
from archscale.runlog.wandb_api import read_wandb_project
from archscale.runlog.wandb_file import WandbRun, find_wandb_files, merge_attempts, read_wandb_file
from archscale.spec import RunSpec, from_mapping

_FOREIGN = {
    "run_id": Column(meaning="Run"),
    "name": Column(meaning="Name in wandb"),
    "state": Column(meaning="State"),
    "url": Column(meaning="Page"),
}


def read_runs_below(folder: Path) -> PointTable:
    """The run directories in a folder, or in its absence of any, the offline wandb files below it.

    Raises:
        UserError: when the folder holds neither.
    """
    if present := sorted(path.parent for path in folder.glob("*/spec.json")):
        table = RunTable.from_directories(RunDirectory(path) for path in present)
        return _own_points(table, source=str(folder), name=folder.resolve().name)
    files = find_wandb_files(folder)
    if not files:
        raise UserError(
            f"{folder}: neither run directories (*/spec.json) nor offline wandb runs (offline-run-*/run-*.wandb) in it;"
            " name a folder of runs or a table's file"
        )
    runs = list(merge_attempts([read_wandb_file(file) for file in files]).values())
    states = ["crashed or running" if run.exit_code is None else f"exit {run.exit_code}" for run in runs]
    states = [state.replace("exit 0", "finished") for state in states]
    return _wandb_points(runs, states, [""] * len(runs), source=str(folder), name=folder.resolve().name)


def read_wandb_points(path: str, filters: Mapping[str, Any] | None = None) -> PointTable:
    """The runs of a wandb project ENTITY/PROJECT that fulfil `filters`, which are in the language of wandb's API.

    Raises:
        UserError: without login, network, project or runs, and for runs of this program that are damaged.
    """
    found = read_wandb_project(path, filters)
    return _wandb_points(
        [run.as_file() for run in found],
        [run.state for run in found],
        [run.url for run in found],
        source=f"wandb:{path}",
        name=path.rpartition("/")[2],
    )


def _wandb_points(
    runs: Sequence[WandbRun], states: Sequence[str], urls: Sequence[str], *, source: str, name: str
) -> PointTable:
    if runs and all(_is_own(run) for run in runs):
        table = RunTable.from_wandb(runs)
        pages = [url or path for url, path in zip(urls, table.runs["path"], strict=True)]
        return _own_points(RunTable(runs=table.runs.assign(path=pages), curves=table.curves), source=source, name=name)
    rows = [
        {"run_id": run.run_id, "name": run.name, "state": state, "url": url}
        | flat({"config": run.config, "summary": run.summary})
        for run, state, url in zip(runs, states, urls, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=None if rows else list(_FOREIGN))
    return PointTable(
        frame=frame,
        columns={str(c): _FOREIGN.get(str(c), Column(meaning=str(c))) for c in frame.columns},
        source=source,
        name=name,
        left_out={i: str(row["state"]) for i, row in enumerate(rows) if row["state"] != "finished"},
    )


def _own_points(table: RunTable, *, source: str, name: str) -> PointTable:
    frame = table.runs.reset_index(drop=True)
    reasons = table.left_out()
    return PointTable(
        frame=frame,
        columns=COLUMNS,
        source=source,
        name=name,
        left_out={i: reasons[run] for i, run in enumerate(frame["run_id"]) if run in reasons},
    )


def _is_own(run: WandbRun) -> bool:
    try:
        from_mapping(RunSpec, run.config, where="")
    except (UserError, TypeError):
        return False
    return True
