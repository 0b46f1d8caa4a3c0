"""What a study file says beside its cells: the law that is fitted, or the comparison, or the transfer; and the budget.

Names of laws and columns are checked where they are known: `analysis.evidence.check_settings`.
"""

from pydantic.dataclasses import dataclass

from archscale.spec.base import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FitSettings:
    """A law of analysis/laws over columns of the run table, one fit a group.

    `inputs` are the columns of a law of several inputs, in its order; such a law is not drawn along `x`. `loss` and
    `interval` are as in `archscale fit`.
    """

    law: str = "power_offset"
    x: str = "compute"
    y: str = "validation_loss"
    group: str = "architecture"
    level: float = 0.95
    inputs: tuple[str, ...] = ()
    loss: str = "ls"
    interval: str = "profile"

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise ValueError(f"fit.level = {self.level}: it must lie in 0.5 … 1")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluateSettings:
    """A measured column side by side, without a law: `y` of every group at every value of `x`.

    `baseline` is the value of `group` that the others are set against; null: the first one.
    """

    x: str = "depth"
    y: str = "validation_loss"
    group: str = "architecture"
    baseline: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransferSettings:
    """Does the best learning rate stay where it is? One sweep of `x` a group and value of `along`.

    `x` and its optimum are compared on a logarithmic axis; `along` is a column such as width or depth.
    """

    x: str = "base_learning_rate"
    y: str = "validation_loss"
    along: str = "width"
    group: str = "parametrization"
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise ValueError(f"transfer.level = {self.level}: it must lie in 0.5 … 1")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Budget:
    """The most that a study may take; a limit that is null does not count.

    `cost` is in the currency of cluster.device_hour_price; `wall_clock_hours` with as many devices as the cluster has.
    """

    device_hours: float | None = None
    cost: float | None = None
    wall_clock_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("device_hours", "cost", "wall_clock_hours"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"budget.{name} = {value}: it must be positive, or null")
