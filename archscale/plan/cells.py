"""What each cell of a study is and takes, as rows of tables and of JSON."""

from collections.abc import Callable, Sequence
from math import ceil

from archscale.compose import named_arch
from archscale.parametrizations import of_run
from archscale.plan.budget import Standing, over_budget
from archscale.plan.cost import cost_of, makespan
from archscale.plan.labels import row_labels
from archscale.plan.notes import notes_of
from archscale.plan.rows import Plan, PlannedRun, Total
from archscale.registry import UserError
from archscale.scaling.config import TokenCount
from archscale.scaling.count import count_parameters
from archscale.scaling.flops import training_flops
from archscale.scaling.ladder import counted, target_of
from archscale.scaling.memory import TrainingMemory, training_memory
from archscale.scaling.nominal import nominal_count
from archscale.scaling.tokens import training_tokens
from archscale.spec import fields_of
from archscale.study import Study, StudyCell, expand


def plan(
    study: Study, overrides: Sequence[str] = (), standing: Callable[[Sequence[StudyCell]], Standing] | None = None
) -> Plan:
    """`standing` says what of the cells is done, and is asked once they are known.

    Raises:
        UserError: when a cell is impossible, naming the cell.
    """
    memories: dict[str, TrainingMemory | None] = {}
    shapes: dict[tuple[object, ...], TrainingMemory | None] = {}
    unknown: list[str] = []

    def see(cell: StudyCell) -> None:
        spec = cell.spec
        # Cells share the objects of their architectures, which live as long as they do.
        micro = spec.execution.micro_batch_sequences or ceil(spec.batch_sequences / cell.config.cluster.devices_per_run)
        key = (id(spec.arch), spec.scale, spec.data, spec.execution, spec.precision, spec.batch_sequences, micro)
        if key not in shapes:
            try:
                shapes[key] = training_memory(spec, micro_sequences=micro)
            except UserError as error:
                shapes[key] = None
                unknown.append(f"The memory of {spec.arch.name} is unknown: {error}.")
        memories[cell.run_id] = shapes[key]

    cells = expand(study, overrides, see)
    now = standing(cells) if standing else Standing()
    first = now.first_steps(cells)
    label_heading, labels = row_labels(cells)
    runs = tuple(
        _planned(cell, label, first[cell.run_id], memories[cell.run_id])
        for cell, label in zip(cells, labels, strict=True)
    )
    hours = [run.wall_clock_hours for run in runs if run.wall_clock_hours is not None]
    return Plan(
        study=study.name,
        overrides=tuple(overrides),
        runs=runs,
        label_heading=label_heading,
        notes=tuple(dict.fromkeys([*notes_of(cells, runs), *unknown])),
        currency=cells[0].config.cluster.currency,
        parallel_runs=now.parallel_runs,
        wall_clock_hours=makespan(hours, now.parallel_runs) if len(hours) == len(runs) else None,
        over_budget=over_budget(study, cells, now),
    )


def _planned(cell: StudyCell, label: str, first_step: int, memory: TrainingMemory | None) -> PlannedRun:
    spec, scale = cell.spec, cell.spec.scale
    vocab_size = spec.data.vocab_size
    count = count_parameters(spec.arch, scale, vocab_size)
    target = target_of(cell.config.scale, vocab_size, named_arch)
    rules, at, base = of_run(spec)
    flops = training_flops(spec, spec.tokens)
    saved = first_step / spec.optim.steps
    cost = cost_of(spec, cell.config.cluster, share=1 - saved)
    mismatch = None
    if target is not None:
        mismatch = counted(spec.arch, scale, vocab_size, target.count) / target.parameters - 1
    return PlannedRun(
        run_id=cell.run_id,
        label=label,
        arch=spec.arch.name,
        depth=scale.depth,
        width=scale.width,
        num_heads=scale.num_heads,
        num_kv_heads=scale.num_kv_heads,
        parameters=count.total,
        non_embedding_parameters=count.non_embedding,
        embedding_parameters=count.embedding,
        head_parameters=count.head,
        mixer_parameters=count.mixer,
        mlp_parameters=count.mlp,
        norm_parameters=count.norm,
        paper_parameters=_nominal(cell),
        target_parameters=None if target is None else target.parameters,
        mismatch=mismatch,
        tokens=spec.tokens,
        paper_tokens=_tokens_by("paper", cell),
        module_tokens=_tokens_by("modules", cell) or spec.tokens,
        batch_tokens=spec.optim.batch_tokens,
        steps=spec.optim.steps,
        warmup_steps=spec.optim.warmup_steps,
        learning_rate=spec.optim.learning_rate,
        hidden_learning_rate=spec.optim.learning_rate * rules.rule("hidden", at, base).learning_rate_multiplier,
        weight_decay=spec.optim.weight_decay,
        flops=flops,
        flops_accounting=spec.flops_accounting.value,
        saved_flops=flops * saved,
        memory_bytes=None if memory is None else memory.peak,
        memory=None if memory is None else fields_of(memory),
        device_hours=cost.device_hours,
        cost=cost.cost,
        wall_clock_hours=cost.wall_clock_hours,
        cost_basis=cost.basis,
    )


def _nominal(cell: StudyCell) -> float | None:
    try:
        return nominal_count(cell.spec.arch, cell.spec.scale)
    except UserError:
        return None


def _tokens_by(count: TokenCount, cell: StudyCell) -> int | None:
    """The tokens that the rules give this shape under another count; None where its parameters cannot be counted so."""
    spec = cell.spec
    try:
        return round(training_tokens(cell.config.scale, spec.arch, spec.scale, spec.data.vocab_size, named_arch, count))
    except UserError:
        return None


def plan_json(planned: Plan) -> dict[str, object]:
    return {
        "study": planned.study,
        "overrides": list(planned.overrides),
        "cells": [fields_of(run) for run in planned.runs],
        "totals": [fields_of(total) for total in totals(planned.runs)],
        "currency": planned.currency,
        "parallel_runs": planned.parallel_runs,
        "wall_clock_hours": planned.wall_clock_hours,
        "over_budget": planned.over_budget,
        "notes": list(planned.notes),
    }


def totals(runs: Sequence[PlannedRun]) -> list[Total]:
    """By architecture, and last of all runs under the name `all`."""
    by_arch: dict[str, list[PlannedRun]] = {}
    for run in runs:
        by_arch.setdefault(run.arch, []).append(run)
    found = [_total(name, own) for name, own in by_arch.items()]
    return [*found, _total("all", runs)] if len(found) > 1 else found


def _total(name: str, runs: Sequence[PlannedRun]) -> Total:
    return Total(
        arch=name,
        runs=len(runs),
        tokens=sum(run.tokens for run in runs),
        flops=sum(run.flops for run in runs),
        saved_flops=sum(run.saved_flops for run in runs),
        device_hours=_sum([run.device_hours for run in runs]),
        cost=_sum([run.cost for run in runs]),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
