"""What a token mixer is: a module that mixes along T, and declares the shared tensors it reads and may write.

    shared = {"memory": m_BTD, "kv": kv_BT2GK}        written by one layer, read by later ones

To add a mixer: one file with a frozen `Config` and a class registered in `MIXERS`, imported in mixers/__init__.py.

Shapes: B batch, T positions, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from archscale.ops.backend import Backend
from archscale.ops.segments import Segments
from archscale.registry import Registry, UserError
from archscale.spec import ArchSpec, LayerSpec, ScaleSpec, from_mapping

Shared = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the stack a mixer stands, and what it finds there."""

    layer: int
    width: int
    writes: frozenset[str] = frozenset()
    # Sizes of the shared tensors written so far, as their writers declare them.
    shared_widths: Mapping[str, int] = field(default_factory=dict)
    norm_eps: float = 1e-5
    backend: Backend = "auto"


class Mixer(nn.Module, ABC):
    """Subclasses set `Config` to a frozen, strict pydantic dataclass, and `letter` for the diagram of a stack."""

    Config: ClassVar[type]
    letter: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: Any, place: Place) -> None:
        super().__init__()
        self.place = place

    @classmethod
    @abstractmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        """Config values that follow from the architecture and the scale; options in the YAML win over them."""

    @abstractmethod
    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        """Returns y_BTD, having put every tensor of `place.writes` into `shared`."""

    def shared_width(self, name: str) -> int:
        """Size per token of a tensor this mixer writes."""
        raise TypeError(f"{type(self).__name__} writes {name!r} and must declare its size")


MIXERS: Registry[type[Mixer]] = Registry("mixer")


def build_mixer(layer: LayerSpec, place: Place, arch: ArchSpec, scale: ScaleSpec) -> Mixer:
    """
    Raises:
        UserError: for an unknown option (with the near name), a wrong type or an impossible value.
    """
    kind = MIXERS[layer.mixer]
    values = {**kind.defaults(arch, scale), **arch.mixers.get(layer.mixer, {}), **layer.options}
    where = f"arch {arch.name}, layer {place.layer}, mixer {layer.mixer}"
    config: Any = from_mapping(kind.Config, values, where=where)
    try:
        return kind(config, place)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
