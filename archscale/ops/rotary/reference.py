"""Rotary positions, the definition: each pair (x_i, x_{i+K/2}) of a head turns by an angle in step with the position.

    y = (x₁ cos θ − x₂ sin θ, x₂ cos θ + x₁ sin θ)        θ_{t,i} = t · base^(−2i/K)

Su et al. 2021 (arXiv 2104.09864), equation 34, with halves instead of neighbours as in Llama.

Shapes: B batch, T positions, H heads, K head size, I = K/2 pairs.
"""

import torch
from torch import Tensor


def angles(position: Tensor, size: int, base: float) -> Tensor:
    """θ in float64, of the shape of `position` and one dimension of I more."""
    frequency_I = base ** -(torch.arange(0, size, 2, dtype=torch.float64, device=position.device) / size)
    return position.to(torch.float64)[..., None] * frequency_I


def rotate_reference(x_BTHK: Tensor, base: float, *, position_BT: Tensor | None = None) -> Tensor:
    position = torch.arange(x_BTHK.shape[1], device="cpu") if position_BT is None else position_BT
    theta_T1I = angles(position, x_BTHK.shape[3], base)[..., None, :]
    cos_T1I, sin_T1I = theta_T1I.cos().to(x_BTHK), theta_T1I.sin().to(x_BTHK)
    first, second = x_BTHK.chunk(2, dim=-1)
    return torch.cat([first * cos_T1I - second * sin_T1I, second * cos_T1I + first * sin_T1I], -1)
