"""The scaling ladder: from depth, or a target count of parameters or FLOPs, to width and heads.

    depth   given, or with a target the d in 8, 12, 16, … whose count at its own width is nearest to the target
    width   α · depth · width_scale, or given, or the multiple of width_multiple whose count N is nearest to
              target_params, or the count that architecture match_arch has at its own α · depth · width_scale
                (non-embedding parameters of the real modules), or
              the N of target_flops = 6 · N · T(N), with N by token_count and T by the rule of tokens (tokens.py)
    heads   heads.py: num_heads and num_kv_heads, or what follows from the architecture and the depth, of head_dim

Ren et al. 2025 (arXiv 2507.06607), section 3.1, with head_dim 128 and width_scale 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

from archscale.registry import UserError
from archscale.scaling.config import ScaleConfig, TokenCount
from archscale.scaling.count import count_parameters
from archscale.scaling.heads import heads_of
from archscale.scaling.nominal import nominal_count
from archscale.scaling.widths import nearest_multiple
from archscale.spec import ArchSpec, ScaleSpec, from_fields

MOST_PARAMETERS = 1e14
MOST_WIDTH = 10**7
SMALLEST_DEPTH, DEPTH_STEP = 8, 4

# An architecture by its name, as its file says, and the key that gives the name.
NamedArch = Callable[[str, str], ArchSpec]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number of parameters that the width is solved for, and how they are counted."""

    parameters: float
    count: TokenCount = "modules"


def scale_to(
    config: ScaleConfig, arch: ArchSpec, vocab_size: int, named: NamedArch | None = None, target: Target | None = None
) -> ScaleSpec:
    """The shape of the model. `named` is needed where the configuration names an architecture; `target` is looked for
    where it is not given.

    Raises:
        UserError: when the target cannot be met.
    """
    if target is None:
        target = target_of(config, vocab_size, named)
    if config.depth is None and target is not None:
        config = replace(config, depth=_solve_depth(config, arch, vocab_size, target))
    if config.width is not None:
        return shape_at(config, arch, config.width)
    if target is None:
        return shape_at(config, arch, ladder_width(config, arch))
    return shape_at(config, arch, _solve_width(config, arch, vocab_size, target))


def target_of(config: ScaleConfig, vocab_size: int, named: NamedArch | None = None) -> Target | None:
    """What the width is solved for; None where it is not solved."""
    if config.target_params is not None:
        return Target(parameters=config.target_params)
    if config.match_arch is not None:
        peer = _known(named, config.match_arch, "scale.match_arch")
        shape = shape_at(config, peer, ladder_width(config, peer))
        return Target(parameters=count_parameters(peer, shape, vocab_size).non_embedding)
    if config.target_flops is not None and not config.decides_width:
        return Target(parameters=_parameters_of_flops(config, vocab_size, named), count=config.token_count)
    return None


def base_count(config: ScaleConfig, vocab_size: int, named: NamedArch | None, count: TokenCount) -> float:
    """N0 of T = T0 · N / N0: the architecture of the base point at its depth, with the heads of this scale."""
    arch = _known(named, config.base.arch, "scale.base.arch")
    key = (id(arch), config.base, config.head_dim, config.width_scale, config.num_heads, config.num_kv_heads)
    if (*key, vocab_size, count) not in _BASE_COUNTS:
        at_base = replace(config, depth=config.base.depth)
        shape = shape_at(at_base, arch, ladder_width(at_base, arch))
        # The architecture stays with the number, so that no other one can have its id.
        _BASE_COUNTS[*key, vocab_size, count] = arch, counted(arch, shape, vocab_size, count)
    return _BASE_COUNTS[*key, vocab_size, count][1]


# One base point serves all cells of a study; the few that a process sees are kept.
_BASE_COUNTS: dict[tuple[object, ...], tuple[ArchSpec, float]] = {}


def counted(arch: ArchSpec, scale: ScaleSpec, vocab_size: int, count: TokenCount) -> float:
    if count == "paper":
        return nominal_count(arch, scale)
    found = count_parameters(arch, scale, vocab_size)
    return found.total if count == "total" else found.non_embedding


