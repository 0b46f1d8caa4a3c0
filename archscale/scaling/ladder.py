"""The scaling ladder: from depth, or a target count of parameters, to width, heads, tokens, steps, learning rate.

    width   α · depth · width_scale, or given, or the multiple of width_multiple whose non-embedding count is nearest to
            target_params, or to the count that architecture match_arch has at its own α · depth · width_scale
    heads   heads.py: num_heads and num_kv_heads, or what follows from the architecture and the depth, of head_dim
    tokens  given, or tokens_per_param × non-embedding parameters, in whole batches
    η       η0 and B0 at the base depth, carried here by the parametrization

Ren et al. 2025 (arXiv 2507.06607), section 3.1, with head_dim 128 and width_scale 1.
"""

import dataclasses
from collections.abc import Callable
from math import floor, sqrt

from pydantic.dataclasses import dataclass

from archscale.parametrizations import Parametrization, Shape
from archscale.registry import UserError
from archscale.scaling.count import ParameterCount, count_parameters
from archscale.scaling.heads import heads_of
from archscale.spec import STRICT, AdamWChoice, ArchSpec, OptimSpec, ScaleSpec, check_depth, from_mapping

MOST_PARAMETERS = 1e14


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BasePoint:
    """Where the learning rate was tuned: depth d0, its rate η0 and batch B0 in tokens."""

    depth: int
    learning_rate: float
    batch_tokens: int

    def __post_init__(self) -> None:
        for name in ("depth", "learning_rate", "batch_tokens"):
            if getattr(self, name) <= 0:
                raise ValueError(f"scale.base.{name} = {getattr(self, name)}: it must be positive")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScaleConfig:
    """What the user says of a scale; `null` fields follow the rules at the top of this file."""

    base: BasePoint
    depth: int
    batch_tokens: int
    head_dim: int
    width_scale: float = 1.0
    width: int | None = None
    target_params: float | None = None
    match_arch: str | None = None
    width_multiple: int = 1
    num_heads: int | None = None
    num_kv_heads: int | None = None
    tokens: float | None = None
    tokens_per_param: float | None = None

    def __post_init__(self) -> None:
        check_depth(self.depth)
        deciders = {"width": self.width, "target_params": self.target_params, "match_arch": self.match_arch}
        chosen = [f"scale.{name} = {_shown(value)}" for name, value in deciders.items() if value is not None]
        if len(chosen) > 1:
            raise ValueError(
                f"{' and '.join(chosen)} are set together: each decides the width, so set all but one of them to null"
            )
        if self.width_multiple != 1 and self.target_params is None and self.match_arch is None:
            raise ValueError(
                f"scale.width_multiple = {self.width_multiple} rounds a width that is solved: set scale.target_params "
                "or scale.match_arch too, or leave it at 1"
            )
        if (self.tokens is None) == (self.tokens_per_param is None):
            raise ValueError(
                f"scale.tokens = {self.tokens} and scale.tokens_per_param = {self.tokens_per_param}: "
                "set exactly one of them and the other to null"
            )
        for name in ("width", "target_params", "num_heads", "num_kv_heads", "tokens", "tokens_per_param"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"scale.{name} = {value}: it must be positive, or null")
        for name in ("batch_tokens", "head_dim", "width_scale", "width_multiple"):
            if getattr(self, name) <= 0:
                raise ValueError(f"scale.{name} = {getattr(self, name)}: it must be positive")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimConfig(AdamWChoice):
    """AdamW and its schedule; warm-up as a fraction of the steps or as a number of tokens."""

    warmup_fraction: float | None = None
    warmup_tokens: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.warmup_fraction is None) == (self.warmup_tokens is None):
            raise ValueError(
                f"optim.warmup_fraction = {self.warmup_fraction} and optim.warmup_tokens = {self.warmup_tokens}: "
                "set exactly one of them and the other to null"
            )
        if self.warmup_fraction is not None and not 0 <= self.warmup_fraction <= 1:
            raise ValueError(f"optim.warmup_fraction = {self.warmup_fraction}: it must lie in 0 … 1")


def scale_to(config: ScaleConfig, arch: ArchSpec, vocab_size: int, reference: ArchSpec | None = None) -> ScaleSpec:
    """The shape of the model: the given width, the solved one, or α · depth · width_scale.

    `reference` is the architecture that scale.match_arch names.
    """
    if config.width is not None:
        return shape_at(config, arch, config.width)
    target = target_count(config, reference, vocab_size)
    if target is not None:
        return solve_width(config, arch, vocab_size, target)
    return shape_at(config, arch, ladder_width(config, arch))


def ladder_width(config: ScaleConfig, arch: ArchSpec) -> int:
    return round(arch.aspect_ratio * config.depth * config.width_scale)


