"""The process of one run: `python -m archscale.launch.job RUN_DIRECTORY`.

It reads spec.json and nothing else, claims the run, trains, and leaves a verdict in status.json. SIGTERM, SIGINT,
SIGHUP and SIGUSR2 (SLURM's preemption warning) make it save a checkpoint after the current step and stop.
"""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from archscale.launch.claim import HELD_BY_ANOTHER, Claim, claim
from archscale.registry import UserError
from archscale.runlog.directory import Failure, Result, RunDirectory, Status
from archscale.runlog.files import write_atomically, write_json
from archscale.runlog.metrics import MetricsFile
from archscale.runlog.progress import Progress
from archscale.runlog.provenance import write_provenance
from archscale.runlog.wandb_writer import WandbWriter
from archscale.spec import to_json

INTERRUPTED = 130
HEARTBEAT_SECONDS = 1.0
_INFRASTRUCTURE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENETUNREACH}
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def main(path: Path) -> int:
    """Exit status: 0 finished or diverged, 1 failed, 75 held by another process, 130 interrupted."""
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    taken = claim(RunDirectory(path))
    if taken is None:
        return HELD_BY_ANOTHER
    try:
        # Looked at under the claim: whoever held it before may have finished in the meantime.
        if taken.directory.result() is not None:
            return 0
        _send_output_to(taken.path / "log.txt")
        status = attempt(taken, stop.is_set)
        taken.directory.write_status(status)
    finally:
        taken.release()
    return {"interrupted": INTERRUPTED, "failed": 1}.get(status.state, 0)


def attempt(taken: Claim, should_stop: Callable[[], bool]) -> Status:
    """Train under the claim. Every exception becomes a verdict, with its traceback in the log."""
    progress = Progress()
    try:
        with _heartbeat(taken, progress):
            result = _train(taken, should_stop, progress)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return _failed(taken, progress, "bug", str(error))
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return _failed(taken, progress, failure_class(error), f"{type(error).__name__}: {error}".splitlines()[0])
    if result is None:
        return Status(state="interrupted", message="stopped on request", attempt=taken.attempt, step=progress.step)
    return Status(state=result.verdict, attempt=taken.attempt, step=progress.step)


def failure_class(error: BaseException) -> Failure:
    """CUDA's and the allocator's out-of-memory errors by type or, where torch raises a bare RuntimeError, by text."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return "out_of_memory"
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return "out_of_memory"
    return "infrastructure" if isinstance(error, OSError) and error.errno in _INFRASTRUCTURE else "bug"


def _failed(taken: Claim, progress: Progress, failure: Failure, message: str) -> Status:
    return Status(state="failed", failure=failure, message=message, attempt=taken.attempt, step=progress.step)


def _train(taken: Claim, should_stop: Callable[[], bool], progress: Progress) -> Result | None:
    # torch takes seconds to load, so a run that is held or finished must not get here.
    from archscale.ops.selective_scan import selective_scan_form
    from archscale.train.loop import train
    from archscale.train.setup import set_up
    from archscale.train.trunk import TrunkStates, find_start

    directory = taken.directory
    _remove_torn_checkpoints(directory)
    resumed = directory.checkpoint_path.exists()
    write_provenance(taken.path, trunk=directory.provenance().get("trunk") if resumed else None)
    spec = directory.spec()
    bench = set_up(spec, directory.path.parent, halvings=out_of_memory_attempts(directory))
    if spec.execution.backend == "auto" and bench.device.type == "cpu":
        # Rounding depends on it, and it depends on the machine.
        print(f"selective scan: {selective_scan_form()}", flush=True)  # noqa: T201
    config = to_json(spec)
    with (
        closing(MetricsFile(directory.metrics_path)) as metrics,
        WandbWriter(
            replace(spec.wandb, group=spec.wandb.group or spec.arch.name),
            run_id=directory.run_id,
            name=directory.run_id,
            config=config,
            directory=taken.path,
        ) as wandb,
    ):
        if wandb.url:
            write_json(taken.path / "wandb.json", {"page": wandb.url})

        def log(row: Mapping[str, float | int]) -> None:
            metrics.append(row)
            wandb.log(row)

        states = TrunkStates(bench, directory)
        start = find_start(bench, directory)
        if start is not None:
            print(f"the first {start.step} steps are those of {start.run}", flush=True)  # noqa: T201
            for row in start.metrics:
                log(row)
            write_provenance(taken.path, trunk=start.origin)
            # Last, because a run with a checkpoint looks for no other start.
            write_atomically(directory.checkpoint_path, start.checkpoint)
        result = train(
            bench,
            directory.checkpoint_path,
            log=log,
            should_stop=should_stop,
            progress=progress,
            keep=states.keep,
        )
        if result is not None:
            directory.write_result(result)
            wandb.summarize(asdict(result))
            wandb.finish(0)
        else:
            wandb.finish(INTERRUPTED)
    return result


def out_of_memory_attempts(directory: RunDirectory) -> int:
    """How many attempts so far ran out of memory: each halves the micro-batch, the global batch stays."""
    return sum(verdict.failure == "out_of_memory" for verdict in directory.verdicts())


def _remove_torn_checkpoints(directory: RunDirectory) -> None:
    """Left by a process that was killed while it wrote one."""
    for pattern in (f".{directory.checkpoint_path.name}.*", "branches/.*"):
        for leftover in directory.path.glob(pattern):
            leftover.unlink()


@contextmanager
def _heartbeat(taken: Claim, progress: Progress) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            try:
                if taken.is_lost():
                    print("another process holds this run by now: ending without a trace", file=sys.stderr)  # noqa: T201
                    os._exit(HELD_BY_ANOTHER)
                taken.beat(asdict(progress))
            except OSError as error:  # a full disk or a file server away for a while: the next beat may succeed
                print(f"no heartbeat: {error}", file=sys.stderr)  # noqa: T201

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        taken.beat(asdict(progress))


def _send_output_to(path: Path) -> None:
    """This process's output, and that of libraries below Python, into the attempt's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
