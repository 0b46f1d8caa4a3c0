"""How long fits take, and how close they come to what was published of the same points."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from analysis.curve import refit
from analysis.fit import fit
from archscale.bench.published import PublishedFit

REFITS = 4000
_POINTS = np.geomspace(1.0, 64.0, 6)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published figure, as printed, and ours."""

    name: str
    published: str
    found: float

    @property
    def decimals(self) -> int:
        """Of what was printed."""
        return -int(Decimal(self.published).as_tuple().exponent)

    @property
    def agrees(self) -> bool:
        """Whether ours rounds to what was printed."""
        return round(self.found, self.decimals) == float(self.published)

    @property
    def difference(self) -> float:
        """Relative."""
        return self.found / float(self.published) - 1


@dataclass(frozen=True, kw_only=True)
class FitTime:
    """One fit with its intervals; `figures` is empty where nothing was published of it."""

    data: str
    name: str
    law: str
    loss: str
    points: int
    seconds: float
    starts: int
    starts_at_optimum: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class RefitTime:
    """Refits of A·x^-b + C on six points, all at once."""

    refits: int
    seconds: float


def bench_fits(published: Sequence[PublishedFit]) -> list[FitTime]:
    """One after the other, in this process."""
    rows = []
    for one in published:
        started = time.perf_counter()
        found = fit(one.law, one.x, one.y, loss=one.loss)
        seconds = time.perf_counter() - started
        figures = [Figure(name=name, published=printed, found=ours) for name, printed, ours in one.found(found)]
        rows.append(
            FitTime(
                data=one.data,
                name=one.name,
                law=one.law,
                loss=found.loss,
                points=found.n,
                seconds=seconds,
                starts=found.starts.count,
                starts_at_optimum=found.starts.at_optimum,
                figures=tuple(figures),
            )
        )
    return rows


def bench_refits(count: int = REFITS) -> RefitTime:
    noise = 0.01 * np.random.default_rng(0).standard_normal((count, _POINTS.size))
    y_RN = 2.0 * _POINTS**-0.3 + 1.5 + noise
    started = time.perf_counter()
    refit("power_offset", _POINTS, y_RN)
    return RefitTime(refits=count, seconds=time.perf_counter() - started)
