"""The scaling ladder: from depth, or a target count of parameters, to width, heads, tokens, steps, learning rate.

    width   α · depth · width_scale, or given, or the width whose non-embedding count is nearest to target_params
    heads   num_heads (default: depth) of head_dim; key/value heads a quarter of them (grouped-query attention)
    tokens  given, or tokens_per_param × non-embedding parameters, in whole batches
    η       η0 and B0 at the base depth, carried here by the parametrization

Ren et al. 2025 (arXiv 2507.06607), section 3.1, with h_q = d, h_kv = d/4, head_dim 128, width_scale 1.
"""

import dataclasses

from pydantic.dataclasses import dataclass

from archscale.parametrizations import Parametrization, Shape
from archscale.registry import UserError
from archscale.scaling.count import ParameterCount, count_parameters
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
    num_heads: int | None = None
    num_kv_heads: int | None = None
    tokens: float | None = None
    tokens_per_param: float | None = None

    def __post_init__(self) -> None:
        check_depth(self.depth)
        if self.width is not None and self.target_params is not None:
            raise ValueError(
                f"scale.width = {self.width} and scale.target_params = {self.target_params:g} are both set: "
                "each decides the width, so set one of them to null"
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
        for name in ("batch_tokens", "head_dim", "width_scale"):
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


def scale_to(config: ScaleConfig, arch: ArchSpec, vocab_size: int) -> ScaleSpec:
    """The shape of the model: the given width, the solved one, or α · depth · width_scale."""
    if config.width is not None:
        return shape_at(config, arch, config.width)
    if config.target_params is not None:
        return solve_width(config, arch, vocab_size, config.target_params)
    return shape_at(config, arch, round(arch.aspect_ratio * config.depth * config.width_scale))


def shape_at(config: ScaleConfig, arch: ArchSpec, width: int) -> ScaleSpec:
    heads = config.num_heads or config.depth
    fields = {
        "depth": config.depth,
        "width": width,
        "head_dim": config.head_dim,
        "num_heads": heads,
        "num_kv_heads": config.num_kv_heads or max(1, heads // 4),
        "base_depth": config.base.depth,
        "base_width": arch.aspect_ratio * config.base.depth * config.width_scale,
    }
    return from_mapping(ScaleSpec, fields, where="scale")


def solve_width(config: ScaleConfig, arch: ArchSpec, vocab_size: int, target: float) -> ScaleSpec:
    """The width whose non-embedding count, taken from the real modules, is nearest to `target`.

    The count grows with the width, so bisection over integers finds it.

    Raises:
        UserError: when even width 1 has more parameters than the target by more than half of it.
    """

    def count(width: int) -> int:
        return count_parameters(arch, shape_at(config, arch, width), vocab_size).non_embedding

    if target > MOST_PARAMETERS:
        raise UserError(f"scale.target_params = {target:g}: the most that can be asked for is {MOST_PARAMETERS:g}")
    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    width = min((low, high), key=lambda w: abs(count(w) - target))
    found = count(width)
    if abs(found - target) > target / 2:
        raise UserError(
            f"scale.target_params = {target:g}: {arch.name} at depth {config.depth} has {found} non-embedding "
            f"parameters at width {width}, the nearest there is; ask for at least that"
        )
    return shape_at(config, arch, width)


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
        scale.base.learning_rate, at=at, base=base, batch_ratio=scale.batch_tokens / scale.base.batch_tokens
    )
    shared = {entry.name: getattr(optim, entry.name) for entry in dataclasses.fields(AdamWChoice)}
    own = {"learning_rate": rate, "batch_tokens": scale.batch_tokens, "steps": steps, "warmup_steps": warmup}
    return from_mapping(OptimSpec, shared | own, where="optim")
