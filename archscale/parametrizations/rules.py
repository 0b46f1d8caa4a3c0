"""The rules that SP, μP and μP++ have in common; a parametrization is one choice of their switches.

    hidden       lr × w0/w      where it transfers over width      init U(±1/√fan_in), or N(0, τ²)
    unembedding  logits × w0/w  where it transfers over width      init 0, or tied
    embedding    lr × 1                                            init N(0, σ²), σ = 0.02 tied, 1e-4 not
    vector       lr × 1                                            init of the module's own
    branches     × 1/√(2d)      where it transfers over depth
    global       η = η0 · √(B/B0) · (T0/T)^e, and √(d0/d) where it transfers over depth

Ren et al. 2025 (arXiv 2507.06607), Table 6 and section 3.1; the square root of the batch stands in all three of its
public code. w0/w follows Yang et al. 2022 (arXiv 2203.03466), Table 8.
"""

from dataclasses import dataclass
from math import sqrt

from archscale.parametrizations.base import Init, Multipliers, Role, Rule, Shape
from archscale.spec import ParametrizationSpec

ALL_ROLES = frozenset[Role]({"embedding", "unembedding", "hidden", "vector"})
EMBEDDING_STD = {True: 0.02, False: 1e-4}  # by whether the embedding is tied to the head


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`uniform_hidden`: U(±1/√fan_in) rather than N(0, τ²). `small_outputs`: output projections start ÷ √(2d)."""

    spec: ParametrizationSpec
    over_width: bool
    over_depth: bool
    uniform_hidden: bool
    small_outputs: bool
    decayed: frozenset[Role]

    def rule(self, role: Role, at: Shape, base: Shape) -> Rule:
        hidden = role == "hidden"
        return Rule(
            init=self._init(role, at, base),
            learning_rate_multiplier=base.width / at.width if hidden and self.over_width else 1.0,
            weight_decay=role in self.decayed,
            output_factor=1 / sqrt(2 * at.depth) if hidden and self._small_outputs else 1.0,
        )

    def multipliers(self, at: Shape, base: Shape) -> Multipliers:
        return Multipliers(
            residual=1 / sqrt(2 * at.depth) if self.over_depth else 1.0,
            logits=base.width / at.width if self.over_width else 1.0,
            attention=(base.head_dim / at.head_dim) ** (self.spec.attention_exponent - 0.5),
        )

    def learning_rate(
        self, base_rate: float, *, at: Shape, base: Shape, batch_ratio: float, token_ratio: float
    ) -> float:
        depth_ratio = base.depth / at.depth if self.over_depth else 1.0
        return base_rate * sqrt(batch_ratio * depth_ratio) * token_ratio**-self.spec.token_exponent

    def weight_decay(self, base_decay: float, *, base_rate: float, rate: float) -> float:
        return base_decay * base_rate / rate if self.spec.independent_weight_decay else base_decay

    @property
    def _small_outputs(self) -> bool:
        return self.small_outputs or self.spec.small_output_init

    def _init(self, role: Role, at: Shape, base: Shape) -> Init:
        if role == "unembedding":
            return Init(distribution="zero")
        if role == "vector":
            return Init(distribution="own")
        if role == "embedding":
            std = self.spec.embedding_std
            return Init(distribution="normal", value=EMBEDDING_STD[at.tied] if std is None else std)
        if not self.uniform_hidden:
            return Init(distribution="normal", value=self.spec.hidden_std)
        if self.spec.hidden_init == "normal":
            return Init(distribution="normal", value=self.spec.hidden_std * sqrt(base.width / at.width))
        return Init(distribution="uniform_fan_in", value=1.0)
