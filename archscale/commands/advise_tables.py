"""What `archscale advise` shows: the interval now, the candidates in a table of 80 columns, and how to do the best."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import formatting
from analysis.advise import Advice, Advised
from archscale.commands.advise_candidates import Costs, Run
from archscale.plan.tables import TextTable, short_amount, short_scientific
from archscale.registry import UserError

_MOST_GROUP = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """`study` and `overrides` are the command's; `runs` by run id, `refused` says why some could not be made."""

    study: str
    overrides: tuple[str, ...]
    x_name: str
    advised: Advised
    runs: Mapping[str, Run]
    costs: Costs
    refused: tuple[str, ...]

    def command(self, run: Run) -> str:
        return shlex.join(["archscale", "sweep", self.study, *self.overrides, *run.settings])


def answer_lines(answer: Answer, top: int) -> list[str]:
    """Every line of the table has at most 80 characters; sentences and commands are as long as they are."""
    advised, unit = answer.advised, answer.costs.unit
    lines = [
        f"{advised.quantity} of {group}: {100 * advised.level:g} % interval {_ends(now.low, now.high)}"
        for group, now in advised.now.items()
    ]
    shown = advised.advice[:top]
    table = TextTable(
        title=f"\n{len(shown)} of {len(advised.advice)} next runs, by what each narrows that for its cost",
        headings=(
            "group",
            "shape",
            "seed",
            "",
            answer.x_name,
            _short(unit),
            "width\nthen/now",
            f"gain per\n{_short(unit)}",
        ),
        rows=tuple(_row(answer, found) for found in shown),
        left=2,
    )
    lines += [str(table), "", f"cost: {unit}, from {answer.costs.basis}"]
    if advised.narrowest.ratio >= 1:
        lines.append("No single run of these is expected to narrow it: several are needed, or larger ones.")
    else:
        lines += _recommendation("Most for its cost", answer, advised.best)
    if advised.best is not advised.narrowest and advised.narrowest.ratio < 1:
        lines += _recommendation("Narrowest of all", answer, advised.narrowest)
    lines += [f"note: {note}" for note in advised.notes]
    if answer.refused:
        lines.append(f"note: {len(answer.refused)} candidates cannot be made; the first: {answer.refused[0]}")
    return lines


def answer_json(answer: Answer) -> dict[str, Any]:
    advised = answer.advised
    return {
        "study": answer.study,
        "quantity": advised.quantity.name,
        "level": advised.level,
        "now": {group: [_finite(now.low), _finite(now.high)] for group, now in advised.now.items()},
        "degrees_of_freedom": advised.degrees_of_freedom,
        "cost_unit": answer.costs.unit,
        "cost_basis": answer.costs.basis,
        "candidates": [_candidate_json(answer, found) for found in advised.advice],
        "refused": list(answer.refused),
    }


def _candidate_json(answer: Answer, found: Advice) -> dict[str, Any]:
    run = answer.runs[found.candidate.label]
    return {
        "run_id": found.candidate.label,
        "kind": run.kind,
        "group": found.candidate.group,
        "settings": list(run.settings),
        answer.x_name: found.candidate.x,
        "cost": found.candidate.cost,
        "expected_width": _finite(found.width),
        "width_ratio": _finite(found.ratio),
        "gain_per_cost": _finite(found.gain),
        "command": answer.command(run),
    }


def _row(answer: Answer, found: Advice) -> tuple[str, ...]:
    run = answer.runs[found.candidate.label]
    spec = run.cell.spec
    group = found.candidate.group
    return (
        group if len(group) <= _MOST_GROUP else f"{group[: _MOST_GROUP - 1]}…",
        f"d{spec.scale.depth} w{spec.scale.width}",
        str(spec.seed),
        run.kind,
        short_scientific(found.candidate.x),
        short_amount(found.candidate.cost) if found.candidate.cost < 1e6 else short_scientific(found.candidate.cost),
        f"{found.ratio:.3f}",
        short_scientific(found.gain),
    )


def _recommendation(what: str, answer: Answer, found: Advice) -> list[str]:
    run = answer.runs[found.candidate.label]
    cost = f"{formatting.general(found.candidate.cost)} {answer.costs.unit}"
    return [
        f"{what}: {found.candidate.label}, {cost}, width {100 * found.ratio:.0f} % of what it is",
        f"  {answer.command(run)}",
    ]


def _short(unit: str) -> str:
    return "hour" if unit == "device-hours" else unit


def _ends(low: float, high: float) -> str:
    return f"{formatting.interval(low, high)}, width {formatting.general(high - low)}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_some(offered: Sequence[object], candidates: str) -> None:
    """Raises: UserError where nothing is left to choose from."""
    if not offered:
        raise UserError(
            f"--candidates {candidates}: no such run is left; name sizes, e.g. --candidates scale.depth=28,32"
        )
