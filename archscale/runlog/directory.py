"""The run directory: the contract between a job that writes it and everything that reads it.

    <root>/<run id>/
        spec.json              the frozen RunSpec, written before the run is launched
        status.json            the last verdict of an attempt: state, failure class, message
        metrics.jsonl          the local mirror of the log, a row per logged step
        result.json            written once, when the run has finished or diverged
        checkpoint.pt          the last checkpoint
        branches/              states that other runs of the same trunk start from: see archscale/trunks.py
        trunk.json             how all steps of the checkpoint were computed: see archscale/train/trunk.py
        cancelled              while it is there, sweeps under way do not start the run again
        launch.log             what a process said before it had an attempt to log to
        attempts/<N>/          lock.json (who holds the run), heartbeat.json (progress, a row a second),
                               verdict.json, provenance.json, diff.patch, packages.txt, log.txt, wandb/,
                               wandb.json (the address of its page at W&B, where it is logged online)

`attempts/<N>` is the claim on the run: see launch/claim.py.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from archscale.registry import UserError, unknown
from archscale.runlog.files import read_json, write_json
from archscale.runlog.metrics import read_metrics
from archscale.spec import RunSpec, from_json, from_mapping, to_json

State = Literal["pending", "running", "interrupted", "finished", "diverged", "failed"]
Failure = Literal["bug", "out_of_memory", "infrastructure"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """The verdict of an attempt. `interrupted` covers preemption and Ctrl-C: a checkpoint is there to go on from."""

    state: State
    failure: Failure | None = None
    message: str = ""
    attempt: int = 0
    step: int = 0
    updated: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run measured. Losses in nats per token; FLOPs under the named accounting; seconds of all attempts."""

    verdict: Literal["finished", "diverged"]
    validation_loss: float | None
    train_loss: float | None
    steps: int
    tokens: int
    parameters: int
    non_embedding_parameters: int
    train_flops: float
    flops_accounting: str
    unigram_entropy: float
    train_seconds: float
    tokens_per_second: float


class RunDirectory:
    """Read and write access to one run's files; every read is of a whole file or of none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def attempt_path(self, number: int) -> Path:
        return self.path / "attempts" / str(number)

    def attempts(self) -> list[int]:
        """Numbers of the attempts so far, ascending."""
        folder = self.path / "attempts"
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())

    def log_path(self) -> Path | None:
        """The log of the newest attempt that has one, else that of the launch."""
        logs = [self.attempt_path(number) / "log.txt" for number in reversed(self.attempts())]
        return next((path for path in [*logs, self.path / "launch.log"] if path.exists()), None)

    def wandb_folders(self) -> list[Path]:
        """What wandb wrote, a folder an attempt and mode, oldest attempt first."""
        return [
            folder
            for number in self.attempts()
            for folder in sorted((self.attempt_path(number) / "wandb").glob("*run-*"))
            if folder.is_dir()
        ]

    def wandb_page(self) -> str | None:
        """The address of the run's page at W&B, of the newest attempt that was logged online."""
        for number in reversed(self.attempts()):
            values = read_json(self.attempt_path(number) / "wandb.json")
            if values is not None:
                return str(values.get("page", ""))
        return None

    def create(self, spec: RunSpec) -> None:
        """Freeze `spec` here; a spec already frozen stays as it is, whatever the YAML says now."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "spec.json").exists():
            write_json(self.path / "spec.json", to_json(spec))

    def refreeze(self, spec: RunSpec) -> None:
        """Freeze `spec`, of the same identity, in the place of the one that is there; forget an earlier cancel."""
        if self.spec() != spec:
            write_json(self.path / "spec.json", to_json(spec))
        (self.path / "cancelled").unlink(missing_ok=True)

    def cancel(self) -> None:
        """Ask sweeps that are under way not to start this run again; the next sweep may."""
        (self.path / "cancelled").touch()

    def cancelled(self) -> bool:
        return (self.path / "cancelled").exists()

    def exists(self) -> bool:
        return (self.path / "spec.json").exists()

    def spec(self) -> RunSpec:
        path = self.path / "spec.json"
        if not path.exists():
            raise UserError(f"{self.path} is no run directory: it has no spec.json. See `archscale status`.")
        return from_json(RunSpec, path.read_text(), where=str(path))

    def status(self) -> Status | None:
        values = read_json(self.path / "status.json")
        return None if values is None else from_mapping(Status, values, where=str(self.path / "status.json"))

    def write_status(self, status: Status) -> None:
        """Record the verdict of an attempt: beside the attempt, where it stays, and as the run's latest."""
        values = asdict(status) | {"updated": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(self.attempt_path(status.attempt) / "verdict.json", values)
        write_json(self.path / "status.json", values)

    def reopen(self) -> None:
        """Let a failed run be started again; the verdicts of its attempts stay where they are."""
        status = self.status()
        if status is not None:
            values = asdict(status) | {"state": "interrupted", "failure": None, "message": "retry asked for"}
            write_json(self.path / "status.json", values)

    def verdicts(self) -> list[Status]:
        """Of every attempt that left one; a killed attempt leaves none."""
        found = (read_json(self.attempt_path(number) / "verdict.json") for number in self.attempts())
        return [from_mapping(Status, values, where=f"verdict of {self.path}") for values in found if values is not None]

    def result(self) -> Result | None:
        values = read_json(self.path / "result.json")
        return None if values is None else from_mapping(Result, values, where=str(self.path / "result.json"))

    def write_result(self, result: Result) -> None:
        write_json(self.path / "result.json", asdict(result))

    def metrics(self) -> list[dict[str, Any]]:
        return read_metrics(self.metrics_path)

    def provenance(self) -> dict[str, Any]:
        """Of the newest attempt that recorded it: git commit, versions, host, command."""
        for number in reversed(self.attempts()):
            values = read_json(self.attempt_path(number) / "provenance.json")
            if values is not None:
                return values
        return {}


def run_directories(root: Path) -> list[RunDirectory]:
    """Every run under `root`, by name."""
    if not root.is_dir():
        return []
    return [RunDirectory(entry) for entry in sorted(root.iterdir()) if (entry / "spec.json").exists()]


def find_run(root: Path, part: str) -> RunDirectory:
    """The one run whose id begins or ends with `part`; the end is its hash.

    Raises:
        UserError: when none or several do.
    """
    runs = {run.run_id: run for run in run_directories(root)}
    if part in runs:
        return runs[part]
    found = [name for name in runs if part and (name.startswith(part) or name.endswith(part))]
    if len(found) == 1:
        return runs[found[0]]
    if found:
        raise UserError(f"run {part!r} is not unique: it could be {', '.join(found)}")
    raise unknown("run", part, runs, hint=f"Runs are looked for in {root}/; see --root.")
