"""What is known of a run, read from its files and from whether its holder lives.

result.json               → finished | diverged
a living claim            → running
no living claim           → the last verdict in status.json; without one for the newest attempt: interrupted
                            (its process was killed), and pending when there was no attempt
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archscale.launch.claim import Lock, holder
from archscale.registry import UserError
from archscale.runlog.directory import Failure, Result, RunDirectory, State
from archscale.runlog.files import read_json
from archscale.study import Cell


@dataclass(frozen=True, kw_only=True)
class RunState:
    """`step` of `steps`, losses in nats per token, `tokens_per_second` of training alone."""

    run_id: str
    state: State
    step: int
    steps: int
    train_loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None
    failure: Failure | None = None
    message: str = ""
    attempts: int = 0
    holder: Lock | None = None


def observe(directory: RunDirectory, steps: int) -> RunState:
    """The state of one run, now."""
    attempts = directory.attempts()
    result = directory.result()
    if result is not None:
        return _ended(directory, result, len(attempts))
    lock = holder(directory)
    status = directory.status()
    # The holder writes its result before it lets go: look again, or a run that ended between the two looks is lost.
    if lock is None and (result := directory.result()) is not None:
        return _ended(directory, result, len(attempts))
    beat = _heartbeat(directory, attempts)
    current = status is not None and bool(attempts) and status.attempt == attempts[-1]
    state: State
    if lock is not None:
        state = "running"
    elif not attempts:
        state = "pending"
    else:
        # A verdict of "finished" without its result is a run whose files somebody has thinned out: do it again.
        known = status is not None and current and status.state not in ("finished", "diverged")
        state = status.state if status is not None and known else "interrupted"
    over = status is not None and current and lock is None
    return RunState(
        run_id=directory.run_id,
        state=state,
        step=int(beat.get("step") or (status.step if status else 0)),
        steps=steps,
        train_loss=beat.get("train_loss"),
        tokens_per_second=beat.get("tokens_per_second"),
        failure=status.failure if status is not None and over else None,
        message=status.message if status is not None and over else "",
        attempts=len(attempts),
        holder=lock,
    )


def _heartbeat(directory: RunDirectory, attempts: list[int]) -> dict[str, Any]:
    """Progress of the newest attempt. Heartbeats are not synced, so a crash of the machine may leave one empty."""
    try:
        return (read_json(directory.attempt_path(attempts[-1]) / "heartbeat.json") if attempts else None) or {}
    except UserError:
        return {}


def observe_cells(cells: Sequence[Cell], root: Path) -> list[RunState]:
    return [observe(RunDirectory(root / cell.run_id), cell.spec.optim.steps) for cell in cells]


def counts(states: list[RunState]) -> str:
    """In words: "6 finished, 2 running"."""
    found = Counter(state.state for state in states)
    order: tuple[State, ...] = ("finished", "diverged", "running", "interrupted", "failed", "pending")
    return ", ".join(f"{found[state]} {state}" for state in order if found[state])


def states_json(name: str, states: list[RunState]) -> dict[str, object]:
    return {"study": name, "runs": [asdict(state) for state in states]}


def _ended(directory: RunDirectory, result: Result, attempts: int) -> RunState:
    return RunState(
        run_id=directory.run_id,
        state=result.verdict,
        step=result.steps,
        steps=result.steps,
        train_loss=result.train_loss,
        validation_loss=result.validation_loss,
        tokens_per_second=result.tokens_per_second,
        attempts=attempts,
    )
