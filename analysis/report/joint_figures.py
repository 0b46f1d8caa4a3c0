"""Figures of a law of several inputs: measured against fitted, and the residuals over each input.

No curve can be drawn along one axis there, so these two stand for it: points off the diagonal, and a trend of the
residuals over an input, are what a wrong law looks like.
"""

import html
from functools import partial

from matplotlib.figure import Figure as Drawing

from analysis.report import series
from analysis.report.evidence import Evidence
from analysis.report.printing import COLUMN_INCHES, GREY, Drawers, legend_above, legend_name, log_axis, new_axes, plain
from analysis.report.style import styles
from analysis.report.traces import GREY as PAGE_GREY
from analysis.report.traces import Figure, new_axis, plotly_figure, run_trace
from analysis.report.traces import log_axis as page_log_axis


def joint_drawers(evidence: Evidence) -> Drawers:
    return {
        "against": partial(_against_drawing, evidence),
        **{
            f"residuals-{place}": partial(_residual_drawing, evidence, name)
            for place, name in enumerate(evidence.settings.inputs, start=1)
        },
    }


def joint_interactive(evidence: Evidence) -> dict[str, Figure]:
    if not evidence.fits:
        return {}
    return {
        "against": _against_page(evidence),
        **{
            f"residuals-{place}": _residual_page(evidence, name)
            for place, name in enumerate(evidence.settings.inputs, start=1)
        },
    }


def _limits(evidence: Evidence) -> tuple[float, float]:
    values = [
        value
        for part in series.residuals(evidence).values()
        for column in ("fitted", evidence.settings.y)
        for value in (part[column].min(), part[column].max())
    ]
    pad = max(1.01, (max(values) / min(values)) ** 0.04)
    return float(min(values) / pad), float(max(values) * pad)


def _against_drawing(evidence: Evidence) -> Drawing | None:
    if not evidence.fits:
        return None
    figure, axes = new_axes(COLUMN_INCHES, COLUMN_INCHES)
    low, high = _limits(evidence)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.7)
    _points(evidence, axes, "fitted", evidence.settings.y, 1.0)
    for which in "xy":
        log_axis(axes, which, series.log_ticks(low, high, most=5))
    label = plain(evidence.column(evidence.settings.y).label)
    axes.set(xlabel=f"Fitted: {label}", ylabel=f"Measured: {label}")
    return figure


def _residual_drawing(evidence: Evidence, name: str) -> Drawing | None:
    if not evidence.fits:
        return None
    figure, axes = new_axes(COLUMN_INCHES, 2.3)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.7)
    _points(evidence, axes, name, "residual", 1e3)
    axes.set_xlabel(plain(evidence.column(name).label))
    axes.set_ylabel(f"Measured − fitted (10$^{{-3}}$ {plain(evidence.loss_unit)})".replace(" )", ")"))
    return figure


def _points(evidence: Evidence, axes, x: str, y: str, factor: float) -> None:  # type: ignore[no-untyped-def]
    look, parts = styles(evidence.labels), series.residuals(evidence)
    size = 4.5 if sum(map(len, parts.values())) < 60 else 2.8
    for name, part in parts.items():
        axes.plot(
            part[x],
            factor * part[y],
            look[name].marker,
            linestyle="none",
            color=look[name].color,
            markeredgecolor="white",
            markeredgewidth=0.3,
            markersize=size,
            label=legend_name(name),
        )
    if len(parts) > 1:
        legend_above(axes)


def _against_page(evidence: Evidence) -> Figure:
    low, high = _limits(evidence)
    label = html.escape(evidence.column(evidence.settings.y).label)
    line = {"type": "line", "x0": low, "x1": high, "y0": low, "y1": high, "line": {"color": PAGE_GREY, "width": 1}}
    return plotly_figure(
        _traces(evidence, "fitted", evidence.settings.y, 1.0),
        page_log_axis(f"Fitted: {label}", low, high),
        page_log_axis(f"Measured: {label}", low, high),
        [line | {"layer": "below"}],
    )


def _residual_page(evidence: Evidence, name: str) -> Figure:
    values = evidence.points[name]
    axis = new_axis(html.escape(evidence.column(name).label)) | {"type": "log"}
    if values.max() / values.min() >= 10:
        axis |= {"dtick": 1, "exponentformat": "power"}
    title = html.escape(f"Measured − fitted (10⁻³ {evidence.loss_unit})".replace(" )", ")"))
    y_axis = new_axis(title) | {"zeroline": True, "zerolinecolor": PAGE_GREY}
    return plotly_figure(_traces(evidence, name, "residual", 1e3), axis, y_axis)


def _traces(evidence: Evidence, x: str, y: str, factor: float) -> list[Figure]:
    look = styles(evidence.labels)
    return [
        run_trace(name, look[name], part.assign(**{y: factor * part[y]}), x, y) | {"mode": "markers"}
        for name, part in series.residuals(evidence).items()
    ]
