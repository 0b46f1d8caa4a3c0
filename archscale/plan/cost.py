"""Device-hours and money of a run, from measured speed or a stated share of the peak.

    device-hours = FLOPs / (FLOPs a second of one device · 3600)      FLOPs of the modules (spec/accounting.py)
    FLOPs a second: of the calibration file for this architecture and size, or peak · MFU
    cost = device-hours · price           wall clock of a run = device-hours / devices a run

Several devices a run are taken to be as fast each as one alone.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from archscale.compose import ClusterConfig
from archscale.scaling.flops import training_flops
from archscale.spec import FlopsAccounting, RunSpec

if TYPE_CHECKING:
    from archscale.scaling.calibration import Calibration

HOW_TO_KNOW = (
    "measure it with `archscale bench train --calibration FILE` and set cluster.calibration=FILE, or set "
    "cluster.peak_flops_per_second and cluster.mfu"
)


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """Hours and cost are None where the speed, or the price, is not known; `basis` says where the speed is from."""

    device_hours: float | None
    cost: float | None
    wall_clock_hours: float | None
    basis: str


def cost_of(spec: RunSpec, cluster: ClusterConfig, *, share: float = 1.0) -> RunCost:
    """Of the `share` of a run's steps that are to be done.

    Raises:
        UserError: for a calibration file that cannot be read.
    """
    speed, basis = _speed(spec, cluster)
    if speed is None:
        return RunCost(device_hours=None, cost=None, wall_clock_hours=None, basis=basis)
    hours = share * training_flops(spec, spec.tokens, FlopsAccounting.MODULES) / speed / 3600
    price = cluster.device_hour_price
    return RunCost(
        device_hours=hours,
        cost=None if price is None else hours * price,
        wall_clock_hours=hours / cluster.devices_per_run,
        basis=basis,
    )


def _speed(spec: RunSpec, cluster: ClusterConfig) -> tuple[float | None, str]:
    """FLOPs a second of one device, and where the figure is from."""
    if cluster.calibration is not None:
        from archscale.scaling.count import count_parameters

        count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
        return _calibration(cluster.calibration).flops_per_second(
            spec.arch.name,
            count.non_embedding,
            device=spec.execution.device,
            threads=spec.execution.threads,
            precision=spec.precision,
        )
    if cluster.peak_flops_per_second is not None and cluster.mfu is not None:
        peak, mfu = cluster.peak_flops_per_second, cluster.mfu
        return peak * mfu, f"stated: {100 * mfu:g} % of a peak of {peak:.3g} FLOP/s"
    return None, f"unknown: {HOW_TO_KNOW}"


@lru_cache(maxsize=8)
def _calibration(path: str) -> "Calibration":
    from archscale.scaling.calibration import load_calibration

    return load_calibration(path)


def makespan(hours: Iterable[float], slots: int) -> float:
    """Hours until the last run ends, when each starts in its turn as soon as one of `slots` is free."""
    ends = [0.0] * slots
    for duration in hours:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)
