"""Rotary positions on whole heads: y = x ⊙ [cos, cos] + swap(x) ⊙ [−sin, sin]; the way back turns by −θ."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archscale.ops.rotary.reference import angles


class WholeRotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHK: Tensor, base: float) -> Tensor:
        ctx.base = base
        return _turn(x_BTHK, base, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _turn(grads[0], ctx.base, -1.0), None


def _turn(x_BTHK: Tensor, base: float, sign: float) -> Tensor:
    cos_THK, sin_THK = _tables(x_BTHK.shape[1:], base, x_BTHK.dtype, x_BTHK.device)
    first, second = x_BTHK.chunk(2, dim=-1)
    return (x_BTHK * cos_THK).addcmul_(torch.cat([second, first], -1), sin_THK, value=sign)


@lru_cache(maxsize=8)
def _tables(shape: torch.Size, base: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Written out for every head: a broadcast over heads would leave inner loops of only K elements."""
    length, _, size = shape
    theta_T1I = angles(torch.arange(length, device="cpu"), size, base)[:, None]
    cos_T1K = torch.cat([theta_T1I.cos(), theta_T1I.cos()], -1)
    sin_T1K = torch.cat([-theta_T1I.sin(), theta_T1I.sin()], -1)
    cos_THK, sin_THK = (table.to(device, dtype).expand(shape).contiguous() for table in (cos_T1K, sin_T1K))
    return cos_THK, sin_THK
