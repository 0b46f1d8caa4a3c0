"""Differential attention as two causal attentions with values of twice the head size.

    o = attend(q₁, k₁, [v₁, v₂]) − λ attend(q₂, k₂, [v₁, v₂])

A pair of value heads lies side by side already, so [v₁, v₂] is a view, and the heads 0::2 and 1::2 are views too:
nothing is rearranged. One call over all heads, which needs the values twice, takes the same time.

Shapes: B batch, T positions, S slots, H query heads, G key/value heads, K head size, P = H/2 pairs, V = 2K.
"""

from torch import Tensor

from archscale.ops.causal_attention import attend_cached, causal_attention
from archscale.ops.segments import Segments


def paired_attention(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, mix: Tensor, *, window: int | None, segments: Segments | None
) -> Tensor:
    v_BTXV = v_BTGK.unflatten(2, (-1, 2)).flatten(3)
    o1_BTPV, o2_BTPV = (
        causal_attention(q_BTHK[:, :, i::2], k_BTGK[:, :, i::2], v_BTXV, window=window, segments=segments)
        for i in (0, 1)
    )
    return o1_BTPV - mix * o2_BTPV


def paired_attend_cached(q_BHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, mix: Tensor, valid_BS: Tensor) -> Tensor:
    v_BSXV = v_BSGK.unflatten(2, (-1, 2)).flatten(3)
    o1_BPV, o2_BPV = (attend_cached(q_BHK[:, i::2], k_BSGK[:, :, i::2], v_BSXV, valid_BS) for i in (0, 1))
    return o1_BPV - mix * o2_BPV
