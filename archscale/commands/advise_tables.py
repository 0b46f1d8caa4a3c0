"""What `archscale advise` shows: the interval now, the candidates in a table of 80 columns, and how to do the best."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis import formatting
from analysis.advise import Advice, Advised
from archscale.commands.advise_candidates import Costs
from archscale.plan.tables import TextTable, short_amount, short_scientific
from archscale.registry import UserError

# Characters of a group beside the three columns of a run of a study, and beside the one of a point of a table.
_MOST_GROUP = {3: 20, 1: 32}


class Proposed(Protocol):
    """What could be done next; `run_id` is None for a point of a table, which no command of ours can make."""

    @property
    def kind(self) -> str: ...

    @property
    def run_id(self) -> str | None: ...

    @property
    def settings(self) -> tuple[str, ...]: ...

    @property
    def shown(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """`runs` by the label of their candidate, their cells under `headings`; `refused` says why some cannot be made.

    Of a study `source` and `overrides` are those of the command.
    """

    source: str
    overrides: tuple[str, ...] = ()
    x_name: str
    advised: Advised
    runs: Mapping[str, Proposed]
    headings: tuple[str, ...]
    costs: Costs
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def command(self, run: Proposed) -> str | None:
        if run.run_id is None:
            return None
        return shlex.join(["archscale", "sweep", self.source, *self.overrides, *run.settings])


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
            *answer.headings,
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
    lines += [f"note: {note}" for note in (*advised.notes, *answer.notes)]
    if answer.refused:
        lines.append(f"note: {len(answer.refused)} candidates cannot be made; the first: {answer.refused[0]}")
    return lines


def answer_json(answer: Answer) -> dict[str, Any]:
    advised = answer.advised
    return {
        "source": answer.source,
        "x_name": answer.x_name,
        "quantity": advised.quantity.name,
        "level": advised.level,
        "now": {group: [_finite(now.low), _finite(now.high)] for group, now in advised.now.items()},
        "degrees_of_freedom": advised.degrees_of_freedom,
        "cost_unit": answer.costs.unit,
        "cost_basis": answer.costs.basis,
        "candidates": [_candidate_json(answer, found) for found in advised.advice],
        "refused": list(answer.refused),
        "notes": [*advised.notes, *answer.notes],
    }


def _candidate_json(answer: Answer, found: Advice) -> dict[str, Any]:
    run = answer.runs[found.candidate.label]
    return {
        "label": found.candidate.label,
        "run_id": run.run_id,
        "kind": run.kind,
        "group": found.candidate.group,
        "settings": list(run.settings),
        "x": found.candidate.x,
        "cost": found.candidate.cost,
        "expected_width": _finite(found.width),
        "width_ratio": _finite(found.ratio),
        "gain_per_cost": _finite(found.gain),
        "command": answer.command(run),
    }


def _row(answer: Answer, found: Advice) -> tuple[str, ...]:
    group, most = found.candidate.group, _MOST_GROUP[len(answer.headings)]
    return (
        group if len(group) <= most else f"{group[: most - 1]}…",
        *answer.runs[found.candidate.label].shown,
        short_scientific(found.candidate.x),
        short_amount(found.candidate.cost) if found.candidate.cost < 1e6 else short_scientific(found.candidate.cost),
        f"{found.ratio:.3f}",
        short_scientific(found.gain),
    )


def _recommendation(what: str, answer: Answer, found: Advice) -> list[str]:
    command = answer.command(answer.runs[found.candidate.label])
    cost = f"{formatting.general(found.candidate.cost)} {answer.costs.unit}"
    line = f"{what}: {found.candidate.label}, {cost}, width {100 * found.ratio:.0f} % of what it is"
    return [line, f"  {command}"] if command else [line]


def _short(unit: str) -> str:
    return "hour" if unit == "device-hours" else unit


def _ends(low: float, high: float) -> str:
    return f"{formatting.interval(low, high)}, width {formatting.general(high - low)}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_some(offered: Sequence[object], candidates: str, *, example: str) -> None:
    """Raises: UserError where nothing is left to choose from."""
    if not offered:
        raise UserError(f"--candidates {candidates}: no such run is left; name sizes, e.g. --candidates {example}")
