"""Static figures of a study: losses under a law, and what every study has, training curves and throughput."""

import textwrap
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.report import series
from analysis.report.checks import forests
from analysis.report.cost import cost_figure
from analysis.report.curves import joined_curves
from analysis.report.difference import difference_figure
from analysis.report.evidence import Evidence
from analysis.report.forest import forest_figure
from analysis.report.gathered import Gathered
from analysis.report.printing import (
    COLUMN_INCHES,
    GREY,
    PAGE_INCHES,
    Drawers,
    count_axis,
    legend_above,
    legend_inside,
    legend_name,
    log_axis,
    new_axes,
    plain,
)
from analysis.report.style import curve_opacity, styles

_MOST_VECTOR_CURVES = 100


def law_figures(evidence: Evidence) -> Drawers:
    style = styles(evidence.labels)
    return {
        "loss": partial(loss_figure, evidence),
        "difference": partial(difference_figure, evidence),
        "residuals": partial(residual_figure, evidence),
        "profiles": partial(profile_figure, evidence),
        **{f"profiles-{name}": partial(profile_figure, evidence, name) for name in series.other_parameters(evidence)},
        **{name: partial(forest_figure, forest, style) for name, forest in forests(evidence).items()},
        "training": partial(training_figure, evidence),
        "throughput": partial(throughput_figure, evidence),
        "cost": partial(cost_figure, evidence),
    }


def loss_figure(evidence: Evidence) -> Figure:
    """Loss against x: measured points, fits with their bands, and where the measurements end."""
    data, style = series.loss_series(evidence), styles(evidence.labels)
    figure, axes = new_axes(PAGE_INCHES, 3.7)
    axes.set(xscale="log", yscale="log", xlim=data.x_limits, ylim=data.y_limits)
    log_axis(axes, "y", series.log_ticks(*data.y_limits))
    for name, curve in data.curves.items():
        look, color, measured = style[name], style[name].color, curve.x <= data.x_end
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.13, linewidth=0)
        axes.plot(curve.x[measured], curve.y[measured], color=color)
        axes.plot(curve.x[~measured], curve.y[~measured], color=color, linestyle=look.dashes, linewidth=1)
    for name, points in data.points.items():
        x, y = points[evidence.settings.x], points[evidence.settings.y]
        axes.plot(x, y, style[name].marker, color=style[name].color, markeredgecolor="white", markeredgewidth=0.6)
    if data.curves:
        axes.axvline(data.x_end, color=GREY, linewidth=0.7, linestyle=":")
        axes.annotate(
            "extrapolation →",
            (data.x_end, 0),
            xycoords=("data", "axes fraction"),
            xytext=(4, 4),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=7,
            color=GREY,
        )
    if data.entropy is not None:
        axes.axhline(data.entropy, color=GREY, linewidth=0.7)
        axes.annotate(
            f"unigram entropy {formatting.loss(data.entropy)}",
            (1, data.entropy),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color=GREY,
        )
    handles = [
        Line2D(
            [],
            [],
            color=style[n].color,
            marker=style[n].marker,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=legend_name(n),
        )
        for n in data.points
    ]
    legend_inside(axes, handles, "lower left")
    axes.set_xlabel(plain(textwrap.fill(x_label(evidence), 100)))
    axes.set_ylabel(plain(evidence.column(evidence.settings.y).label))
    return figure


def residual_figure(evidence: Evidence) -> Figure | None:
    parts = series.residuals(evidence)
    if not parts:
        return None
    style = styles(evidence.labels)
    figure, axes = new_axes(COLUMN_INCHES, 2.3)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.7)
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
            label=legend_name(str(name)),
        )
    legend_above(axes)
    axes.set_xlabel(plain(evidence.column(evidence.settings.x).label))
    axes.set_ylabel(f"Measured − fitted (10$^{{-3}}$ {plain(evidence.loss_unit)})".replace(" )", ")"))
    return figure


