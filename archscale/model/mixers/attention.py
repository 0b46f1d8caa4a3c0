"""Softmax attention with grouped key/value heads: over all earlier tokens, a window, or shared keys and values.

    Y = concat_h(softmax(m q_h k_gᵀ / √K + mask) v_g) W_oᵀ        g = h // (H/G), m the parametrization's factor, 1

`attention` and `window_attention` project queries, keys and values; `cross_attention` has only queries of its own and
reads keys and values that one earlier layer wrote as `kv` (YOCO, arXiv 2405.05254). The attention width H·K is
independent of the model width. With `bias`, queries, values and outputs get one; keys do not, because a constant added
to every key changes no softmax. `attention` can also write `memory`: the concatenated heads, before W_o (SambaY-A of
arXiv 2507.06607, section 4).

Cache: keys and values, of the last `window` tokens where there is a window; cross-attention has none.

Shapes: B batch, T positions, D width, H query heads, G key/value heads, K head size, E = H·K, S slots of a cache.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from archscale.model.cache import KeyValueCache, Prompt
from archscale.model.layers import Linear, vector, zeros
from archscale.model.mixers.base import MIXERS, Mixer, NominalSizes, Place, Shared, StepShared, check_sizes
from archscale.ops.activations import Step
from archscale.ops.causal_attention import attend_cached, causal_attention, form_of, kept_bytes
from archscale.ops.rotary import rotate
from archscale.ops.segments import Segments
from archscale.spec import STRICT, ArchSpec, ScaleSpec


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossAttentionConfig:
    num_heads: int
    head_dim: int
    positions: Literal["rope", "none"]
    rope_base: float
    bias: bool = False

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.rope_base <= 0:
            raise ValueError(f"rope_base = {self.rope_base}: it must be positive")
        if self.positions == "rope" and self.head_dim % 2:
            raise ValueError(f"head_dim = {self.head_dim} is odd: rotary positions turn pairs, use an even head_dim")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AttentionConfig(CrossAttentionConfig):
    num_kv_heads: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_groups(self.num_heads, self.num_kv_heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WindowAttentionConfig(AttentionConfig):
    window: int


class SoftmaxCore(nn.Module):
    """What lies between projections and output; it has no parameters."""

    def __init__(self, config: CrossAttentionConfig, place: Place) -> None:
        super().__init__()
        self.backend = place.backend

    def forward(
        self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, window: int | None, segments: Segments | None
    ) -> Tensor:
        o_BTHK = causal_attention(q_BTHK, k_BTGK, v_BTGK, window=window, segments=segments, backend=self.backend)
        return o_BTHK.flatten(-2)

    def step(self, q_BHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, valid_BS: Tensor) -> Tensor:
        return attend_cached(q_BHK, k_BSGK, v_BSGK, valid_BS, backend=self.backend).flatten(-2)

    def kept_bytes(
        self, config: CrossAttentionConfig, groups: int, window: int | None, projected: float, step: Step
    ) -> float:
        """Up to the input of the output's Linear; `projected` are the numbers of which q, k and v are views."""
        heads, size = config.num_heads, config.head_dim
        form = form_of(size, window, step)
        kept = kept_bytes(form, heads, groups, size, size, window, step)
        return kept if form == "narrow" else kept + step.low * projected

    def flops_per_pair(self, config: CrossAttentionConfig) -> int:
        """Of one query position that sees one key position, over all heads: score and weighted value."""
        return 4 * config.num_heads * config.head_dim


