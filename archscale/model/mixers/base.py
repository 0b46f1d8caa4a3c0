"""What a token mixer is: a module that mixes along T, and declares the shared tensors it reads and may write.

    shared = {"memory": m_BTD, "kv": kv_BT2GK}        written by one layer, read by later ones

Three ways to run one: `forward` over whole sequences in training; `prefill` over a prompt, which also returns what the
generation goes on from; `step` for one more token. While generating, `shared` holds the step's memory m_BD, and under
"kv" the writer's KeyValueCache.

To add a mixer: one file with a frozen `Config` and a class registered in `MIXERS`, imported in mixers/__init__.py.

Shapes: B batch, T positions, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor, nn

from archscale.model.cache import KeyValueCache, MixerCache, Prompt
from archscale.ops.activations import Step
from archscale.ops.backend import Backend
from archscale.ops.segments import Segments
from archscale.registry import Registry, UserError
from archscale.spec import ArchSpec, LayerSpec, ScaleSpec, from_mapping

Shared = dict[str, Tensor]
StepShared = dict[str, Tensor | KeyValueCache]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the stack a mixer stands, and what it finds there.

    No shape of a parameter, and no number of FLOPs, depends on `layer` or `writes`: like layers are counted as one.
    """

    layer: int
    width: int
    writes: frozenset[str] = frozenset()
    # Sizes of the shared tensors written so far, as their writers declare them.
    shared_widths: Mapping[str, int] = field(default_factory=dict)
    # Head size of the shared keys and values; None before their writer.
    kv_head_dim: int | None = None
    norm_eps: float = 1e-5
    # The parametrization's factor on the scores of attention, beside 1/√K.
    score_factor: float = 1.0
    backend: Backend = "auto"


@dataclass(frozen=True, kw_only=True)
class NominalSizes:
    """Widths of the model, of all query heads together, of the memory; and query heads of one key/value head."""

    width: float
    attention: float
    head_group: float
    memory: float = 0.0


class Mixer(nn.Module, ABC):
    """Subclasses set `Config` to a frozen, strict pydantic dataclass, and `letter` for the diagram of a stack."""

    Config: ClassVar[type]
    letter: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()
    # Whether an output depends on this layer's own input at earlier positions. Layers that reach back only through
    # shared tensors need no input but the last token's while a prompt is read.
    looks_back: ClassVar[bool] = True
    # Key/value heads that the scale's defaults give are a multiple of this.
    kv_head_multiple: ClassVar[int] = 1
    # Head size of the keys and values it shares, for a mixer that may write kv.
    kv_head_dim: int | None = None

    def __init__(self, config: Any, place: Place) -> None:
        super().__init__()
        self.place = place

    @classmethod
    @abstractmethod
    def defaults(cls, arch: ArchSpec, scale: ScaleSpec) -> dict[str, Any]:
        """Config values that follow from the architecture and the scale; options in the YAML win over them."""

    @abstractmethod
    def forward(self, x_BTD: Tensor, shared: Shared, segments: Segments | None) -> Tensor:
        """Returns y_BTD, having put every tensor of `place.writes` into `shared`."""

    @abstractmethod
    def prefill(self, x_BTD: Tensor, shared: Shared, prompt: Prompt) -> tuple[Tensor, MixerCache | None]:
        """y_BTD, correct at real tokens, and the cache after each row's last real token; writes `shared` as forward."""

    def absorb(self, x_BTD: Tensor, prompt: Prompt) -> MixerCache | None:
        """The cache of `prefill` alone, for the layer whose outputs nobody reads; rows may be empty."""
        return self.prefill(x_BTD, {}, prompt)[1]

    @abstractmethod
    def step(self, x_BD: Tensor, shared: StepShared, cache: Any, position_B: Tensor) -> Tensor:
        """y_BD for the token at `position_B` (tokens read before it), with `cache` changed in place."""

    def exposes(self, cache: MixerCache | None) -> dict[str, KeyValueCache]:
        """The shared tensors of `place.writes` that later layers read from this layer's cache."""
        return {}

    @abstractmethod
    def flops_per_token(self, length: int) -> float:
        """Multiplications and additions of one forward pass, per token, averaged over a sequence of `length` tokens.

        Without Linear layers, which take 2 per weight and are counted by their parameters, and without functions such
        as exp or SiLU. Recurrences count as their definition does, one token after another.
        """

    def chunked_flops_per_token(self, length: int) -> float:
        """The same where a recurrence runs in chunks of tokens, through matrix products, as it does in plain torch."""
        return self.flops_per_token(length)

    def attention_flops_per_token(self, length: int) -> float:
        """The part of `flops_per_token` that is scores and weighted values of attention."""
        return 0.0

    def kept_bytes(self, step: Step) -> float:
        """Bytes per token that autograd keeps for the way back, from the normalised input on; not its weights.

        Shared tensors count where they are written.

        Raises:
            UserError: for a mixer that has no such formula.
        """
        raise UserError(f"mixer {type(self).__name__} does not say what it keeps for the way back: give it kept_bytes")

    def working_bytes(self, step: Step) -> float:
        """Bytes per token that its way back needs beside what is kept, where that is more than the MLP keeps."""
        return 0.0

    def cache_bytes(self, tokens: int, low: int) -> int:
        """Bytes a sequence of `Cache` after a prompt of `tokens`; a number that a Linear gives takes `low`.

        Raises:
            UserError: for a mixer that has no such formula.
        """
        if self.looks_back:
            raise UserError(f"mixer {type(self).__name__} does not say what it caches: give it cache_bytes")
        return 0

    @classmethod
    def nominal_weights(cls, sizes: "NominalSizes") -> float:
        """Weights to leading order in the width, as arXiv 2507.06607, section 3.1, counts them; see scaling/nominal.py.

        Raises:
            UserError: for a mixer that has no such formula.
        """
        raise UserError(
            f"mixer {cls.__name__} has no nominal count of weights: count the real modules, scale.token_count=modules, "
            "or give the mixer nominal_weights"
        )

    @classmethod
    def nominal_memory(cls, sizes: "NominalSizes") -> float:
        """Width of the memory it writes, to leading order."""
        raise TypeError(f"{cls.__name__} writes a memory and must declare its nominal width")

    def shared_width(self, name: str) -> int:
        """Size per token of a tensor this mixer writes."""
        raise TypeError(f"{type(self).__name__} writes {name!r} and must declare its size")


def check_sizes(config: Any) -> None:
    """
    Raises:
        ValueError: naming the first integer field of a mixer's config that is below 1.
    """
    for entry in fields(config):
        value = getattr(config, entry.name)
        if entry.type is int and value < 1:
            raise ValueError(f"{entry.name} = {value}: it must be at least 1")


MIXERS: Registry[type[Mixer]] = Registry("mixer")


def build_mixer(layer: LayerSpec, place: Place, arch: ArchSpec, scale: ScaleSpec) -> Mixer:
    """
    Raises:
        UserError: for an unknown option (with the near name), a wrong type or an impossible value.
    """
    kind = MIXERS[layer.mixer]
    values = {**kind.defaults(arch, scale), **arch.mixers.get(layer.mixer, {}), **layer.options}
    where = f"arch {arch.name}, layer {place.layer}, mixer {layer.mixer}"
    config: Any = from_mapping(kind.Config, values, where=where)
    try:
        return kind(config, place)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
