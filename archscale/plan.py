"""The plan of a study: what each cell is and costs, before anything runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from archscale.identity import short_count
from archscale.parametrizations import of_run
from archscale.scaling.count import count_parameters
from archscale.scaling.flops import training_flops
from archscale.study import Cell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """Tokens are training tokens; learning rates the global one and that of hidden weights; flops of training."""

    run_id: str
    arch: str
    depth: int
    width: int
    parameters: int
    non_embedding_parameters: int
    tokens: int
    batch_tokens: int
    steps: int
    learning_rate: float
    hidden_learning_rate: float
    flops: float
    flops_accounting: str


def plan(cells: Sequence[Cell]) -> list[PlannedRun]:
    return [_planned(cell) for cell in cells]


def recount(runs: "pd.DataFrame", cells: Sequence[Cell]) -> "pd.DataFrame":
    """The `runs` of a RunTable with the compute of every run that has a result under its cell's FLOPs accounting.

    Runs keep the accounting they were trained with; a report speaks of the one that is asked for now.
    """
    runs = runs.copy()
    for cell in cells:
        here = (runs["run_id"] == cell.run_id) & runs["compute"].notna()
        spec = cell.spec
        count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
        for place in runs.index[here]:
            flops = training_flops(count, int(runs.loc[place, "tokens"]), spec.flops_accounting)
            runs.at[place, "compute"], runs.at[place, "flops_accounting"] = flops, spec.flops_accounting
    return runs


def _planned(cell: Cell) -> PlannedRun:
    spec = cell.spec
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
    rules, at, base = of_run(spec)
    hidden = rules.rule("hidden", at, base).learning_rate_multiplier
    return PlannedRun(
        run_id=cell.run_id,
        arch=spec.arch.name,
        depth=spec.scale.depth,
        width=spec.scale.width,
        parameters=count.total,
        non_embedding_parameters=count.non_embedding,
        tokens=spec.tokens,
        batch_tokens=spec.optim.batch_tokens,
        steps=spec.optim.steps,
        learning_rate=spec.optim.learning_rate,
        hidden_learning_rate=spec.optim.learning_rate * hidden,
        flops=training_flops(count, spec.tokens, spec.flops_accounting),
        flops_accounting=spec.flops_accounting,
    )


def plan_json(name: str, runs: Sequence[PlannedRun]) -> dict[str, object]:
    return {"study": name, "cells": [asdict(run) for run in runs]}


def plan_table(name: str, runs: Sequence[PlannedRun]) -> Table:
    accountings = ", ".join(sorted({run.flops_accounting for run in runs}))
    total = sum(run.flops for run in runs)
    table = Table(
        title=f"{name}: {len(runs)} runs, {total:.2e} training FLOPs ({accountings})",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("arch", "shape", "params", "non-\nembed.", "tokens", "steps", "lr", "hidden\nlr", "FLOPs"):
        table.add_column(heading, justify="left" if heading in ("arch", "shape") else "right", no_wrap=True)
    for run in runs:
        table.add_row(
            run.arch,
            f"d{run.depth} w{run.width}",
            short_count(run.parameters),
            short_count(run.non_embedding_parameters),
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
