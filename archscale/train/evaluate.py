"""Validation loss on the fixed held-out set, in nats per token."""

import torch

from archscale.train.setup import Workbench


@torch.no_grad()
def validation_loss(bench: Workbench) -> float:
    """Mean over all tokens, accumulated in float64 so that a short last batch weighs what it should."""
    total, tokens = 0.0, 0
    for inputs, targets in bench.held_out:
        total += bench.loss(inputs, targets).double().item() * targets.size
        tokens += targets.size
    return total / tokens


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """Steps done after which to evaluate: evenly spread, the last step always among them."""
    return frozenset(max(1, round(steps * k / evaluations)) for k in range(1, evaluations + 1))
