"""How long planning a large study takes, and how much memory: many learning rates and seeds of few shapes, or as many
widths as cells."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from archscale.plan import plan, plan_json
from archscale.study import Study

SHAPES: dict[str, list[Any]] = {
    "scale.depth": [8, 12, 16, 20, 24],
    "arch": ["transformer_pp", "sambay", "sambay_2", "gdny"],
}
PAPER = ("scale=paper", "optim=paper", "data.sequence_length=4096", "data.validation_tokens=65536")


@dataclass(frozen=True, kw_only=True)
class PlanTime:
    """`processor_seconds` are what `seconds` would be on a machine that does nothing else; `peak_bytes` is of the whole
    process since it began, torch included."""

    study: str
    cells: int
    seconds: float
    processor_seconds: float
    peak_bytes: int


def bench_plan(cells: int) -> list[PlanTime]:
    """One study after the other in this process, the memory being that of the largest so far."""
    return [_timed(name, product) for name, product in products(cells).items()]


def products(cells: int) -> dict[str, Mapping[str, list[Any]]]:
    """Of at least so many cells: of repeated shapes, and of distinct widths."""
    shapes = len(SHAPES["arch"]) * len(SHAPES["scale.depth"])
    widths = ceil(cells / len(SHAPES["arch"]))
    return {
        "repeated shapes": {**SHAPES, "seed": list(range(ceil(cells / shapes)))},
        "distinct widths": {"arch": SHAPES["arch"], "scale.width": list(range(256, 256 + widths))},
    }


def _timed(name: str, product: Mapping[str, list[Any]]) -> PlanTime:
    study = Study(name=name.replace(" ", "-"), overrides=PAPER, product=dict(product))
    started, busy = time.perf_counter(), time.process_time()
    planned = plan(study)
    json.dumps(plan_json(planned))
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - busy
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return PlanTime(
        study=name,
        cells=len(planned.runs),
        seconds=seconds,
        processor_seconds=processor_seconds,
        peak_bytes=peak,
    )
