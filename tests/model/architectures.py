"""Architectures and small models for the tests of this folder."""

import dataclasses
from typing import Any

import torch

from archscale.compose import load_config
from archscale.model.initialize import initialize
from archscale.model.layers import Parameter
from archscale.model.lm import LanguageModel
from archscale.scaling.ladder import scale_to
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


def packaged(name: str, **fields: Any) -> ArchSpec:
    """The packaged architecture `name`, with a window of 6 tokens unless told otherwise."""
    arch = load_config([f"arch={name}"]).arch
    return dataclasses.replace(arch, **{"window": 6, **fields})


def paper_scale(arch: ArchSpec, depth: int, **fields: Any) -> ScaleSpec:
    """The shape the paper gives an architecture: arXiv 2507.06607, section 3.1."""
    config = load_config(["scale.width_scale=1", "scale.head_dim=128"]).scale
    nothing_set = {"depth": depth, "num_heads": None, "num_kv_heads": None}
    return scale_to(dataclasses.replace(config, **nothing_set, **fields), arch, 32_000)


def small_run(arch: ArchSpec, **changes: Any) -> RunSpec:
    return small_spec(arch=to_json(arch), **{"data.vocab_size": 61, **changes})


def small_model(arch: ArchSpec, **changes: Any) -> LanguageModel:
    """Initialised, in float64."""
    spec = small_run(arch, **changes)
    model = LanguageModel(spec)
    initialize(model, spec)
    return model.double()


def varied_model(arch: ArchSpec, **changes: Any) -> LanguageModel:
    """As `small_model`, but no gain is one and no bias or shift zero: every vector that starts constant gets noise.

    A bias that is left out, or added in the wrong place, is only seen where it is not zero.
    """
    model = small_model(arch, **changes)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            assert isinstance(parameter, Parameter)
            if parameter.role == "vector" and (parameter == parameter.flatten()[0]).all():
                parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype), alpha=0.2)
    return model
