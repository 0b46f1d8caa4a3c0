"""What a parametrization is: rules from a parameter's role and the scale to init, learning rate and weight decay.

Source: Ren et al. 2025 (arXiv 2507.06607), Table 6. Roles are given where a parameter is created (model/layers.py),
never guessed from its name. Torch-free: tables and plans can be printed without building a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from archscale.registry import Registry
from archscale.spec import ParametrizationSpec

Role = Literal["embedding", "unembedding", "hidden", "vector"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Where a model stands on the ladder. The base may lie between two integers of width."""

    depth: int
    width: float
    tied: bool = True
    head_dim: float = 128.0

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width <= 0 or self.head_dim <= 0:
            raise ValueError(f"depth, width, head_dim = {self.depth}, {self.width}, {self.head_dim}: all positive")


@dataclass(frozen=True, kw_only=True)
class Init:
    """`normal`: N(0, value²); `uniform_fan_in`: U(±value/√fan_in); `zero`; `own`: the module's own scheme."""

    distribution: Literal["normal", "uniform_fan_in", "zero", "own"]
    value: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How parameters of one role start and learn; learning rates are multiples of the run's global rate.

    `output_factor` is on the initial values of output projections: matrices whose product joins the residual stream.
    """

    init: Init
    learning_rate_multiplier: float
    weight_decay: bool
    output_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """Factors in the forward pass: on every residual branch, on the logits, on attention's scores beside 1/√K."""

    residual: float
    logits: float
    attention: float = 1.0


class Parametrization(Protocol):
    """Implementations register a factory that takes the `ParametrizationSpec` with their options."""

    def rule(self, role: Role, at: Shape, base: Shape) -> Rule: ...

    def multipliers(self, at: Shape, base: Shape) -> Multipliers: ...

    def learning_rate(
        self, base_rate: float, *, at: Shape, base: Shape, batch_ratio: float, token_ratio: float
    ) -> float:
        """The global rate at this scale; the ratios are batch size and training tokens over those of the base point.

        `token_ratio` is 1 where the base point has no tokens.
        """
        ...

    def weight_decay(self, base_decay: float, *, base_rate: float, rate: float) -> float:
        """λ at this scale, from λ at the base point and the global rates there and here."""
        ...


PARAMETRIZATIONS: Registry[Callable[[ParametrizationSpec], Parametrization]] = Registry("parametrization")
