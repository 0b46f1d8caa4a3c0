"""How static figures are made: PNG, SVG and PDF in the widths of a paper's column (3.4 in) and page (7 in).

Text in the PDF stays text (TrueType), SVG text is drawn as outlines and so looks the same everywhere, and nothing in a
file depends on the time at which it was written.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import formatting
from analysis.report import series

Drawers = Mapping[str, Callable[[], Figure | None]]

COLUMN_INCHES, PAGE_INCHES = 3.4, 7.0
FORMATS = ("png", "svg", "pdf")
_DOTS_PER_INCH = 200
_LEGEND_INSIDE = 8
_LEGEND_CHARACTERS = 56
GREY = "#6b7280"
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


def write_figures(drawers: Drawers, folder: Path) -> dict[str, list[Path]]:
    """Draw every figure that there is something to draw for; figure name → its files in FORMATS."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs want literal keys
        for name, draw in drawers.items():
            figure = draw()
            if figure is not None:
                written[name] = _save(figure, folder / name)
    return written


def new_axes(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_inches, height_inches))
    return figure, figure.subplots()


def legend_inside(axes: Axes, handles: list[Line2D], where: Literal["lower left", "upper right"]) -> None:
    """In a corner of the axes; beside them where it would cover what is drawn."""
    if len(handles) > _LEGEND_INSIDE:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        axes.legend(handles=handles, loc=where)


def legend_above(axes: Axes) -> None:
    """As many columns as the names leave room for; the figure grows with the rows of its legend."""
    names = axes.get_legend_handles_labels()[1]
    columns = max(1, min(3, _LEGEND_CHARACTERS // (max(map(len, names)) + 6)))
    figure = axes.get_figure(root=True)
    if figure is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.13 * (math.ceil(len(names) / columns) - 1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, columnspacing=1.2)


def log_axis(axes: Axes, which: str, ticks: list[float], text: Callable[[float], str] | None = None) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value) if text else series.tick_text(value, ticks)))


def count_axis(axes: Axes, which: str, low: float, high: float) -> None:
    log_axis(axes, which, [float(t) for t in series.log_ticks(low, high, most=5)], formatting.count)


def plain(text: str) -> str:
    """matplotlib reads $…$ as mathematics; what a user wrote is not."""
    return text.replace("$", r"\$")


def legend_name(label: str) -> str:
    return plain(label if len(label) <= 40 else label[:39] + "…")


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Laid out once for all formats: that takes as long as drawing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    paths = [stem.with_suffix(f".{kind}") for kind in FORMATS]
    for path, kind in zip(paths, FORMATS, strict=True):
        figure.savefig(path, dpi=_DOTS_PER_INCH, metadata=_METADATA[kind])
    return paths
