"""The budget of a study: what its missing runs need, and which of them fit.

Finished and diverged runs cost nothing, started ones what they have left, and those that start from another run's state
the steps after it. What fits is counted as a study of its own: a branch without its trunk costs all of its steps. Runs
are taken in the order of what each costs alone, so that many fit.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

from archscale.plan.cost import HOW_TO_KNOW, RunCost, cost_of, makespan
from archscale.registry import UserError
from archscale.spec import Budget
from archscale.study import Study, StudyCell
from archscale.trunks import first_steps

MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A run that is still to be done, or the rest of it."""

    cell: StudyCell
    cost: RunCost

    @property
    def name(self) -> str:
        return " ".join(self.cell.overrides) or self.cell.run_id

    @property
    def hours(self) -> float:
        return self.cost.device_hours or 0.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is done; so many `parallel_runs` go on at once.

    `left` is, by run id, the share of a run's steps that is still to be done, 1 where it has not begun; `began` the
    step of another run's state that one which has begun started from. `kept` is, by the hash of a trunk, the steps
    whose states runs can start from.
    """

    left: Mapping[str, float] = field(default_factory=dict)
    began: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Collection[int]] = field(default_factory=dict)
    parallel_runs: int = 1

    def first_steps(self, cells: Sequence[StudyCell]) -> dict[str, int]:
        """By run id, where each run begins in a study of these cells alone: see archscale/trunks.py."""
        specs = {cell.run_id: cell.spec for cell in cells}
        return first_steps(specs, left=self.left, began=self.began, kept=self.kept)


def check_budget(study: Study, cells: Sequence[StudyCell], standing: Standing) -> None:
    """
    Raises:
        UserError: one line with the sum, the limit and the runs that fit, as `over_budget` says.
    """
    if problem := over_budget(study, cells, standing):
        raise UserError(problem)


def over_budget(study: Study, cells: Sequence[StudyCell], standing: Standing) -> str | None:
    """Why the missing runs must not start; None where they keep the budget, or there is none."""
    limits = {entry.name: getattr(study.budget, entry.name) for entry in fields(Budget)}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not limits:
        return None
    missing = missing_runs(cells, standing)
    for name, limit in limits.items():
        if unknown := _not_known(name, missing):
            return f"study {study.name} has budget.{name} = {limit:g}, and {unknown}"
    sums: dict[str, Callable[[Sequence[Missing]], float]] = {
        "device_hours": lambda runs: sum(run.cost.device_hours or 0.0 for run in runs),
        "cost": lambda runs: sum(run.cost.cost or 0.0 for run in runs),
        "wall_clock_hours": lambda runs: makespan(
            (run.cost.wall_clock_hours or 0.0 for run in runs), standing.parallel_runs
        ),
    }
    exceeded = [name for name, limit in limits.items() if sums[name](missing) > limit]
    if not exceeded:
        return None
    alone = [run for one in missing for run in missing_runs([one.cell], standing)]
    cheapest_first = sorted(alone, key=lambda run: run.hours)

    def over(number: int) -> bool:
        runs = missing_runs([run.cell for run in cheapest_first[:number]], standing)
        return any(sums[name](runs) > limit for name, limit in limits.items())

    fitting = cheapest_first[: bisect_left(range(1, len(missing) + 1), True, key=over)]
    units = {"device_hours": "device-hours", "cost": cells[0].config.cluster.currency, "wall_clock_hours": "hours"}
    needs = " and ".join(
        f"{sums[name](missing):,.3g} {units[name]}, over budget.{name} = {limits[name]:g}" for name in exceeded
    )
    return f"study {study.name}: {len(missing)} missing runs need {needs}; {_fitting(fitting)}"


def missing_runs(cells: Sequence[StudyCell], standing: Standing) -> list[Missing]:
    """Of a study of these cells, the shortest first."""
    first, found = standing.first_steps(cells), []
    for cell in cells:
        own = 1 - first[cell.run_id] / cell.spec.optim.steps
        share = min(own, standing.left.get(cell.run_id, 1.0))
        if share > 0:
            found.append(Missing(cell=cell, cost=cost_of(cell.spec, cell.config.cluster, share=share)))
    return sorted(found, key=lambda run: run.hours)


def _not_known(name: str, missing: Sequence[Missing]) -> str | None:
    if any(run.cost.device_hours is None for run in missing):
        return f"how long its runs take is not known: {HOW_TO_KNOW}"
    if name == "cost" and any(run.cost.cost is None for run in missing):
        return "what an hour costs is not known: set cluster.device_hour_price"
    return None


def _fitting(runs: Sequence[Missing]) -> str:
    if not runs:
        return "not even the cheapest of them fits: raise the budget in the study file"
    named = "; ".join(run.name for run in runs[:MOST_NAMED])
    more = f"; and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
    return f"cheapest first {len(runs)} fit ({named}{more}): take the others out, or raise the budget in the study file"
