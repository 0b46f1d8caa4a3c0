"""This machine: every run a subprocess with its own threads, so that a crash of one cannot touch the others."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from archscale.compose import ClusterConfig
from archscale.launch.executor import EXECUTORS
from archscale.runlog.provenance import COMMAND


@dataclass(frozen=True, kw_only=True)
class LocalJob:
    process: "subprocess.Popen[bytes]"

    def exit_status(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()


@EXECUTORS.register("local")
@dataclass(frozen=True)
class LocalExecutor:
    cluster: ClusterConfig

    def slots(self, threads: int) -> int:
        return self.cluster.max_parallel_runs or max(1, len(os.sched_getaffinity(0)) // threads)

    def submit(self, run: Path, *, threads: int) -> LocalJob:
        """Start the run in a session of its own: Ctrl-C reaches the orchestrator alone, which then asks it to stop."""
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment[COMMAND] = shlex.join(["archscale", *sys.argv[1:]])
        # What a process says before it has an attempt to log to, an import that fails say, goes to launch.log.
        with (run / "launch.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "archscale.launch.job", str(run)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return LocalJob(process=process)
