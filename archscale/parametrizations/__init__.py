"""Rules of width and depth scaling, one file each; torch-free."""

from archscale.parametrizations import mup, mup_plus_plus, standard
from archscale.parametrizations.base import PARAMETRIZATIONS, Init, Multipliers, Parametrization, Role, Rule, Shape
from archscale.spec import ParametrizationSpec, RunSpec, ScaleSpec

__all__ = [
    "PARAMETRIZATIONS",
    "Init",
    "Multipliers",
    "Parametrization",
    "Role",
    "Rule",
    "Shape",
    "mup",
    "mup_plus_plus",
    "of_run",
    "of_shape",
    "standard",
]


def of_run(spec: RunSpec) -> tuple[Parametrization, Shape, Shape]:
    """The parametrization of a run, its shape, and the base shape it transfers from."""
    return of_shape(spec.parametrization, spec.scale, tied=spec.arch.tie_embeddings)


def of_shape(spec: ParametrizationSpec, scale: ScaleSpec, *, tied: bool) -> tuple[Parametrization, Shape, Shape]:
    """The same of a run that has no RunSpec yet."""
    base_head_dim = spec.base_head_dim or scale.head_dim
    at = Shape(depth=scale.depth, width=scale.width, tied=tied, head_dim=scale.head_dim)
    base = Shape(depth=scale.base_depth, width=scale.base_width, tied=tied, head_dim=base_head_dim)
    return PARAMETRIZATIONS[spec.name](spec), at, base