def profile_figure(evidence: Evidence, parameter: str = "") -> Figure | None:
    parts = series.profiles(evidence, parameter)
    if not parts:
        return None
    style = styles(evidence.labels)
    figure, axes = new_axes(COLUMN_INCHES, 2.3)
    low, high = series.profile_limits(parts).limits
    for name, part in parts.items():
        color, places = style[name].color, [evidence.fits[name].parameters[part.parameter], *(part.ends or ())]
        shown = [(x, y) for x, y in zip(places, [0, part.threshold, part.threshold], strict=False) if low <= x <= high]
        axes.plot(part.values, part.rise, color=color)
        axes.plot(
            *(zip(*shown, strict=True) if shown else ([], [])),
            style[name].marker,
            color=color,
            markeredgecolor="white",
            markeredgewidth=0.4,
            clip_on=False,
            markersize=4,
            label=legend_name(str(name)),
        )
    for level in sorted({part.threshold for part in parts.values()}):
        axes.axhline(level, color=GREY, linewidth=0.7, linestyle=":")
        axes.annotate(
            f"{100 * evidence.settings.level:g} %",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
            color=GREY,
        )
    axes.set_ylim(0, 2.2 * max(part.threshold for part in parts.values()))
    if series.spans_decades(parts.values()):
        axes.set_xscale("log")
        log_axis(axes, "x", series.log_ticks(low, high))
    axes.set_xlim(low, high)
    legend_above(axes)
    axes.set_xlabel(parameter_label(evidence, next(iter(parts.values())).parameter))
    axes.set_ylabel("Rise of the sum of squares / s²")
    return figure


def training_figure(evidence: Gathered) -> Figure | None:
    curves = joined_curves(evidence)
    if not curves:
        return None
    style = styles(evidence.labels)
    figure, axes = new_axes(PAGE_INCHES, 3.2)
    axes.set_xscale("log")
    # A file of a thousand lines drawn one by one would be of many megabytes; text and axes stay vectors.
    many = sum(len(part.runs) for part in curves) > _MOST_VECTOR_CURVES
    for part in curves:
        look, rows = style[part.label], part.rows
        shared: dict[str, Any] = {"color": look.color, "rasterized": many}
        dashes = "-" if part.finished else (0, (2, 1.5))
        opacity = curve_opacity(len(part.runs))
        axes.plot(rows["tokens"], rows["train_loss"], linewidth=0.7, alpha=opacity, linestyle=dashes, **shared)
        axes.plot(rows["tokens"], rows["validation_loss"], look.marker, markersize=2.2, **shared)
    handles = [
        Line2D([], [], color=style[n].color, marker=style[n].marker, markersize=3, label=legend_name(n))
        for n in dict.fromkeys(part.label for part in curves)
    ]
    legend_inside(axes, handles, "upper right")
    axes.set_xlabel("Tokens seen")
    axes.set_ylabel("Loss (nats/token); markers: validation")
    return figure


def throughput_figure(evidence: Gathered) -> Figure | None:
    points = evidence.points.dropna(subset=["parameters", "tokens_per_second"])
    if points.empty:
        return None
    style = styles(evidence.labels)
    figure, axes = new_axes(COLUMN_INCHES, 2.3)
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
            label=legend_name(str(name)),
        )
    count_axis(axes, "x", *axes.get_xlim())
    count_axis(axes, "y", *axes.get_ylim())
    legend_above(axes)
    axes.set_xlabel(COLUMNS["parameters"].label)
    axes.set_ylabel(COLUMNS["tokens_per_second"].label)
    return figure


def x_label(evidence: Evidence) -> str:
    """The x axis with the accounting beside it: two ways of counting FLOPs differ by more than two architectures do."""
    column = evidence.column(evidence.settings.x)
    return f"{column.meaning} ({column.unit}, {evidence.x_note})" if evidence.x_note else column.label


def parameter_label(evidence: Evidence, parameter: str) -> str:
    found = next(p for p in evidence.law.parameters if p.name == parameter)
    units = {"y": evidence.loss_unit, "x": formatting.unit(evidence.column(evidence.settings.x).unit)}
    unit = units.get(found.unit, "")
    label = found.label[0].upper() + found.label[1:]
    return f"{label} ({unit})" if unit else label
