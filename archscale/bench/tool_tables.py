"""The tables of `archscale bench tools`, of at most 80 columns, and its JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from archscale.bench.tool_cases import Case
from archscale.bench.tools import ToolRow

# Below it two objectives are the same minimum: no parameter differs in its fifth digit.
_SAME = 1e-6


def numbers_table(case: Case, rows: Sequence[ToolRow]) -> Table:
    """What each tool reached: its objective, how far above the best, its seconds, and the irreducible loss."""
    table = _table(f"{case.name}: {case.title}\n{case.law.equation}, Σ {case.loss}, {case.y.size} points")
    for heading in ("tool", "objective", "over\nbest", "s", "core\ns", f"{case.offset}, 95 %"):
        table.add_column(heading, justify="left" if heading == "tool" else "right", no_wrap=True)
    for row in rows:
        reached = ["", ""] if row.objective is None else [f"{row.objective:.5e}", _over(row.over_best)]
        times = [f"{row.seconds:.1f}", f"{row.core_seconds:.1f}"]
        table.add_row(row.tool, *reached, *times, _offset(case, row))
    return table


def parameters_table(case: Case, rows: Sequence[ToolRow]) -> Table:
    """The parameters in the units of the points, and the published ones, or those of the law that drew the points."""
    names = [parameter.name for parameter in case.law.parameters]
    table = _table("")
    for heading in ("tool", *names):
        table.add_column(heading, justify="left" if heading == "tool" else "right", no_wrap=True)
    for row in rows:
        if row.parameters:
            table.add_row(row.tool, *(_short(row.parameters[name]) for name in names))
    if case.reference:
        table.add_row("reference", *(_short(case.reference[name]) if name in case.reference else "" for name in names))
    return table


def remarks(rows: Sequence[ToolRow]) -> list[str]:
    """One line for each tool that warned, refused or failed."""
    said = {row.tool: row.problem or ", ".join(row.says) for row in rows}
    return [f"{tool}: {text}" for tool, text in said.items() if text]


def tools_json(rows: Sequence[ToolRow], missing: Sequence[str]) -> dict[str, Any]:
    """An open end of an interval is null."""
    return {"rows": [_plain(asdict(row)) for row in rows], "missing": list(missing)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: float) -> str:
    """At most ten characters."""
    return f"{value:.5g}" if 1e-4 <= abs(value) < 1e5 else f"{value:.3g}"


def _over(value: float | None) -> str:
    """Empty where even the best objective is 0."""
    if value is None:
        return ""
    return "0" if value < _SAME else f"{100 * value:.2g} %" if value < 1 else f"× {value + 1:.3g}"


def _offset(case: Case, row: ToolRow) -> str:
    if case.offset not in row.parameters:
        return ""
    if case.offset not in row.intervals:
        return f"{row.parameters[case.offset]:.3f}, none"
    low, high = row.intervals[case.offset]
    return escape(f"{row.parameters[case.offset]:.3f} [{low:.3f}, {high:.3f}]")


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", box=None, pad_edge=False)
