"""Gated DeltaNet: a fading associative memory per head that corrects what it recalls, gated and normalised.

    (q, k, v) = SiLU(conv(X W_qkvᵀ))    q, k ← x / √(Σ x² + 10⁻⁶) per head
    β = 2 σ(X W_βᵀ)    g = −exp(A_log) softplus(X W_gᵀ + b)    m = gated_delta_rule(q, k, v, g, β)    z = X W_zᵀ
    Y = RMSNorm(m ⊙ SiLU(z)) W_oᵀ, or (RMSNorm(m) ⊙ SiLU(z)) W_oᵀ

m, the heads side by side before gate and norm, is the memory that gated memory units read. Yang et al. 2024
(arXiv 2412.06464), section 3; β beyond 1 gives the step the negative eigenvalue 1 − β (Grazzi et al. 2024, arXiv
2411.12537). The norm over all heads after the gate is that of arXiv 2507.06607; before the gate: its Table 9.

Shapes: B batch, T positions, W width, H heads, K key size, V value size of one head, C = H · (2 K + V) channels of the
convolution, M = H · V.
"""

from math import ceil
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor
from torch.nn.functional import softplus

from archscale.model.cache import Prompt, RecurrentCache
from archscale.model.layers import Linear, Parameter, ones, uniform, vector
from archscale.model.mixers.base import MIXERS, NominalSizes, Place, Shared, check_sizes
from archscale.model.mixers.mamba import log_uniform_steps
from archscale.model.mixers.recurrent import RecurrentMixer, last_inputs
from archscale.ops.activations import Step
from archscale.ops.gated_delta_rule import chunk_tokens, gated_delta_rule
from archscale.ops.gated_delta_rule.products import gated_delta_rule_products
from archscale.ops.gated_rms_norm import gated_rms_norm
from archscale.ops.segments import Segments
from archscale.spec import STRICT, ArchSpec, ScaleSpec

UNIT_EPS = 1e-6
KEY_SHARE = 0.75
DECAY_MAX = 16.0
# Numbers of a head that lengths, β and g are kept as.
STEPS_KEPT = 9


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GatedDeltaNetConfig:
    """Values are `value_ratio` times as wide as keys; without `negative_eigenvalues` β = σ(…) stays below 1."""

    num_heads: int
    key_head_dim: int
    value_ratio: int = 2
    conv_size: int = 4
    norm: Literal["after_gate", "before_gate"] = "after_gate"
    negative_eigenvalues: bool = True

    def __post_init__(self) -> None:
        check_sizes(self)


