"""The plan of a study: what each cell is and costs, before anything runs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from archscale.compose import RunConfig, groups, matched, parse_overrides
from archscale.identity import short_count
from archscale.parametrizations import of_run
from archscale.registry import unknown
from archscale.scaling.count import count_parameters
from archscale.scaling.flops import training_flops
from archscale.scaling.heads import heads_of
from archscale.scaling.ladder import target_count
from archscale.study import Cell, Study, StudyCell, expand

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """Tokens are training tokens; learning rates the global one and that of hidden weights; flops of training.

    `target_parameters` is the non-embedding count that the width was solved for, None where it was not solved, and
    `mismatch` what the count has more than that, as a fraction of it.
    """

    run_id: str
    arch: str
    depth: int
    width: int
    num_heads: int
    num_kv_heads: int
    parameters: int
    non_embedding_parameters: int
    target_parameters: float | None
    mismatch: float | None
    tokens: int
    batch_tokens: int
    steps: int
    learning_rate: float
    hidden_learning_rate: float
    flops: float
    flops_accounting: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`overrides` are the command's, `notes` sentences that belong below the table."""

    study: str
    overrides: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    notes: tuple[str, ...]


def plan(study: Study, overrides: Sequence[str] = ()) -> Plan:
    """
    Raises:
        UserError: when a cell is impossible, naming the cell.
    """
    cells = expand(study, overrides)
    configs = [cell.config for cell in cells]
    runs = tuple(_planned(cell) for cell in cells)
    notes = dict.fromkeys([*_head_notes(configs), *_size_note(cells, runs)])
    return Plan(study=study.name, overrides=tuple(overrides), runs=runs, notes=tuple(notes))


def matching(wanted: str | None, multiple: int | None, given: Sequence[str] = ()) -> list[str]:
    """The overrides that --match-parameters and --width-multiple stand for, beside those that are `given`.

    What a study or a scale says of the width makes way for the one that is asked for here. What `given` says of it does
    not: both are of one command, and validation refuses two of them.

    Raises:
        UserError: for what is neither a number nor an architecture.
    """
    found = [] if multiple is None else [f"scale.width_multiple={multiple}"]
    if wanted is None:
        return found
    try:
        number = float(wanted)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return [f"scale.target_params={number:.15g}", *_unset("scale.match_arch", given), *found]
    choices = groups()["arch"]
    if wanted not in choices:
        hint = "A number of parameters, 25_000 or 1e9, works too."
        raise unknown("architecture for --match-parameters", wanted, choices, hint=hint)
    return [f"scale.match_arch={wanted}", *_unset("scale.target_params", given), *found]


def _unset(other: str, given: Sequence[str]) -> list[str]:
    keys = {override.get_key_element() for override in parse_overrides(given)}
    return [f"{key}=null" for key in (other, "scale.width") if key not in keys]


def setting_of(cell: Cell) -> str:
    """What the study set for this cell beside the architecture: cells with one setting are there to be compared."""
    return " ".join(text for text in cell.overrides if not text.startswith("arch="))


def recount(runs: "pd.DataFrame", cells: Sequence[Cell]) -> "pd.DataFrame":
    """The `runs` of a RunTable with what their cells add: the setting, and compute under the cell's FLOPs accounting.

    Runs keep the accounting they were trained with; a report speaks of the one that is asked for now. A run without a
    result has no compute.
    """
    runs = runs.copy()
    settings = {cell.run_id: setting_of(cell) for cell in cells}
    runs["setting"] = runs["run_id"].map(settings)
    for cell in cells:
        here = (runs["run_id"] == cell.run_id) & runs["compute"].notna()
        spec = cell.spec
        count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
        for place in runs.index[here]:
            flops = training_flops(count, int(runs.loc[place, "tokens"]), spec.flops_accounting)
            runs.at[place, "compute"], runs.at[place, "flops_accounting"] = flops, spec.flops_accounting
    return runs


