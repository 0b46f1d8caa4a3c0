"""Architectures and small models for the tests of this folder."""

from typing import Any

from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.spec import ArchSpec, LayerSpec, RunSpec, ScaleSpec, SpanSpec, to_json
from tests.support.specs import small_spec


def layer(mixer: str, *write: str, **options: Any) -> LayerSpec:
    return LayerSpec(mixer=mixer, write=write, options=options)


def architecture(*spans: tuple[Any, list[LayerSpec]], **fields: Any) -> ArchSpec:
    stack = tuple(SpanSpec(span=span, tile=tuple(tile)) for span, tile in spans)
    return ArchSpec(**{"name": "test", "stack": stack, "window": 6, **fields})


def transformer_pp(**fields: Any) -> ArchSpec:
    return architecture(("rest", [layer("attention")]), positions="rope", **fields)


def sambay(**fields: Any) -> ArchSpec:
    return architecture(
        ("half", [layer("mamba"), layer("window_attention")]),
        (2, [layer("mamba", "memory"), layer("attention", "kv")]),
        ("rest", [layer("gmu"), layer("cross_attention")]),
        **fields,
    )


def paper_scale(depth: int, width: int) -> ScaleSpec:
    return ScaleSpec(
        depth=depth,
        width=width,
        head_dim=128,
        num_heads=depth,
        num_kv_heads=depth // 4,
        base_depth=16,
        base_width=width,
    )


def small_run(arch: ArchSpec, **changes: Any) -> RunSpec:
    return small_spec(arch=to_json(arch), **{"data.vocab_size": 61, **changes})


def small_model(arch: ArchSpec, **changes: Any) -> LanguageModel:
    """Initialised, in float64."""
    spec = small_run(arch, **changes)
    model = LanguageModel(spec)
    initialize(model, spec)
    return model.double()
