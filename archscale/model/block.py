"""One layer: pre-norm mixer, then pre-norm SwiGLU, each on a scaled residual branch.

    x ← x + m · mixer(norm(x))        x ← x + m · mlp(norm(x))

m is the parametrization's residual multiplier, 1/√(2·depth) under μP++ (arXiv 2507.06607, Table 6).

Shapes: B batch, T positions, D width.
"""

import torch
from torch import Tensor, nn

from archscale.model.layers import RMSNorm, SwiGLU
from archscale.model.mixers.base import Mixer, Shared
from archscale.ops.segments import Segments


class Block(nn.Module):
    def __init__(self, mixer: Mixer, *, width: int, mlp_ratio: int, norm_eps: float, residual: float) -> None:
        super().__init__()
        self.residual = residual
        self.mixer_norm = RMSNorm(width, norm_eps)
        self.mixer = mixer
        self.mlp_norm = RMSNorm(width, norm_eps)
        self.mlp = SwiGLU(width, mlp_ratio * width)

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        mixed_BTD = self.mixer(self.mixer_norm(x_BTD), shared, segments)
        x_BTD = torch.add(x_BTD, mixed_BTD, alpha=self.residual)
        return torch.add(x_BTD, self.mlp(self.mlp_norm(x_BTD)), alpha=self.residual)
