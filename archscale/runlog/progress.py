"""Progress: where a run is. The training loop writes it, a heartbeat thread copies it to heartbeat.json."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Progress:
    """Steps done of `steps`; the last batch's loss in nats per token; training tokens per second."""

    step: int = 0
    steps: int = 0
    train_loss: float | None = None
    tokens_per_second: float | None = None
