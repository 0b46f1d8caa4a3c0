"""What each cell of a study is and takes, as rows of tables and of JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from archscale.compose import named_arch
from archscale.parametrizations import of_run
from archscale.plan.budget import Standing, over_budget
from archscale.plan.cost import cost_of, makespan
from archscale.plan.notes import notes_of
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
from archscale.trunks import Branch, shared_trunks


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """Tokens are training tokens; learning rates the global one and that of hidden weights; flops of training.

    `target_parameters` is the count that the width was solved for, None where it was not solved, and `mismatch` what
    the count has more than that, as a fraction of it. `paper_parameters` and `paper_tokens` are by the paper's
    formulas, None where a mixer has none, `module_tokens` by the real modules, whichever the run follows. Of a branch
    of a shared trunk `saved_flops` are those that its trunk spends in its place, and hours and cost are its own.
    Memory is that of one device, with its share of the batch at once where execution.micro_batch_sequences is null.
    """

    run_id: str
    arch: str
    depth: int
    width: int
    num_heads: int
    num_kv_heads: int
    parameters: int
    non_embedding_parameters: int
    embedding_parameters: int
    head_parameters: int
    mixer_parameters: int
    mlp_parameters: int
    norm_parameters: int
    paper_parameters: float | None
    target_parameters: float | None
    mismatch: float | None
    tokens: int
    paper_tokens: int | None
    module_tokens: int
    batch_tokens: int
    steps: int
    warmup_steps: int
    learning_rate: float
    hidden_learning_rate: float
    weight_decay: float
    flops: float
    flops_accounting: str
    saved_flops: float
    memory_bytes: int
    memory: dict[str, int]
    device_hours: float | None
    cost: float | None
    wall_clock_hours: float | None
    cost_basis: str


@dataclass(frozen=True, kw_only=True)
class Total:
    """Of the runs of one architecture; hours and cost are None where those of one run are."""

    arch: str
    runs: int
    tokens: int
    flops: float
    saved_flops: float
    device_hours: float | None
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`overrides` are the command's, `notes` sentences that belong below the table; `over_budget` is why a sweep would
    refuse. `wall_clock_hours` is with `parallel_runs` at once, in the order of the study."""

    study: str
    overrides: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    notes: tuple[str, ...]
    currency: str
    parallel_runs: int
    wall_clock_hours: float | None
    over_budget: str | None


def plan(
    study: Study, overrides: Sequence[str] = (), standing: Callable[[Sequence[StudyCell]], Standing] | None = None
) -> Plan:
    """`standing` says what of the cells is done, and is asked once they are known.

    Raises:
        UserError: when a cell is impossible, naming the cell.
    """
    memories: dict[str, TrainingMemory] = {}
    shapes: dict[tuple[object, ...], TrainingMemory] = {}

    def see(cell: StudyCell) -> None:
        spec = cell.spec
        # Cells share the objects of their architectures, which live as long as they do.
        micro = spec.execution.micro_batch_sequences or ceil(spec.batch_sequences / cell.config.cluster.devices_per_run)
        key = (id(spec.arch), spec.scale, spec.data, spec.execution, spec.precision, spec.batch_sequences, micro)
        if key not in shapes:
            shapes[key] = training_memory(spec, micro_sequences=micro)
        memories[cell.run_id] = shapes[key]

    cells = expand(study, overrides, see)
    now = standing(cells) if standing else Standing()
    branches = shared_trunks({cell.run_id: cell.spec for cell in cells})
    runs = tuple(_planned(cell, branches.get(cell.run_id), memories[cell.run_id]) for cell in cells)
    hours = [run.wall_clock_hours for run in runs if run.wall_clock_hours is not None]
    return Plan(
        study=study.name,
        overrides=tuple(overrides),
        runs=runs,
        notes=tuple(dict.fromkeys(notes_of(cells, runs))),
        currency=cells[0].config.cluster.currency,
        parallel_runs=now.parallel_runs,
        wall_clock_hours=makespan(hours, now.parallel_runs) if len(hours) == len(runs) else None,
        over_budget=over_budget(study, cells, now),
    )


def _planned(cell: StudyCell, branch: Branch | None, memory: TrainingMemory) -> PlannedRun:
    spec, scale = cell.spec, cell.spec.scale
    vocab_size = spec.data.vocab_size
    count = count_parameters(spec.arch, scale, vocab_size)
    target = target_of(cell.config.scale, vocab_size, named_arch)
    rules, at, base = of_run(spec)
    flops = training_flops(spec, spec.tokens)
    saved = 0.0 if branch is None else branch.step / spec.optim.steps
    cost = cost_of(spec, cell.config.cluster, share=1 - saved)
    mismatch = None
    if target is not None:
        mismatch = counted(spec.arch, scale, vocab_size, target.count) / target.parameters - 1
    return PlannedRun(
        run_id=cell.run_id,
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
        flops_accounting=spec.flops_accounting,
        saved_flops=flops * saved,
        memory_bytes=memory.peak,
        memory=fields_of(memory),
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
