"""Differential attention over pairs of heads, in sequence or over a cache; the definition is in reference.py."""

from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.differential_attention.paired import paired_attend_cached, paired_attention
from archscale.ops.differential_attention.reference import (
    differential_attend_cached_reference,
    differential_attention_reference,
)
from archscale.ops.segments import Segments

__all__ = ["differential_attend_cached", "differential_attention"]


def differential_attention(
    q_BTHK: Tensor,
    k_BTGK: Tensor,
    v_BTGK: Tensor,
    mix: Tensor,
    *,
    window: int | None = None,
    segments: Segments | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """o_BTPV, two heads in one of twice the size; `mix` is the scalar λ."""
    if backend == "reference":
        document_BT = None if segments is None else segments.document_BT
        return differential_attention_reference(q_BTHK, k_BTGK, v_BTGK, mix, window=window, document_BT=document_BT)
    return paired_attention(q_BTHK, k_BTGK, v_BTGK, mix, window=window, segments=segments)


def differential_attend_cached(
    q_BHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, mix: Tensor, valid_BS: Tensor, *, backend: Backend = "auto"
) -> Tensor:
    """o_BPV of one query per row over the valid slots of a cache, of which every row has at least one."""
    if backend == "reference":
        return differential_attend_cached_reference(q_BHK, k_BSGK, v_BSGK, mix, valid_BS)
    return paired_attend_cached(q_BHK, k_BSGK, v_BSGK, mix, valid_BS)
