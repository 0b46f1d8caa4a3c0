"""Softmax attention with grouped key/value heads: over all earlier tokens, a window, or shared keys and values.

    Y = concat_h(softmax(q_h k_gᵀ / √K + mask) v_g) W_oᵀ        g = h // (H/G)

`attention` and `window_attention` project queries, keys and values; `cross_attention` has only queries of its own and
reads keys and values that one earlier layer wrote as `kv` (YOCO, arXiv 2405.05254). The attention width H·K is
independent of the model width.

Shapes: B batch, T positions, D width, H query heads, G key/value heads, K head size.
"""

from dataclasses import fields
from typing import Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from archscale.model.layers import Linear
from archscale.model.mixers.base import MIXERS, Mixer, Place, Shared
from archscale.ops.causal_attention import causal_attention
from archscale.ops.rotary import rotate
from archscale.ops.segments import Segments
from archscale.spec import STRICT, ArchSpec, ScaleSpec


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossAttentionConfig:
    num_heads: int
    head_dim: int
    positions: Literal["rope", "none"]
    rope_base: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and value < 1:
                raise ValueError(f"{field.name} = {value}: it must be at least 1")
        if self.positions == "rope" and self.head_dim % 2:
            raise ValueError(f"head_dim = {self.head_dim} is odd: rotary positions turn pairs, use an even head_dim")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AttentionConfig(CrossAttentionConfig):
    num_kv_heads: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_groups(self.num_heads, self.num_kv_heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WindowAttentionConfig(AttentionConfig):
    window: int


@MIXERS.register("attention")
class Attention(Mixer):
    Config: ClassVar[type] = AttentionConfig
    letter = "F"
    writes = frozenset({"kv"})

    def __init__(self, config: AttentionConfig, place: Place, window: int | None = None) -> None:
        super().__init__(config, place)
        self.config, self.window = config, window
        query, key = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.query_key_value = Linear(place.width, query + 2 * key)
        self.output = Linear(query, place.width)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {**CrossAttention.defaults(arch, scale), "num_kv_heads": scale.num_kv_heads}

    def shared_width(self, name: str) -> int:
        return 2 * self.config.num_kv_heads * self.config.head_dim

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        c = self.config
        heads = self.query_key_value(x_BTD).unflatten(-1, (-1, c.head_dim))
        turned, v_BTGK = heads.split([c.num_heads + c.num_kv_heads, c.num_kv_heads], 2)
        if c.positions == "rope":
            turned = rotate(turned, c.rope_base, backend=self.place.backend)
        q_BTHK, k_BTGK = turned.split([c.num_heads, c.num_kv_heads], 2)
        if "kv" in self.place.writes:
            shared["kv"] = torch.stack([k_BTGK, v_BTGK], 2)
        return self.output(_attend(q_BTHK, k_BTGK, v_BTGK, self.window, segments, self.place))


@MIXERS.register("window_attention")
class WindowAttention(Attention):
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
    """Queries turn by their positions too where the architecture is rotary: the shared keys are stored turned."""

    Config = CrossAttentionConfig
    letter = "C"
    reads = frozenset({"kv"})

    def __init__(self, config: CrossAttentionConfig, place: Place) -> None:
        super().__init__(config, place)
        self.config = config
        self.num_kv_heads, rest = divmod(place.shared_widths["kv"], 2 * config.head_dim)
        if rest:
            raise ValueError(
                f"head_dim = {config.head_dim} does not fit the shared kv of {place.shared_widths['kv']} numbers per "
                "token: use the head_dim of the layer that writes it"
            )
        _check_groups(config.num_heads, self.num_kv_heads)
        self.query = Linear(place.width, config.num_heads * config.head_dim)
        self.output = Linear(config.num_heads * config.head_dim, place.width)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        positions = {"positions": arch.positions, "rope_base": arch.rope_base}
        return {"num_heads": scale.num_heads, "head_dim": scale.head_dim, **positions}

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        c = self.config
        q_BTHK = self.query(x_BTD).unflatten(-1, (c.num_heads, c.head_dim))
        if c.positions == "rope":
            q_BTHK = rotate(q_BTHK, c.rope_base, backend=self.place.backend)
        k_BTGK, v_BTGK = shared["kv"].unbind(2)
        return self.output(_attend(q_BTHK, k_BTGK, v_BTGK, None, segments, self.place))


def _attend(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, window: int | None, segments: Segments | None, place: Place
) -> Tensor:
    o_BTHK = causal_attention(q_BTHK, k_BTGK, v_BTGK, window=window, segments=segments, backend=place.backend)
    return o_BTHK.flatten(-2)


def _check_groups(num_heads: int, num_kv_heads: int) -> None:
    if num_heads % num_kv_heads:
        raise ValueError(
            f"num_heads = {num_heads} is not divisible by num_kv_heads = {num_kv_heads}: every key/value head serves "
            "the same number of query heads"
        )
