"""Mixers whose past fits into one state: a short causal convolution, then a linear recurrence.

    training    mix(x, nothing before)
    prompt      mix(x, nothing before), padded tokens leaving the state as it is
    one step    mix(x of one token, the cache)

Shapes: B batch, T positions, W width, K taps of the convolution, C its channels.
"""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import pad, silu

from archscale.model.cache import Prompt, RecurrentCache
from archscale.model.mixers.base import Mixer, NominalSizes, Shared, StepShared
from archscale.ops.activations import Step
from archscale.ops.causal_conv import causal_conv
from archscale.ops.segments import Segments


class RecurrentMixer(Mixer):
    writes = frozenset({"memory"})

    @classmethod
    def nominal_weights(cls, sizes: NominalSizes) -> float:
        """The paper counts every recurrence alike, with channels twice as wide as the model."""
        return 6 * sizes.width**2

    @classmethod
    def nominal_memory(cls, sizes: NominalSizes) -> float:
        return 2 * sizes.width

    @abstractmethod
    def mix(
        self,
        x_BTW: Tensor,
        shared: Shared,
        segments: Segments | None,
        before: RecurrentCache | None = None,
        prompt: Prompt | None = None,
    ) -> tuple[Tensor, RecurrentCache]:
        """y_BTW, and the cache after the last token, or after each row's last real token where there is a prompt."""

    def convolve(
        self,
        x_BTC: Tensor,
        weight_CK: Tensor,
        bias_C: Tensor | None,
        segments: Segments | None,
        before: RecurrentCache | None,
    ) -> Tensor:
        """SiLU(conv(x)), going on from the cached inputs where there are any."""
        inputs_BKC = None if before is None else before.inputs_BKC
        backend = self.place.backend
        return silu(causal_conv(x_BTC, weight_CK, bias_C, segments=segments, before_BKD=inputs_BKC, backend=backend))

    def kept_by_convolution(self, channels: int, taps: int, step: Step) -> float:
        """Bytes a token: its input and output, and with documents a mask for every tap that looks back."""
        return step.low * (2 * channels + ((taps - 1) if step.documents else 0))

    def forward(self, x_BTW: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        return self.mix(x_BTW, shared, segments)[0]

    def prefill(self, x_BTW: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, RecurrentCache]:
        return self.mix(x_BTW, shared, None, prompt=prompt)

    def step(self, x_BW: Tensor, shared: StepShared, cache: RecurrentCache, position_B: Tensor) -> Tensor:
        written: Shared = {}
        y_B1W, after = self.mix(x_BW[:, None], written, None, before=cache)
        cache.inputs_BKC, cache.state = after.inputs_BKC, after.state
        shared |= {name: tensor_B1D[:, 0] for name, tensor_B1D in written.items()}
        return y_B1W[:, 0]


def last_inputs(x_BTC: Tensor, count: int, before: RecurrentCache | None, prompt: Prompt | None) -> Tensor:
    """(B, count, C): what the convolution sees before the next token, zeros before the first one."""
    if prompt is not None:
        return prompt.tail(x_BTC, count)
    if before is not None:
        x_BTC = torch.cat([before.inputs_BKC.to(x_BTC.dtype), x_BTC], 1)
    absent = max(0, count - x_BTC.shape[1])
    return pad(x_BTC[:, max(0, x_BTC.shape[1] - count) :], (0, 0, absent, 0))