def _planned(cell: StudyCell) -> PlannedRun:
    spec, config = cell.spec, cell.config
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
    target = target_count(config.scale, matched(config.scale), spec.data.vocab_size)
    rules, at, base = of_run(spec)
    hidden = rules.rule("hidden", at, base).learning_rate_multiplier
    return PlannedRun(
        run_id=cell.run_id,
        arch=spec.arch.name,
        depth=spec.scale.depth,
        width=spec.scale.width,
        num_heads=spec.scale.num_heads,
        num_kv_heads=spec.scale.num_kv_heads,
        parameters=count.total,
        non_embedding_parameters=count.non_embedding,
        target_parameters=target,
        mismatch=None if target is None else count.non_embedding / target - 1,
        tokens=spec.tokens,
        batch_tokens=spec.optim.batch_tokens,
        steps=spec.optim.steps,
        learning_rate=spec.optim.learning_rate,
        hidden_learning_rate=spec.optim.learning_rate * hidden,
        flops=training_flops(count, spec.tokens, spec.flops_accounting),
        flops_accounting=spec.flops_accounting,
    )


def _head_notes(configs: Sequence[RunConfig]) -> Iterator[str]:
    for config in configs:
        scale = config.scale
        heads = heads_of(config.arch, scale.depth, num_heads=scale.num_heads, num_kv_heads=scale.num_kv_heads)
        if heads.note:
            yield f"{heads.note}."


def _size_note(cells: Sequence[Cell], runs: Sequence[PlannedRun]) -> Iterator[str]:
    """How far apart in size the architectures are that will be compared; small residuals of solved widths are not."""
    import pandas as pd

    from analysis.sizes import SAME_SIZE, largest, size_gaps

    models = [
        {"label": run.arch, "setting": setting_of(cell), "depth": run.depth}
        | {"non_embedding_parameters": run.non_embedding_parameters}
        for cell, run in zip(cells, runs, strict=True)
    ]
    worst = largest(size_gaps(pd.DataFrame(models)))
    solved = all(run.target_parameters is not None for run in runs)
    if worst is None or (solved and worst.excess <= SAME_SIZE):
        return
    hint = "" if solved or worst.excess <= SAME_SIZE else " --match-parameters solves widths for equal counts."
    yield f"{worst.sentence}, the largest difference between architectures.{hint}"


def plan_json(planned: Plan) -> dict[str, object]:
    return {
        "study": planned.study,
        "overrides": list(planned.overrides),
        "cells": [asdict(run) for run in planned.runs],
        "notes": list(planned.notes),
    }


def plan_table(planned: Plan) -> Table:
    accountings = ", ".join(sorted({run.flops_accounting for run in planned.runs}))
    total = sum(run.flops for run in planned.runs)
    solved = any(run.target_parameters is not None for run in planned.runs)
    table = Table(
        title=f"{planned.study}: {len(planned.runs)} runs, {total:.2e} training FLOPs ({accountings})",
        title_justify="left",
        box=None,
        pad_edge=False,
        # 80 characters are just enough for the longest name and the paper's sizes.
        collapse_padding=True,
    )
    columns = ["arch", "shape", "params", "non-\nembed.", "tokens", "steps", "lr", "hidden\nlr", "FLOPs"]
    if solved:
        columns.insert(4, "mis-\nmatch")
    for heading in columns:
        table.add_column(heading, justify="left" if heading in ("arch", "shape") else "right", no_wrap=True)
    for run in planned.runs:
        mismatch = "" if run.mismatch is None else f"{100 * run.mismatch:+.2f}%"
        table.add_row(
            run.arch,
            f"d{run.depth} w{run.width}",
            short_count(run.parameters),
            short_count(run.non_embedding_parameters),
            *([mismatch] if solved else []),
            short_count(run.tokens),
            str(run.steps),
            short_scientific(run.learning_rate),
            short_scientific(run.hidden_learning_rate),
            short_scientific(run.flops),
        )
    return table


def short_scientific(number: float) -> str:
    """Two significant digits: 7.1e10, 4.0e-3."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
