"""What `archscale advise` computes of a study: its runs, the candidates that its cells make, their costs."""

from dataclasses import replace
from pathlib import Path

from analysis.advise import Candidate, advise, quantity_of
from analysis.laws import LAWS
from analysis.report.gathered import group_column
from analysis.table import RunTable, planned_row
from archscale.commands.advise_candidates import column_of, costs_of, runs_of
from archscale.commands.advise_tables import Answer, check_some
from archscale.launch.state import observe_cells
from archscale.plan import recount
from archscale.registry import UserError
from archscale.runlog.directory import RunDirectory
from archscale.spec import FitSettings
from archscale.study import expand, load_study


def answer_of(
    study: str,
    overrides: list[str],
    quantity: str | None,
    group: str | None,
    candidates: str,
    at_most: float | None,
    root: Path,
) -> Answer:
    """
    Raises:
        UserError: for a study without a fit or a finished run, or what analysis.advise or the candidates refuse.
    """
    loaded = load_study(study)
    settings = loaded.reading
    if not isinstance(settings, FitSettings):
        raise UserError(f"study {loaded.name} compares without a law: advice is for studies with fit: in their YAML")
    law, column = LAWS[settings.law], group_column(settings)
    asked = quantity_of(quantity or law.parameters[-1].name, law)
    cells = expand(loaded, overrides)
    states = observe_cells(cells, root)
    present = [RunDirectory(root / cell.run_id) for cell in cells if (root / cell.run_id / "spec.json").exists()]
    table = RunTable.from_directories(present, {state.run_id: state.state for state in states})
    table = replace(table, runs=recount(table.runs, cells))
    points = table.fit_points()
    if points.empty:
        raise UserError(
            f"no run of study {loaded.name} has finished: `archscale sweep {study}` runs it, then ask again"
        )
    points = points.assign(**{column: points[column].astype(str)})
    # A run that somebody is at needs no advice.
    left = {
        state.run_id: 0.0 if state.state in ("finished", "diverged") else 1 - state.step / state.steps
        for state in states
        if state.state != "running"
    }
    runs, refused = runs_of(loaded, overrides, cells, left, [part.strip() for part in candidates.split(";")])
    costs = costs_of(runs, table.runs, cells)
    offered = []
    for run in runs:
        row, cost = planned_row(run.cell.spec), costs.by_run[run.cell.run_id]
        if at_most is None or cost <= at_most:
            place = column_of(run, settings.x, row)
            offered.append(Candidate(label=run.cell.run_id, group=str(row[column]), x=place, cost=cost))
    check_some(offered, candidates, example="scale.depth=28,32")
    return Answer(
        source=study,
        overrides=tuple(overrides),
        x_name=settings.x,
        advised=advise(
            law,
            points,
            x=settings.x,
            y=settings.y,
            group=column,
            quantity=asked,
            candidates=offered,
            groups=None if group is None else [name.strip() for name in group.split(",")],
            level=settings.level,
        ),
        runs={run.cell.run_id: run for run in runs},
        headings=("shape", "seed", ""),
        costs=costs,
        refused=tuple(refused),
    )