def target_count(config: ScaleConfig, reference: ArchSpec | None, vocab_size: int) -> float | None:
    """The non-embedding count that the width is solved for; None where it is not solved."""
    if config.match_arch is None:
        return config.target_params
    if reference is None:
        raise ValueError(f"scale.match_arch = {config.match_arch}: its architecture must be given as `reference`")
    return count_parameters(
        reference, shape_at(config, reference, ladder_width(config, reference)), vocab_size
    ).non_embedding


def shape_at(config: ScaleConfig, arch: ArchSpec, width: int) -> ScaleSpec:
    heads = heads_of(arch, config.depth, num_heads=config.num_heads, num_kv_heads=config.num_kv_heads)
    fields = {
        "depth": config.depth,
        "width": width,
        "head_dim": config.head_dim,
        "num_heads": heads.query,
        "num_kv_heads": heads.key_value,
        "base_depth": config.base.depth,
        "base_width": arch.aspect_ratio * config.base.depth * config.width_scale,
    }
    return from_mapping(ScaleSpec, fields, where="scale")


def solve_width(config: ScaleConfig, arch: ArchSpec, vocab_size: int, target: float) -> ScaleSpec:
    """The multiple of width_multiple whose non-embedding count, taken from the real modules, is nearest to `target`.

    Raises:
        UserError: when even the smallest has more parameters than the target by more than half of it.
    """

    def count(width: int) -> int:
        return count_parameters(arch, shape_at(config, arch, width), vocab_size).non_embedding

    if target > MOST_PARAMETERS:
        raise UserError(f"scale.target_params = {target:g}: the most that can be asked for is {MOST_PARAMETERS:g}")
    width = nearest_multiple(count, target, multiple=config.width_multiple, near=ladder_width(config, arch))
    found = count(width)
    if abs(found - target) > target / 2:
        asked = f"target_params = {target:g}"
        if config.match_arch is not None:
            asked = f"match_arch = {config.match_arch}, of {target:g} non-embedding parameters"
        smaller = f", or lower scale.width_multiple = {config.width_multiple}" if config.width_multiple > 1 else ""
        raise UserError(
            f"scale.{asked}: {arch.name} at depth {config.depth} has {found} non-embedding "
            f"parameters at width {width}, the nearest there is; ask for at least that{smaller}"
        )
    return shape_at(config, arch, width)


def nearest_multiple(count: Callable[[int], int], target: float, *, multiple: int, near: int) -> int:
    """The multiple at which `count` is nearest to `target`, the smaller one of two that are equally near.

    `count` may not fall, but may jump and rest: mixers round their heads. So the two neighbours of the crossing are the
    only candidates, and a bracket finds them. It is cut where √count, almost linear in the width, meets √target; where
    that does not halve it, because of a jump, the next cut does. Five counts are usual, twice log₂ of `near` the worst.
    """
    below, above = 0, max(1, round(near / multiple))
    counts = {below: 0}

    def at(step: int) -> int:
        if step not in counts:
            counts[step] = count(step * multiple)
        return counts[step]

    while at(above) < target:
        below, above = above, 2 * above
    halve = False
    while above - below > 1:
        before, low, high = above - below, sqrt(at(below)), sqrt(at(above))
        middle = (below + above) // 2 if halve else below + floor(before * (sqrt(target) - low) / (high - low))
        middle = min(max(middle, below + 1), above - 1)
        below, above = (middle, above) if at(middle) < target else (below, middle)
        halve = not halve and above - below > before / 2
    best = above if below == 0 else min((below, above), key=lambda step: abs(at(step) - target))
    return best * multiple


def plan_optim(
    optim: OptimConfig,
    scale: ScaleConfig,
    count: ParameterCount,
    parametrization: tuple[Parametrization, Shape, Shape],
) -> OptimSpec:
    """Tokens, steps, warm-up and the global learning rate at this scale.

    Raises:
        UserError: when the tokens make less than one batch.
    """
    tokens = scale.tokens if scale.tokens is not None else (scale.tokens_per_param or 0) * count.non_embedding
    steps = round(tokens / scale.batch_tokens)
    if steps < 1:
        raise UserError(
            f"{tokens:g} training tokens are less than one batch of scale.batch_tokens = {scale.batch_tokens}: "
            "raise scale.tokens or scale.tokens_per_param, or lower scale.batch_tokens"
        )
    if optim.warmup_tokens is not None:
        warmup = min(steps, round(optim.warmup_tokens / scale.batch_tokens))
    else:
        warmup = round((optim.warmup_fraction or 0.0) * steps)
    rules, at, base = parametrization
    rate = rules.learning_rate(
        scale.base.learning_rate,
        at=at,
        base=base,
        batch_ratio=scale.batch_tokens / scale.base.batch_tokens,
        token_ratio=1.0,
    )
    shared = {entry.name: getattr(optim, entry.name) for entry in dataclasses.fields(AdamWChoice)}
    own = {"learning_rate": rate, "batch_tokens": scale.batch_tokens, "steps": steps, "warmup_steps": warmup}
    return from_mapping(OptimSpec, shared | own, where="optim")


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
