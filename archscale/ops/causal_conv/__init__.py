"""Causal depthwise convolution inside documents; the definition is in reference.py."""

import torch
from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.causal_conv.reference import causal_conv_reference
from archscale.ops.causal_conv.shifted import ShiftedConv
from archscale.ops.segments import Segments

__all__ = ["causal_conv"]


def causal_conv(
    x_BTD: Tensor,
    weight_DK: Tensor,
    bias_D: Tensor | None = None,
    *,
    segments: Segments | None = None,
    before_BKD: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """y_BTD of the dtype of x_BTD; the weights are cast to it.

    `before_BKD` are the K − 1 inputs before position 0 of a sequence without documents; without it they are zeros.
    """
    if before_BKD is not None:
        joined_BTD = torch.cat([before_BKD.to(x_BTD.dtype), x_BTD], 1)
        return causal_conv(joined_BTD, weight_DK, bias_D, backend=backend)[:, before_BKD.shape[1] :]
    weight_DK = weight_DK.to(x_BTD.dtype)
    bias_D = x_BTD.new_zeros(x_BTD.shape[2]) if bias_D is None else bias_D.to(x_BTD.dtype)
    if backend == "reference":
        return causal_conv_reference(x_BTD, weight_DK, bias_D, segments=segments)
    backs = range(1, weight_DK.shape[1]) if segments is not None else ()
    same_BT1 = [segments.same_document(back)[..., None].to(x_BTD.dtype) for back in backs if segments is not None]
    y_BTD: Tensor = ShiftedConv.apply(x_BTD, weight_DK, bias_D, *same_BT1)
    return y_BTD
