"""The figure of a comparison without a law: a line a group against x, or a row a group where there is one x."""

import html
from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from analysis import formatting
from analysis.columns import COLUMNS, NUMERIC
from analysis.report import interactive as page
from analysis.report.evaluation import Evaluation
from analysis.report.plots import throughput_figure, training_figure
from analysis.report.printing import PAGE_INCHES, Drawers, legend_above, legend_name, log_axis, new_axes
from analysis.report.style import styles
from analysis.report.traces import Figure as Specification
from analysis.report.traces import anchor, hover_text, new_axis, numbers, plotly_figure
from analysis.table import records_of

# On an axis that spans at least this factor, values stand at their logarithm.
_LOGARITHMIC = 1.9


def printed(found: Evaluation) -> Drawers:
    drawers: Drawers = {"evaluation": partial(evaluation_figure, found), "training": partial(training_figure, found)}
    return {**drawers, "throughput": partial(throughput_figure, found)} if found.noun == "architecture" else drawers


def interactive(found: Evaluation) -> dict[str, Specification]:
    made: Mapping[str, Specification | None] = {
        "evaluation": evaluation_specification(found),
        "training": page.training_figure(found),
        "throughput": page.throughput_figure(found) if found.noun == "architecture" else None,
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def tick(found: Evaluation, place: Any) -> str:
    if found.settings.x not in NUMERIC:
        return str(place)
    return formatting.short(place) if abs(place) < 1e4 else formatting.count(place)


def positions(found: Evaluation) -> tuple[dict[Any, float], bool]:
    """Where each x stands on its axis, and whether that axis is logarithmic; a text stands at its number in the row."""
    if found.settings.x not in NUMERIC:
        return {place: float(number) for number, place in enumerate(found.places)}, False
    low, high = min(found.places), max(found.places)
    return {place: float(place) for place in found.places}, bool(low > 0 and high / low >= _LOGARITHMIC)


def evaluation_figure(found: Evaluation) -> Figure:
    if len(found.places) == 1:
        return _one_place(found)
    at, logarithmic = positions(found)
    figure, axes = new_axes(PAGE_INCHES, 3.4)
    if logarithmic:
        axes.set_xscale("log")
    look = styles(found.labels)
    for label in found.cells:
        measured = found.measured(label)
        rows = found.points[found.points["label"] == label]
        if found.spread is not None:
            single = [at[place] for place in rows[found.settings.x]]
            axes.plot(single, rows[found.settings.y], ".", color=look[label].color, markersize=2.5, alpha=0.6)
        axes.plot(
            [at[place] for place in measured],
            list(measured.values()),
            look[label].marker,
            linestyle="-",
            linewidth=0.9,
            color=look[label].color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=legend_name(label),
        )
    names = {position: tick(found, place) for place, position in at.items()}
    log_axis(axes, "x", list(names), lambda value: names.get(value, ""))
    axes.margins(x=0.06)
    legend_above(axes)
    axes.set_xlabel(COLUMNS[found.settings.x].label)
    axes.set_ylabel(COLUMNS[found.settings.y].label)
    return figure


def _one_place(found: Evaluation) -> Figure:
    rows = list(reversed(list(found.cells)))
    figure, axes = new_axes(PAGE_INCHES, 0.9 + 0.26 * len(rows))
    look, y = styles(found.labels), found.settings.y
    for height, label in enumerate(rows):
        runs = found.points[found.points["label"] == label]
        if found.spread is not None:
            axes.plot(runs[y], [height] * len(runs), ".", color=look[label].color, markersize=3, alpha=0.6)
        for mean in found.measured(label).values():
            axes.plot([mean], [height], look[label].marker, color=look[label].color, markeredgecolor="white")
    axes.set_yticks(range(len(rows)), [legend_name(label) for label in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(COLUMNS[y].label)
    return figure


def evaluation_specification(found: Evaluation) -> Specification:
    settings, look = found.settings, styles(found.labels)
    at, logarithmic = positions(found)
    single = len(found.places) == 1
    traces: list[Specification] = []
    for label in found.cells:
        rows = found.points[found.points["label"] == label].sort_values([settings.x, "run_id"])
        name, color = html.escape(label), look[label].color
        shared = {"name": name, "legendgroup": name}
        means = found.measured(label)
        places, values = [at[place] for place in means], numbers(means.values())
        mean = {"mode": "lines", "line": {"color": color, "width": 1.5}, "hoverinfo": "skip", "showlegend": False}
        if not single:
            traces.append(shared | mean | {"x": places, "y": values})
        own = {
            "mode": "markers",
            "marker": {"color": color, "symbol": look[label].symbol, "size": 9, "line": {"width": 1}},
            "text": [hover_text(row, label) for row in records_of(rows)],
            "customdata": [anchor(run_id) for run_id in rows["run_id"]],
            "hovertemplate": "%{text}<extra></extra>",
        }
        x = [name] * len(rows) if single else [at[place] for place in rows[settings.x]]
        traces.append(shared | own | {"x": x, "y": numbers(rows[settings.y])})
    if single:
        x_axis = new_axis(COLUMNS[settings.group].meaning) | {"type": "category"}
    else:
        ticks = {"tickvals": list(at.values()), "ticktext": [html.escape(tick(found, place)) for place in at]}
        x_axis = new_axis(COLUMNS[settings.x].label) | {"type": "log" if logarithmic else "linear"} | ticks
    return plotly_figure(traces, x_axis, new_axis(COLUMNS[settings.y].label))
