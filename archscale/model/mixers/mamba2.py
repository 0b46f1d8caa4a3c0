"""Mamba-2: a state-space model with one decay per head and token, behind a short convolution, gated and normalised.

    (x, B, C) = SiLU(conv(X W_xBCᵀ))    Δ = softplus(X W_Δᵀ + b)    z = X W_zᵀ
    m = scan(x, Δ, A, B, C) + D x       Y = RMSNorm(m ⊙ SiLU(z)) W_oᵀ, or (RMSNorm(m) ⊙ SiLU(z)) W_oᵀ

m, with the D skip, before gate and norm, is the memory that gated memory units read. Dao & Gu 2024 (arXiv 2405.21060),
section 7 and Figure 6; the norm before the gate is the variant of arXiv 2507.06607, Table 9.

Shapes: B batch, T positions, W width, H heads, P channels of one head, N state size of one channel, D = H · P,
C = D + 2 N channels of the convolution.
"""

from math import ceil
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor
from torch.nn.functional import softplus

from archscale.model.cache import Prompt, RecurrentCache
from archscale.model.layers import Linear, Parameter, ones, uniform, vector
from archscale.model.mixers.base import MIXERS, Place, Shared, check_sizes
from archscale.model.mixers.mamba import log_uniform_steps
from archscale.model.mixers.recurrent import RecurrentMixer, last_inputs
from archscale.ops.activations import Step
from archscale.ops.gated_rms_norm import gated_rms_norm
from archscale.ops.segments import Segments
from archscale.ops.ssd_scan import chunk_tokens, ssd_scan
from archscale.ops.ssd_scan.products import ssd_scan_products
from archscale.spec import STRICT, ArchSpec, ScaleSpec

DECAY_MIN, DECAY_MAX = 1.0, 16.0
# Numbers of a head that Δ, Δ A and its sums are kept as.
STEPS_KEPT = 6


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mamba2Config:
    """There are expand · W / head_dim heads, rounded up to a multiple of `head_multiple`."""

    head_dim: int
    state_size: int
    expand: int = 2
    conv_size: int = 4
    head_multiple: int = 8
    norm: Literal["after_gate", "before_gate"] = "after_gate"

    def __post_init__(self) -> None:
        check_sizes(self)


@MIXERS.register("mamba2")
class Mamba2(RecurrentMixer):
    """Heads and state follow the attention's head size: half of it and all of it, 64 and 128 at the paper's 128.

    A small ladder with small heads thus keeps the proportions of the paper's models.
    """

    Config = Mamba2Config
    letter = "M"

    def __init__(self, config: Mamba2Config, place: Place) -> None:
        super().__init__(config, place)
        size, multiple = config.state_size, config.head_multiple
        self.heads = heads = multiple * ceil(config.expand * place.width / (config.head_dim * multiple))
        self.channels = channels = heads * config.head_dim
        self.split = (channels, size, size)
        self.norm_first = config.norm == "before_gate"
        self.gate = Linear(place.width, channels)
        self.input = Linear(place.width, sum(self.split))
        self.delta = Linear(place.width, heads)
        # As in mamba.py: torch.nn.Conv1d's default for a depthwise kernel.
        bound = config.conv_size**-0.5
        self.conv_weight_CK = Parameter((sum(self.split), config.conv_size), role="vector", own=uniform(bound))
        self.conv_bias_C = vector(sum(self.split), uniform(bound))
        self.step_bias_H = vector(heads, log_uniform_steps)
        self.A_log_H = vector(heads, _log_of_uniform_decays)
        self.skip_H = vector(heads, ones)
        self.gain_D = vector(channels, ones)
        self.output = Linear(channels, place.width, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        return {"head_dim": max(1, scale.head_dim // 2), "state_size": scale.head_dim}

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
        input_BTC = self.input(x_BTW)
        mixed_BTC = self.convolve(input_BTC, self.conv_weight_CK, self.conv_bias_C, segments, before)
        x_BTD, B_BTN, C_BTN = mixed_BTC.split(self.split, dim=-1)
        delta_BTH = softplus(self.delta(x_BTW).to(self.step_bias_H.dtype) + self.step_bias_H)
        if prompt is not None:
            # A step of length zero keeps the state and adds nothing to it.
            delta_BTH = delta_BTH * prompt.valid()[..., None]
        memory_BTHP, state_BHPN = ssd_scan(
            x_BTD.unflatten(-1, (self.heads, -1)),
            delta_BTH,
            -torch.exp(self.A_log_H),
            B_BTN,
            C_BTN,
            self.skip_H,
            segments=segments,
            initial_BHPN=None if before is None else before.state,
            backend=backend,
        )
        memory_BTD = memory_BTHP.flatten(2)
        if "memory" in self.place.writes:
            shared["memory"] = memory_BTD
        y_BTD = gated_rms_norm(
            memory_BTD,
            self.gate(x_BTW),
            self.gain_D,
            eps=self.place.norm_eps,
            norm_first=self.norm_first,
            backend=backend,
        )
        inputs_BKC = last_inputs(input_BTC, self.conv_weight_CK.shape[1] - 1, before, prompt)
        return self.output(y_BTD), RecurrentCache(inputs_BKC, state_BHPN)

    def flops_per_token(self, length: int) -> float:
        """Of the state for a channel: update 3N, readout 2N."""
        return self._flops_around() + self.channels * 5 * self.split[1]

    def chunked_flops_per_token(self, length: int) -> float:
        if length == 1:
            return self.flops_per_token(1)
        sizes = {"heads": self.heads, "channels": self.channels // self.heads, "size": self.split[1]}
        return self._flops_around() + ssd_scan_products(length, **sizes) / length

    def _flops_around(self) -> float:
        """A convolved channel 2K; a head: Δ A 1; a channel: Δ x 1, skip 2, gate 1, norm 4."""
        inputs, taps = self.conv_weight_CK.shape
        return float(inputs * 2 * taps + self.heads + self.channels * 8)

    def kept_bytes(self, step: Step) -> float:
        (inputs, taps), size = self.conv_weight_CK.shape, self.split[1]
        chunk = min(step.length, chunk_tokens(self.channels // self.heads, size))
        # Decays of a chunk before and after B · C; the states before each chunk, one by one and together; Δ x before
        # and after its decay, and the readout of the states. The last chunk is filled up.
        chunked = chunk * (2 * self.heads + 1) + 2 * self.channels * size / chunk + 3 * self.channels
        chunked *= ceil(step.length / chunk) * chunk / step.length
        # The scan's inputs, steps, memory and gate.
        numbers = inputs + chunked + STEPS_KEPT * self.heads + 2 * self.channels + 1
        convolution = self.kept_by_convolution(inputs, taps, step)
        return step.read(self.place.width, 3) + convolution + 4.0 * numbers + step.read(self.channels)

    def cache_bytes(self, tokens: int, low: int) -> int:
        (inputs, taps), size = self.conv_weight_CK.shape, self.split[1]
        return low * (taps - 1) * inputs + 4 * size * self.channels


def _log_of_uniform_decays(tensor: Tensor, generator: Generator) -> None:
    """−A uniform in [1, 16], one per head, as in the authors' code."""
    tensor.uniform_(DECAY_MIN, DECAY_MAX, generator=generator).log_()
