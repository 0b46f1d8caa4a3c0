"""Estimates with their intervals, one a row: for the page and for print.

SambaY      ├────●────┤          ●  the estimate        │  what it is held against
Samba          ├───○───┤  ⋮      ○  an extrapolation    ⋮  where nothing would differ
"""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.report import series
from analysis.report.printing import GREY, PAGE_INCHES, log_axis, new_axes, plain
from analysis.report.style import Style
from analysis.report.traces import GREY as PAGE_GREY
from analysis.report.traces import Figure as Specification
from analysis.report.traces import log_axis as log_axis_of
from analysis.report.traces import new_axis, numbers, plotly_figure, rule

_PRINTED_WIDTH, _PAGE_WIDTH = 44, 26


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A row. `low` and `high` are nan without an interval and may be infinite; `against` is nan without such a value.

    `group` gives the colour and the marker, `open` says that it is an extrapolation; `said` is what hover adds.
    """

    name: str
    group: str
    value: float
    low: float
    high: float
    against: float = math.nan
    open: bool = False
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Rows from the top. `axis` is the label with its unit, `neutral` the value at which nothing would differ."""

    axis: str
    rows: tuple[Estimate, ...]
    neutral: float | None = None
    logarithmic: bool = False

    @property
    def limits(self) -> tuple[float, float]:
        """Around estimates and the ends of usual intervals; one ten times as wide as the median leaves the axis."""
        into, back = (np.log, np.exp) if self.logarithmic else (np.asarray, np.asarray)
        centers = np.array([row.value for row in self.rows] + [row.against for row in self.rows])
        centers = np.append(centers, [] if self.neutral is None else [self.neutral])
        centers = into(centers[np.isfinite(centers)])
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = into(np.array([end for row in self.rows for end in (row.low, row.high)], dtype=float))
        ends = ends[np.isfinite(ends)]
        low, high = float(centers.min()), float(centers.max())
        if ends.size:
            reach = 10 * max(float(np.median(np.abs(ends - centers.mean()))), (high - low) / 10, 1e-12)
            near = ends[np.abs(ends - centers.mean()) <= reach]
            low, high = min(low, *near), max(high, *near)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return float(back(low - pad)), float(back(high + pad))


def forest_figure(forest: Forest, style: Mapping[str, Style]) -> Figure:
    names = [textwrap.fill(row.name, _PRINTED_WIDTH) for row in forest.rows]
    lines = sum(name.count("\n") + 1 for name in names)
    figure, axes = new_axes(PAGE_INCHES, 0.65 + 0.14 * lines + 0.08 * len(names))
    if forest.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(*forest.limits)
    for height, row in enumerate(forest.rows):
        look = style[row.group]
        axes.plot(_clipped(row, forest), [height] * 2, color=look.color, linewidth=1)
        axes.plot(
            [row.value],
            [height],
            look.marker,
            color=look.color,
            markerfacecolor="white" if row.open else look.color,
            markeredgecolor=look.color if row.open else "white",
            markeredgewidth=0.9 if row.open else 0.5,
        )
        axes.plot([row.against], [height], "|", color=GREY, markersize=8, markeredgewidth=1.2)
    if forest.neutral is not None:
        axes.axvline(forest.neutral, color=GREY, linewidth=0.7, linestyle=":")
    if forest.logarithmic:
        log_axis(axes, "x", series.log_ticks(*forest.limits))
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(plain(forest.axis))
    return figure


def forest_specification(forest: Forest, style: Mapping[str, Style]) -> Specification:
    heights = range(len(forest.rows))
    traces: list[Specification] = []
    for group in dict.fromkeys(row.group for row in forest.rows):
        look, own = style[group], [(height, row) for height, row in enumerate(forest.rows) if row.group == group]
        shared = {"name": html.escape(group), "legendgroup": html.escape(group)}
        spans = [end for _, row in own for end in (*_clipped(row, forest), math.nan)]
        places = [end for height, _ in own for end in (height, height, math.nan)]
        traces.append(
            shared
            | {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "line": {"color": look.color, "width": 1.5}}
            | {"x": numbers(spans), "y": numbers(places)}
        )
        symbols = [look.symbol + ("-open" if row.open else "") for _, row in own]
        traces.append(
            shared
            | {"mode": "markers", "marker": {"color": look.color, "size": 9, "symbol": symbols, "line": {"width": 1}}}
            | {"x": numbers([row.value for _, row in own]), "y": [height for height, _ in own]}
            | {"text": [_said(row) for _, row in own], "hovertemplate": "%{text}<extra></extra>"}
        )
        traces.append(
            shared
            | {"mode": "markers", "hoverinfo": "skip", "showlegend": False}
            | {"marker": {"color": PAGE_GREY, "size": 11, "symbol": "line-ns-open", "line": {"width": 2}}}
            | {"x": numbers([row.against for _, row in own]), "y": [height for height, _ in own]}
        )
    low, high = forest.limits
    title = "<br>".join(map(html.escape, textwrap.wrap(forest.axis, _PAGE_WIDTH)))
    x_axis = log_axis_of(title, low, high) if forest.logarithmic else new_axis(title) | {"range": [low, high]}
    y_axis = new_axis("") | {
        "tickvals": list(heights),
        "ticktext": ["<br>".join(map(html.escape, textwrap.wrap(row.name, _PAGE_WIDTH))) for row in forest.rows],
        "range": [len(forest.rows) - 0.4, -0.6],
        "showgrid": False,
    }
    shapes = [] if forest.neutral is None else [rule(x=forest.neutral)]
    return plotly_figure(traces, x_axis, y_axis, shapes) | {
        "rows": sum(len(textwrap.wrap(row.name, _PAGE_WIDTH)) for row in forest.rows),
        "table": {"headers": ["", html.escape(forest.axis), "Low", "High"], "rows": _table(forest.rows)},
    }


def _clipped(row: Estimate, forest: Forest) -> tuple[float, float]:
    if math.isnan(row.low) and math.isnan(row.high):
        return math.nan, math.nan
    low, high = forest.limits
    return (low if math.isnan(row.low) else max(row.low, low)), (high if math.isnan(row.high) else min(row.high, high))


def _said(row: Estimate) -> str:
    lines = [f"<b>{html.escape(row.name)}</b>", f"{row.value:.4g}"]
    if not (math.isnan(row.low) and math.isnan(row.high)):
        lines[1] += f" [{row.low:.4g}, {row.high:.4g}]"
    return "<br>".join([*lines, *textwrap.wrap(html.escape(row.said), 60)])


def _table(rows: Sequence[Estimate]) -> list[list[str]]:
    def text(value: float) -> str:
        return "–" if math.isnan(value) else "∞" if value == math.inf else f"{value:.5g}"

    return [[html.escape(row.name), text(row.value), text(row.low), text(row.high)] for row in rows]
