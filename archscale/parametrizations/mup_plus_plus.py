"""μP++: μP with depth scaling and no weight decay on vector-like parameters.

    hidden      U(±1/√fan_in)   lr × w0/w   weight decay on    residual branch × 1/√(2d)
    embedding   N(0, σ²)        lr × 1      no decay
    unembedding 0, or tied      lr × 1      no decay           logits × w0/w
    vector      own             lr × 1      no decay
    global      η = η0 · √(B·d0 / (B0·d))

Ren et al. 2025 (arXiv 2507.06607), Table 6 and section 3.1. σ = 0.02 with tied embeddings, 1e-4 without.
"""

from dataclasses import dataclass
from math import sqrt

from archscale.parametrizations.base import PARAMETRIZATIONS, Init, Multipliers, Role, Rule, Shape
from archscale.spec import ParametrizationSpec


@PARAMETRIZATIONS.register("mup_pp")
@dataclass(frozen=True)
class MupPlusPlus:
    spec: ParametrizationSpec

    def rule(self, role: Role, at: Shape, base: Shape) -> Rule:
        if role == "hidden":
            init = Init(distribution="uniform_fan_in", value=1.0)
            return Rule(init=init, learning_rate_multiplier=base.width / at.width, weight_decay=True)
        if role == "embedding":
            std = self.spec.embedding_std
            if std is None:
                std = 0.02 if at.tied else 1e-4
            return Rule(init=Init(distribution="normal", value=std), learning_rate_multiplier=1.0, weight_decay=False)
        init = Init(distribution="zero" if role == "unembedding" else "own")
        return Rule(init=init, learning_rate_multiplier=1.0, weight_decay=False)

    def multipliers(self, at: Shape, base: Shape) -> Multipliers:
        return Multipliers(residual=1 / sqrt(2 * at.depth), logits=base.width / at.width)

    def learning_rate(
        self, base_rate: float, *, at: Shape, base: Shape, batch_ratio: float, token_ratio: float
    ) -> float:
        return base_rate * sqrt(batch_ratio * base.depth / at.depth) * token_ratio**-self.spec.token_exponent

    def weight_decay(self, base_decay: float, *, base_rate: float, rate: float) -> float:
        return base_decay * base_rate / rate if self.spec.independent_weight_decay else base_decay
