"""One layer: pre-norm mixer, then pre-norm SwiGLU, each on a scaled residual branch.

    x ← x + m · mixer(norm(x))        x ← x + m · mlp(norm(x))

m is the parametrization's residual multiplier, 1/√(2·depth) under μP++ (arXiv 2507.06607, Table 6).

The MLP's linear half can serve as the memory of later layers (SambaY-MLP, arXiv 2507.06607, section 4).

Shapes: B batch, T positions, D width.
"""

from collections.abc import MutableMapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from archscale.model.cache import MixerCache, Prompt
from archscale.model.layers import NORMS, SwiGLU
from archscale.model.mixers.base import Mixer, Shared, StepShared
from archscale.ops.activations import Step
from archscale.ops.segments import Segments
from archscale.spec import ArchSpec

MLP_WRITES = frozenset({"memory"})


class Block(nn.Module):
    def __init__(
        self, mixer: Mixer, arch: ArchSpec, *, width: int, residual: float, mlp_writes: frozenset[str]
    ) -> None:
        super().__init__()
        norm = NORMS[arch.norm]
        self.residual, self.mlp_writes = residual, mlp_writes
        self.mixer_norm = norm(width, arch.norm_eps)
        self.mixer = mixer
        self.mlp_norm = norm(width, arch.norm_eps)
        self.mlp = SwiGLU(width, arch.mlp_ratio * width)

    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        return self._finish(x_BTD, self.mixer(self.mixer_norm(x_BTD), shared, segments), shared)

    def recomputed(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        """As `forward`, but of what the way back needs only the block's inputs and what it writes are kept."""
        reads, writes = sorted(self.mixer.reads), sorted(self.mixer.place.writes | self.mlp_writes)

        # A second run must find `shared` as the first one did, and write into none that later blocks read.
        def run(x_BTD: Tensor, *read: Tensor) -> tuple[Tensor, ...]:
            own = dict(zip(reads, read, strict=True))
            return self(x_BTD, own, segments), *(own[name] for name in writes)

        # Nothing in a block is random.
        y_BTD, *written = checkpoint(
            run, x_BTD, *(shared[name] for name in reads), use_reentrant=False, preserve_rng_state=False
        )
        shared |= dict(zip(writes, written, strict=True))
        return cast("Tensor", y_BTD)

    def prefill(self, x_BTD: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, MixerCache | None]:
        """As `Mixer.prefill`."""
        mixed_BTD, cache = self.mixer.prefill(self.mixer_norm(x_BTD), shared, prompt)
        return self._finish(x_BTD, mixed_BTD, shared), cache

    def absorb(self, x_BTD: Tensor, prompt: Prompt) -> MixerCache | None:
        """As `Mixer.absorb`."""
        return self.mixer.absorb(self.mixer_norm(x_BTD), prompt)

    def step(self, x_BD: Tensor, shared: StepShared, cache: MixerCache | None, position_B: Tensor) -> Tensor:
        """As `Mixer.step`."""
        return self._finish(x_BD, self.mixer.step(self.mixer_norm(x_BD), shared, cache, position_B), shared)

    def _finish(self, x: Tensor, mixed: Tensor, shared: MutableMapping[str, Any]) -> Tensor:
        x = torch.add(x, mixed, alpha=self.residual)
        y, linear = self.mlp(self.mlp_norm(x))
        if "memory" in self.mlp_writes:
            shared["memory"] = linear
        return torch.add(x, y, alpha=self.residual)


def norm_kept_bytes(arch: ArchSpec, width: int, step: Step) -> float:
    """Bytes per token that a norm keeps for the way back, without its output."""
    # On a CPU RMSNorm is not fused, and keeps what it multiplies with the gain.
    numbers = {"rms": width + 1 if step.cuda else 2 * width + 1, "layer": width + 2}
    return 4.0 * numbers[arch.norm]


def mlp_kept_bytes(arch: ArchSpec, width: int, step: Step) -> float:
    """Of the SwiGLU: its input, both projections, the gate after SiLU, and the product."""
    return step.read(width, 2) + step.low * 4.0 * arch.mlp_ratio * width
