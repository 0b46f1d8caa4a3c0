"""The same figures for the page, as plotly specifications: hover tells a run apart, a click opens its details."""

import html
import math
import textwrap

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.report import series
from analysis.report.checks import forests
from analysis.report.cost import cost_specification
from analysis.report.curves import joined_curves
from analysis.report.difference import difference_specification
from analysis.report.evidence import Evidence
from analysis.report.forest import forest_specification
from analysis.report.gathered import Gathered
from analysis.report.plots import parameter_label, x_label
from analysis.report.style import curve_opacity, styles
from analysis.report.traces import (
    GREY,
    Figure,
    anchor,
    hover_text,
    log_axis,
    new_axis,
    numbers,
    plotly_figure,
    rule,
    run_trace,
)


def figures(evidence: Evidence) -> dict[str, Figure]:
    """Figure name → {data, layout} in strict JSON types, for every figure the evidence supports."""
    style = styles(evidence.labels)
    made: dict[str, Figure | None] = {
        "loss": loss_figure(evidence),
        "difference": difference_specification(evidence),
        "residuals": residual_figure(evidence),
        "profiles": profile_figure(evidence),
        **{f"profiles-{name}": profile_figure(evidence, name) for name in series.other_parameters(evidence)},
        **{name: forest_specification(forest, style) for name, forest in forests(evidence).items()},
        "training": training_figure(evidence),
        "throughput": throughput_figure(evidence),
        "cost": cost_specification(evidence),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


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
            traces.append(edge | {"x": numbers(curve.x), "y": numbers(curve.high)})
            fill = {"fill": "tonexty", "fillcolor": look.rgba(0.14)}
            traces.append(edge | fill | {"x": numbers(curve.x), "y": numbers(curve.low)})
        for part, dash in ((curve.x <= data.x_end, "solid"), (curve.x >= data.x_end, look.dash)):
            line = {"color": look.color, "width": 2 if dash == "solid" else 1.5, "dash": dash}
            traces.append(
                {
                    "mode": "lines",
                    "line": line,
                    "hoverinfo": "skip",
                    "showlegend": False,
                    "legendgroup": html.escape(name),
                }
                | {"x": numbers(curve.x[part]), "y": numbers(curve.y[part])}
            )
    for name, points in data.points.items():
        traces.append(run_trace(name, style[name], points, settings.x, settings.y) | {"mode": "markers"})
    shapes: list[Figure] = []
    notes: list[Figure] = []
    if data.curves:
        shapes.append(rule(x=data.x_end))
        notes.append(
            {"text": "extrapolation →", "x": math.log10(data.x_end), "xanchor": "left", "xshift": 4}
            | {"y": 0, "yref": "paper", "yanchor": "bottom"}
        )
    if data.entropy is not None:
        shapes.append(rule(y=data.entropy))
        notes.append(
            {"text": f"unigram entropy {formatting.loss(data.entropy)}", "x": 1, "xref": "paper", "xanchor": "right"}
            | {"y": math.log10(data.entropy), "yanchor": "top"}
        )
    # plotly does not wrap: a line has to fit a telephone.
    title = "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(x_label(evidence), 48))
    x_axis = log_axis(title, *data.x_limits)
    y_axis = log_axis(html.escape(evidence.column(settings.y).label), *data.y_limits)
    return plotly_figure(traces, x_axis, y_axis, shapes, notes)


def residual_figure(evidence: Evidence) -> Figure | None:
    parts = series.residuals(evidence)
    if not parts:
        return None
    style, settings = styles(evidence.labels), evidence.settings
    traces = [
        run_trace(name, style[name], part.assign(residual=1e3 * part["residual"]), settings.x, "residual")
        for name, part in parts.items()
    ]
    x_title, y_title = evidence.column(settings.x).label, f"Measured − fitted (10⁻³ {evidence.loss_unit})"
    x_axis = new_axis(html.escape(x_title)) | {"type": "log", "dtick": 1, "exponentformat": "power"}
    y_axis = new_axis(html.escape(y_title.replace(" )", ")"))) | {"zeroline": True, "zerolinecolor": GREY}
    return plotly_figure(traces, x_axis, y_axis)


def profile_figure(evidence: Evidence, parameter: str = "") -> Figure | None:
    parts = series.profiles(evidence, parameter)
    if not parts:
        return None
    style = styles(evidence.labels)
    traces: list[Figure] = []
    for name, part in parts.items():
        look, ends = style[name], part.ends or ()
        hover = f"{html.escape(name)}<br>{part.parameter} = %{{x:.4f}}<br>rise %{{y:.3g}}<extra></extra>"
        shared = {"name": html.escape(name), "legendgroup": html.escape(name), "hovertemplate": hover}
        marker = {"color": look.color, "size": 8, "symbol": look.symbol, "line": {"width": 1}}
        traces.append(
            shared
            | {"mode": "markers", "marker": marker, "x": numbers(ends), "y": numbers([part.threshold for _ in ends])}
        )
        traces.append(
            shared
            | {"mode": "lines", "line": {"color": look.color, "width": 2}}
            | {"x": numbers(part.values), "y": numbers(part.rise)}
        )
    thresholds = sorted({part.threshold for part in parts.values()})
    level = f"{100 * evidence.settings.level:g} %"
    notes: list[Figure] = [
        {"text": level, "x": 1, "xref": "paper", "xanchor": "right", "y": height, "yanchor": "bottom"}
        for height in thresholds
    ]
    title = html.escape(parameter_label(evidence, next(iter(parts.values())).parameter))
    low, high = series.profile_limits(parts).limits
    x_axis = log_axis(title, low, high) if series.spans_decades(parts.values()) else new_axis(title)
    if "range" not in x_axis:
        x_axis["range"] = [low, high]
    y_axis = new_axis("Rise of the sum of squares / s²") | {"range": [0, 2.2 * thresholds[-1]]}
    return plotly_figure(traces, x_axis, y_axis, [rule(y=height) for height in thresholds], notes)


def training_figure(evidence: Gathered) -> Figure | None:
    """A trace for the runs of a group, with gaps; `meta` tells the page where each run begins and what it is."""
    curves = joined_curves(evidence)
    if not curves:
        return None
    style = styles(evidence.labels)
    traces: list[Figure] = []
    for part in curves:
        look, name = style[part.label], html.escape(part.label)
        texts = [hover_text(row, part.label) for row in part.runs]
        anchors = [anchor(row["run_id"]) for row in part.runs]
        shared = {
            "name": name,
            "legendgroup": name,
            "hovertemplate": "%{text}<br>%{x:.3s} tokens: %{y:.4f}<extra></extra>",
        }
        line = {"color": look.color, "width": 1.2, "dash": "solid" if part.finished else "dot"}
        traces.append(
            shared
            | {"mode": "lines", "line": line, "opacity": curve_opacity(len(part.runs)), "showlegend": False}
            | {"meta": {"anchors": anchors, "texts": texts, "lengths": list(part.lengths)}}
            | {"x": numbers(part.rows["tokens"]), "y": numbers(part.rows["train_loss"], digits=5)}
        )
        measured, lengths = part.validated()
        traces.append(
            shared
            | {"mode": "markers", "marker": {"color": look.color, "size": 5, "symbol": look.symbol}}
            | {"meta": {"anchors": anchors, "texts": texts, "lengths": list(lengths)}}
            | {"x": numbers(measured["tokens"]), "y": numbers(measured["validation_loss"], digits=5)}
        )
    x_axis = new_axis("Tokens seen") | {"type": "log", "dtick": 1, "exponentformat": "power"}
    return plotly_figure(traces, x_axis, new_axis("Loss (nats/token)"))


def throughput_figure(evidence: Gathered) -> Figure | None:
    points = evidence.points.dropna(subset=["parameters", "tokens_per_second"])
    if points.empty:
        return None
    style = styles(evidence.labels)
    traces = [
        run_trace(str(name), style[str(name)], part.sort_values("parameters"), "parameters", "tokens_per_second")
        for name, part in points.groupby("label", sort=True)
    ]
    axes = []
    for column in ("parameters", "tokens_per_second"):
        low, high = float(points[column].min()) / 1.2, float(points[column].max()) * 1.2
        axis = log_axis(COLUMNS[column].label, low, high)
        axes.append(axis | {"ticktext": [formatting.count(value) for value in axis["tickvals"]]})
    return plotly_figure(traces, axes[0], axes[1])
