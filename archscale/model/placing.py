"""The mixers of a stack, each in its place: which shared tensors earlier layers have written, and how wide they are."""

from collections.abc import Callable, Iterator

from archscale.model.mixers import MIXERS, Mixer, Place, build_mixer
from archscale.model.stack import expand
from archscale.registry import UserError, unknown
from archscale.spec import ArchSpec, LayerSpec, ScaleSpec

Build = Callable[[LayerSpec, Place, ArchSpec, ScaleSpec], Mixer]


def checked_layers(arch: ArchSpec, depth: int) -> tuple[LayerSpec, ...]:
    """As `expand`, with the options of arch.mixers held against the mixers that there are.

    Raises:
        UserError: also for options of a mixer that is unknown, or that no layer is.
    """
    for name in arch.mixers:
        if name not in MIXERS:
            raise unknown("mixer", name, MIXERS, hint=f"It has options in arch.mixers of arch {arch.name}.")
    layers = expand(arch, depth)
    used = sorted({layer.mixer for layer in layers})
    for name in arch.mixers:
        if name not in used:
            raise UserError(
                f"arch.mixers.{name} has options, but no layer of arch {arch.name} is one: give options to "
                f"{', '.join(used)}, or leave these out"
            )
    return layers


def place_mixers(
    arch: ArchSpec, scale: ScaleSpec, layers: tuple[LayerSpec, ...], common: Place, build: Build = build_mixer
) -> Iterator[Mixer]:
    """One mixer a layer; `common` holds what is the same in every place."""
    shared_widths: dict[str, int] = {}
    kv_head_dim: int | None = None
    for index, layer in enumerate(layers):
        found = {"shared_widths": dict(shared_widths), "kv_head_dim": kv_head_dim}
        place = Place(**{**vars(common), "layer": index, "writes": frozenset(layer.write), **found})
        mixer = build(layer, place, arch, scale)
        if "kv" in layer.write:
            kv_head_dim = mixer.kv_head_dim
        shared_widths |= {name: mixer.shared_width(name) for name in layer.write}
        shared_widths |= dict.fromkeys(layer.mlp_write, arch.mlp_ratio * scale.width)
        yield mixer
