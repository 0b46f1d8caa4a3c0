"""Attention of one query per row over a cache of keys and values, some of whose slots hold nothing yet.

    o = Σ_s softmax_s(q · k_s / √K) v_s        over the valid slots s

Vaswani et al. 2017, section 3.2.1, for the last position alone. Query head h uses key/value head h // (H/G).

Shapes: B batch, S slots, H query heads, G key/value heads, R = H/G, K key size, V value size of one head.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from archscale.ops.backend import Backend


def attend_cached(
    q_BHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, valid_BS: Tensor, *, backend: Backend = "auto"
) -> Tensor:
    """o_BHV. The order of the slots does not matter, so a ring buffer is read as it lies.

    Every row needs at least one valid slot; the others may hold anything finite.
    """
    if backend == "reference":
        return attend_cached_reference(q_BHK, k_BSGK, v_BSGV, valid_BS)
    # The query heads of a group stand as R positions of one head: every key is read once for all of them.
    q_BGRK, k_BGSK = q_BHK.unflatten(1, (k_BSGK.shape[2], -1)), k_BSGK.transpose(1, 2)
    key, value = q_BHK.shape[2], v_BSGV.shape[3]
    # The fused CPU kernel takes values as wide as the keys only; twice through it is still faster than past it.
    width = key if q_BHK.device.type == "cpu" and value % key == 0 else value
    pieces = [
        scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSX, attn_mask=valid_BS[:, None, None])
        for v_BGSX in v_BSGV.transpose(1, 2).split(width, -1)
    ]
    return torch.cat(pieces, -1).flatten(1, 2)


def attend_cached_reference(q_BHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, valid_BS: Tensor) -> Tensor:
    groups = q_BHK.shape[1] // k_BSGK.shape[2]
    k_BSHK, v_BSHV = (x.repeat_interleave(groups, dim=2) for x in (k_BSGK, v_BSGV))
    scores_BHS = torch.einsum("bhk,bshk->bhs", q_BHK, k_BSHK) * q_BHK.shape[2] ** -0.5
    weights_BHS = scores_BHS.masked_fill(~valid_BS[:, None], -torch.inf).softmax(-1)
    return torch.einsum("bhs,bshv->bhv", weights_BHS, v_BSHV)
