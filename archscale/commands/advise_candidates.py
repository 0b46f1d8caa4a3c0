"""Runs that a study could still do: what it is missing, further seeds of what it has, sizes between and beyond.

missing   cells without a result that no process is at, with what is left of them
seeds     the next seed of every finished setting
sizes     of the key that the study's ladder goes by (LADDERS): between its values, and up to two steps beyond
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import pandas as pd

from archscale.plan.cost import HOW_TO_KNOW, cost_of
from archscale.registry import UserError, unknown
from archscale.scaling.count import count_parameters
from archscale.scaling.flops import training_flops
from archscale.scaling.ladder import DEPTH_STEP
from archscale.spec import FlopsAccounting
from archscale.study import Study, StudyCell, expand

KINDS = ("missing", "seeds", "sizes")
# The first of these that a study has several numbers of is its ladder.
LADDERS = ("scale.depth", "scale.target_params", "scale.target_flops", "scale.tokens")


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run that could be done: `settings` make it out of the study, `left` is the share of it to be done."""

    kind: str
    cell: StudyCell
    settings: tuple[str, ...]
    left: float = 1.0

    @property
    def run_id(self) -> str | None:
        return self.cell.run_id

    @property
    def shown(self) -> tuple[str, ...]:
        """Cells of a table: shape, seed and kind."""
        scale = self.cell.spec.scale
        return f"d{scale.depth} w{scale.width}", str(self.cell.spec.seed), self.kind

    @property
    def modules_flops(self) -> float:
        return self.left * training_flops(self.cell.spec, self.cell.spec.tokens, FlopsAccounting.MODULES)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """By run id, in `unit`; `basis` says where they are from."""

    by_run: Mapping[str, float]
    unit: str
    basis: str


def runs_of(
    study: Study,
    overrides: Sequence[str],
    cells: Sequence[StudyCell],
    left: Mapping[str, float],
    kinds: Sequence[str],
) -> tuple[list[Run], list[str]]:
    """The runs of these kinds, each once, and why some could not be made.

    Args:
        left: by run id, the share of its steps that is still to be done; no entry for a run that somebody is at.

    Raises:
        UserError: for a kind that is neither one of KINDS nor KEY=VALUES.
    """
    makers: dict[str, Callable[[], Iterator[tuple[str, ...]]]] = {
        "seeds": lambda: _seeds(cells, left),
        "sizes": lambda: _sizes(study, cells),
    }
    found = {cell.run_id: Run(kind="study", cell=cell, settings=cell.overrides) for cell in cells}
    chosen: dict[str, Run] = {}
    refused: list[str] = []
    for kind in kinds:
        if kind == "missing":
            for cell in cells:
                if left.get(cell.run_id, 0) > 0:
                    run = Run(kind="missing", cell=cell, settings=cell.overrides, left=left[cell.run_id])
                    chosen[cell.run_id] = run
            continue
        if kind not in makers and "=" not in kind:
            raise unknown("kind of candidates", kind, KINDS, hint="KEY=VALUE,VALUE names sizes of your own.")
        made = makers[kind]() if kind in makers else _at(kind, cells)
        for settings in dict.fromkeys(made):
            try:
                (cell,) = expand(study, [*overrides, *settings])
            except UserError as error:
                refused.append(f"{' '.join(settings)}: {error}")
                continue
            if cell.run_id not in found and cell.run_id not in chosen:
                name = kind if kind in makers else "sizes"
                chosen[cell.run_id] = Run(kind=name, cell=cell, settings=settings)
    return list(chosen.values()), refused


def column_of(run: Run, column: str, row: Mapping[str, Any]) -> float:
    """What the run will have in a column that is known before it is done.

    Raises:
        UserError: for a column that only a result tells.
    """
    spec = run.cell.spec
    if column == "compute":
        return training_flops(spec, spec.tokens)
    if column in ("parameters", "non_embedding_parameters"):
        count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
        return float(count.total if column == "parameters" else count.non_embedding)
    if column == "base_learning_rate":
        return float(run.cell.config.scale.base.learning_rate)
    value = row.get(column)
    if not isinstance(value, int | float):
        raise UserError(f"fit.x = {column}: it is known of a run that is done only, so that no new one can be judged")
    return float(value)