@MIXERS.register("attention")
class Attention(Mixer):
    """Full causal attention, whose keys and values later layers may share."""

    Config: ClassVar[type] = AttentionConfig
    Core: ClassVar[type] = SoftmaxCore
    letter = "F"
    writes = frozenset({"kv", "memory"})

    def __init__(self, config: AttentionConfig, place: Place, window: int | None = None) -> None:
        super().__init__(config, place)
        self.config, self.window, self.kv_head_dim = config, window, config.head_dim
        query, key = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.query_key_value = Linear(place.width, query + 2 * key)
        self.query_bias = vector(query, zeros) if config.bias else None
        self.value_bias = vector(key, zeros) if config.bias else None
        self.core = self.Core(config, place)
        self.output = Linear(query, place.width, bias=config.bias, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {**CrossAttention.defaults(arch, scale), "num_kv_heads": scale.num_kv_heads}

    @classmethod
    def nominal_weights(cls, sizes: NominalSizes) -> float:
        return (2 + 2 / sizes.head_group) * sizes.width * sizes.attention

    @classmethod
    def nominal_memory(cls, sizes: NominalSizes) -> float:
        return sizes.attention

    def shared_width(self, name: str) -> int:
        c = self.config
        return 2 * c.num_kv_heads * c.head_dim if name == "kv" else c.num_heads * c.head_dim

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        q_BTHK, k_BTGK, v_BTGK = self._project(x_BTD)
        if "kv" in self.place.writes:
            shared["kv"] = torch.stack([k_BTGK, v_BTGK], 2)
        o_BTE = self.core(q_BTHK, k_BTGK, v_BTGK, self.window, segments)
        if "memory" in self.place.writes:
            shared["memory"] = o_BTE
        return self.output(o_BTE)

    def prefill(self, x_BTD: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, KeyValueCache]:
        # Padding follows every real token, so causality hides it.
        q_BTHK, k_BTGK, v_BTGK = self._project(x_BTD)
        kv_BT2GK = torch.stack([k_BTGK, v_BTGK], 2)
        o_BTE = self.core(q_BTHK, k_BTGK, v_BTGK, self.window, None)
        written = {"kv": kv_BT2GK, "memory": o_BTE}
        shared |= {name: written[name] for name in self.place.writes}
        return self.output(o_BTE), KeyValueCache.of_prompt(kv_BT2GK, prompt, self.window)

    def absorb(self, x_BTD: Tensor, prompt: Prompt) -> KeyValueCache:
        """Keys and values alone: nobody reads the outputs, so nothing is asked of the queries."""
        query = self.config.num_heads * self.config.head_dim
        kv_BTX = nn.functional.linear(x_BTD, self.query_key_value.weight[query:])
        k_BTGK, v_BTGK = kv_BTX.unflatten(-1, (-1, self.config.head_dim)).chunk(2, 2)
        if self.config.positions == "rope":
            k_BTGK = rotate(k_BTGK, self.config.rope_base, backend=self.place.backend)
        if self.value_bias is not None:
            v_BTGK = v_BTGK + self.value_bias.view(v_BTGK.shape[2:]).to(v_BTGK.dtype)
        return KeyValueCache.of_prompt(torch.stack([k_BTGK, v_BTGK], 2), prompt, self.window)

    def step(self, x_BD: Tensor, shared: StepShared, cache: KeyValueCache, position_B: Tensor) -> Tensor:
        q_B1HK, k_B1GK, v_B1GK = self._project(x_BD[:, None], position_B[:, None])
        cache.append(torch.stack([k_B1GK[:, 0], v_B1GK[:, 0]], 1), position_B)
        shared |= self.exposes(cache)
        o_BE = self.core.step(q_B1HK[:, 0], *cache.kv_BS2GK.unbind(2), cache.valid(position_B))
        if "memory" in self.place.writes:
            shared["memory"] = o_BE
        return self.output(o_BE)

    def exposes(self, cache: Any) -> dict[str, KeyValueCache]:
        return {"kv": cache} if "kv" in self.place.writes else {}

    def flops_per_token(self, length: int) -> float:
        return self.core.flops_per_pair(self.config) * pairs_per_token(length, self.window)

    def attention_flops_per_token(self, length: int) -> float:
        return self.flops_per_token(length)

    def kept_bytes(self, step: Step) -> float:
        c, key = self.config, self.config.num_kv_heads * self.config.head_dim
        query = c.num_heads * c.head_dim
        # Turned queries and keys are a tensor of their own, and so are those with a bias.
        projected = query + 2 * key + (query + key if c.positions == "rope" and not c.bias else 0)
        if "kv" in self.place.writes:
            projected += 2 * key
        return step.read(self.place.width) + self.core.kept_bytes(c, c.num_kv_heads, self.window, projected, step)

    def cache_bytes(self, tokens: int, low: int) -> int:
        return low * 2 * self.config.num_kv_heads * self.config.head_dim * (self.window or tokens)

    def _project(self, x_BTD: Tensor, position_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        c = self.config
        heads = self.query_key_value(x_BTD).unflatten(-1, (-1, c.head_dim))
        turned, v_BTGK = heads.split([c.num_heads + c.num_kv_heads, c.num_kv_heads], 2)
        if self.query_bias is not None and self.value_bias is not None:
            # In the dtype of the heads: float32 biases would make bfloat16 keys and values, and their cache, float32.
            bias_HK = self.query_bias.view(c.num_heads, c.head_dim).to(heads.dtype)
            turned = turned + nn.functional.pad(bias_HK, (0, 0, 0, c.num_kv_heads))
            v_BTGK = v_BTGK + self.value_bias.view(c.num_kv_heads, c.head_dim).to(heads.dtype)
        if c.positions == "rope":
            turned = rotate(turned, c.rope_base, position_BT=position_BT, backend=self.place.backend)
        q_BTHK, k_BTGK = turned.split([c.num_heads, c.num_kv_heads], 2)
        return _scaled(q_BTHK, self.place), k_BTGK, v_BTGK


@MIXERS.register("window_attention")
class WindowAttention(Attention):
    """Causal attention to the last `window` tokens, the token itself among them."""

    Config = WindowAttentionConfig
    letter = "S"
    writes = frozenset()

    def __init__(self, config: WindowAttentionConfig, place: Place) -> None:
        super().__init__(config, place, config.window)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {**super().defaults(arch, scale), "window": arch.window}


@MIXERS.register("cross_attention")
class CrossAttention(Mixer):
    """Queries of its own on the keys and values that an earlier layer shares.

    They turn by their positions where the architecture is rotary: the shared keys are stored turned.
    """

    Config = CrossAttentionConfig
    Core: ClassVar[type] = SoftmaxCore
    letter = "C"
    reads = frozenset({"kv"})
    looks_back = False

    def __init__(self, config: CrossAttentionConfig, place: Place) -> None:
        super().__init__(config, place)
        self.config = config
        if config.head_dim != place.kv_head_dim:
            raise ValueError(
                f"head_dim = {config.head_dim}, but the layer that writes kv has {place.kv_head_dim}: make them equal"
            )
        self.num_kv_heads = place.shared_widths["kv"] // (2 * config.head_dim)
        check_groups(config.num_heads, self.num_kv_heads)
        query = config.num_heads * config.head_dim
        self.query = Linear(place.width, query, bias=config.bias)
        self.core = self.Core(config, place)
        self.output = Linear(query, place.width, bias=config.bias, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        positions = {"positions": arch.positions, "rope_base": arch.rope_base}
        return {"num_heads": scale.num_heads, "head_dim": scale.head_dim, **positions}

    @classmethod
    def nominal_weights(cls, sizes: NominalSizes) -> float:
        return 2 * sizes.width * sizes.attention

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        k_BTGK, v_BTGK = shared["kv"].unbind(2)
        return self.output(self.core(self._queries(x_BTD), k_BTGK, v_BTGK, None, segments))

    def prefill(self, x_BTD: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, None]:
        return self.forward(x_BTD, shared, None), None

    def step(self, x_BD: Tensor, shared: StepShared, cache: None, position_B: Tensor) -> Tensor:
        kv = shared["kv"]
        assert isinstance(kv, KeyValueCache)
        q_B1HK = self._queries(x_BD[:, None], position_B[:, None])
        return self.output(self.core.step(q_B1HK[:, 0], *kv.kv_BS2GK.unbind(2), kv.valid(position_B)))

    def flops_per_token(self, length: int) -> float:
        return self.core.flops_per_pair(self.config) * pairs_per_token(length, None)

    def attention_flops_per_token(self, length: int) -> float:
        return self.flops_per_token(length)

    def kept_bytes(self, step: Step) -> float:
        c = self.config
        kept = self.core.kept_bytes(c, self.num_kv_heads, None, c.num_heads * c.head_dim, step)
        return step.read(self.place.width) + kept

    def _queries(self, x_BTD: Tensor, position_BT: Tensor | None = None) -> Tensor:
        c = self.config
        q_BTHK = self.query(x_BTD).unflatten(-1, (c.num_heads, c.head_dim))
        if c.positions == "rope":
            q_BTHK = rotate(q_BTHK, c.rope_base, position_BT=position_BT, backend=self.place.backend)
        return _scaled(q_BTHK, self.place)


def _scaled(q_BTHK: Tensor, place: Place) -> Tensor:
    """Queries whose scores, which every core divides by √K, have the parametrization's factor."""
    return q_BTHK if place.score_factor == 1.0 else q_BTHK * place.score_factor


def pairs_per_token(length: int, window: int | None) -> float:
    """How many positions a token sees, itself included, averaged over a sequence of `length` tokens."""
    full = length if window is None else min(length, window)
    return full - full * (full - 1) / (2 * length)


def check_groups(num_heads: int, num_kv_heads: int) -> None:
    if num_heads % num_kv_heads:
        raise ValueError(
            f"num_heads = {num_heads} is not divisible by num_kv_heads = {num_kv_heads}: every key/value head serves "
            "the same number of query heads"
        )
