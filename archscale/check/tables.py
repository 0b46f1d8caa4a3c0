"""The verdict table, the parameters that stand out, and the JSON of a coordinate check."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median
from typing import Any

from rich.table import Table

from archscale.check.coordinates import Check, CheckReport
from archscale.check.probe import STREAM
from archscale.check.slopes import LOGITS_OF, Axis, Part

# Parts below this share of the change they belong to are left out of the table: they decide nothing.
SMALLEST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """One parameter's part under one parametrization along one axis, by architecture."""

    parametrization: str
    axis: Axis
    name: str
    parts: dict[str, Part]

    @property
    def slope(self) -> float:
        return median(part.slope for part in self.parts.values())

    @property
    def excess(self) -> float:
        return median(part.excess for part in self.parts.values())

    @property
    def share(self) -> float:
        return max(part.share for part in self.parts.values())


def verdict_table(report: CheckReport) -> Table:
    s = report.settings
    table = _table(f"slopes of log size after {s.steps} steps; flat: within ± {s.tolerance:g}")
    right = ("stream", "its\nchange", "logits'\nchange", "slope")
    for heading in ("arch", "rules", "axis", *right[:3], "furthest from flat", "slope", ""):
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    for check in report.checks:
        worst = check.worst
        table.add_row(
            check.arch,
            check.parametrization,
            check.axis,
            _slope(check.of(STREAM, "size").slope),
            _slope(check.of(STREAM, "change").slope),
            _slope(check.of(LOGITS_OF[check.axis], "change").slope),
            worst.name if worst.measure == "size" else f"{worst.name}, change",
            _slope(worst.slope) + (f" ({_slope(worst.own_slope)})" if _matters(worst.own_slope) else ""),
            "[green]flat[/]" if check.flat else "[red]not flat[/]",
        )
    if any(_matters(check.worst.own_slope) for check in report.checks):
        table.caption = "(in brackets: what the factor 1 − λ₀ of differential attention does by itself)"
        table.caption_justify = "left"
    return table


def parameter_rows(report: CheckReport) -> list[ParameterRow]:
    """In the order of rules, axis and name."""
    found: dict[tuple[str, Axis, str], dict[str, Part]] = defaultdict(dict)
    for check in report.checks:
        for part in check.parts:
            found[check.parametrization, check.axis, part.name][check.arch] = part
    return [
        ParameterRow(parametrization=rules, axis=axis, name=name, parts=parts)
        for (rules, axis, name), parts in sorted(found.items())
    ]


def parameter_table(report: CheckReport) -> Table | None:
    """Parameters of some weight that are not flat in the median of the architectures; None where there are none."""
    rows = [row for row in parameter_rows(report) if row.share >= SMALLEST_SHARE]
    rows = [row for row in rows if not abs(row.excess) <= report.settings.tolerance]
    if not rows:
        return None
    table = _table("parameters whose part of the change is not flat, over architectures")
    for heading in ("rules", "axis", "parameter", "median\nslope", "from", "to", "archs", "largest\nshare"):
        left = heading in ("rules", "axis", "parameter")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        slopes = [part.slope for part in row.parts.values()]
        numbers = [*map(_slope, (row.slope, min(slopes), max(slopes))), str(len(slopes)), f"{100 * row.share:.0f} %"]
        table.add_row(row.parametrization, row.axis, row.name, *numbers)
    return table


def check_json(report: CheckReport) -> dict[str, Any]:
    """Infinite values, of runs that diverged, are null."""
    checks = [_check_json(check) for check in report.checks]
    return {"settings": asdict(report.settings), "flat": report.flat, "checks": checks}


def _check_json(check: Check) -> dict[str, Any]:
    fields = {name: getattr(check, name) for name in ("arch", "parametrization", "axis", "ladder", "tolerance", "flat")}
    return fields | {
        "quantities": [_finite(asdict(quantity)) for quantity in check.quantities],
        "parameters": [_finite(asdict(part)) for part in check.parts],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)


def _slope(value: float) -> str:
    return f"{value:+.2f}" if isfinite(value) else "diverged"


def _matters(slope: float) -> bool:
    return abs(slope) >= 0.005
