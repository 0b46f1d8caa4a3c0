"""Causal attention with grouped heads, window and documents, the definition.

    o_i = Σ_j softmax_j(q_i · k_j / √K) v_j        over j ≤ i, i − j < window, and j in the document of i

Query head h uses key/value head h // (H/G). Vaswani et al. 2017, section 3.2.1; Ainslie et al. 2023
(arXiv 2305.13245) for the groups.

Shapes: B batch, T positions, H query heads, G key/value heads, K key size, V value size of one head.
"""

import torch
from torch import Tensor


def causal_attention_reference(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGV: Tensor, *, window: int | None, document_BT: Tensor | None
) -> Tensor:
    length, head_dim = q_BTHK.shape[1], q_BTHK.shape[3]
    groups = q_BTHK.shape[2] // k_BTGK.shape[2]
    k_BTHK, v_BTHV = (x.repeat_interleave(groups, dim=2) for x in (k_BTGK, v_BTGV))
    scores_BHTS = torch.einsum("bthk,bshk->bhts", q_BTHK, k_BTHK) * head_dim**-0.5
    allowed = visible(length, window=window, document_BT=document_BT, device=q_BTHK.device)
    weights_BHTS = scores_BHTS.masked_fill(~allowed, -torch.inf).softmax(-1)
    return torch.einsum("bhts,bshv->bthv", weights_BHTS, v_BTHV)


def visible(
    length: int, *, window: int | None, document_BT: Tensor | None, device: torch.device, first_query: int = 0
) -> Tensor:
    """True where a query (second last dimension), from position `first_query` on, sees a key (last dimension).

    (T − first_query, T), or with documents (B, 1, T − first_query, T).
    """
    position_T = torch.arange(length, device=device)
    distance_QT = position_T[first_query:, None] - position_T
    allowed = distance_QT >= 0
    if window is not None:
        allowed = allowed & (distance_QT < window)
    if document_BT is not None:
        allowed = allowed & (document_BT[:, None, first_query:, None] == document_BT[:, None, None, :])
    return allowed
