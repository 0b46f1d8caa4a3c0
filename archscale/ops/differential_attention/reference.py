"""Differential attention, the definition: the difference of two attention maps over a pair of heads.

    o = (softmax(q₁ k₁ᵀ / √K + mask) − λ softmax(q₂ k₂ᵀ / √K + mask)) [v₁, v₂]

Ye et al. 2024 (arXiv 2410.05258), equation 1. Heads 2i and 2i + 1 are a pair, of queries and of keys and values alike.
Query pair j uses key/value pair j // (H/G). The mask is that of causal attention; a cache has the valid slots instead.

Shapes: B batch, T positions, S key positions or slots, H query heads, G key/value heads, K head size, P = H/2 pairs,
V = 2K.
"""

import torch
from torch import Tensor

from archscale.ops.causal_attention.reference import visible


def differential_attention_reference(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, mix: Tensor, *, window: int | None, document_BT: Tensor | None
) -> Tensor:
    allowed = visible(q_BTHK.shape[1], window=window, document_BT=document_BT, device=q_BTHK.device)
    return _difference(q_BTHK, k_BTGK, v_BTGK, mix, allowed)


def differential_attend_cached_reference(
    q_BHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, mix: Tensor, valid_BS: Tensor
) -> Tensor:
    return _difference(q_BHK[:, None], k_BSGK, v_BSGK, mix, valid_BS[:, None, None])[:, 0]


def _difference(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, mix: Tensor, allowed: Tensor) -> Tensor:
    (q1_BTPK, q2_BTPK), (k1, k2), (v1, v2) = ((x[:, :, 0::2], x[:, :, 1::2]) for x in (q_BTHK, k_BSGK, v_BSGK))
    groups = q_BTHK.shape[2] // k_BSGK.shape[2]
    k1_BSPK, k2_BSPK, v_BSPV = (x.repeat_interleave(groups, dim=2) for x in (k1, k2, torch.cat([v1, v2], -1)))
    map_BPTS = _attention_map(q1_BTPK, k1_BSPK, allowed) - mix * _attention_map(q2_BTPK, k2_BSPK, allowed)
    return torch.einsum("bpts,bspv->btpv", map_BPTS, v_BSPV)


def _attention_map(q_BTPK: Tensor, k_BSPK: Tensor, allowed: Tensor) -> Tensor:
    scores_BPTS = torch.einsum("btpk,bspk->bpts", q_BTPK, k_BSPK) * q_BTPK.shape[3] ** -0.5
    return scores_BPTS.masked_fill(~allowed, -torch.inf).softmax(-1)
