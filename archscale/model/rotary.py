"""Rotary positions: each pair (x_i, x_{i+K/2}) of a head turns by an angle that grows with the position.

    y = (x₁ cos θ − x₂ sin θ, x₂ cos θ + x₁ sin θ)        θ_{t,i} = t · base^(−2i/K)

Su et al. 2021 (arXiv 2104.09864), equation 34, with halves instead of neighbours as in Llama. Scores depend only on the
distance of two positions, so packed documents need no positions of their own.

Shapes: B batch, T positions, H heads, K head size.
"""

from functools import lru_cache

import torch
from torch import Tensor


def rotate(x_BTHK: Tensor, base: float) -> Tensor:
    cos_T1I, sin_T1I = _angles(x_BTHK.shape[1], x_BTHK.shape[3], base, x_BTHK.dtype, x_BTHK.device)
    first, second = x_BTHK.chunk(2, dim=-1)
    return torch.cat([first * cos_T1I - second * sin_T1I, second * cos_T1I + first * sin_T1I], -1)


@lru_cache(maxsize=16)
def _angles(length: int, size: int, base: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        frequency_I = base ** -(torch.arange(0, size, 2, dtype=torch.float64, device="cpu") / size)
        angle_T1I = (torch.arange(length, dtype=torch.float64, device="cpu")[:, None] * frequency_I)[:, None]
        return angle_T1I.cos().to(device, dtype), angle_T1I.sin().to(device, dtype)
