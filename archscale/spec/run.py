"""A run: shape, parametrization, data, optimizer, and how it is carried out."""

from dataclasses import field
from typing import Literal

from pydantic.dataclasses import dataclass

from archscale.spec.accounting import FlopsAccounting
from archscale.spec.architecture import ArchSpec
from archscale.spec.base import NOT_IDENTITY, STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScaleSpec:
    """The shape of one model, and of the base model from which μP transfers (base_width may be fractional)."""

    depth: int
    width: int
    head_dim: int
    num_heads: int
    num_kv_heads: int
    base_depth: int
    base_width: float

    def __post_init__(self) -> None:
        check_depth(self.depth)
        for name in ("width", "head_dim", "num_heads", "num_kv_heads", "base_depth", "base_width"):
            if getattr(self, name) <= 0:
                raise ValueError(f"scale.{name} = {getattr(self, name)}: it must be positive")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"scale.num_heads = {self.num_heads} is not divisible by scale.num_kv_heads = {self.num_kv_heads}: "
                f"choose one of {_divisors(self.num_heads)} key/value heads"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParametrizationSpec:
    """Which rules turn a parameter's role and shape into init, learning rate and weight decay (Table 6), with the
    ablations of arXiv 2507.06607, section 3.1, as options.

    `embedding_std` null is 0.02 with tied embeddings and 1e-4 without; `hidden_std` is τ of normal hidden weights.
    `hidden_init` normal: N(0, τ² · w0/w) in place of U(±1/√fan_in), where the rules have the latter.
    `token_exponent` e multiplies the global learning rate by (T0/T)^e, 1/3 in the paper's ablation.
    `independent_weight_decay`: λ = λ0 · η0/η, so that a step decays by η0 · λ0 at every scale.
    `small_output_init`: output projections start ÷ √(2d) under every rule, as under SP; the paper's code has this in
    μP++ with tied embeddings.
    `attention_exponent` e: scores are q·k · K0^(e − ½) / K^e for heads of size K; `base_head_dim` is K0. μP has e = 1
    where the head size grows with the width (arXiv 2203.03466, definition 4.1).
    """

    name: str
    embedding_std: float | None = None
    hidden_std: float = 0.02
    hidden_init: Literal["default", "normal"] = "default"
    token_exponent: float = 0.0
    independent_weight_decay: bool = False
    small_output_init: bool = False
    attention_exponent: float = 0.5
    base_head_dim: float | None = None
    title: str = field(default="", metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        for name in ("embedding_std", "hidden_std", "base_head_dim"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                null = "" if name == "hidden_std" else ", or null"
                raise ValueError(f"parametrization.{name} = {value}: it must be positive{null}")
        if not 0 <= self.token_exponent <= 1:
            raise ValueError(f"parametrization.token_exponent = {self.token_exponent:g}: it must lie in 0 … 1")
        if (self.attention_exponent == 0.5) != (self.base_head_dim is None):
            raise ValueError(
                f"parametrization.attention_exponent = {self.attention_exponent} and parametrization.base_head_dim = "
                f"{self.base_head_dim}: an exponent other than 0.5 needs the head size at the base, and 0.5 has no use "
                "for it (null)"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataChoice:
    """Which text, and how it is cut: what the user says of the data.

    `separate_documents`: no token sees another document than its own (variable-length training, arXiv 2507.06607,
    section 3.2); otherwise a sequence is read as one text.
    """

    source: str
    sequence_length: int
    validation_tokens: int
    tokenizer: str = "bytes"
    separate_documents: bool = False
    path: str | None = field(default=None, metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        if self.sequence_length < 1:
            raise ValueError(f"data.sequence_length = {self.sequence_length}: it must be at least 1")
        if self.validation_tokens < self.sequence_length:
            raise ValueError(
                f"data.validation_tokens = {self.validation_tokens} is less than one sequence: "
                f"use at least data.sequence_length = {self.sequence_length}"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataSpec(DataChoice):
    """The corpus by content: `content_hash` is over its documents, wherever they lie on this machine."""

    content_hash: str
    vocab_size: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdamWChoice:
    """AdamW and the shape of its schedule: what is the same at every scale.

    `decay_fraction` is the last part of the steps over which the wsd schedule (warm-up, stable, decay) goes to zero.
    """

    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    grad_clip: float = 1.0
    label_smoothing: float = 0.0
    schedule: Literal["linear", "constant", "wsd"] = "linear"
    decay_fraction: float = 2 / 7

    def __post_init__(self) -> None:
        for name in ("eps", "grad_clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optim.{name} = {getattr(self, name)}: it must be positive")
        for name in ("beta1", "beta2", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"optim.{name} = {getattr(self, name)}: it must lie in 0 … 1, below 1")
        if self.weight_decay < 0:
            raise ValueError(f"optim.weight_decay = {self.weight_decay}: it must not be negative")
        if not 0 < self.decay_fraction <= 1:
            raise ValueError(f"optim.decay_fraction = {self.decay_fraction}: it must lie in 0 … 1, above 0")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimSpec(AdamWChoice):
    """AdamW with linear warm-up and decay. `learning_rate` is the global rate at this scale, before per-role rules."""

    learning_rate: float
    batch_tokens: int
    steps: int
    warmup_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("learning_rate", "batch_tokens", "steps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optim.{name} = {getattr(self, name)}: it must be positive")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"optim.warmup_steps = {self.warmup_steps}: it must lie in 0 … steps = {self.steps}")

    @property
    def decay_start(self) -> int:
        """Steps done before the decay; up to here, and past the warm-up, the rate is `learning_rate`."""
        if self.schedule == "constant":
            return self.steps
        decay = max(1, round(self.decay_fraction * self.steps)) if self.schedule == "wsd" else self.steps
        return max(self.warmup_steps, self.steps - decay)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExecutionSpec:
    """How a run is carried out; nothing here changes what it computes beyond rounding.

    `recompute`: activations inside a block are computed again on the way back instead of being kept.
    `share_trunk`: the first steps of wsd runs that differ in their decay alone are done once (archscale/trunks.py).
    `branch_steps`: where to keep the state for other such runs, beside the start of the own decay; studies add theirs.

    Runs share steps only where every field that may change rounding is equal: all but those marked NOT_IDENTITY.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    micro_batch_sequences: int | None = None
    checkpoint_seconds: float = field(default=10.0, metadata=NOT_IDENTITY)
    log_steps: int = field(default=10, metadata=NOT_IDENTITY)
    evaluations: int = field(default=10, metadata=NOT_IDENTITY)
    backend: Literal["auto", "torch", "reference"] = "auto"
    recompute: bool = False
    share_trunk: bool = field(default=True, metadata=NOT_IDENTITY)
    branch_steps: tuple[int, ...] = field(default=(), metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        if self.checkpoint_seconds < 0:
            raise ValueError(f"execution.checkpoint_seconds = {self.checkpoint_seconds}: use 0 (every step) or more")
        for name in ("threads", "log_steps", "evaluations"):
            if getattr(self, name) < 1:
                raise ValueError(f"execution.{name} = {getattr(self, name)}: it must be at least 1")
        if self.micro_batch_sequences is not None and self.micro_batch_sequences < 1:
            raise ValueError(f"execution.micro_batch_sequences = {self.micro_batch_sequences}: use at least 1, or null")
        if self.branch_steps and min(self.branch_steps) < 1:
            raise ValueError(f"execution.branch_steps = {list(self.branch_steps)}: use steps from 1 on, or []")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WandbSpec:
    """Where wandb logs go; offline never touches the network. `group` null means the architecture's name."""

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "archscale"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunSpec:
    """`axis_flops`: training FLOPs of Transformer++ at this rung, where the accounting is transformer_axis."""

    arch: ArchSpec
    scale: ScaleSpec
    parametrization: ParametrizationSpec
    data: DataSpec
    optim: OptimSpec
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    flops_accounting: FlopsAccounting = field(default=FlopsAccounting.SIX_ND_NON_EMBEDDING, metadata=NOT_IDENTITY)
    axis_flops: float | None = field(default=None, metadata=NOT_IDENTITY)
    execution: ExecutionSpec = field(default_factory=ExecutionSpec, metadata=NOT_IDENTITY)
    wandb: WandbSpec = field(default_factory=WandbSpec, metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed = {self.seed}: it must lie in 0 … 2^63 − 1")
        length, batch = self.data.sequence_length, self.optim.batch_tokens
        if batch % length:
            near = max(1, round(batch / length)) * length
            raise ValueError(
                f"scale.batch_tokens = {batch} is not divisible by data.sequence_length = {length}: use e.g. {near}"
            )
        if self.arch.window > length:
            raise ValueError(
                f"arch.window = {self.arch.window} is longer than data.sequence_length = {length}: use at most {length}"
            )

    @property
    def tokens(self) -> int:
        """Training tokens."""
        return self.optim.steps * self.optim.batch_tokens

    @property
    def batch_sequences(self) -> int:
        return self.optim.batch_tokens // self.data.sequence_length


def check_depth(depth: int) -> None:
    if depth < 8 or depth % 4:
        raise ValueError(
            f"scale.depth = {depth}: it must be divisible by 4 and at least 8 (below 8 a decoder-decoder stack has no "
            "cross-decoder): use 8, 12, 16, 20, 24 …"
        )


def _divisors(number: int) -> list[int]:
    return [k for k in range(1, number + 1) if number % k == 0]
