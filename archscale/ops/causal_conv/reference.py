"""Causal depthwise convolution, the definition.

    y_t = bias + Σ_k weight_k ⊙ x_{t-k}        k = 0 … K-1, terms before the document's first token are absent

`weight_DK[:, K-1]` multiplies the current token, as in torch.nn.Conv1d with left padding.

Shapes: B batch, T positions, D channels, K kernel size.
"""

import torch
from torch import Tensor

from archscale.ops.segments import Segments


def causal_conv_reference(x_BTD: Tensor, weight_DK: Tensor, bias_D: Tensor, *, segments: Segments | None) -> Tensor:
    length, size = x_BTD.shape[1], weight_DK.shape[1]
    y_BTD = bias_D.expand_as(x_BTD)
    for back in range(min(size, length)):
        past_BTD = torch.nn.functional.pad(x_BTD, (0, 0, back, 0))[:, :length]
        if segments is not None and back:
            past_BTD = past_BTD * segments.same_document(back)[..., None]
        y_BTD = y_BTD + weight_DK[:, size - 1 - back] * past_BTD
    return y_BTD
