"""Causal depthwise convolution by shift and add: K in-place multiply-adds each way and no padded copies.

    forward    y[t] += w_k ⊙ x[t-k]        backward   dx[t-k] += w_k ⊙ dy[t],   dw_k = Σ_t dy[t] ⊙ x[t-k]

For kernels of four taps this beats torch.nn.functional.conv1d, which first transposes to (B, D, T).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class ShiftedConv(torch.autograd.Function):
    """`same_BT1[k-1]` is 1 where position t-k lies in the document of t; there are none without documents."""

    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, weight_DK: Tensor, bias_D: Tensor, *same_BT1: Tensor) -> Tensor:
        weight_KD = weight_DK.t().flip(0).contiguous()
        y_BTD = torch.addcmul(bias_D, x_BTD, weight_KD[0])
        for back in _backs(x_BTD, weight_KD):
            past = x_BTD[:, :-back] * same_BT1[back - 1][:, back:] if same_BT1 else x_BTD[:, :-back]
            y_BTD[:, back:].addcmul_(past, weight_KD[back])
        ctx.save_for_backward(x_BTD, weight_KD, *same_BT1)
        return y_BTD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_BTD, weight_KD, *same_BT1 = ctx.saved_tensors
        (dy_BTD,) = grads
        dx_BTD = dy_BTD * weight_KD[0]
        dweight_KD = torch.zeros_like(weight_KD)
        dweight_KD[0] = (dy_BTD * x_BTD).sum((0, 1))
        for back in _backs(x_BTD, weight_KD):
            dy = dy_BTD[:, back:] * same_BT1[back - 1][:, back:] if same_BT1 else dy_BTD[:, back:]
            dx_BTD[:, :-back].addcmul_(dy, weight_KD[back])
            dweight_KD[back] = (dy * x_BTD[:, :-back]).sum((0, 1))
        return dx_BTD, dweight_KD.flip(0).t(), dy_BTD.sum((0, 1)), *(None for _ in same_BT1)


def _backs(x_BTD: Tensor, weight_KD: Tensor) -> range:
    return range(1, min(weight_KD.shape[0], x_BTD.shape[1]))
