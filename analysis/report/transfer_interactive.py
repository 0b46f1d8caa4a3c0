"""The figures of a transfer study for the page: a panel a group, and where each of them is lowest."""

import html

import numpy as np

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.optimum import Optimum
from analysis.report import interactive as page
from analysis.report import series
from analysis.report.style import Style, ramp, styles
from analysis.report.traces import Figure, anchor, hover_text, log_axis, new_axis, numbers, plotly_figure
from analysis.report.transfer import Transfer, parts_of
from analysis.report.transfer_series import Limits, limits_of, optimum_bars
from analysis.report.transfer_summary import place_name
from analysis.table import records_of


def panels(found: Transfer) -> dict[str, str]:
    """Figure name → heading, one a group."""
    return {f"transfer-{number}": label for number, label in enumerate(found.sweeps, start=1)}


def interactive(found: Transfer) -> dict[str, Figure]:
    made: dict[str, Figure | None] = {name: sweep_panel(found, label) for name, label in panels(found).items()}
    made |= {"optima": optima_panel(found), "training": page.training_figure(found)}
    return {name: figure for name, figure in made.items() if figure is not None}


def sweep_panel(found: Transfer, label: str) -> Figure:
    settings, limits, looks = found.settings, limits_of(found), ramp(found.places)
    rows = found.measured[found.measured["label"] == label].sort_values([settings.along, settings.x, "run_id"])
    traces: list[Figure] = []
    for place, part in parts_of(rows, settings.along):
        look, name = looks[place], html.escape(place_name(found, place))
        x, y = found.sweeps[label][place].means
        shared = {"legendgroup": name, "name": name}
        line = {"color": look.color, "width": 1}
        thin = {"mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}
        traces.append(shared | thin | {"x": numbers(x), "y": numbers(y)})
        traces.append(
            shared
            | {
                "mode": "markers",
                "marker": {
                    "color": look.color,
                    "size": 8,
                    "symbol": [_symbol(value, look, limits) for value in part[settings.y]],
                },
                "x": numbers(part[settings.x]),
                "y": numbers(np.minimum(part[settings.y], limits.y[1])),
                "text": [f"{hover_text(row, label)}<br>{found.shape_of(row)}" for row in records_of(part)],
                "customdata": [anchor(run_id) for run_id in part["run_id"]],
                "hovertemplate": "%{text}<extra></extra>",
                "cliponaxis": False,
            }
        )
        if (item := found.found(label).get(place)) is not None:
            traces += [shared | trace for trace in _optimum_traces(item, look, limits)]
    x_axis = log_axis(COLUMNS[settings.x].label, *limits.x)
    ticks = series.log_ticks(*limits.x, most=5)
    x_axis |= {"tickvals": ticks, "ticktext": [formatting.short(tick) for tick in ticks]}
    x_axis.pop("dtick", None)
    return plotly_figure(traces, x_axis, new_axis(COLUMNS[settings.y].label) | {"range": list(limits.y)})


def optima_panel(found: Transfer) -> Figure | None:
    if not any(found.found(label) for label in found.optima):
        return None
    traces, look = [], styles(found.labels)
    lowest, highest = np.inf, 0.0
    for label in found.optima:
        items = found.found(label)
        if not items:
            continue
        x, down, up = optimum_bars(items.values(), limits_of(found))
        lowest, highest = min(lowest, float((x - down).min())), max(highest, float((x + up).max()))
        traces.append(
            {"mode": "lines+markers", "name": html.escape(label), "x": list(items), "y": numbers(x)}
            | {"line": {"color": look[label].color, "width": 1.5}}
            | {"marker": {"color": look[label].color, "symbol": look[label].symbol, "size": 9}}
            | {"error_y": {"type": "data", "array": numbers(up), "arrayminus": numbers(down), "thickness": 1.2}}
            | {"hovertemplate": f"{html.escape(label)}<br>%{{x}}: %{{y:.3g}}<extra></extra>"}
        )
    x_axis = new_axis(COLUMNS[found.settings.along].label) | {"type": "log"}
    x_axis |= {"tickvals": found.places, "ticktext": [formatting.short(place) for place in found.places]}
    low, high = lowest / 1.2, highest * 1.2
    ticks = series.log_ticks(low, high)
    y_axis = log_axis(f"Best {COLUMNS[found.settings.x].meaning.lower()}", low, high)
    y_axis |= {"tickvals": ticks, "ticktext": [formatting.short(tick) for tick in ticks]}
    y_axis.pop("dtick", None)
    return plotly_figure(traces, x_axis, y_axis)


def _optimum_traces(item: Optimum, look: Style, limits: Limits) -> list[Figure]:
    grid = np.geomspace(item.used[0], item.used[-1], 40)
    line = {"color": look.color, "width": 1.8, "dash": "dash"}
    hidden = {"showlegend": False}
    star: Figure = {"color": look.color, "size": 13, "symbol": "star"}
    _, down, up = optimum_bars([item], limits)
    bar = {"type": "data", "array": numbers(up), "arrayminus": numbers(down), "thickness": 1.5}
    said = f"lowest at {formatting.short(item.x)}: {formatting.loss(item.y)}<extra></extra>"
    return [
        hidden
        | {"mode": "lines", "line": line, "hoverinfo": "skip"}
        | {"x": numbers(grid), "y": numbers(item.parabola(grid))},
        hidden
        | {"mode": "markers", "marker": star, "error_x": bar, "hovertemplate": said}
        | {"x": numbers([item.x]), "y": numbers([item.y])},
    ]


def _symbol(value: float, look: Style, limits: Limits) -> str:
    if not np.isfinite(value):
        return "x-thin-open"
    return look.symbol if value <= limits.y[1] else "triangle-up-open"
