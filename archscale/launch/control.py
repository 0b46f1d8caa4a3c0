"""Acting on runs that exist: stop the running ones, reopen the failed ones."""

import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from archscale.launch.state import observe_cells
from archscale.registry import UserError
from archscale.runlog.directory import RunDirectory, find_run
from archscale.study import Cell, expand, is_study, load_study, study_names


def cells_of(target: str, overrides: Sequence[str], root: Path) -> Sequence[Cell]:
    """The cells of a study, or the one run that `target` names.

    Raises:
        UserError: when it is neither.
    """
    if is_study(target):
        return expand(load_study(target), overrides)
    try:
        directory = find_run(root, target)
    except UserError as error:
        raise UserError(f"{target!r} is no study ({', '.join(study_names())}) and no run: {error}") from None
    return [Cell(run_id=directory.run_id, overrides=(), spec=directory.spec())]


def cancel_runs(cells: Sequence[Cell], root: Path) -> list[str]:
    """Stop the runs that run on this machine, and keep sweeps under way from starting them again.

    Returns a line for each running run that says what happened.
    """
    lines = []
    for state in observe_cells(cells, root):
        directory = RunDirectory(root / state.run_id)
        if directory.exists() and state.state not in ("finished", "diverged"):
            directory.cancel()
        if state.holder is None:
            continue
        if state.holder.host != socket.gethostname():
            lines.append(f"{state.run_id}: runs on {state.holder.host}; cancel it there")
            continue
        try:
            os.kill(state.holder.pid, signal.SIGTERM)
            lines.append(f"{state.run_id}: asked process {state.holder.pid} to save a checkpoint and stop")
        except ProcessLookupError:
            lines.append(f"{state.run_id}: ended by itself just now")
        except PermissionError:
            lines.append(f"{state.run_id}: process {state.holder.pid} belongs to another user; ask them to cancel it")
    return lines or ["nothing is running"]


def reopen_failed(cells: Sequence[Cell], root: Path) -> list[str]:
    """Run ids of the failed runs, which the next sweep will start again."""
    failed = [state.run_id for state in observe_cells(cells, root) if state.state == "failed"]
    for identity in failed:
        RunDirectory(root / identity).reopen()
    return failed
