"""Figures of a coordinate check: what keeps its size along a ladder, and the part that each parameter has in it."""

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from analysis.report.printing import GREY, PAGE_INCHES, log_axis, plain, write_figures
from analysis.report.series import log_ticks
from analysis.report.style import Style, styles
from archscale.check.coordinates import AXES, Check, CheckReport
from archscale.check.probe import LOGITS, STREAM
from archscale.check.slopes import LOGITS_OF, Axis
from archscale.check.tables import SMALLEST_SHARE, ParameterRow, parameter_rows

# A factor of four either way is shown at least, so that what is flat looks flat.
_LEAST_RANGE = 4.0
_ROW_INCHES, _PARAMETER_INCHES = 1.5, 0.12

Lines = Callable[[Check], Sequence[tuple[float, ...]]]


def write_check_figures(report: CheckReport, folder: Path) -> dict[str, list[Path]]:
    """`coordinates-width`, `coordinates-depth`, and of each parametrization `coordinates-parameters-NAME`."""
    axes = [axis for axis in AXES if any(check.axis == axis for check in report.checks)]
    drawers = {f"coordinates-{axis}": partial(ladder_figure, report, axis) for axis in axes}
    for name in dict.fromkeys(row.parametrization for row in parameter_rows(report)):
        drawers[f"coordinates-parameters-{name}"] = partial(parameter_figure, report, name)
    return write_figures(drawers, folder)


def ladder_figure(report: CheckReport, axis: Axis) -> Figure:
    """A row a quantity, a column a parametrization, a line an architecture; sizes over those of the smallest model."""
    checks = [check for check in report.checks if check.axis == axis]
    rules, style = list(dict.fromkeys(check.parametrization for check in checks)), styles(c.arch for c in checks)
    rows: dict[str, Lines] = {
        "residual stream": lambda check: [check.of(STREAM, "size").values],
        "its change": lambda check: [check.of(STREAM, "change").values],
        "change of each\nkind of layer": _kinds,
        "change of logits\n" + LOGITS_OF[axis].removeprefix(f"{LOGITS}, "): lambda check: [
            check.of(LOGITS_OF[axis], "change").values
        ],
    }
    figure = Figure(figsize=(PAGE_INCHES, _ROW_INCHES * len(rows) + 0.8))
    grid = figure.subplots(len(rows), len(rules), sharex=True, sharey="row", squeeze=False)
    for (title, lines), line in zip(rows.items(), grid, strict=True):
        drawn = [1 / _LEAST_RANGE, _LEAST_RANGE]
        for name, place in zip(rules, line, strict=True):
            place.set(xscale="log", yscale="log")
            for check in (check for check in checks if check.parametrization == name):
                for values in lines(check):
                    drawn += _draw_line(place, check, values, style[check.arch])
        low, high = min(drawn) / 1.1, max(drawn) * 1.1
        line[0].set_ylim(low, high)
        log_axis(line[0], "y", log_ticks(low, high, most=5), lambda value: f"{value:g}")
        line[0].set_ylabel(title)
    for name, top, bottom in zip(rules, grid[0], grid[-1], strict=True):
        top.set_title(plain(name), fontsize=8)
        bottom.set_xticks(checks[0].ladder, [str(size) for size in checks[0].ladder])
        bottom.xaxis.set_minor_locator(NullLocator())
        bottom.set_xlabel(axis)
    handles, names = grid[-1][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, columnspacing=1.2, fontsize=6)
    return figure


def parameter_figure(report: CheckReport, name: str) -> Figure:
    """A row a parameter, a column an axis, a point an architecture; small points where the part is below 1 %."""
    rows = [row for row in parameter_rows(report) if row.parametrization == name]
    axes = [axis for axis in AXES if any(row.axis == axis for row in rows)]
    names, style = sorted({row.name for row in rows}, reverse=True), styles(check.arch for check in report.checks)
    figure = Figure(figsize=(PAGE_INCHES, _PARAMETER_INCHES * len(names) + 1.2))
    grid = figure.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    for axis, place in zip(axes, grid, strict=True):
        own = [part.own_slope for row in rows if row.axis == axis for part in row.parts.values()]
        of_rate, tolerance = min(own, key=abs), report.settings.tolerance
        place.axvspan(min(of_rate, 0) - tolerance, max(of_rate, 0) + tolerance, color=GREY, alpha=0.12, linewidth=0)
        for slope in {0.0, of_rate}:
            place.axvline(slope, color=GREY, linewidth=0.7)
        for row in (row for row in rows if row.axis == axis):
            _draw_row(place, row, names.index(row.name), style)
        place.set_xlabel(f"slope over {axis}")
        place.set_yticks(range(len(names)), names, fontsize=5.5)
        place.set_ylim(-0.7, len(names) - 0.3)
    archs = [Line2D([], [], color=s.color, marker=s.marker, linestyle="", markersize=3.5) for s in style.values()]
    figure.legend(archs, list(style), loc="outside lower center", ncols=6, columnspacing=1.2, fontsize=6)
    return figure


def _kinds(check: Check) -> list[tuple[float, ...]]:
    changes = [quantity for quantity in check.quantities if quantity.measure == "change"]
    return [change.values for change in changes if change.name != STREAM and not change.name.startswith(LOGITS)]


def _draw_line(place: Axes, check: Check, values: tuple[float, ...], style: Style) -> list[float]:
    """Returns what was drawn; a run that diverged has no point."""
    points = [(size, value / values[0]) for size, value in zip(check.ladder, values, strict=True) if isfinite(value)]
    place.plot(
        [size for size, _ in points],
        [value for _, value in points],
        color=style.color,
        marker=style.marker,
        label=check.arch,
        linewidth=0.8,
        markersize=3,
        markeredgewidth=0,
    )
    return [value for _, value in points]


def _draw_row(place: Axes, row: ParameterRow, height: int, style: dict[str, Style]) -> None:
    for arch, part in row.parts.items():
        if isfinite(part.slope):
            size = 3.5 if part.share >= SMALLEST_SHARE else 1.8
            place.plot(
                part.slope, height, style[arch].marker, color=style[arch].color, markersize=size, markeredgewidth=0
            )
