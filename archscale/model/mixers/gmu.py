"""Gated memory unit: a token reads the memory of an earlier layer through its own gate, without mixing along T.

    Y = (M ⊙ SiLU(X W1ᵀ)) W2

Ren et al. 2025 (arXiv 2507.06607), section 2.

Shapes: B batch, T positions, D width, M memory width.
"""

from typing import Any

from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import silu

from archscale.model.layers import Linear
from archscale.model.mixers.base import MIXERS, Mixer, Place, Shared
from archscale.ops.segments import Segments
from archscale.spec import STRICT, ArchSpec, ScaleSpec


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GatedMemoryUnitConfig:
    """Nothing to choose: the memory's writer fixes its width."""


@MIXERS.register("gmu")
class GatedMemoryUnit(Mixer):
    Config = GatedMemoryUnitConfig
    letter = "G"
    reads = frozenset({"memory"})

    def __init__(self, config: GatedMemoryUnitConfig, place: Place) -> None:
        super().__init__(config, place)
        memory_width = place.shared_widths["memory"]
        self.gate = Linear(place.width, memory_width)
        self.output = Linear(memory_width, place.width)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {}

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        return self.output(shared["memory"] * silu(self.gate(x_BTD)))
