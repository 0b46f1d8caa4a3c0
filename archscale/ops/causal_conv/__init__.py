"""Causal depthwise convolution inside documents; the definition is in reference.py."""

from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.causal_conv.reference import causal_conv_reference
from archscale.ops.causal_conv.shifted import ShiftedConv
from archscale.ops.segments import Segments

__all__ = ["causal_conv"]


def causal_conv(
    x_BTD: Tensor,
    weight_DK: Tensor,
    bias_D: Tensor,
    *,
    segments: Segments | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """y_BTD of the dtype of x_BTD; the weights are cast to it."""
    weight_DK, bias_D = weight_DK.to(x_BTD.dtype), bias_D.to(x_BTD.dtype)
    if backend == "reference":
        return causal_conv_reference(x_BTD, weight_DK, bias_D, segments=segments)
    backs = range(1, weight_DK.shape[1]) if segments is not None else ()
    same_BT1 = [segments.same_document(back)[..., None].to(x_BTD.dtype) for back in backs if segments is not None]
    y_BTD: Tensor = ShiftedConv.apply(x_BTD, weight_DK, bias_D, *same_BT1)
    return y_BTD
