"""The same figures for the page, as plotly specifications: hover tells a run apart, a click opens its details.

A point carries `customdata` = the anchor of its run (`run-<run id>`), which the page's script scrolls to. plotly reads
a subset of HTML in its texts, so everything a user wrote is escaped before it goes in. Colours of text and grid are
left to the page, which knows whether it is light or dark.
"""

import html
import math
import textwrap
from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis import formatting, series
from analysis.evidence import Evidence
from analysis.plots import parameter_label, x_label
from analysis.style import Style, styles
from analysis.table import COLUMNS

Figure = dict[str, Any]
_GREY = "#8a8f98"


def figures(evidence: Evidence) -> dict[str, Figure]:
    """Figure name → {data, layout} in strict JSON types, for every figure the evidence supports."""
    makers: dict[str, Callable[[Evidence], Figure | None]] = {
        "loss": loss_figure,
        "residuals": residual_figure,
        "profiles": profile_figure,
        "training": training_figure,
        "throughput": throughput_figure,
    }
    made = {name: make(evidence) for name, make in makers.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def anchor(run_id: str) -> str:
    return f"run-{run_id}"


def loss_figure(evidence: Evidence) -> Figure:
    data, style, settings = series.loss_series(evidence), styles(evidence.labels), evidence.settings
    traces: list[Figure] = []
    for name, curve in data.curves.items():
        look = style[name]
        if curve.low is not None and curve.high is not None:
            edge = {
                "mode": "lines",
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
                "legendgroup": html.escape(name),
            }
            traces.append(edge | {"x": _list(curve.x), "y": _list(curve.high)})
            fill = {"fill": "tonexty", "fillcolor": look.rgba(0.14)}
            traces.append(edge | fill | {"x": _list(curve.x), "y": _list(curve.low)})
        for part, dash in ((curve.x <= data.x_end, "solid"), (curve.x >= data.x_end, "dash")):
            line = {"color": look.color, "width": 2 if dash == "solid" else 1.5, "dash": dash}
            traces.append(
                {
                    "mode": "lines",
                    "line": line,
                    "hoverinfo": "skip",
                    "showlegend": False,
                    "legendgroup": html.escape(name),
                }
                | {"x": _list(curve.x[part]), "y": _list(curve.y[part])}
            )
    for name, points in data.points.items():
        traces.append(_run_trace(name, style[name], points, settings.x, settings.y) | {"mode": "markers"})
    shapes: list[Figure] = []
    notes: list[Figure] = []
    if data.curves:
        shapes.append(_rule(x=data.x_end))
        notes.append(
            {"text": "extrapolation →", "x": math.log10(data.x_end), "xanchor": "left", "xshift": 4}
            | {"y": 0, "yref": "paper", "yanchor": "bottom"}
        )
    if data.entropy is not None:
        shapes.append(_rule(y=data.entropy))
        notes.append(
            {"text": f"unigram entropy {formatting.loss(data.entropy)}", "x": 1, "xref": "paper", "xanchor": "right"}
            | {"y": math.log10(data.entropy), "yanchor": "top"}
        )
    # plotly does not wrap: a line has to fit a telephone.
    title = "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(x_label(evidence), 48))
    x_axis = _log_axis(title, *data.x_limits)
    y_axis = _log_axis(COLUMNS[settings.y].label, *data.y_limits)
    return _figure(traces, x_axis, y_axis, shapes, notes)


def residual_figure(evidence: Evidence) -> Figure | None:
    parts = series.residuals(evidence)
    if not parts:
        return None
    style, settings = styles(evidence.labels), evidence.settings
    traces = [
        _run_trace(name, style[name], part.assign(residual=1e3 * part["residual"]), settings.x, "residual")
        for name, part in parts.items()
    ]
    x_axis = _axis(COLUMNS[settings.x].label) | {"type": "log", "dtick": 1, "exponentformat": "power"}
    y_axis = _axis("Measured − fitted (10⁻³ nats/token)") | {"zeroline": True, "zerolinecolor": _GREY}
    return _figure(traces, x_axis, y_axis)


def profile_figure(evidence: Evidence) -> Figure | None:
    parts = series.profiles(evidence)
    if not parts:
        return None
    style = styles(evidence.labels)
    traces: list[Figure] = []
    for name, part in parts.items():
        hover = f"{html.escape(name)}<br>{part.parameter} = %{{x:.4f}}<br>rise %{{y:.3g}}<extra></extra>"
        traces.append(
            {"mode": "lines", "name": html.escape(name), "line": {"color": style[name].color, "width": 2}}
            | {"x": _list(part.values), "y": _list(part.rise), "hovertemplate": hover}
        )
    thresholds = sorted({part.threshold for part in parts.values()})
    level = f"{100 * evidence.settings.level:g} %"
    notes: list[Figure] = [
        {"text": level, "x": 1, "xref": "paper", "xanchor": "right", "y": height, "yanchor": "bottom"}
        for height in thresholds
    ]
    x_axis = _axis(parameter_label(evidence, next(iter(parts.values())).parameter))
    y_axis = _axis("Rise of the sum of squares / s²") | {"range": [0, 2.2 * thresholds[-1]]}
    return _figure(traces, x_axis, y_axis, [_rule(y=height) for height in thresholds], notes)


def training_figure(evidence: Evidence) -> Figure | None:
    curves = series.training_curves(evidence)
    if not curves:
        return None
    style = styles(evidence.labels)
    rows = {row["run_id"]: row for row in evidence.table.records()}
    traces: list[Figure] = []
    named: set[str] = set()
    for run_id, part in curves.items():
        row = rows[run_id]
        name = evidence.label_of(row)
        look, text = style[name], hover_text(row, name)
        shared = {
            "name": html.escape(name),
            "legendgroup": html.escape(name),
            "customdata": [anchor(run_id)] * len(part),
            "hovertemplate": f"{text}<br>%{{x:.3s}} tokens: %{{y:.4f}}<extra></extra>",
        }
        line = {"color": look.color, "width": 1.2, "dash": "solid" if row["state"] == "finished" else "dot"}
        traces.append(
            shared
            | {"mode": "lines", "line": line, "opacity": 0.6, "showlegend": False}
            | {"x": _list(part["tokens"]), "y": _list(part["train_loss"])}
        )
        measured = part.dropna(subset=["validation_loss"])
        marker = {"color": look.color, "size": 5, "symbol": look.symbol}
        traces.append(
            shared
            | {"mode": "markers", "marker": marker, "showlegend": name not in named}
            | {"x": _list(measured["tokens"]), "y": _list(measured["validation_loss"])}
        )
        named.add(name)
    x_axis = _axis("Tokens seen") | {"type": "log", "dtick": 1, "exponentformat": "power"}
    figure = _figure(traces, x_axis, _axis("Loss (nats/token)"))
    figure["layout"]["legend"]["itemsizing"] = "constant"
    return figure


def throughput_figure(evidence: Evidence) -> Figure | None:
    points = evidence.points.dropna(subset=["parameters", "tokens_per_second"])
    if points.empty:
        return None
    style = styles(evidence.labels)
    traces = [
        _run_trace(str(name), style[str(name)], part.sort_values("parameters"), "parameters", "tokens_per_second")
        for name, part in points.groupby("label", sort=True)
    ]
    axes = []
    for column in ("parameters", "tokens_per_second"):
        low, high = float(points[column].min()) / 1.2, float(points[column].max()) * 1.2
        axis = _log_axis(COLUMNS[column].label, low, high)
        axes.append(axis | {"ticktext": [formatting.count(value) for value in axis["tickvals"]]})
    return _figure(traces, axes[0], axes[1])


def hover_text(row: dict[str, Any], label: str) -> str:
    """Run id, parameters, tokens, loss and commit, one a line, escaped."""
    commit = str(row["git_commit"])[:10] if isinstance(row["git_commit"], str) else "no commit"
    lines = (
        f"<b>{html.escape(label)}</b>, depth {row['depth']}, width {row['width']}",
        html.escape(str(row["run_id"])),
        f"{formatting.count(row['parameters'])} parameters, {formatting.count(row['tokens'])} tokens",
        f"loss {formatting.loss(row['validation_loss'])} nats/token",
        f"{html.escape(commit)}{' with local changes' if row['git_dirty'] else ''}",
    )
    return "<br>".join(lines)


def _run_trace(name: str, look: Style, rows: pd.DataFrame, x: str, y: str) -> Figure:
    """One marker a run, joined by a thin line."""
    records: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
    return {
        "mode": "lines+markers",
        "name": html.escape(name),
        "legendgroup": html.escape(name),
        "line": {"color": look.color, "width": 1},
        "marker": {"color": look.color, "symbol": look.symbol, "size": 10, "line": {"width": 1}},
        "x": _list(rows[x]),
        "y": _list(rows[y]),
        "text": [hover_text(row, name) for row in records],
        "customdata": [anchor(row["run_id"]) for row in records],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _figure(
    traces: list[Figure],
    x_axis: Figure,
    y_axis: Figure,
    shapes: list[Figure] | None = None,
    notes: list[Figure] | None = None,
) -> Figure:
    small = {"showarrow": False, "font": {"size": 12, "color": _GREY}}
    layout = {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "shapes": shapes or [],
        "annotations": [small | note for note in notes or []],
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 64, "r": 12, "t": 36, "b": 52},
        "hovermode": "closest",
    }
    return {"data": [{"type": "scatter"} | trace for trace in traces], "layout": layout}


def _axis(title: str) -> Figure:
    return {"title": {"text": title}, "zeroline": False, "automargin": True}


def _log_axis(title: str, low: float, high: float) -> Figure:
    """Powers of ten where they suffice, round values with the same decimals where they do not."""
    axis = _axis(title) | {"type": "log", "range": [math.log10(low), math.log10(high)]}
    if high / low >= 100:
        return axis | {"dtick": 1, "exponentformat": "power"}
    ticks = series.log_ticks(low, high)
    return axis | {"tickvals": ticks, "ticktext": [series.tick_text(tick, ticks) for tick in ticks]}


def _rule(*, x: float | None = None, y: float | None = None) -> Figure:
    """A line across the whole plot at x or at y, in the units of the data."""
    line = {"type": "line", "layer": "below", "line": {"color": _GREY, "width": 1, "dash": "dot"}}
    if x is not None:
        return line | {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return line | {"y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper"}


def _list(values: Any) -> list[float | None]:
    """Seven digits are more than a screen shows; JSON has no NaN."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values]