def ladder_width(config: ScaleConfig, arch: ArchSpec) -> int:
    """
    Raises:
        UserError: for a width that no model has.
    """
    whole = arch.aspect_ratio * _depth(config)
    width = round(whole * config.width_scale)
    if not 1 <= width <= MOST_WIDTH:
        raise UserError(
            f"scale.width_scale = {config.width_scale:g} makes a width of {whole * config.width_scale:.3g} from "
            f"{whole:g}, {arch.name} at depth {config.depth}: choose one that makes 1 … {MOST_WIDTH}"
        )
    return width


def shape_at(config: ScaleConfig, arch: ArchSpec, width: int) -> ScaleSpec:
    depth = _depth(config)
    heads = heads_of(arch, depth, num_heads=config.num_heads, num_kv_heads=config.num_kv_heads)
    fields = {
        "depth": depth,
        "width": width,
        "head_dim": config.head_dim,
        "num_heads": heads.query,
        "num_kv_heads": heads.key_value,
        "base_depth": config.base.depth,
        "base_width": arch.aspect_ratio * config.base.depth * config.width_scale,
    }
    return from_fields(ScaleSpec, fields, where="scale")


def _depth(config: ScaleConfig) -> int:
    if config.depth is None:
        raise ValueError("the depth is not chosen yet: see scale_to")
    return config.depth


def _known(named: NamedArch | None, name: str, key: str) -> ArchSpec:
    if named is None:
        raise ValueError(f"{key} = {name}: give `named`, which finds architectures by name")
    return named(name, key)


def _parameters_of_flops(config: ScaleConfig, vocab_size: int, named: NamedArch | None) -> float:
    """N of target_flops = 6 · N · T(N)."""
    flops = config.target_flops or 0.0
    if config.tokens is not None:
        return flops / (6 * config.tokens)
    if config.tokens_per_param is not None:
        return sqrt(flops / (6 * config.tokens_per_param))
    return sqrt(flops * base_count(config, vocab_size, named, config.token_count) / (6 * (config.base.tokens or 0.0)))


def _solve_depth(config: ScaleConfig, arch: ArchSpec, vocab_size: int, target: Target) -> int:
    _check_reachable(config, target)

    def count(rung: int) -> float:
        at = replace(config, depth=SMALLEST_DEPTH + DEPTH_STEP * (rung - 1))
        return counted(arch, shape_at(at, arch, ladder_width(at, arch)), vocab_size, target.count)

    rung = nearest_multiple(count, target.parameters, multiple=1, near=1)
    return SMALLEST_DEPTH + DEPTH_STEP * (rung - 1)


def _solve_width(config: ScaleConfig, arch: ArchSpec, vocab_size: int, target: Target) -> int:
    """The multiple of width_multiple whose count is nearest to the target.

    Raises:
        UserError: when even the smallest has more parameters than the target by more than half of it.
    """
    _check_reachable(config, target)

    def count(width: int) -> float:
        return counted(arch, shape_at(config, arch, width), vocab_size, target.count)

    width = nearest_multiple(count, target.parameters, multiple=config.width_multiple, near=ladder_width(config, arch))
    found = count(width)
    if abs(found - target.parameters) > target.parameters / 2:
        smaller = f", or lower scale.width_multiple = {config.width_multiple}" if config.width_multiple > 1 else ""
        raise UserError(
            f"scale.{_asked(config, target)}: {arch.name} at depth {config.depth} has {found:.0f} "
            f"{_NOUN[target.count]} at width {width}, the nearest there is; ask for at least that{smaller}"
        )
    return width


_NOUN: dict[TokenCount, str] = {
    "modules": "non-embedding parameters",
    "paper": "non-embedding parameters by the paper's formulas",
    "total": "parameters",
}


def _check_reachable(config: ScaleConfig, target: Target) -> None:
    if target.parameters > MOST_PARAMETERS:
        raise UserError(f"scale.{_asked(config, target)}: the most parameters that can be asked for are 1e14")


def _asked(config: ScaleConfig, target: Target) -> str:
    if config.target_params is not None:
        return f"target_params = {config.target_params:g}"
    if config.match_arch is not None:
        return f"match_arch = {config.match_arch}, of {target.parameters:g} non-embedding parameters"
    return f"target_flops = {config.target_flops:g}, which asks for {target.parameters:g} parameters"
