"""What wsd runs of one trunk hand each other: states that are kept at branch points, and starts from them.

    trunk    after step s ──keep──▶ <trunk run>/branches/<trunk hash>-<s>.pt
    branch   no checkpoint yet ──find_start──▶ the latest state up to its own decay becomes its checkpoint.pt

From there on a branch is a run that was interrupted at s: nothing else in training knows of trunks. A state is taken
only if what computed it would give this run the same bits: device, torch, operator, micro-batch (`signature`).
"""

import io
import pickle
import sys
from dataclasses import dataclass
from typing import Any

import torch

from archscale.ops.selective_scan import selective_scan_form
from archscale.runlog.directory import RunDirectory
from archscale.runlog.files import read_json, write_json
from archscale.train.checkpoint import Position, save_checkpoint
from archscale.train.setup import Workbench
from archscale.trunks import branch_file, branch_files, shares_trunk, trunk_hash


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a branch begins with: the content of its first checkpoint, the rows logged up to there, their `origin`."""

    run: str
    step: int
    checkpoint: bytes
    metrics: list[dict[str, Any]]
    origin: dict[str, Any]


class TrunkStates:
    """The states that a run keeps for others: at execution.branch_steps and at the start of its own decay.

    It must be made before a run gets its first checkpoint: `<run>/trunk.json` says how the steps of the checkpoint were
    computed. A run that goes on in another way has steps of both, the bits of no run alone: it keeps no states more.
    """

    def __init__(self, bench: Workbench, directory: RunDirectory) -> None:
        spec, run = bench.spec, directory.path
        self.bench, self.run = bench, run
        wanted = (*spec.execution.branch_steps, spec.optim.decay_start) if shares_trunk(spec) else ()
        self.steps = frozenset(step for step in wanted if 0 < step <= spec.optim.decay_start)
        record = run / "trunk.json"
        if not self.steps:
            return
        if not directory.checkpoint_path.exists():
            write_json(record, signature(bench))
        elif read_json(record) != signature(bench):
            reason = "its earlier steps may have been computed in another way"
            print(f"keeps no states for other runs: {reason}", file=sys.stderr)  # noqa: T201
            record.unlink(missing_ok=True)
            self.steps = frozenset()

    def keep(self, position: Position) -> None:
        """Write the state after `position.step` steps, where that is a step to keep."""
        if position.step not in self.steps:
            return
        path = branch_file(self.run, trunk_hash(self.bench.spec), position.step)
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, self.bench.model, self.bench.optimizer, position, trunk=signature(self.bench))


def signature(bench: Workbench) -> dict[str, str | int]:
    """What of the spec, the machine and earlier attempts decides the bits of a state."""
    device, compiled = bench.device.type, False
    if device == "cpu" and bench.spec.execution.backend == "auto":
        compiled = selective_scan_form() == "compiled"
    return {
        "hash": trunk_hash(bench.spec),
        "device": torch.cuda.get_device_name(bench.device) if device == "cuda" else device,
        "compiled_scan": compiled,
        "torch": str(torch.__version__),
        "micro_batch_sequences": bench.micro_sequences,
    }


def find_start(bench: Workbench, directory: RunDirectory) -> Start | None:
    """The latest state that a run without a checkpoint shares with another run; None where there is none."""
    spec = bench.spec
    if directory.checkpoint_path.exists() or not shares_trunk(spec):
        return None
    for step, path in branch_files(directory.path.parent, trunk_hash(spec), at_most=spec.optim.decay_start):
        try:
            checkpoint = path.read_bytes()
            position = _position(checkpoint, bench, step)
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"{path} is not used: {reason}", file=sys.stderr, flush=True)  # noqa: T201
            continue
        parent = RunDirectory(path.parent.parent)
        return Start(
            run=parent.run_id,
            step=step,
            checkpoint=checkpoint,
            metrics=[row for row in parent.metrics() if row["train_step"] <= step],
            origin={
                "run": parent.run_id,
                "step": step,
                "train_seconds": position["train_seconds"],
                "git_commit": parent.provenance().get("git_commit"),
            },
        )
    return None


def _position(checkpoint: bytes, bench: Workbench, step: int) -> dict[str, Any]:
    """The position of a state.

    Raises:
        ValueError: when it is not the state after `step` steps of this model, or was computed in another way.
    """
    state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    position: dict[str, Any] = state["position"]
    made = state["trunk"] | {"step": position["step"]}
    for name, value in (signature(bench) | {"step": step}).items():
        if made.get(name) != value:
            raise ValueError(f"its {name} is {made.get(name)}, and this run needs {value}")
    if _shapes(state["model"]) != _shapes(bench.model.state_dict()):
        raise ValueError("its tensors are not those of this model: another version of the code wrote it")
    return position


def _shapes(model: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.items()}
