"""Differential attention: the difference of two attention maps; projections, window and caches are those of attention.

    heads_i = (1 − λ₀) RMSNorm((A_2i − λ A_2i+1) [v_2i, v_2i+1])        A_h = softmax(q_h k_gᵀ / √K + mask)
    λ = exp(λ_q1 · λ_k1) − exp(λ_q2 · λ_k2) + λ₀        λ₀ = 0.8 − 0.6 exp(−0.3 l)        l = 0, 1, … the layer

Ye et al. 2024 (arXiv 2410.05258), equations 1 to 3, with heads paired as neighbours. One λ and one gain, of the 2K
numbers of a pair, serve all pairs of a layer.

Shapes: B batch, T positions, H query heads, G key/value heads, K head size, P = H/2 pairs, V = 2K, E = H·K,
S slots of a cache.
"""

from collections.abc import Sequence
from math import exp

from torch import Generator, Tensor

from archscale.model.layers import RMSNorm, vector
from archscale.model.mixers.attention import (
    Attention,
    AttentionConfig,
    CrossAttention,
    CrossAttentionConfig,
    SoftmaxCore,
    WindowAttention,
)
from archscale.model.mixers.base import MIXERS, Place
from archscale.ops.activations import Step
from archscale.ops.causal_attention import form_of, kept_bytes
from archscale.ops.differential_attention import differential_attend_cached, differential_attention
from archscale.ops.segments import Segments

# Of the paper's code, whatever the other norms of the architecture have.
NORM_EPS = 1e-5


class DifferentialCore(SoftmaxCore):
    def __init__(self, config: CrossAttentionConfig, place: Place) -> None:
        super().__init__(config, place)
        if isinstance(config, AttentionConfig):
            num_kv_heads = config.num_kv_heads
        else:
            num_kv_heads = place.shared_widths["kv"] // (2 * config.head_dim)
        _check_pairs(config.num_heads, num_kv_heads)
        self.mix_initial = 0.8 - 0.6 * exp(-0.3 * place.layer)
        self.mix_query1_K, self.mix_key1_K = vector(config.head_dim, _narrow), vector(config.head_dim, _narrow)
        self.mix_query2_K, self.mix_key2_K = vector(config.head_dim, _narrow), vector(config.head_dim, _narrow)
        self.norm = RMSNorm(2 * config.head_dim, NORM_EPS)

    def forward(
        self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, window: int | None, segments: Segments | None
    ) -> Tensor:
        o_BTPV = differential_attention(
            q_BTHK, k_BTGK, v_BTGK, self.mix(), window=window, segments=segments, backend=self.backend
        )
        return self._normalised(o_BTPV)

    def step(self, q_BHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, valid_BS: Tensor) -> Tensor:
        o_BPV = differential_attend_cached(q_BHK, k_BSGK, v_BSGK, self.mix(), valid_BS, backend=self.backend)
        return self._normalised(o_BPV)

    def mix(self) -> Tensor:
        """The scalar λ."""
        kept, removed = (self.mix_query1_K * self.mix_key1_K).sum(), (self.mix_query2_K * self.mix_key2_K).sum()
        return kept.exp() - removed.exp() + self.mix_initial

    def kept_bytes(
        self, config: CrossAttentionConfig, groups: int, window: int | None, projected: float, step: Step
    ) -> float:
        """Both attentions, then the difference, normalised, and scaled for the output's Linear."""
        heads, size = config.num_heads, config.head_dim
        form, width = form_of(size, window, step), heads * size
        kept = 2 * kept_bytes(form, heads // 2, groups // 2, size, 2 * size, window, step)
        if step.cuda:
            kept += step.low * projected
        if form == "blocks" or (form == "narrow" and step.mixed):
            # Of the outputs as they leave an attention, only the one that λ multiplies is kept.
            kept -= step.low * width
        normalised = 4.0 * ((width if step.cuda else 2 * width) + heads / 2)
        return kept + normalised + step.read(width)

    def flops_per_pair(self, config: CrossAttentionConfig) -> int:
        """A score of K and a value of 2K numbers for each head. Difference and norm, once per token, do not count."""
        return 6 * config.num_heads * config.head_dim

    def _normalised(self, o_PV: Tensor) -> Tensor:
        return (self.norm(o_PV) * (1 - self.mix_initial)).flatten(-2)


@MIXERS.register("differential_attention")
class DifferentialAttention(Attention):
    """Full differential attention, whose keys and values later layers may share."""

    Core = DifferentialCore
    kv_head_multiple = 2


@MIXERS.register("differential_window_attention")
class DifferentialWindowAttention(WindowAttention):
    """Differential attention to the last `window` tokens."""

    Core = DifferentialCore
    kv_head_multiple = 2


@MIXERS.register("differential_cross_attention")
class DifferentialCrossAttention(CrossAttention):
    """Differential queries on the keys and values that an earlier layer shares."""

    Core = DifferentialCore
    kv_head_multiple = 2


def _narrow(tensor: Tensor, generator: Generator) -> None:
    tensor.normal_(0.0, 0.1, generator=generator)


def _check_pairs(num_heads: int, num_kv_heads: int) -> None:
    if num_heads % 2:
        _refuse("num_heads", num_heads, range(2, num_heads + 2, 2))
    if num_kv_heads % 2:
        _refuse("num_kv_heads", num_kv_heads, [g for g in range(2, num_heads + 1, 2) if num_heads % g == 0])


def _refuse(name: str, heads: int, possible: Sequence[int]) -> None:
    nearest = [*[n for n in possible if n < heads][-1:], *[n for n in possible if n > heads][:1]]
    raise ValueError(
        f"{name} = {heads} is odd: differential attention takes heads in pairs, use {' or '.join(map(str, nearest))}"
    )
