"""What starts runs: an executor turns a run directory into a job; the run's state is in its files, not in the job."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from archscale.compose import ClusterConfig
from archscale.registry import Registry


class Job(Protocol):
    """A started run. Its exit status says less than its files: read those."""

    def exit_status(self) -> int | None:
        """None while it runs."""
        ...

    def stop(self) -> None:
        """Ask for a checkpoint and an end; returns at once."""
        ...


class Executor(Protocol):
    def slots(self, threads: int) -> int:
        """How many runs of so many threads may run at once."""
        ...

    def submit(self, run: Path, *, threads: int) -> Job: ...


EXECUTORS: Registry[Callable[[ClusterConfig], Executor]] = Registry("cluster")
