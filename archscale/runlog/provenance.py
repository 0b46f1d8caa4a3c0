"""Where a result came from: code version, packages, machine, command. Provenance never enters a run's identity."""

import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import archscale
from archscale.runlog.files import write_atomically, write_json

COMMAND = "ARCHSCALE_COMMAND"
"""Environment variable in which an executor tells a job the command that its user gave."""


def write_provenance(folder: Path, *, trunk: Mapping[str, Any] | None = None) -> None:
    """Write provenance.json, packages.txt and, in a changed git checkout, diff.patch.

    `trunk` says which run computed the first steps, where it was another one.
    """
    code = git_state(Path(archscale.__file__).parent)
    diff = code.pop("diff")
    values = code | {
        "archscale": archscale.__version__,
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processors": platform.processor() or platform.machine(),
        "command": os.environ.get(COMMAND) or shlex.join(sys.orig_argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if trunk is not None:
        values["trunk"] = dict(trunk)
    write_json(folder / "provenance.json", values)
    packages = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions())
    write_atomically(folder / "packages.txt", "\n".join(packages) + "\n")
    if diff:
        write_atomically(folder / "diff.patch", diff)


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, whether the checkout differs from it, and the difference; commit None outside a git checkout.

    An installed wheel may lie inside somebody's repository (a virtual environment does): only files that the
    repository tracks count as a checkout of this code.
    """
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    if not commit:
        return {"git_commit": None, "git_dirty": False, "diff": ""}
    diff = _git(folder, "diff", "HEAD") or ""
    return {"git_commit": commit.strip(), "git_dirty": bool(diff), "diff": diff}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
