"""The parts that plotly specifications of the page are made of.

A point carries `customdata` = the anchor of its run (`run-<run id>`), which the page's script scrolls to. plotly reads
a subset of HTML in its texts, so everything a user wrote is escaped before it goes in. Colours of text and grid are
left to the page, which knows whether it is light or dark.
"""

import html
import math
from typing import Any

import pandas as pd

from analysis import formatting
from analysis.report import series
from analysis.report.style import Style, marker_share
from analysis.table import records_of

Figure = dict[str, Any]
GREY = "#8a8f98"


def anchor(run_id: str) -> str:
    return f"run-{run_id}"


def hover_text(row: dict[str, Any], label: str) -> str:
    """Run id, parameters, tokens, loss and commit, one a line, escaped; of a table's point its own columns."""
    if "details" in row:
        own = [f"{html.escape(name)}: {html.escape(text)}" for name, text in row["details"]]
        return "<br>".join([f"<b>{html.escape(label)}</b>", html.escape(str(row["run_id"])), *own])
    commit = str(row["git_commit"])[:10] if isinstance(row["git_commit"], str) else "no commit"
    lines = (
        f"<b>{html.escape(label)}</b>, depth {row['depth']}, width {row['width']}",
        html.escape(str(row["run_id"])),
        f"{formatting.count(row['parameters'])} parameters, {formatting.count(row['tokens'])} tokens",
        f"loss {formatting.loss(row['validation_loss'])} nats/token",
        f"{html.escape(commit)}{' with local changes' if row['git_dirty'] else ''}",
    )
    return "<br>".join(lines)


def run_trace(name: str, look: Style, rows: pd.DataFrame, x: str, y: str) -> Figure:
    """One marker a run, joined by a thin line where no two runs stand at the same x."""
    records = records_of(rows)
    return {
        "mode": "lines+markers" if rows[x].is_unique else "markers",
        "name": html.escape(name),
        "legendgroup": html.escape(name),
        "line": {"color": look.color, "width": 1},
        "marker": {
            "color": look.color,
            "symbol": look.symbol,
            "size": round(10 * marker_share(len(rows)), 1),
            "line": {"width": 1},
        },
        "x": numbers(rows[x]),
        "y": numbers(rows[y]),
        "text": [hover_text(row, name) for row in records],
        "customdata": [anchor(row["run_id"]) for row in records],
        "hovertemplate": "%{text}<extra></extra>",
    }


def plotly_figure(
    traces: list[Figure],
    x_axis: Figure,
    y_axis: Figure,
    shapes: list[Figure] | None = None,
    notes: list[Figure] | None = None,
) -> Figure:
    small = {"showarrow": False, "font": {"size": 12, "color": GREY}}
    layout = {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "shapes": shapes or [],
        "annotations": [small | note for note in notes or []],
        "margin": {"l": 64, "r": 12, "t": 12, "b": 52},
        "hovermode": "closest",
    }
    return {"data": [{"type": "scatter"} | trace for trace in traces], "layout": layout}


def new_axis(title: str) -> Figure:
    return {"title": {"text": title}, "zeroline": False, "automargin": True}


def log_axis(title: str, low: float, high: float) -> Figure:
    """Powers of ten where they suffice, round values with the same decimals where they do not."""
    axis = new_axis(title) | {"type": "log", "range": [math.log10(low), math.log10(high)]}
    if high / low >= 100:
        return axis | {"dtick": 1, "exponentformat": "power"}
    ticks = series.log_ticks(low, high)
    return axis | {"tickvals": ticks, "ticktext": [series.tick_text(tick, ticks) for tick in ticks]}


def rule(*, x: float | None = None, y: float | None = None) -> Figure:
    """A line across the whole plot at x or at y, in the units of the data."""
    line = {"type": "line", "layer": "below", "line": {"color": GREY, "width": 1, "dash": "dot"}}
    if x is not None:
        return line | {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return line | {"y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper"}


def numbers(values: Any, digits: int = 7) -> list[float | None]:
    """Seven digits are more than a screen shows; JSON has no NaN."""
    return [_shortest(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


def _shortest(text: str) -> float:
    """A whole number stays one: JSON writes 65536 in fewer characters than 65536.0."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
