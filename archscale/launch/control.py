"""Acting on runs that exist: stop the running ones, reopen the failed ones."""

import os
import signal
import socket
from pathlib import Path

from archscale.launch.state import observe_cells
from archscale.runlog.directory import RunDirectory
from archscale.study import Cell


def cancel_runs(cells: list[Cell], root: Path) -> list[str]:
    """Send SIGTERM to the holder of every running run on this machine; a line for each says what happened."""
    lines = []
    for state in observe_cells(cells, root):
        if state.holder is None:
            continue
        if state.holder.host != socket.gethostname():
            lines.append(f"{state.run_id}: runs on {state.holder.host}; cancel it there")
            continue
        os.kill(state.holder.pid, signal.SIGTERM)
        lines.append(f"{state.run_id}: asked process {state.holder.pid} to save a checkpoint and stop")
    return lines or ["nothing is running"]


def reopen_failed(cells: list[Cell], root: Path) -> list[str]:
    """Run ids of the failed runs, which the next sweep will start again."""
    failed = [state.run_id for state in observe_cells(cells, root) if state.state == "failed"]
    for identity in failed:
        RunDirectory(root / identity).reopen()
    return failed
