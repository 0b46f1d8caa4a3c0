"""The claim on a run: `attempts/<N>` with its lock file, taken by exactly one process, however many try.

An attempt folder is prepared under a temporary name, with lock.json inside, and renamed to the next number. POSIX
rename onto a folder that is not empty fails, so of several contenders one wins; no file-locking daemon is needed, and
it works on network file systems. A new number may be taken only when the newest attempt is over: released, or stale.

A lock names owner, host, process and the process's start time, and its holder touches `heartbeat.json` every second.
Stale means: where the holder's process could be seen (same host, boot and process namespace), that it is gone or its
number belongs to another by now; elsewhere, no heartbeat for STALE_SECONDS, measured on the file server's clock. A
holder that was taken for dead, because it was suspended for long, finds a newer attempt and ends itself.
"""

import json
import os
import shutil
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from archscale.runlog.directory import RunDirectory
from archscale.runlog.files import read_json, sync_folder, write_json
from archscale.spec import from_mapping

STALE_SECONDS = 120.0
HELD_BY_ANOTHER = 75  # exit status of a job that found its run taken: EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Who holds an attempt. `started_ticks` is the process's start in clock ticks since boot (/proc/<pid>/stat).

    `allocation` is the SLURM job that the process runs in, if any: its share of the host is its own.
    """

    owner: str
    host: str
    pid: int
    started_ticks: int
    boot_id: str
    process_namespace: str = ""
    allocation: str = ""

    def shares_our_resources(self) -> bool:
        """Whether the holder runs on the processors that this process may use."""
        return (self.host, self.allocation) == (socket.gethostname(), _allocation())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to write into a run, held until `release`."""

    directory: RunDirectory
    attempt: int
    lock: Lock

    @property
    def path(self) -> Path:
        return self.directory.attempt_path(self.attempt)

    def beat(self, progress: dict[str, object]) -> None:
        """Show that the holder lives, and how far it is. Not fsynced: a heartbeat is worthless after a crash."""
        temporary = self.path / ".heartbeat"
        temporary.write_text(json.dumps(progress))
        temporary.replace(self.path / "heartbeat.json")

    def is_lost(self) -> bool:
        """Whether another process has taken the run since: it must have found this one without a heartbeat."""
        return max(self.directory.attempts(), default=0) != self.attempt

    def release(self) -> None:
        (self.path / "lock.json").replace(self.path / "released.json")


def claim(directory: RunDirectory) -> Claim | None:
    """Take the next attempt of a run; None when a living process holds it."""
    # One look at the attempts decides both whether the run is free and which number is next: with a second look, a
    # claim taken in between would be passed over.
    attempts = directory.attempts()
    if attempts and _holder_of(directory.attempt_path(attempts[-1])) is not None:
        return None
    attempt = max(attempts, default=0) + 1
    lock = Lock(
        owner=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_ticks=_started_ticks(os.getpid()) or 0,
        boot_id=_boot_id(),
        process_namespace=_process_namespace(),
        allocation=_allocation(),
    )
    folder = directory.path / "attempts"
    folder.mkdir(exist_ok=True)
    temporary = folder / f".{lock.owner}"
    temporary.mkdir()
    write_json(temporary / "lock.json", asdict(lock))
    try:
        temporary.rename(directory.attempt_path(attempt))
    except OSError:
        shutil.rmtree(temporary)
        return None
    sync_folder(folder)
    return Claim(directory=directory, attempt=attempt, lock=lock)


def holder(directory: RunDirectory) -> Lock | None:
    """The living process that holds the run, or None."""
    attempts = directory.attempts()
    return _holder_of(directory.attempt_path(attempts[-1])) if attempts else None


def _holder_of(path: Path) -> Lock | None:
    values = read_json(path / "lock.json")
    if values is None:
        return None
    lock = from_mapping(Lock, values, where=str(path / "lock.json"))
    return lock if _alive(lock, path) else None


def _alive(lock: Lock, path: Path) -> bool:
    if lock.host == socket.gethostname() and lock.boot_id != _boot_id():
        return False
    if (lock.host, lock.process_namespace) == (socket.gethostname(), _process_namespace()):
        return _started_ticks(lock.pid) == lock.started_ticks
    beats = [file.stat().st_mtime for file in (path / "heartbeat.json", path / "lock.json") if file.exists()]
    return bool(beats) and _server_now(path) - max(beats) < STALE_SECONDS


def _started_ticks(pid: int) -> int | None:
    """None when there is no such process, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else int(started)


def _allocation() -> str:
    return os.environ.get("SLURM_JOB_ID", "")


def _process_namespace() -> str:
    """Containers may share a host's name, and not see each other's processes."""
    return str(Path("/proc/self/ns/pid").readlink())


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _server_now(folder: Path) -> float:
    """The time on the clock that stamps files in `folder`, which may be another machine's."""
    probe = folder / f".now.{uuid.uuid4().hex}"
    try:
        probe.touch()
    except OSError:  # somebody else's runs, or a read-only copy: this machine's clock has to do
        return time.time()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
