"""The composed configuration: rules and wishes, validated, not yet numbers."""

from dataclasses import field
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from archscale.scaling.config import OptimConfig, ScaleConfig
from archscale.spec import (
    STRICT,
    ArchSpec,
    DataChoice,
    ExecutionSpec,
    FlopsAccounting,
    ParametrizationSpec,
    WandbSpec,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClusterConfig:
    """Where runs are launched and what that costs; never part of a run.

    `peak_flops_per_second` is that of one device at the precision of the runs, `mfu` the share of it that training
    gets; `calibration` a file of measured speeds, which wins. `device_hour_price` is in `currency`.
    """

    name: str
    max_parallel_runs: int | None = None
    restarts: int = 3
    devices_per_run: int = 1
    peak_flops_per_second: float | None = None
    mfu: float | None = None
    calibration: str | None = None
    device_hour_price: float | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        if self.max_parallel_runs is not None and self.max_parallel_runs < 1:
            raise ValueError(f"cluster.max_parallel_runs = {self.max_parallel_runs}: use at least 1, or null")
        if self.restarts < 0:
            raise ValueError(f"cluster.restarts = {self.restarts}: use 0 or more")
        if self.devices_per_run < 1:
            raise ValueError(f"cluster.devices_per_run = {self.devices_per_run}: use at least 1")
        if (self.peak_flops_per_second is None) != (self.mfu is None):
            raise ValueError(
                f"cluster.peak_flops_per_second = {self.peak_flops_per_second} and cluster.mfu = {self.mfu}: "
                "speed is their product, so set both, or both to null"
            )
        if self.mfu is not None and not 0 < self.mfu <= 1:
            raise ValueError(f"cluster.mfu = {self.mfu}: it must lie in 0 … 1, above 0")
        if (
            self.peak_flops_per_second is not None
            and self.mfu is not None
            and self.peak_flops_per_second * self.mfu < 1
        ):
            raise ValueError(
                f"cluster.peak_flops_per_second = {self.peak_flops_per_second} times cluster.mfu = {self.mfu}: "
                "a device must do at least 1 FLOP a second"
            )
        if self.device_hour_price is not None and self.device_hour_price < 0:
            raise ValueError(f"cluster.device_hour_price = {self.device_hour_price}: it must not be negative")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunConfig:
    """One choice of every group, and the fields that belong to none."""

    arch: ArchSpec
    parametrization: ParametrizationSpec
    scale: ScaleConfig
    data: DataChoice
    optim: OptimConfig
    cluster: ClusterConfig
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    flops_accounting: FlopsAccounting = FlopsAccounting.SIX_ND_NON_EMBEDDING
    execution: ExecutionSpec = field(default_factory=ExecutionSpec)
    wandb: WandbSpec = field(default_factory=WandbSpec)
    debug: dict[str, Any] = field(default_factory=dict)
