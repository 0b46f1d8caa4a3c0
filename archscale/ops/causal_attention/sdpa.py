"""Causal attention through torch.nn.functional.scaled_dot_product_attention.

Without window and documents this is the fused causal kernel. Otherwise query blocks see only the slice of keys they
need, under a mask: on a CPU about five times faster than one masked call at T = 2048, window 128.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from archscale.ops.causal_attention.reference import visible

QUERY_BLOCK = 128


def sdpa_attention(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, *, window: int | None, document_BT: Tensor | None
) -> Tensor:
    length, grouped = q_BTHK.shape[1], q_BTHK.shape[2] != k_BTGK.shape[2]
    q_BHTK, k_BGTK, v_BGTK = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
    if document_BT is None and (window is None or window >= length):
        o_BHTK = scaled_dot_product_attention(q_BHTK, k_BGTK, v_BGTK, is_causal=True, enable_gqa=grouped)
        return o_BHTK.transpose(1, 2)
    parts = []
    for start in range(0, length, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, length)
        first = 0 if window is None else max(0, start - window + 1)
        documents = None if document_BT is None else document_BT[:, first:stop]
        allowed = visible(stop - first, window=window, document_BT=documents, device=q_BTHK.device)
        q, k, v = q_BHTK[:, :, start:stop], k_BGTK[:, :, first:stop], v_BGTK[:, :, first:stop]
        mask = allowed[..., start - first :, :]
        parts.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped))
    return torch.cat(parts, 2).transpose(1, 2)
