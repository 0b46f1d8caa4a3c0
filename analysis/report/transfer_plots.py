"""Static figures of a transfer study: a panel a group with a line a width, and where each of them is lowest."""

from functools import partial
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.optimum import Optimum
from analysis.report import series
from analysis.report.plots import training_figure
from analysis.report.printing import GREY, PAGE_INCHES, Drawers, legend_above, legend_name, log_axis, new_axes
from analysis.report.style import Style, ramp, styles
from analysis.report.transfer import Transfer
from analysis.report.transfer_series import Limits, limits_of, optimum_bars
from analysis.report.transfer_summary import place_name

_ACROSS = 3


def printed(found: Transfer) -> Drawers:
    return {
        "transfer": partial(sweep_figure, found),
        "optima": partial(optima_figure, found),
        "training": partial(training_figure, found),
    }


def sweep_figure(found: Transfer) -> Figure:
    rows = ceil(len(found.sweeps) / _ACROSS)
    across = min(_ACROSS, len(found.sweeps))
    figure = Figure(figsize=(PAGE_INCHES, 0.45 + 2.35 * rows))
    grid = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
    limits, looks = limits_of(found), ramp(found.places)
    for axes, (label, sweeps) in zip(grid.flat, found.sweeps.items(), strict=False):
        axes.set(xscale="log", xlim=limits.x, ylim=limits.y)
        log_axis(axes, "x", series.log_ticks(*limits.x, most=5), formatting.short)
        axes.set_title(legend_name(label), fontsize=8)
        for place, sweep in sweeps.items():
            _draw_sweep(axes, *sweep.means, looks[place], limits)
            if (item := found.found(label).get(place)) is not None:
                _draw_optimum(axes, item, looks[place], limits)
    for axes in list(grid.flat)[len(found.sweeps) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(COLUMNS[found.settings.x].label)
    for axes in grid[:, 0]:
        axes.set_ylabel(COLUMNS[found.settings.y].label)
    handles = [
        Line2D([], [], color=looks[p].color, marker=looks[p].marker, markersize=3.5, label=place_name(found, p))
        for p in found.places
    ]
    handles.append(Line2D([], [], color=GREY, marker="*", linestyle=(0, (3, 2)), label="parabola and minimum"))
    if found.measured[found.settings.y].eq(np.inf).any():
        handles.append(Line2D([], [], color=GREY, marker="x", linestyle="", label="diverged"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
    return figure


def optima_figure(found: Transfer) -> Figure | None:
    if not any(found.found(label) for label in found.optima):
        return None
    figure, axes = new_axes(0.62 * PAGE_INCHES, 2.8)
    axes.set(xscale="log", yscale="log")
    for label, look in styles(found.labels).items():
        if label in found.optima and (items := found.found(label)):
            x, down, up = optimum_bars(items.values(), limits_of(found))
            axes.errorbar(
                list(items),
                x,
                yerr=[down, up],
                color=look.color,
                marker=look.marker,
                capsize=2,
                linewidth=1,
                label=legend_name(label),
            )
    axes.margins(x=0.08, y=0.12)
    log_axis(axes, "x", found.places, formatting.short)
    log_axis(axes, "y", series.log_ticks(*axes.get_ylim(), most=5), formatting.short)
    legend_above(axes)
    axes.set_xlabel(COLUMNS[found.settings.along].label)
    axes.set_ylabel(f"Best {COLUMNS[found.settings.x].meaning.lower()}")
    return figure


def _draw_sweep(axes: Axes, x: np.ndarray, y: np.ndarray, look: Style, limits: Limits) -> None:
    trained = np.isfinite(y)
    # Broken where a run diverged: nothing was measured there.
    axes.plot(x, np.where(trained, y, np.nan), color=look.color, linewidth=0.7, alpha=0.6)
    shown = trained & (y <= limits.y[1])
    axes.plot(x[shown], y[shown], look.marker, color=look.color, markersize=3.5, markeredgewidth=0)
    for marker, there in (("x", ~trained), ("^", trained & ~shown)):
        if not there.any():  # nothing drawn beyond the axes would still count in their layout
            continue
        edge = np.full(int(there.sum()), limits.y[1])
        axes.plot(x[there], edge, marker, color=look.color, fillstyle="none", markersize=4.5, clip_on=False)


def _draw_optimum(axes: Axes, item: Optimum, look: Style, limits: Limits) -> None:
    grid = np.geomspace(item.used[0], item.used[-1], 60)
    axes.plot(grid, item.parabola(grid), color=look.color, linewidth=1, linestyle=(0, (3, 2)))
    _, (down,), (up,) = optimum_bars([item], limits)
    axes.plot([item.x - down, item.x + up], [item.y, item.y], color=look.color, linewidth=1.6)
    axes.plot([item.x], [item.y], "*", color=look.color, markersize=8, markeredgecolor="white", markeredgewidth=0.5)
