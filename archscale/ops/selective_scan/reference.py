"""Selective scan, the definition: one step per token.

    h_t = exp(Δ_t A) ⊙ h_{t-1} + (Δ_t u_t) B_tᵀ        y_t = h_t C_t + D ⊙ u_t

Gu & Dao 2023 (arXiv 2312.00752), equation 2 with the discretisation of section 3.6 (Euler for B, as in their code).

Shapes: B batch, T positions, D channels, N state size of one channel.
"""

import torch
from torch import Tensor


def selective_scan_reference(
    u_BTD: Tensor,
    delta_BTD: Tensor,
    A_DN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    D_D: Tensor,
    *,
    starts_BT: Tensor | None = None,
    initial_BDN: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns y_BTD and the state after the last token; `starts_BT` marks tokens that see an empty state."""
    batch, _, channels = u_BTD.shape
    h_BDN = u_BTD.new_zeros(batch, channels, A_DN.shape[1]) if initial_BDN is None else initial_BDN
    keep_BT = None if starts_BT is None else (~starts_BT).to(u_BTD.dtype)
    # unbind, not x[:, t]: the backward pass of an index writes a whole tensor of zeros per token.
    inputs = zip(u_BTD.unbind(1), delta_BTD.unbind(1), B_BTN.unbind(1), C_BTN.unbind(1), strict=True)
    outputs = []
    for t, (u_BD, delta_BD, B_BN, C_BN) in enumerate(inputs):
        if keep_BT is not None:
            h_BDN = h_BDN * keep_BT[:, t, None, None]
        decay_BDN = torch.exp(delta_BD[..., None] * A_DN)
        h_BDN = decay_BDN * h_BDN + (delta_BD * u_BD)[..., None] * B_BN[:, None]
        outputs.append((h_BDN * C_BN[:, None]).sum(-1) + D_D * u_BD)
    return torch.stack(outputs, 1), h_BDN
