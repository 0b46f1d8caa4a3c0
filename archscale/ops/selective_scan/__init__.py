"""Selective scan (Mamba-1), with document resets and an initial state; the definition is in reference.py.

`auto` on a CPU is the C++ form, where a compiler is found at first use (ops/native), and the chunked form elsewhere;
`torch` is the chunked form everywhere.
"""

import torch
from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.segments import Segments
from archscale.ops.selective_scan import compiled
from archscale.ops.selective_scan.chunked import ChunkedScan
from archscale.ops.selective_scan.compiled import CompiledScan
from archscale.ops.selective_scan.reference import selective_scan_reference

__all__ = ["CHUNK_TOKENS", "selective_scan", "selective_scan_form"]

# Measured on one core for batch 16, N = 16 and D = 30 … 90: shorter chunks pay call overhead, longer ones leave L2. The
# compiled form is as fast at 32 and slower at 8, and keeps one state per chunk as well.
CHUNK_TOKENS = 16


def selective_scan_form() -> str:
    """What `auto` is on a CPU, for the log: "compiled", or "chunked" with the reason; builds it at the first call."""
    reason = compiled.missing()
    return "compiled" if reason is None else f"chunked ({reason})"


def selective_scan(
    u_BTD: Tensor,
    delta_BTD: Tensor,
    A_DN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    D_D: Tensor,
    *,
    segments: Segments | None = None,
    initial_BDN: Tensor | None = None,
    backend: Backend = "auto",
    chunk: int = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """y_BTD and the state after the last token, both in float32 or, for float64 inputs, in float64.

    The initial state belongs to what came before position 0, so `segments` (which start a document there) discard it.
    """
    dtype = torch.float64 if u_BTD.dtype == torch.float64 else torch.float32
    with torch.autocast(u_BTD.device.type, enabled=False):
        inputs = [x.to(dtype) for x in (u_BTD, delta_BTD, A_DN, B_BTN, C_BTN, D_D)]
        initial_BDN = None if initial_BDN is None else initial_BDN.to(dtype)
        starts_BT = None if segments is None else segments.starts()
        if backend == "reference":
            return selective_scan_reference(*inputs, starts_BT=starts_BT, initial_BDN=initial_BDN)
        if backend == "auto" and u_BTD.device.type == "cpu" and compiled.missing() is None:
            y_BTD, final_BDN = CompiledScan.apply(*inputs, starts_BT, initial_BDN, chunk, torch.is_grad_enabled())
        else:
            y_BTD, final_BDN = ChunkedScan.apply(*inputs, starts_BT, initial_BDN, chunk)
        return y_BTD, final_BDN
