"""An architecture: the stack of mixers as data, and what all its layers share."""

from dataclasses import field
from typing import Literal

from pydantic.dataclasses import dataclass

from archscale.spec.base import NOT_IDENTITY, STRICT, Scalar, check_name


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayerSpec:
    """One entry of a tile: a mixer by name, the shared tensors that it or the layer's MLP writes, and its options."""

    mixer: str
    write: tuple[str, ...] = ()
    mlp_write: tuple[str, ...] = ()
    options: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SpanSpec:
    """`tile` repeated over `span` layers: a number of layers, "half" the depth, or the "rest"."""

    span: int | Literal["half", "rest"]
    tile: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        if not self.tile:
            raise ValueError("tile is empty: name at least one mixer")
        if isinstance(self.span, int) and self.span < 1:
            raise ValueError(f"span = {self.span}: use a positive number of layers, half or rest")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ArchSpec:
    """An architecture: the stack as data, and what all its layers share.

    `aspect_ratio` is α of width = α · depth (arXiv 2507.06607, section 3.1), `heads_per_layer` the query heads divided
    by the depth, `head_group` the query heads of one key/value head. `mixers` gives options to every layer of a mixer;
    a layer's own options win. `version` is what a study calls one of several of an architecture.
    """

    name: str
    stack: tuple[SpanSpec, ...]
    aspect_ratio: int = 128
    positions: Literal["rope", "none"] = "none"
    rope_base: float = 10_000.0
    window: int = 128
    mlp_ratio: int = 4
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    heads_per_layer: float = 1.0
    head_group: int = 4
    tie_embeddings: bool = True
    mixers: dict[str, dict[str, Scalar]] = field(default_factory=dict)
    title: str = field(default="", metadata=NOT_IDENTITY)
    version: str = field(default="", metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        check_name("arch.name", self.name)
        for name in ("aspect_ratio", "window", "mlp_ratio", "head_group"):
            if getattr(self, name) < 1:
                raise ValueError(f"arch.{name} = {getattr(self, name)}: it must be at least 1")
        for name in ("rope_base", "norm_eps", "heads_per_layer"):
            if getattr(self, name) <= 0:
                raise ValueError(f"arch.{name} = {getattr(self, name)}: it must be positive")
        if not self.stack:
            raise ValueError("arch.stack is empty: give it at least one {span: …, tile: […]}")
