"""Gated memory unit: a token reads the memory of an earlier layer through its own gate, without mixing along T.

    Y = (M ⊙ SiLU(X W1ᵀ)) W2        or, normalised,        Y = RMSNorm(M ⊙ SiLU(X W1ᵀ)) W2

Ren et al. 2025 (arXiv 2507.06607), section 2: the norm, one over the whole memory width, is for memories that their
own layer normalises after its gate, those of Mamba-2 and Gated DeltaNet.

Shapes: B batch, T positions, D width, M memory width.
"""

from typing import Any

from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import silu

from archscale.model.cache import Prompt
from archscale.model.layers import Linear, ones, vector
from archscale.model.mixers.base import MIXERS, Mixer, NominalSizes, Place, Shared, StepShared
from archscale.ops.activations import Step
from archscale.ops.gated_rms_norm import gated_rms_norm
from archscale.ops.segments import Segments
from archscale.spec import STRICT, ArchSpec, ScaleSpec


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GatedMemoryUnitConfig:
    """The memory's writer fixes the width."""

    normalized: bool = False


@MIXERS.register("gmu")
class GatedMemoryUnit(Mixer):
    Config = GatedMemoryUnitConfig
    letter = "G"
    reads = frozenset({"memory"})
    looks_back = False

    def __init__(self, config: GatedMemoryUnitConfig, place: Place) -> None:
        super().__init__(config, place)
        memory_width = place.shared_widths["memory"]
        self.gate = Linear(place.width, memory_width)
        self.gain_M = vector(memory_width, ones) if config.normalized else None
        self.output = Linear(memory_width, place.width, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {}

    @classmethod
    def nominal_weights(cls, sizes: NominalSizes) -> float:
        return 2 * sizes.width * sizes.memory

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        return self._read(x_BTD, shared["memory"])

    def prefill(self, x_BTD: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, None]:
        return self._read(x_BTD, shared["memory"]), None

    def step(self, x_BD: Tensor, shared: StepShared, cache: None, position_B: Tensor) -> Tensor:
        memory_BM = shared["memory"]
        assert isinstance(memory_BM, Tensor)
        return self._read(x_BD, memory_BM)

    def flops_per_token(self, length: int) -> float:
        """Gate 1 and, where there is one, norm 4 for each number of the memory."""
        return float(self.gate.weight.shape[0] * (1 if self.gain_M is None else 5))

    def kept_bytes(self, step: Step) -> float:
        memory = self.gate.weight.shape[0]
        gate = step.low * 2 * memory if self.gain_M is None else 4.0 * (memory + 1)
        return step.read(self.place.width) + gate + step.read(memory)

    def _read(self, x: Tensor, memory: Tensor) -> Tensor:
        gate = self.gate(x)
        if self.gain_M is None:
            return self.output(memory * silu(gate))
        place = self.place
        return self.output(gated_rms_norm(memory, gate, self.gain_M, eps=place.norm_eps, backend=place.backend))
