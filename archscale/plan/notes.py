"""Sentences below the tables of a plan: what a reader of its numbers should know."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from archscale.plan.recount import setting_of
from archscale.scaling.heads import heads_of
from archscale.study import Cell, StudyCell
from archscale.trunks import sharing_notes

if TYPE_CHECKING:
    from archscale.plan.rows import PlannedRun


def notes_of(cells: Sequence[StudyCell], runs: "Sequence[PlannedRun]") -> Iterator[str]:
    yield from _head_notes(cells)
    yield from _size_note(cells, runs)
    yield from _warmup_notes(cells, runs)
    yield from sharing_notes({cell.run_id: cell.spec for cell in cells})


def _head_notes(cells: Sequence[StudyCell]) -> Iterator[str]:
    shapes = {
        (id(cell.config.arch), cell.spec.scale.depth, cell.config.scale.num_heads, cell.config.scale.num_kv_heads): cell
        for cell in cells
    }
    for cell in shapes.values():
        scale = cell.config.scale
        heads = heads_of(
            cell.config.arch, cell.spec.scale.depth, num_heads=scale.num_heads, num_kv_heads=scale.num_kv_heads
        )
        if heads.note:
            yield f"{heads.note}."


def _size_note(cells: Sequence[Cell], runs: "Sequence[PlannedRun]") -> Iterator[str]:
    """How far apart in size the architectures are that will be compared; small residuals of solved widths are not."""
    import pandas as pd

    from analysis.report.sizes import SAME_SIZE, largest, size_gaps

    models = [
        {"label": run.arch, "setting": setting_of(cell), "depth": run.depth}
        | {"non_embedding_parameters": run.non_embedding_parameters}
        for cell, run in zip(cells, runs, strict=True)
    ]
    worst = largest(size_gaps(pd.DataFrame(_telling(models))))
    solved = all(run.target_parameters is not None for run in runs)
    if worst is None or (solved and worst.excess <= SAME_SIZE):
        return
    hint = "" if solved or worst.excess <= SAME_SIZE else " --match-parameters solves widths for equal counts."
    yield f"{worst.sentence}, the largest difference between architectures.{hint}"


def _telling(models: list[dict[str, object]]) -> list[dict[str, object]]:
    """Of the settings that architectures share, those where a pair is farthest apart: the others change no answer."""
    by_setting: dict[object, dict[object, dict[str, object]]] = {}
    for model in models:
        by_setting.setdefault(model["setting"], {})[model["label"]] = model
    farthest: dict[tuple[object, object], tuple[float, object]] = {}
    for setting, by_label in by_setting.items():
        for pair in combinations(sorted(by_label, key=str), 2):
            one, two = (float(str(by_label[label]["non_embedding_parameters"])) for label in pair)
            farthest[pair] = max(farthest.get(pair, (0.0, None)), (max(one, two) / min(one, two), setting), key=_ratio)
    if not farthest:
        return list(
            {tuple(sorted(model.items() - {("setting", model["setting"])})): model for model in models}.values()
        )
    kept = {setting for _, setting in farthest.values()}
    return [model for model in models if model["setting"] in kept]


def _ratio(found: tuple[float, object]) -> float:
    return found[0]


def _warmup_notes(cells: Sequence[StudyCell], runs: "Sequence[PlannedRun]") -> Iterator[str]:
    late = [run for run in runs if run.warmup_steps * 2 > run.steps]
    if late:
        yield f"{len(late)} runs warm up for more than half of their steps: see optim.warmup_tokens."
    rounded = [cell for cell in cells if cell.config.optim.warmup_tokens and cell.spec.optim.warmup_steps == 0]
    if rounded:
        batch = min(cell.spec.optim.batch_tokens for cell in rounded)
        yield (
            f"{len(rounded)} runs do not warm up, since their optim.warmup_tokens are less than half of a batch "
            f"(of {batch:,} tokens or more): set optim.warmup_tokens to at least a batch, or to 0."
        )
