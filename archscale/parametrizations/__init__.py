"""Rules of width and depth scaling, one file each; torch-free."""

from archscale.parametrizations import mup_plus_plus
from archscale.parametrizations.base import PARAMETRIZATIONS, Init, Multipliers, Parametrization, Role, Rule, Shape
from archscale.spec import RunSpec

__all__ = [
    "PARAMETRIZATIONS",
    "Init",
    "Multipliers",
    "Parametrization",
    "Role",
    "Rule",
    "Shape",
    "mup_plus_plus",
    "of_run",
]


def of_run(spec: RunSpec) -> tuple[Parametrization, Shape, Shape]:
    """The parametrization of a run, its shape, and the base shape it transfers from."""
    tied = spec.arch.tie_embeddings
    at = Shape(depth=spec.scale.depth, width=spec.scale.width, tied=tied)
    base = Shape(depth=spec.scale.base_depth, width=spec.scale.base_width, tied=tied)
    return PARAMETRIZATIONS[spec.parametrization.name](spec.parametrization), at, base
