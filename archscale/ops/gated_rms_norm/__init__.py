"""Gated RMSNorm, with the norm after the gate or before it; the definition is in reference.py."""

import torch
from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.gated_rms_norm.recomputed import NormAfterGate, NormBeforeGate
from archscale.ops.gated_rms_norm.reference import gated_rms_norm_reference

__all__ = ["gated_rms_norm"]


def gated_rms_norm(
    x_BTD: Tensor,
    gate_BTD: Tensor,
    gain_D: Tensor,
    *,
    eps: float,
    norm_first: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """y_BTD in float32 or, for a float64 x, in float64; `norm_first` puts the norm before the gate."""
    dtype = torch.float64 if x_BTD.dtype == torch.float64 else torch.float32
    with torch.autocast(x_BTD.device.type, enabled=False):
        inputs = (x.to(dtype) for x in (x_BTD, gate_BTD, gain_D))
        if backend == "reference":
            return gated_rms_norm_reference(*inputs, eps=eps, norm_first=norm_first)
        y_BTD: Tensor = (NormBeforeGate if norm_first else NormAfterGate).apply(*inputs, eps)
        return y_BTD
