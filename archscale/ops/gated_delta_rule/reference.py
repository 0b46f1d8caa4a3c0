"""Gated delta rule, the definition: a memory that fades and then corrects what it recalls for a key, token by token.

    S_t = α_t S_{t-1} + β_t k_t (v_t − α_t S_{t-1}ᵀ k_t)ᵀ        o_t = S_tᵀ q_t / √K        α_t = exp(g_t)

Yang et al. 2024 (arXiv 2412.06464), equation 10, with S transposed. For keys of length one and β in (0, 2) the step is
a contraction, so that S never grows faster than the sum of its inputs.

Shapes: B batch, T positions, H heads, K key size, V value size of one head.
"""

import torch
from torch import Tensor


def gated_delta_rule_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    *,
    starts_BT: Tensor | None = None,
    initial_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns o_BTHV and the state after the last token; `starts_BT` marks tokens that see an empty state."""
    batch, _, heads, key = k_BTHK.shape
    state_BHKV = v_BTHV.new_zeros(batch, heads, key, v_BTHV.shape[-1]) if initial_BHKV is None else initial_BHKV
    decay_BTH = log_decay_BTH.exp()
    if starts_BT is not None:
        decay_BTH = decay_BTH.masked_fill(starts_BT[..., None], 0.0)
    # unbind, not q[:, t]: the backward pass of an index writes a whole tensor of zeros per token.
    tokens = zip(*(x.unbind(1) for x in (q_BTHK * key**-0.5, k_BTHK, v_BTHV, decay_BTH, beta_BTH)), strict=True)
    outputs = []
    # The key before the state in the products below: the other order costs several times as much on a CPU.
    for q_BHK, k_BHK, v_BHV, decay_BH, beta_BH in tokens:
        state_BHKV = state_BHKV * decay_BH[..., None, None]
        recalled_BHV = torch.einsum("bhk,bhkv->bhv", k_BHK, state_BHKV)
        correction_BHV = beta_BH[..., None] * (v_BHV - recalled_BHV)
        state_BHKV = torch.addcmul(state_BHKV, k_BHK[..., None], correction_BHV[..., None, :])
        outputs.append(torch.einsum("bhk,bhkv->bhv", q_BHK, state_BHKV))
    return torch.stack(outputs, 1), state_BHKV