def costs_of(runs: Sequence[Run], table: pd.DataFrame, cells: Sequence[StudyCell]) -> Costs:
    """Device-hours by the plan, else by the speed that the study's runs had, else FLOPs.

    Args:
        table: rows of RunTable; of finished runs `train_seconds` and `tokens` are read.
    """
    planned = {run.cell.run_id: cost_of(run.cell.spec, run.cell.config.cluster, share=run.left) for run in runs}
    hours = {identity: cost.device_hours for identity, cost in planned.items() if cost.device_hours is not None}
    if runs and len(hours) == len(runs):
        bases = list(dict.fromkeys(cost.basis for cost in planned.values()))
        more = f" (and {len(bases) - 1} more sources)" if len(bases) > 1 else ""
        return Costs(by_run=hours, unit="device-hours", basis=f"{bases[0]}{more}")
    speeds = _measured_speeds(table, cells)
    if speeds:
        every = sorted(speed for found in speeds.values() for speed in found)
        hours = {
            run.cell.run_id: run.modules_flops / median(speeds.get(run.cell.spec.arch.name, every)) / 3600
            for run in runs
        }
        basis = f"the speed of {len(every)} finished runs of this study, the median of each architecture"
        return Costs(by_run=hours, unit="device-hours", basis=basis)
    flops = {run.cell.run_id: run.modules_flops for run in runs}
    return Costs(by_run=flops, unit="FLOPs", basis=f"no speed is known: {HOW_TO_KNOW}")


def _seeds(cells: Sequence[StudyCell], left: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    last: dict[tuple[str, ...], int] = {}
    done = set()
    for cell in cells:
        setting = _without(cell.overrides, "seed")
        last[setting] = max(last.get(setting, -1), cell.spec.seed)
        if left.get(cell.run_id) == 0:
            done.add(setting)
    for setting, seed in last.items():
        if setting in done:
            yield (*setting, f"seed={seed + 1}")


def _sizes(study: Study, cells: Sequence[StudyCell]) -> Iterator[tuple[str, ...]]:
    for key in LADDERS:
        values = sorted({value for cell in cells if (value := _number(cell.overrides, key)) is not None})
        if len(values) > 1:
            fresh = _depths([int(v) for v in values]) if key == "scale.depth" else geometric(values)
            yield from _at(f"{key}={','.join(f'{value:g}' for value in fresh)}", cells)
            return


def _at(text: str, cells: Sequence[StudyCell]) -> Iterator[tuple[str, ...]]:
    """The settings of the study with these values of a key; beside it everything is as in the nearest cell."""
    key, _, values = text.partition("=")
    settings = {cell.overrides for cell in cells}
    for value in values.split(","):
        for group in sorted({_without(own, key, *_walked_with(key, settings)) for own in settings}):
            here = [own for own in settings if set(group) <= set(own)]
            nearest = min(here, key=lambda own: (_distance(_number(own, key), value), own))
            yield (*_without(nearest, key, "seed"), f"{key}={value}")


def _walked_with(key: str, settings: set[tuple[str, ...]]) -> list[str]:
    """Keys whose value follows from that of `key`, as heads from a size in a zip."""
    pairs = [dict(text.partition("=")[::2] for text in own) for own in settings]
    others = {name for own in pairs for name in own} - {key}
    walked = []
    for name in others:
        seen: dict[str | None, set[str | None]] = {}
        for own in pairs:
            seen.setdefault(own.get(key), set()).add(own.get(name))
        if len(seen) > 1 and all(len(found) == 1 for found in seen.values()) and len({*map(str, seen.values())}) > 1:
            walked.append(name)
    return [*walked, "seed"]


def _depths(values: list[int]) -> list[float]:
    between = [d for a, b in pairwise(values) for d in range(a + DEPTH_STEP, b, DEPTH_STEP)]
    step = max(values[-1] - values[-2], DEPTH_STEP)
    return [*between, values[-1] + step, values[-1] + 2 * step]


def geometric(values: Sequence[float], *, beyond: int = 2) -> list[float]:
    """Half-way between neighbours and some steps beyond, to two digits."""
    between = [math.sqrt(a * b) for a, b in pairwise(values)]
    ratio = values[-1] / values[-2]
    steps = [values[-1] * ratio**step for step in range(1, beyond + 1)]
    return [float(f"{value:.1e}") for value in (*between, *steps)]


def _without(settings: Sequence[str], *keys: str) -> tuple[str, ...]:
    return tuple(text for text in settings if text.partition("=")[0] not in keys)


def _number(settings: Sequence[str], key: str) -> float | None:
    for text in settings:
        name, _, value = text.partition("=")
        if name == key:
            try:
                return float(value)
            except ValueError:
                return None
    return None


def _distance(number: float | None, value: str) -> float:
    try:
        return abs(math.log(float(value) / number)) if number else math.inf
    except ValueError:
        return math.inf


def _measured_speeds(table: pd.DataFrame, cells: Sequence[StudyCell]) -> dict[str, list[float]]:
    """FLOPs a second of one device by architecture, of the modules, as finished runs had them."""
    specs = {cell.run_id: cell for cell in cells}
    speeds: dict[str, list[float]] = {}
    for row in table.to_dict("records"):
        cell, seconds = specs.get(row["run_id"]), row["train_seconds"]
        if cell is not None and row["state"] == "finished" and seconds > 0:
            flops = training_flops(cell.spec, int(row["tokens"]), FlopsAccounting.MODULES)
            devices = cell.config.cluster.devices_per_run
            speeds.setdefault(cell.spec.arch.name, []).append(flops / seconds / devices)
    return speeds
