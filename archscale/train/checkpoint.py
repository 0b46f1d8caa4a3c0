"""Checkpoints: model, optimizer and position in one file that is either the old one or the new one.

The data order and the init are functions of the seed, so there is no other state: a resumed run continues bit for bit.
"""

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from archscale.registry import UserError
from archscale.runlog.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Position:
    """Steps done, seconds of training spent on them (all attempts), and the last training loss in nats per token."""

    step: int = 0
    train_seconds: float = 0.0
    train_loss: float = float("nan")

    def after(self, loss: float, *, seconds: float) -> "Position":
        """One step further."""
        return Position(step=self.step + 1, train_seconds=self.train_seconds + seconds, train_loss=loss)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    *,
    trunk: Mapping[str, str | int] | None = None,
) -> None:
    """`trunk`: how the state was computed, where other runs are to go on from it (train/trunk.py)."""
    buffer = io.BytesIO()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": asdict(position)}
    torch.save(state | ({} if trunk is None else {"trunk": dict(trunk)}), buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    """Load in place; the start position when there is no checkpoint yet.

    Raises:
        UserError: when the file is damaged, or holds another model.
    """
    if not path.exists():
        return Position()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Position(**state["position"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} is no checkpoint of this run ({reason}): delete it to start the run over") from None
