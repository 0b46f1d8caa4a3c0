"""What a model is made of: its parameters by kind, and the FLOPs of one forward pass by kind.

    FLOPs of a token = 2 · weights of Linear layers + what mixers do beside them + gates, norms, residuals + 2 · V · D

One multiplication or addition is one FLOP; functions such as exp or SiLU, the look-up of an embedding, rotary positions
and the loss take none. A token of attention sees what its mask lets it see, averaged over a sequence read as one text.
Every mixer has its own formula, `Mixer.flops_per_token`; the widths are those of the real modules (count.py).
"""

from dataclasses import dataclass
from typing import Any

from archscale.scaling.count import (
    DistinctLayers,
    ParameterCount,
    Remembered,
    count_of,
    distinct_layers,
    remember_count,
    shape_key,
)
from archscale.spec import ArchSpec, ScaleSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardFlops:
    """Of one token. `norm` are the norms outside of mixers, with the residual additions."""

    mixer: float
    mlp: float
    norm: float
    head: float

    @property
    def total(self) -> float:
        return self.mixer + self.mlp + self.norm + self.head


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """`forward` counts recurrences as they are defined, token after token; `chunked_mixer` is its mixer part where
    they run in chunks, as they do here. `attention` is the part of it that is scores and weighted values.
    """

    sequence_length: int
    parameters: ParameterCount
    forward: ForwardFlops
    chunked_mixer: float
    attention: float


_SURVEYS: Remembered[Survey] = Remembered()


def survey(arch: ArchSpec, scale: ScaleSpec, vocab_size: int, sequence_length: int) -> Survey:
    """
    Raises:
        UserError: where the model cannot be built; see `LanguageModel`.
    """
    key = shape_key(arch, scale, vocab_size, sequence_length)
    if key not in _SURVEYS:
        layers = distinct_layers(arch, scale, vocab_size)
        _SURVEYS[key] = _survey(layers, sequence_length)
        remember_count(arch, scale, vocab_size, _SURVEYS[key].parameters)
    return _SURVEYS[key]


def _survey(layers: DistinctLayers, length: int) -> Survey:
    linear = own = chunked = attention = 0.0
    for mixer, number in layers.mixers:
        linear += number * _linear(mixer)
        own += number * mixer.flops_per_token(length)
        chunked += number * mixer.chunked_flops_per_token(length)
        attention += number * mixer.attention_flops_per_token(length)
    block, width = layers.block, layers.embedding.weight.shape[1]
    # A block scales and adds two branches; the last norm is followed by the logits' multiplier.
    norms = layers.depth * 2 * (block.mixer_norm.flops_per_number + 2) + block.mixer_norm.flops_per_number + 1
    head = layers.embedding if layers.head is None else layers.head
    return Survey(
        sequence_length=length,
        parameters=count_of(layers),
        forward=ForwardFlops(
            mixer=linear + own,
            mlp=float(layers.depth * (_linear(block.mlp) + block.mlp.up.weight.shape[0])),
            norm=float(norms * width),
            head=2.0 * head.weight.numel(),
        ),
        chunked_mixer=linear + chunked,
        attention=attention,
    )


def _linear(module: Any) -> float:
    """2 a weight, 1 a bias: every Linear meets every token once."""
    from archscale.model.layers import Linear

    inner = [part for part in module.modules() if isinstance(part, Linear)]
    return float(sum(2 * part.weight.numel() + (0 if part.bias is None else part.bias.numel()) for part in inner))