@MIXERS.register("gated_deltanet")
class GatedDeltaNet(RecurrentMixer):
    """Keys take three quarters of the width, in heads of twice the attention's head size: 256 at the paper's 128.

    A small ladder with small heads thus keeps the proportions of the paper's models. The heads are rounded up.
    """

    Config = GatedDeltaNetConfig
    letter = "M"

    def __init__(self, config: GatedDeltaNetConfig, place: Place) -> None:
        super().__init__(config, place)
        self.heads, self.key = heads, key = config.num_heads, config.key_head_dim
        self.value = config.value_ratio * key
        self.beta_max = 2.0 if config.negative_eigenvalues else 1.0
        self.norm_first = config.norm == "before_gate"
        channels, memory = heads * (2 * key + self.value), heads * self.value
        self.query_key_value = Linear(place.width, channels)
        self.gate = Linear(place.width, memory)
        self.beta = Linear(place.width, heads)
        self.decay = Linear(place.width, heads)
        # As in mamba.py: torch.nn.Conv1d's default for a depthwise kernel.
        own = uniform(config.conv_size**-0.5)
        self.conv_weight_CK = Parameter((channels, config.conv_size), role="vector", own=own)
        self.A_log_H = vector(heads, _log_of_uniform_decays)
        self.step_bias_H = vector(heads, log_uniform_steps)
        self.gain_M = vector(memory, ones)
        self.output = Linear(memory, place.width, output=True)

    @classmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        key = 2 * scale.head_dim
        return {"num_heads": max(1, ceil(int(KEY_SHARE * scale.width) / key)), "key_head_dim": key}

    @classmethod
    def nominal_memory(cls, sizes: NominalSizes) -> float:
        return 2 * KEY_SHARE * sizes.width

    def shared_width(self, name: str) -> int:
        return self.heads * self.value

    def mix(
        self,
        x_BTW: Tensor,
        shared: Shared,
        segments: Segments | None,
        before: RecurrentCache | None = None,
        prompt: Prompt | None = None,
    ) -> tuple[Tensor, RecurrentCache]:
        backend, dtype = self.place.backend, self.A_log_H.dtype
        input_BTC = self.query_key_value(x_BTW)
        mixed_BTC = self.convolve(input_BTC, self.conv_weight_CK, None, segments, before)
        keys = 2 * self.heads * self.key
        qk_BTC, v_BTM = mixed_BTC.to(dtype).tensor_split([keys], dim=-1)
        q_BTHK, k_BTHK = _unit(qk_BTC.unflatten(-1, (2 * self.heads, self.key))).chunk(2, dim=2)
        beta_BTH = self.beta_max * torch.sigmoid(self.beta(x_BTW).to(dtype))
        log_decay_BTH = -torch.exp(self.A_log_H) * softplus(self.decay(x_BTW).to(dtype) + self.step_bias_H)
        if prompt is not None:
            # A token that neither fades nor writes leaves the state as it is.
            valid_BT1 = prompt.valid()[..., None]
            beta_BTH, log_decay_BTH = beta_BTH * valid_BT1, log_decay_BTH * valid_BT1
        memory_BTHV, state_BHKV = gated_delta_rule(
            q_BTHK,
            k_BTHK,
            v_BTM.unflatten(-1, (self.heads, self.value)),
            log_decay_BTH,
            beta_BTH,
            segments=segments,
            initial_BHKV=None if before is None else before.state,
            backend=backend,
        )
        memory_BTM = memory_BTHV.flatten(2)
        if "memory" in self.place.writes:
            shared["memory"] = memory_BTM
        y_BTM = gated_rms_norm(
            memory_BTM,
            self.gate(x_BTW),
            self.gain_M,
            eps=self.place.norm_eps,
            norm_first=self.norm_first,
            backend=backend,
        )
        inputs_BKC = last_inputs(input_BTC, self.conv_weight_CK.shape[1] - 1, before, prompt)
        return self.output(y_BTM), RecurrentCache(inputs_BKC, state_BHKV)

    def flops_per_token(self, length: int) -> float:
        """An entry of the state: decay 1, recall 2, write 2, readout 2."""
        return self._flops_around() + self.heads * 7 * self.key * self.value

    def chunked_flops_per_token(self, length: int) -> float:
        if length == 1:
            return self.flops_per_token(1)
        sizes = {"heads": self.heads, "key": self.key, "value": self.value}
        return self._flops_around() + gated_delta_rule_products(length, **sizes) / length

    def _flops_around(self) -> float:
        """A convolved channel 2 · taps.

        A key and its query: length and scaling 3 each, 1/√K 1; a value: correction 2, gate 1, norm 4; a head: β 1, g 2.
        """
        channels, taps = self.conv_weight_CK.shape
        return float(channels * 2 * taps + self.heads * (7 * self.key + 7 * self.value + 3))

    def kept_bytes(self, step: Step) -> float:
        (channels, taps), key, value = self.conv_weight_CK.shape, self.key, self.value
        chunks = ceil(step.length / chunk_tokens(key))
        # Queries and keys at length one and in chunks, β k, corrections; decays, both products of a chunk and the
        # inverse of one; the state before each chunk and after the last.
        rule = 2 * key + 3 * key + value + 4 * step.length / chunks + (chunks + 1) / step.length * key * value
        numbers = channels + self.heads * (rule + STEPS_KEPT) + 2 * self.heads * value + 1
        convolution = self.kept_by_convolution(channels, taps, step)
        return step.read(self.place.width, 4) + convolution + 4.0 * numbers + step.read(self.heads * value)

    def working_bytes(self, step: Step) -> float:
        """Faded queries and keys and the gradients of both, gradients of corrections, of products and of states."""
        chunks, key = ceil(step.length / chunk_tokens(self.key)), self.key
        states = chunks / step.length * key * self.value
        return 4.0 * self.heads * (6 * key + self.value + 4 * step.length / chunks + states + max(2 * key, states))

    def cache_bytes(self, tokens: int, low: int) -> int:
        channels, taps = self.conv_weight_CK.shape
        return low * (taps - 1) * channels + 4 * self.heads * self.key * self.value


def _unit(x_BTHK: Tensor) -> Tensor:
    return x_BTHK * torch.rsqrt(x_BTHK.square().sum(-1, keepdim=True) + UNIT_EPS)


def _log_of_uniform_decays(tensor: Tensor, generator: Generator) -> None:
    """A uniform in (0, 16], one per head, as in the authors' code; `rand` may give 0 but never 1."""
    tensor.copy_(torch.rand(tensor.shape, generator=generator).neg_().add_(1.0).mul_(DECAY_MAX).log_())
