"""Static figures for print: PNG, SVG and PDF in the widths of a paper's column (3.4 in) and page (7 in).

Text in the PDF stays text (TrueType), SVG text is drawn as outlines and so looks the same everywhere, and nothing in a
file depends on the time at which it was written.
"""

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import formatting, series
from analysis.evidence import Evidence
from analysis.style import styles
from analysis.table import COLUMNS

COLUMN_INCHES, PAGE_INCHES = 3.4, 7.0
FORMATS = ("png", "svg", "pdf")
_DOTS_PER_INCH = 200
_LEGEND_INSIDE = 8
_LEGEND_CHARACTERS = 56
_GREY = "#6b7280"
_METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#374151",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "mathtext.fontset": "custom",
    "mathtext.rm": "sans",
    "mathtext.it": "sans:italic",
    "mathtext.bf": "sans:bold",
    "mathtext.bfit": "sans:bold:italic",
    "mathtext.cal": "sans",
    "mathtext.tt": "sans",
    "mathtext.sf": "sans",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "archscale",
    "figure.constrained_layout.use": True,
}


def write_figures(evidence: Evidence, folder: Path) -> dict[str, list[Path]]:
    """Draw every figure that the evidence supports; figure name → its files in FORMATS."""
    folder.mkdir(parents=True, exist_ok=True)
    drawers: dict[str, Callable[[Evidence], Figure | None]] = {
        "loss": loss_figure,
        "residuals": residual_figure,
        "profiles": profile_figure,
        "training": training_figure,
        "throughput": throughput_figure,
    }
    written = {}
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs want literal keys
        for name, draw in drawers.items():
            figure = draw(evidence)
            if figure is not None:
                written[name] = _save(figure, folder / name)
    return written


def loss_figure(evidence: Evidence) -> Figure:
    """Loss against x: measured points, fits with their bands, and where the measurements end."""
    data, style = series.loss_series(evidence), styles(evidence.labels)
    figure, axes = _axes(PAGE_INCHES, 3.7)
    axes.set(xscale="log", yscale="log", xlim=data.x_limits, ylim=data.y_limits)
    _log_axis(axes, "y", series.log_ticks(*data.y_limits))
    for name, curve in data.curves.items():
        color, measured = style[name].color, curve.x <= data.x_end
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.13, linewidth=0)
        axes.plot(curve.x[measured], curve.y[measured], color=color)
        axes.plot(curve.x[~measured], curve.y[~measured], color=color, linestyle=(0, (3, 2)), linewidth=1)
    for name, points in data.points.items():
        x, y = points[evidence.settings.x], points[evidence.settings.y]
        axes.plot(x, y, style[name].marker, color=style[name].color, markeredgecolor="white", markeredgewidth=0.6)
    if data.curves:
        axes.axvline(data.x_end, color=_GREY, linewidth=0.7, linestyle=":")
        axes.annotate(
            "extrapolation →",
            (data.x_end, 0),
            xycoords=("data", "axes fraction"),
            xytext=(4, 4),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=7,
            color=_GREY,
        )
    if data.entropy is not None:
        axes.axhline(data.entropy, color=_GREY, linewidth=0.7)
        axes.annotate(
            f"unigram entropy {formatting.loss(data.entropy)}",
            (1, data.entropy),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color=_GREY,
        )
    handles = [
        Line2D(
            [],
            [],
            color=style[n].color,
            marker=style[n].marker,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=_legend_name(n),
        )
        for n in data.points
    ]
    _legend_inside(axes, handles, "lower left")
    axes.set_xlabel(_plain(textwrap.fill(x_label(evidence), 100)))
    axes.set_ylabel(COLUMNS[evidence.settings.y].label)
    return figure


def residual_figure(evidence: Evidence) -> Figure | None:
    parts = series.residuals(evidence)
    if not parts:
        return None
    style = styles(evidence.labels)
    figure, axes = _axes(COLUMN_INCHES, 2.3)
    axes.set_xscale("log")
    axes.axhline(0, color=_GREY, linewidth=0.7)
    for name, part in parts.items():
        axes.plot(
            part[evidence.settings.x],
            1e3 * part["residual"],
            style[name].marker,
            linestyle="-",
            linewidth=0.7,
            color=style[name].color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=_legend_name(str(name)),
        )
    _legend_above(axes)
    axes.set_xlabel(COLUMNS[evidence.settings.x].label)
    axes.set_ylabel("Measured − fitted (10$^{-3}$ nats/token)")
    return figure


def profile_figure(evidence: Evidence) -> Figure | None:
    parts = series.profiles(evidence)
    if not parts:
        return None
    style = styles(evidence.labels)
    figure, axes = _axes(COLUMN_INCHES, 2.3)
    for name, part in parts.items():
        axes.plot(part.values, part.rise, color=style[name].color, label=_legend_name(str(name)))
        axes.plot(
            [evidence.fits[name].parameters[part.parameter]],
            [0],
            style[name].marker,
            color=style[name].color,
            clip_on=False,
            markersize=4,
        )
    for level in sorted({part.threshold for part in parts.values()}):
        axes.axhline(level, color=_GREY, linewidth=0.7, linestyle=":")
        axes.annotate(
            f"{100 * evidence.settings.level:g} %",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
            color=_GREY,
        )
    axes.set_ylim(0, 2.2 * max(part.threshold for part in parts.values()))
    _legend_above(axes)
    axes.set_xlabel(parameter_label(evidence, next(iter(parts.values())).parameter))
    axes.set_ylabel("Rise of the sum of squares / s²")
    return figure


