"""State-space dual scan (Mamba-2), the definition: one step per token, one decay for the whole state of a head.

    h_t = exp(Δ_t A) h_{t-1} + (Δ_t x_t) B_tᵀ        y_t = h_t C_t + D x_t

Dao & Gu 2024 (arXiv 2405.21060), equation 1 with A a scalar times the identity (section 2.3); all heads share B and C,
one group as in their models.

Shapes: B batch, T positions, H heads, P channels of one head, N state size of one channel.
"""

import torch
from torch import Tensor


def ssd_scan_reference(
    x_BTHP: Tensor,
    delta_BTH: Tensor,
    A_H: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    D_H: Tensor,
    *,
    starts_BT: Tensor | None = None,
    initial_BHPN: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns y_BTHP and the state after the last token; `starts_BT` marks tokens that see an empty state."""
    batch, _, heads, channels = x_BTHP.shape
    h_BHPN = x_BTHP.new_zeros(batch, heads, channels, B_BTN.shape[2]) if initial_BHPN is None else initial_BHPN
    keep_BT = None if starts_BT is None else (~starts_BT).to(x_BTHP.dtype)
    # unbind, not x[:, t]: the backward pass of an index writes a whole tensor of zeros per token.
    inputs = zip(x_BTHP.unbind(1), delta_BTH.unbind(1), B_BTN.unbind(1), C_BTN.unbind(1), strict=True)
    outputs = []
    for t, (x_BHP, delta_BH, B_BN, C_BN) in enumerate(inputs):
        if keep_BT is not None:
            h_BHPN = h_BHPN * keep_BT[:, t, None, None, None]
        decay_BH = torch.exp(delta_BH * A_H)
        h_BHPN = decay_BH[..., None, None] * h_BHPN + (delta_BH[..., None] * x_BHP)[..., None] * B_BN[:, None, None]
        outputs.append((h_BHPN * C_BN[:, None, None]).sum(-1) + D_H[:, None] * x_BHP)
    return torch.stack(outputs, 1), h_BHPN
