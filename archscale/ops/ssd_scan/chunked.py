"""State-space dual scan in chunks of L tokens: a masked product inside a chunk, one state between chunks.

    s_i = Σ_{r ≤ i} Δ_r A        log decay since the chunk began, never positive
    Y   = U (B Cᵀ ⊙ exp(s_i − s_j))_{j ≤ i} + h Cᵀ ⊙ exp(s_i)        U = Δ x
    h   ← exp(s_L) h + (U ⊙ exp(s_L − s_j)) B

Dao & Gu 2024 (arXiv 2405.21060), section 6 (block decomposition). No exponent is positive. Positions are the last
dimension of U, Y and the weights, which makes every line one matrix product without transposed copies.

Ordinary autograd: an autograd.Function that keeps one state per chunk and makes the weights again on the way back,
over all chunks at once or chunk by chunk, was no faster on one core (14.6 and 17 ms against 15 at B 4, T 512, H 8,
P = N = 32).

Shapes: B batch, T positions, K chunks, L positions of a chunk (J the same as sources), H heads, P channels of one head,
N state size of one channel, X = H · P.
"""

from math import log

import torch
from torch import Tensor
from torch.nn.functional import pad


def ssd_scan_chunked(
    x_BTHP: Tensor,
    delta_BTH: Tensor,
    A_H: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    D_H: Tensor,
    *,
    starts_BT: Tensor | None = None,
    initial_BHPN: Tensor | None = None,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Arguments and results as in reference.py."""
    batch, length, heads, channels = x_BTHP.shape
    chunk = min(chunk, length)
    u_BKHPL = _chunks(delta_BTH[..., None] * x_BTHP, chunk).permute(0, 1, 3, 4, 2).contiguous()
    B_BKLN, C_BKNL = _chunks(B_BTN, chunk), _chunks(C_BTN, chunk).transpose(2, 3)
    # A difference of two sums is only as exact as the sums are small: below this bound every decay is zero anyway.
    log_decay_BTH = (delta_BTH * A_H).clamp(min=log(torch.finfo(x_BTHP.dtype).tiny))
    total_BKHL = _chunks(log_decay_BTH, chunk).transpose(2, 3).cumsum(-1)
    since_start_BKHL, to_end_BKHL = total_BKHL, total_BKHL[..., -1:] - total_BKHL
    hidden_JL = torch.ones(chunk, chunk, dtype=torch.bool, device=x_BTHP.device).tril(-1)
    if starts_BT is not None:
        document_BK1L = _chunks(starts_BT, chunk).cumsum(-1).unsqueeze(2)
        since_start_BKHL = since_start_BKHL.masked_fill(document_BK1L > 0, -torch.inf)
        to_end_BKHL = to_end_BKHL.masked_fill(document_BK1L != document_BK1L[..., -1:], -torch.inf)
        hidden_JL = hidden_JL | (document_BK1L[..., None] != document_BK1L[..., None, :])
    since_start_BKHL, to_end_BKHL = since_start_BKHL.exp(), to_end_BKHL.exp()

    # Hidden before the exponential, not after it: where j > i the exponents are positive and overflow.
    bias_JL = torch.zeros_like(hidden_JL, dtype=x_BTHP.dtype).masked_fill_(hidden_JL, -torch.inf)
    weights_BKHJL = (total_BKHL[..., None, :] + (-total_BKHL)[..., None]).add_(bias_JL).exp_()
    weights_BKHJL = weights_BKHJL * (B_BKLN @ C_BKNL).unsqueeze(2)

    added_BKXN = (u_BKHPL * to_end_BKHL[..., None, :]).flatten(2, 3) @ B_BKLN
    h_BHPN = x_BTHP.new_zeros(batch, heads, channels, B_BTN.shape[2]) if initial_BHPN is None else initial_BHPN
    before = []
    for decay_BH, added_BXN in zip(since_start_BKHL[..., -1].unbind(1), added_BKXN.unbind(1), strict=True):
        before.append(h_BHPN)
        h_BHPN = torch.addcmul(added_BXN.view_as(h_BHPN), decay_BH[..., None, None], h_BHPN)

    read_BKXL = torch.stack(before, 1).flatten(2, 3) @ C_BKNL
    y_BKHPL = torch.addcmul(u_BKHPL @ weights_BKHJL, read_BKXL.view_as(u_BKHPL), since_start_BKHL[..., None, :])
    y_BTHP = y_BKHPL.permute(0, 1, 4, 2, 3).flatten(1, 2)[:, :length]
    return torch.addcmul(y_BTHP, D_H[:, None], x_BTHP), h_BHPN


def _chunks(x_BTX: Tensor, chunk: int) -> Tensor:
    """(B, T, …) → (B, K, L, …); the zeros after the end are steps of length zero, which leave the state as it is."""
    padding = -x_BTX.shape[1] % chunk
    if padding:
        x_BTX = pad(x_BTX, (0, 0) * (x_BTX.ndim - 2) + (0, padding))
    return x_BTX.unflatten(1, (-1, chunk))