def training_figure(evidence: Evidence) -> Figure | None:
    curves = series.training_curves(evidence)
    if not curves:
        return None
    style, rows = styles(evidence.labels), {row["run_id"]: row for row in evidence.table.records()}
    figure, axes = _axes(PAGE_INCHES, 3.2)
    axes.set_xscale("log")
    for run_id, part in curves.items():
        row = rows[run_id]
        look = style[evidence.label_of(row)]
        dashes = "-" if row["state"] == "finished" else (0, (2, 1.5))
        axes.plot(part["tokens"], part["train_loss"], color=look.color, linewidth=0.7, alpha=0.55, linestyle=dashes)
        measured = part.dropna(subset=["validation_loss"])
        axes.plot(measured["tokens"], measured["validation_loss"], look.marker, color=look.color, markersize=2.2)
    shown = sorted({evidence.label_of(rows[run_id]) for run_id in curves})
    handles = [
        Line2D([], [], color=style[n].color, marker=style[n].marker, markersize=3, label=_legend_name(n)) for n in shown
    ]
    _legend_inside(axes, handles, "upper right")
    axes.set_xlabel("Tokens seen")
    axes.set_ylabel("Loss (nats/token); markers: validation")
    return figure


def throughput_figure(evidence: Evidence) -> Figure | None:
    points = evidence.points.dropna(subset=["parameters", "tokens_per_second"])
    if points.empty:
        return None
    style = styles(evidence.labels)
    figure, axes = _axes(COLUMN_INCHES, 2.3)
    axes.set(xscale="log", yscale="log")
    for name, part in points.groupby("label", sort=True):
        part = part.sort_values("parameters")
        look = style[str(name)]
        axes.plot(
            part["parameters"],
            part["tokens_per_second"],
            look.marker,
            linestyle="-",
            linewidth=0.8,
            color=look.color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=_legend_name(str(name)),
        )
    _count_axis(axes, "x", *axes.get_xlim())
    _count_axis(axes, "y", *axes.get_ylim())
    _legend_above(axes)
    axes.set_xlabel(COLUMNS["parameters"].label)
    axes.set_ylabel(COLUMNS["tokens_per_second"].label)
    return figure


def x_label(evidence: Evidence) -> str:
    """The x axis with the accounting beside it: two ways of counting FLOPs differ by more than two architectures do."""
    column = COLUMNS[evidence.settings.x]
    if evidence.settings.x != "compute":
        return column.label
    return f"{column.meaning} ({column.unit}, counted as {formatting.accounting(evidence.accounting)})"


def parameter_label(evidence: Evidence, parameter: str) -> str:
    found = next(p for p in evidence.law.parameters if p.name == parameter)
    unit = {"y": COLUMNS[evidence.settings.y].unit, "x": COLUMNS[evidence.settings.x].unit}.get(found.unit, "")
    label = found.label[0].upper() + found.label[1:]
    return f"{label} ({unit})" if unit else label


def _axes(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_inches, height_inches))
    return figure, figure.subplots()


def _legend_inside(axes: Axes, handles: list[Line2D], where: Literal["lower left", "upper right"]) -> None:
    """In a corner of the axes; beside them where it would cover what is drawn."""
    if len(handles) > _LEGEND_INSIDE:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        axes.legend(handles=handles, loc=where)


def _legend_above(axes: Axes) -> None:
    """As many columns as the names leave room for; the figure grows with the rows of its legend."""
    names = axes.get_legend_handles_labels()[1]
    columns = max(1, min(3, _LEGEND_CHARACTERS // (max(map(len, names)) + 6)))
    figure = axes.get_figure(root=True)
    if figure is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.13 * (math.ceil(len(names) / columns) - 1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, columnspacing=1.2)


def _log_axis(axes: Axes, which: str, ticks: list[float], text: Callable[[float], str] | None = None) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value) if text else series.tick_text(value, ticks)))


def _count_axis(axes: Axes, which: str, low: float, high: float) -> None:
    _log_axis(axes, which, [float(t) for t in series.log_ticks(low, high, most=5)], formatting.count)


def _plain(text: str) -> str:
    """matplotlib reads $…$ as mathematics; what a user wrote is not."""
    return text.replace("$", r"\$")


def _legend_name(label: str) -> str:
    return _plain(label if len(label) <= 40 else label[:39] + "…")


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_suffix(f".{kind}") for kind in FORMATS]
    for path, kind in zip(paths, FORMATS, strict=True):
        figure.savefig(path, dpi=_DOTS_PER_INCH, metadata=_METADATA[kind])
    return paths
