"""Parameters of a model by kind, counted on its real modules on the meta device (no memory, no formula to drift).

    embedding   the token embedding, which is the head too where they are tied
    head        the head of its own, where they are not
    mixer, mlp  of all layers
    norm        the gains outside of mixers and MLPs

Non-embedding counts everything but embedding and head, as in arXiv 2507.06607, section 3.1. Layers that only differ in
their index, or in what they write, are built once: neither changes how large a parameter is.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from archscale.spec import ArchSpec, LayerSpec, ScaleSpec

if TYPE_CHECKING:
    from archscale.model.block import Block
    from archscale.model.layers import Embedding, Linear
    from archscale.model.mixers import Mixer, Place

Value = TypeVar("Value")
# Some more than the cells of the largest studies; an entry takes about a kilobyte.
REMEMBERED = 2**15


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    embedding: int
    head: int
    mixer: int
    mlp: int
    norm: int

    @property
    def non_embedding(self) -> int:
        return self.mixer + self.mlp + self.norm

    @property
    def total(self) -> int:
        return self.embedding + self.head + self.non_embedding


class Remembered(dict[tuple[Any, ...], Value]):
    """A dictionary that forgets its oldest entry beyond `REMEMBERED`."""

    def __setitem__(self, key: tuple[Any, ...], value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > REMEMBERED:
            del self[next(iter(self))]


@dataclass(frozen=True, kw_only=True)
class DistinctLayers:
    """One of each kind of mixer, on the meta device, with how many layers are such; one block, for MLP and norms.

    `stack` has every layer with its mixer, the same module where the kind is the same.
    """

    depth: int
    stack: "tuple[tuple[LayerSpec, Mixer], ...]"
    mixers: "tuple[tuple[Mixer, int], ...]"
    block: "Block"
    embedding: "Embedding"
    head: "Linear | None"


_COUNTS: Remembered[ParameterCount] = Remembered()


def count_parameters(arch: ArchSpec, scale: ScaleSpec, vocab_size: int) -> ParameterCount:
    """
    Raises:
        UserError: where the model cannot be built; see `LanguageModel`.
    """
    key = shape_key(arch, scale, vocab_size)
    if key not in _COUNTS:
        _COUNTS[key] = count_of(distinct_layers(arch, scale, vocab_size))
    return _COUNTS[key]


def remember_count(arch: ArchSpec, scale: ScaleSpec, vocab_size: int, count: ParameterCount) -> None:
    """Spares `count_parameters` to build what a survey has built."""
    _COUNTS[shape_key(arch, scale, vocab_size)] = count


def count_of(layers: DistinctLayers) -> ParameterCount:
    block = layers.block
    return ParameterCount(
        embedding=_size(layers.embedding),
        head=0 if layers.head is None else _size(layers.head),
        mixer=sum(number * _size(mixer) for mixer, number in layers.mixers),
        mlp=layers.depth * _size(block.mlp),
        norm=layers.depth * (_size(block.mixer_norm) + _size(block.mlp_norm)) + _size(block.mixer_norm),
    )


# The last answer alone: a plan asks about parameters, FLOPs and memory of one shape after the other.
_LAYERS: dict[tuple[Any, ...], DistinctLayers] = {}


def distinct_layers(arch: ArchSpec, scale: ScaleSpec, vocab_size: int) -> DistinctLayers:
    """
    Raises:
        UserError: where the model cannot be built; see `LanguageModel`.
    """
    key = shape_key(arch, scale, vocab_size)
    if key not in _LAYERS:
        layers = _distinct_layers(arch, scale, vocab_size)
        _LAYERS.clear()
        _LAYERS[key] = layers
    return _LAYERS[key]


def _distinct_layers(arch: ArchSpec, scale: ScaleSpec, vocab_size: int) -> DistinctLayers:
    import torch

    from archscale.model.block import Block
    from archscale.model.layers import Embedding, Linear
    from archscale.model.mixers import Place, build_mixer
    from archscale.model.placing import checked_layers, place_mixers

    built: dict[tuple[Any, ...], Mixer] = {}
    numbers: Counter[tuple[Any, ...]] = Counter()

    def build(layer: LayerSpec, place: "Place", arch: ArchSpec, scale: ScaleSpec) -> "Mixer":
        # All of a place but what changes no shape: see Place.
        key = (layer.mixer, _items(layer.options), *place.shared_widths.items(), place.kv_head_dim)
        numbers[key] += 1
        if key not in built:
            built[key] = build_mixer(layer, place, arch, scale)
        return built[key]

    layers = checked_layers(arch, scale.depth)
    with torch.device("meta"):
        mixers = list(place_mixers(arch, scale, layers, Place(layer=0, width=scale.width), build))
        return DistinctLayers(
            depth=scale.depth,
            stack=tuple(zip(layers, mixers, strict=True)),
            mixers=tuple((built[key], number) for key, number in numbers.items()),
            block=Block(mixers[0], arch, width=scale.width, residual=1.0, mlp_writes=frozenset()),
            embedding=Embedding(vocab_size, scale.width),
            head=None if arch.tie_embeddings else Linear(scale.width, vocab_size, role="unembedding"),
        )


def shape_key(arch: ArchSpec, scale: ScaleSpec, *rest: int) -> tuple[Any, ...]:
    """Equal for what gives equal models."""
    return _arch_number(arch), *vars(scale).values(), *rest


_ARCH_NUMBERS: Remembered[int] = Remembered()
# The architecture itself beside its number, so that no other one can have its id.
_NUMBERED: Remembered[tuple[ArchSpec, int]] = Remembered()
_NEXT_NUMBER = itertools.count()


def _arch_number(arch: ArchSpec) -> int:
    """Short for all fields of an architecture, whose dictionaries have no hash."""
    known = _NUMBERED.get((id(arch),))
    if known is None or known[0] is not arch:
        known = _NUMBERED[(id(arch),)] = arch, _number_of(arch)
    return known[1]


def _number_of(arch: ArchSpec) -> int:
    fields = {**vars(arch), "stack": None, "mixers": None, "title": None}
    stack = tuple(
        (span.span, *((layer.mixer, layer.write, layer.mlp_write, _items(layer.options)) for layer in span.tile))
        for span in arch.stack
    )
    key = (*fields.values(), stack, *((name, _items(options)) for name, options in arch.mixers.items()))
    if key not in _ARCH_NUMBERS:
        _ARCH_NUMBERS[key] = next(_NEXT_NUMBER)
    return _ARCH_NUMBERS[key]


def _items(options: dict[str, Any]) -> tuple[Any, ...]:
    # 1, 1.0 and True are equal, but not all of them are allowed.
    return tuple((name, type(value), value) for name, value in options.items())


def _size(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
