"""What a user says of a scale and of the optimizer; null fields follow the rules of ladder.py and tokens.py."""

from typing import Literal

from pydantic.dataclasses import dataclass

from archscale.spec import STRICT, AdamWChoice, check_depth, check_name

TokenCount = Literal["modules", "paper", "total"]
DECIDE_WIDTH = ("width", "target_params", "match_arch")
MOST_TOKENS = 1e18


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BasePoint:
    """Where the learning rate was tuned: depth d0, its rate η0, batch B0 and training tokens T0.

    `arch` is the architecture whose count at d0 is N0; `tokens` null: there is no T0, and no rule needs one.
    """

    depth: int
    learning_rate: float
    batch_tokens: int
    tokens: float | None = None
    arch: str = "transformer_pp"

    def __post_init__(self) -> None:
        check_name("scale.base.arch", self.arch)
        for name in ("depth", "learning_rate", "batch_tokens", "tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                null = ", or null" if name == "tokens" else ""
                raise ValueError(f"scale.base.{name} = {value}: it must be positive{null}")
        _check_tokens("scale.base.tokens", self.tokens)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScaleConfig:
    """`token_count` says which N stands in the rules of tokens and FLOPs: the non-embedding parameters of the real
    modules, those that the paper's formulas give, or all of the real ones."""

    base: BasePoint
    head_dim: int
    depth: int | None = None
    batch_tokens: int | None = None
    batch_exponent: float | None = None
    width_scale: float = 1.0
    width: int | None = None
    target_params: float | None = None
    target_flops: float | None = None
    match_arch: str | None = None
    width_multiple: int = 1
    num_heads: int | None = None
    num_kv_heads: int | None = None
    tokens: float | None = None
    tokens_per_param: float | None = None
    token_count: TokenCount = "modules"

    def __post_init__(self) -> None:
        if self.depth is not None:
            check_depth(self.depth)
        self._check_signs()
        self._check_shape()
        self._check_tokens()
        self._check_batch()

    @property
    def decides_width(self) -> str | None:
        """The field that does, beside target_flops."""
        return next((name for name in DECIDE_WIDTH if getattr(self, name) is not None), None)

    @property
    def flops_decide_tokens(self) -> bool:
        """Where the size is decided otherwise, target_flops says how long to train: a point of an isoFLOP line."""
        return self.target_flops is not None and self.decides_width is not None

    def _check_signs(self) -> None:
        for name in ("width", "target_params", "target_flops", "num_heads", "num_kv_heads"):
            self._positive(name, ", or null")
        for name in ("tokens", "tokens_per_param", "batch_tokens"):
            self._positive(name, ", or null")
        for name in ("head_dim", "width_scale", "width_multiple"):
            self._positive(name)

    def _positive(self, name: str, null: str = "") -> None:
        value = getattr(self, name)
        if value is not None and value <= 0:
            raise ValueError(f"scale.{name} = {value}: it must be positive{null}")

    def _check_shape(self) -> None:
        chosen = [self._shown(name) for name in DECIDE_WIDTH if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise ValueError(
                f"{' and '.join(chosen)} are set together: each decides the width, so set all but one of them to null"
            )
        if self.depth is None and self.target_params is None and (self.target_flops is None or chosen):
            raise ValueError(
                "scale.depth = null: give a depth, or scale.target_params or scale.target_flops, to which the depth of "
                "the ladder is chosen"
            )
        solved = self.target_params or self.match_arch or (self.target_flops and not chosen)
        if self.width_multiple != 1 and not solved:
            raise ValueError(
                f"scale.width_multiple = {self.width_multiple} rounds a width that is solved: set scale.target_params, "
                "scale.match_arch or scale.target_flops too, or leave it at 1"
            )

    def _check_tokens(self) -> None:
        _check_tokens("scale.tokens", self.tokens)
        if self.tokens is not None and self.tokens_per_param is not None:
            raise ValueError(
                f"scale.tokens = {self.tokens} and scale.tokens_per_param = {self.tokens_per_param}: "
                "set exactly one of them and the other to null"
            )
        given = next((name for name in ("tokens", "tokens_per_param") if getattr(self, name) is not None), None)
        if self.flops_decide_tokens and given and self.decides_width:
            raise ValueError(
                f"{self._shown('target_flops')}, {self._shown(self.decides_width)} and {self._shown(given)} are set "
                "together: two of them decide the third, so set one to null"
            )
        if given is None and not self.flops_decide_tokens and self.base.tokens is None:
            raise ValueError(
                "scale.tokens and scale.tokens_per_param are null: set one of them, or scale.base.tokens, for tokens "
                "in proportion to parameters from the base point on"
            )

    def _check_batch(self) -> None:
        if self.batch_exponent is not None and not 0 <= self.batch_exponent <= 1:
            raise ValueError(f"scale.batch_exponent = {self.batch_exponent:g}: it must lie in 0 … 1, or be null")
        if not self.batch_exponent:
            return
        if self.batch_tokens is not None:
            raise ValueError(
                f"scale.batch_tokens = {self.batch_tokens} and scale.batch_exponent = {self.batch_exponent:g} are set "
                "together: each decides the batch, so set one of them to null"
            )
        if self.base.tokens is None:
            raise ValueError(
                f"scale.batch_exponent = {self.batch_exponent:g} scales the batch by training tokens over those of the "
                "base point: set scale.base.tokens"
            )

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        return f"scale.{name} = {value if isinstance(value, str) else format(value, 'g')}"


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
        if self.warmup_tokens is not None and self.warmup_tokens < 0:
            raise ValueError(f"optim.warmup_tokens = {self.warmup_tokens}: it must not be negative")


def _check_tokens(key: str, tokens: float | None) -> None:
    if tokens is not None and not 1 <= tokens <= MOST_TOKENS:
        raise ValueError(f"{key} = {tokens:g}: it must lie in 1 … 1e18, or be null")
