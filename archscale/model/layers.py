"""Parameters that know their role, and the modules every mixer is made of.

A role (embedding, unembedding, hidden, vector) is given where a parameter is created; the parametrization turns it
into init, learning rate and weight decay (arXiv 2507.06607, Table 6). Parameters start empty: initialize.py fills them.

Shapes: B batch, T positions, D width.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from archscale.parametrizations import Role

Scheme = Callable[[Tensor, Generator], Any]


class Parameter(nn.Parameter):
    """`own` fills the tensor in place; where it is set it is used under every parametrization.

    `output` marks a matrix whose product joins the residual stream.
    """

    role: Role
    fan_in: int | None
    own: Scheme | None
    output: bool

    def __new__(
        cls,
        shape: tuple[int, ...],
        *,
        role: Role,
        fan_in: int | None = None,
        own: Scheme | None = None,
        output: bool = False,
    ) -> "Parameter":
        if role == "hidden" and fan_in is None:
            raise ValueError("a hidden parameter needs its fan_in")
        parameter = super().__new__(cls, torch.empty(shape))
        parameter.role, parameter.fan_in, parameter.own, parameter.output = role, fan_in, own, output
        return parameter

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        # nn.Parameter would call the class with the tensor and lose the role.
        if id(self) not in memo:
            copy = nn.Parameter.__new__(type(self), self.detach().clone(), self.requires_grad)
            copy.role, copy.fan_in, copy.own, copy.output = self.role, self.fan_in, self.own, self.output
            memo[id(self)] = copy
        found: Parameter = memo[id(self)]
        return found


def vector(size: int, own: Scheme) -> Parameter:
    return Parameter((size,), role="vector", own=own)


def ones(tensor: Tensor, _: Generator) -> None:
    tensor.fill_(1.0)


def zeros(tensor: Tensor, _: Generator) -> None:
    tensor.zero_()


def uniform(bound: float) -> Scheme:
    return lambda tensor, generator: tensor.uniform_(-bound, bound, generator=generator)


class Linear(nn.Module):
    """y = x Wᵀ + b; W has shape (outputs, inputs), and b, where there is one, starts at zero.

    Recurrences return float32: in a model of another dtype without autocast x is cast to that of W.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        role: Role = "hidden",
        own: Scheme | None = None,
        bias: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__()
        self.weight = Parameter((outputs, inputs), role=role, fan_in=inputs, own=own, output=output)
        self.bias = vector(outputs, zeros) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != self.weight.dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.weight.dtype)
        return functional.linear(x, self.weight, self.bias)


class Embedding(nn.Module):
    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.weight = Parameter((vocab_size, width), role="embedding")

    def forward(self, tokens_BT: Tensor) -> Tensor:
        return functional.embedding(tokens_BT, self.weight)


class RMSNorm(nn.Module):
    """y = x / √(mean(x²) + ε) ⊙ gain, computed in the dtype of the gain, float32. Zhang & Sennrich 2019."""

    # Square, mean, scale, gain.
    flops_per_number: ClassVar[int] = 4

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.gain = vector(width, ones)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.to(self.gain.dtype), self.gain.shape, self.gain, self.eps)


class LayerNorm(nn.Module):
    """y = (x − mean(x)) / √(var(x) + ε) ⊙ gain + shift, in the dtype of the gain. Ba et al. 2016 (arXiv 1607.06450)."""

    # Mean, difference, square, variance, scale, gain, shift.
    flops_per_number: ClassVar[int] = 7

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.gain, self.shift = vector(width, ones), vector(width, zeros)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x.to(self.gain.dtype), self.gain.shape, self.gain, self.shift, self.eps)


NORMS: dict[str, type[RMSNorm | LayerNorm]] = {"rms": RMSNorm, "layer": LayerNorm}


class SwiGLU(nn.Module):
    """y = (x W_upᵀ ⊙ SiLU(x W_gateᵀ)) W_downᵀ. Shazeer 2020 (arXiv 2002.05202), equation 6."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        # Two matrices rather than one split in half: the halves' gradients would be copied together again.
        self.gate = Linear(width, inner)
        self.up = Linear(width, inner)
        self.down = Linear(inner, width, output=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y, and the linear half x W_upᵀ, which a later layer may read as its memory."""
        linear = self.up(x)
        return self.down(functional.silu(self.gate(x)) * linear), linear
