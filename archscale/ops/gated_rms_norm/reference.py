"""Gated RMSNorm, the definition: a readout is normalised over its whole width, after its gate or before it.

    after the gate     z = x ⊙ SiLU(gate)     y = z / √(mean(z²) + ε) ⊙ gain
    before the gate                           y = x / √(mean(x²) + ε) ⊙ gain ⊙ SiLU(gate)

The first is the placement of Mamba-2 (Dao & Gu 2024, arXiv 2405.21060, section 7.1), the second the one that
arXiv 2507.06607, Table 9, compares it with.

Shapes: B batch, T positions, D width; any number of leading dimensions will do.
"""

from torch import Tensor
from torch.nn.functional import silu


def gated_rms_norm_reference(
    x_BTD: Tensor, gate_BTD: Tensor, gain_D: Tensor, *, eps: float, norm_first: bool
) -> Tensor:
    if norm_first:
        return _rms_norm(x_BTD, eps) * gain_D * silu(gate_BTD)
    return _rms_norm(x_BTD * silu(gate_BTD), eps) * gain_D


def _rms_norm(x_BTD: Tensor, eps: float) -> Tensor:
    return x_BTD / (x_BTD.square().mean(-1, keepdim=True) + eps).sqrt()
