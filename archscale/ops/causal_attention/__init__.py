"""Causal attention with grouped heads, a window and documents; the definition is in reference.py."""

import torch
from torch import Tensor

from archscale.ops.activations import Step
from archscale.ops.backend import Backend
from archscale.ops.causal_attention.cached import attend_cached
from archscale.ops.causal_attention.kept import Form, kept_bytes
from archscale.ops.causal_attention.narrow import NARROW_BLOCK, NarrowAttention
from archscale.ops.causal_attention.reference import causal_attention_reference
from archscale.ops.causal_attention.sdpa import sdpa_attention
from archscale.ops.segments import Segments

__all__ = ["attend_cached", "causal_attention", "form_of", "kept_bytes"]

# On one core, forward and backward at T = 256: three times as fast as SDPA at head size 8, still 1.3 times at 64.
# It keeps the attention weights, so long sequences go to SDPA.
NARROW_HEAD_DIM = 64
NARROW_LENGTH = 1024


def causal_attention(
    q_BTHK: Tensor,
    k_BTGK: Tensor,
    v_BTGV: Tensor,
    *,
    window: int | None = None,
    segments: Segments | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """o_BTHV; with `window` a token sees itself and the window − 1 tokens before it."""
    document_BT = None if segments is None else segments.document_BT
    length, head_dim = q_BTHK.shape[1], q_BTHK.shape[3]
    if backend == "reference":
        return causal_attention_reference(q_BTHK, k_BTGK, v_BTGV, window=window, document_BT=document_BT)
    if q_BTHK.device.type == "cpu" and _is_narrow(head_dim, length, window):
        with torch.autocast("cpu", enabled=False):
            inputs = (x if x.dtype == torch.float64 else x.float() for x in (q_BTHK, k_BTGK, v_BTGV))
            grad = torch.is_grad_enabled()
            o_BTHV: Tensor = NarrowAttention.apply(*inputs, window, document_BT, NARROW_BLOCK, grad)
            return o_BTHV.to(q_BTHK.dtype)
    return sdpa_attention(q_BTHK, k_BTGK, v_BTGV, window=window, document_BT=document_BT)


def form_of(head_dim: int, window: int | None, step: Step) -> Form:
    """Which form a training step takes, for `kept_bytes`."""
    if not step.cuda and _is_narrow(head_dim, step.length, window):
        return "narrow"
    return "blocks" if step.documents or (window or step.length) < step.length else "whole"


def _is_narrow(head_dim: int, length: int, window: int | None) -> bool:
    return head_dim <= NARROW_HEAD_DIM and min(length, window or length) <= NARROW_LENGTH
