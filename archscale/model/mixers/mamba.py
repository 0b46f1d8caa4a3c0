"""Mamba-1: a selective state-space model behind a short convolution, gated by a second branch.

    x = SiLU(conv(X W_xᵀ))    (δ, B, C) = x W_δBCᵀ    Δ = softplus(δ W_Δᵀ + b)
    m = scan(x, Δ, A, B, C) + D ⊙ x                    Y = (m ⊙ SiLU(X W_zᵀ)) W_oᵀ

m, with the D skip and before the gate, is the memory that gated memory units read. Gu & Dao 2023 (arXiv 2312.00752),
section 3.4 and Appendix; A = −(1 … N) per channel is their S4D-real initialisation.

Shapes: B batch, T positions, W width, D = expand · W channels, N state size, R rank of Δ.
"""

from math import ceil, log
from typing import Any

import torch
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor
from torch.nn.functional import silu, softplus

from archscale.model.cache import Prompt, RecurrentCache
from archscale.model.layers import Linear, Parameter, ones, uniform, vector
from archscale.model.mixers.base import MIXERS, Place, Shared, check_sizes
from archscale.model.mixers.recurrent import RecurrentMixer, last_inputs
from archscale.ops.activations import Step
from archscale.ops.segments import Segments
from archscale.ops.selective_scan import CHUNK_TOKENS, selective_scan
from archscale.spec import STRICT, ArchSpec, ScaleSpec

STEP_MIN, STEP_MAX, STEP_FLOOR = 1e-3, 0.1, 1e-4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MambaConfig:
    step_rank: int
    expand: int = 2
    state_size: int = 16
    conv_size: int = 4

    def __post_init__(self) -> None:
        check_sizes(self)


@MIXERS.register("mamba")
class Mamba(RecurrentMixer):
    Config = MambaConfig
    letter = "M"

    def __init__(self, config: MambaConfig, place: Place) -> None:
        super().__init__(config, place)
        rank, size = config.step_rank, config.state_size
        self.channels = channels = config.expand * place.width
        self.split = (rank, size, size)
        self.input = Linear(place.width, channels)
        self.gate = Linear(place.width, channels)
        # The default of torch.nn.Conv1d for a depthwise kernel, which the authors' code keeps: fan-in is the kernel.
        bound = config.conv_size**-0.5
        self.conv_weight_DK = Parameter((channels, config.conv_size), role="vector", own=uniform(bound))
        self.conv_bias_D = vector(channels, uniform(bound))
        self.select = Linear(channels, rank + 2 * size)
        # ± rank^-½ keeps the variance of Δ at every width, whatever rule the other hidden matrices follow.
        self.delta = Linear(rank, channels, own=uniform(rank**-0.5))
        self.step_bias_D = vector(channels, log_uniform_steps)
        self.A_log_DN = Parameter((channels, size), role="vector", own=_s4d_real)
        self.skip_D = vector(channels, ones)
        self.output = Linear(channels, place.width, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {"step_rank": ceil(scale.width / 16)}

    def shared_width(self, name: str) -> int:
        return self.channels

    def mix(
        self,
        x_BTW: Tensor,
        shared: Shared,
        segments: Segments | None,
        before: RecurrentCache | None = None,
        prompt: Prompt | None = None,
    ) -> tuple[Tensor, RecurrentCache]:
        backend = self.place.backend
        input_BTD = self.input(x_BTW)
        x_BTD = self.convolve(input_BTD, self.conv_weight_DK, self.conv_bias_D, segments, before)
        step_BTR, B_BTN, C_BTN = self.select(x_BTD).split(self.split, dim=-1)
        delta_BTD = softplus(self.delta(step_BTR).to(self.step_bias_D.dtype) + self.step_bias_D)
        if prompt is not None:
            # A step of length zero keeps the state and adds nothing to it.
            delta_BTD = delta_BTD * prompt.valid()[..., None]
        memory_BTD, state_BDN = selective_scan(
            x_BTD,
            delta_BTD,
            -torch.exp(self.A_log_DN),
            B_BTN,
            C_BTN,
            self.skip_D,
            segments=segments,
            initial_BDN=None if before is None else before.state,
            backend=backend,
        )
        if "memory" in self.place.writes:
            shared["memory"] = memory_BTD
        inputs_BKD = last_inputs(input_BTD, self.conv_weight_DK.shape[1] - 1, before, prompt)
        return self.output(memory_BTD * silu(self.gate(x_BTW))), RecurrentCache(inputs_BKD, state_BDN)

    def flops_per_token(self, length: int) -> float:
        """A channel: convolution 2K, Δ A N, Δ x 1, state 3N, readout 2N, skip 2, gate 1."""
        taps, size = self.conv_weight_DK.shape[1], self.A_log_DN.shape[1]
        return float(self.channels * (2 * taps + 6 * size + 4))

    def kept_bytes(self, step: Step) -> float:
        (channels, taps), (rank, size, _) = self.conv_weight_DK.shape, self.split
        # x for `select` and the scan, whose plain form keeps a copy in another order.
        x = step.low * channels + (step.raised(channels) if step.compiled and not step.cuda else 4.0 * channels)
        selected = step.low * (rank + 2 * size) + 4.0 * 2 * size
        # Before and after softplus; the state before each chunk; the memory.
        scan = 4.0 * channels * (2 + size / CHUNK_TOKENS + 1)
        gate = step.low * 2 * channels + step.read(channels)
        convolution = self.kept_by_convolution(channels, taps, step)
        return step.read(self.place.width, 2) + convolution + x + selected + scan + gate

    def cache_bytes(self, tokens: int, low: int) -> int:
        (channels, taps), size = self.conv_weight_DK.shape, self.split[1]
        return low * (taps - 1) * channels + 4 * size * channels


def log_uniform_steps(tensor: Tensor, generator: Generator) -> None:
    """b with softplus(b) log-uniform in [1e-3, 0.1]; the inverse of softplus is y + log(1 − e^-y)."""
    step = torch.rand(tensor.shape, generator=generator).mul_(log(STEP_MAX) - log(STEP_MIN)).add_(log(STEP_MIN))
    step = step.exp_().clamp_(min=STEP_FLOOR)
    tensor.copy_(step + torch.log(-torch.expm1(-step)))


def _s4d_real(tensor: Tensor, _: Generator) -> None:
    tensor.copy_(torch.arange(1.0, tensor.shape[1] + 1).log().expand_as(tensor))
