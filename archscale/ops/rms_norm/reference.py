"""Root-mean-square norm, the definition.

    y = x̂ ⊙ gain        x̂ = x r,  r = 1/√(mean(x²) + ε)

Zhang & Sennrich 2019 (arXiv 1910.07467), equation 4.
"""

from torch import Tensor


def rms_norm_reference(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * gain
