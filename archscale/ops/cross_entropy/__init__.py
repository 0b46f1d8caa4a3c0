"""Mean cross-entropy per token; the definition is in reference.py."""

import torch
from torch import Tensor
from torch.nn import functional

from archscale.ops.backend import Backend
from archscale.ops.cross_entropy.chunked import ChunkedCrossEntropy
from archscale.ops.cross_entropy.reference import cross_entropy_reference

__all__ = ["cross_entropy"]

# Measured on 2 cores: below 2^23 logits one pass is as fast. Chunks of 2^16 to 2^21 logits take about the same time.
CHUNKED_FROM = 2**23
CHUNK_LOGITS = 2**19


def cross_entropy(
    logits_BTV: Tensor, targets_BT: Tensor, *, label_smoothing: float = 0.0, backend: Backend = "auto"
) -> Tensor:
    """A scalar in nats per token, float32, or float64 for float64 logits."""
    if logits_BTV.dtype != torch.float64:
        logits_BTV = logits_BTV.float()
    with torch.autocast(logits_BTV.device.type, enabled=False):
        if backend == "reference":
            return cross_entropy_reference(logits_BTV, targets_BT, label_smoothing=label_smoothing)
        logits_NV, targets_N = logits_BTV.flatten(0, -2), targets_BT.flatten()
        if logits_NV.device.type == "cpu" and logits_NV.numel() >= CHUNKED_FROM:
            chunk = max(1, CHUNK_LOGITS // logits_NV.shape[1])
            loss: Tensor = ChunkedCrossEntropy.apply(logits_NV, targets_N, label_smoothing, chunk)
            return loss
        return functional.cross_entropy(logits_NV, targets_N, label_smoothing=label_smoothing)
