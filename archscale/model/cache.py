"""What a model keeps between the steps of a generation: keys and values, convolution inputs, recurrent states.

    full attention     every key and value so far, in a buffer that doubles when it is full
    window             a ring of `window` slots; position p lies in slot p mod window
    recurrent mixers   the last K − 1 inputs of the convolution, and one state
    gated memory unit, cross-attention    nothing: they read what the step's earlier layers give them

A decoder-decoder model therefore holds the keys and values of one full attention, however many layers read them
(arXiv 2507.06607, section 2; YOCO, arXiv 2405.05254).

Shapes: B batch, T positions, S slots, G key/value heads, K head size, C convolution channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prompt:
    """Which tokens of a right-padded (B, T) batch are real: the first `lengths_B[b]` of row b."""

    lengths_B: Tensor  # noqa: N815
    size: int

    def valid(self) -> Tensor:
        """(B, T), True for real tokens."""
        return torch.arange(self.size, device=self.lengths_B.device) < self.lengths_B[:, None]

    def last(self, x_BTD: Tensor) -> Tensor:
        """x_BD at the last real token of each row."""
        return x_BTD[torch.arange(len(x_BTD), device=x_BTD.device), self.lengths_B - 1]

    def tail(self, x_BTC: Tensor, count: int) -> Tensor:
        """(B, count, C): the last `count` real entries of each row, zeros where there are fewer."""
        position_BK = self.lengths_B[:, None] - count + torch.arange(count, device=x_BTC.device)
        return _at(x_BTC, position_BK)

    def shortened(self) -> "Prompt":
        """The prompt without each row's last real token."""
        return Prompt(self.lengths_B - 1, self.size)


@dataclass
class RecurrentCache:
    inputs_BKC: Tensor  # noqa: N815
    state: Tensor

    def tensors(self) -> list[Tensor]:
        return [self.inputs_BKC, self.state]


@dataclass
class KeyValueCache:
    """`window` None keeps everything; slots that hold nothing yet are told apart by `valid`."""

    kv_BS2GK: Tensor  # noqa: N815
    window: int | None

    @classmethod
    def of_prompt(cls, kv_BT2GK: Tensor, prompt: Prompt, window: int | None) -> "KeyValueCache":
        if window is None:
            return cls(kv_BT2GK, None)
        slot_W = torch.arange(window, device=kv_BT2GK.device)
        last_B1 = prompt.lengths_B[:, None] - 1
        # The newest position p < length with p mod window = slot; negative where there is none.
        return cls(_at(kv_BT2GK, last_B1 - (last_B1 - slot_W) % window), window)

    def append(self, kv_B2GK: Tensor, position_B: Tensor) -> None:
        """Puts the keys and values of one token per row in place, over the oldest of a full window."""
        slots = self.kv_BS2GK.shape[1]
        slot_B = position_B if self.window is None else position_B % self.window
        if self.window is None and int(position_B.max()) >= slots:
            more = torch.zeros_like(self.kv_BS2GK[:, :1]).expand(-1, max(slots, 16), -1, -1, -1)
            self.kv_BS2GK = torch.cat([self.kv_BS2GK, more], 1)
        self.kv_BS2GK[torch.arange(len(slot_B), device=slot_B.device), slot_B] = kv_B2GK.to(self.kv_BS2GK.dtype)

    def valid(self, position_B: Tensor) -> Tensor:
        """(B, S), True for slots that hold a token once the token at `position_B` has been appended."""
        return torch.arange(self.kv_BS2GK.shape[1], device=position_B.device) <= position_B[:, None]

    def tensors(self) -> list[Tensor]:
        return [self.kv_BS2GK]


MixerCache = RecurrentCache | KeyValueCache


@dataclass
class Cache:
    """One entry per layer, None where a layer keeps nothing; `lengths_B` tokens have been read so far."""

    layers: list[MixerCache | None]
    lengths_B: Tensor  # noqa: N815

    def bytes(self) -> int:
        tensors = [tensor for layer in self.layers if layer is not None for tensor in layer.tensors()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _at(x_BTX: Tensor, position_BK: Tensor) -> Tensor:
    """x[b, position[b, k]] as (B, K, …), zeros for negative positions."""
    row_B1 = torch.arange(len(x_BTX), device=x_BTX.device)[:, None]
    taken = x_BTX[row_B1, position_BK.clamp(min=0)]
    return taken * (position_BK >= 0).to(taken.dtype).reshape(*position_BK.shape, *[1] * (x_BTX.ndim - 2))
