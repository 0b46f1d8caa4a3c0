"""What curves that nearly coincide differ by: each fitted curve minus the lowest one at the same x.

10⁻³ nats │ ○ ─ ○ ─ ─ ─     a marker where a point was measured: with the measured loss, minus the lowest curve
        0 │──●───●───●──    a bar: the interval of the gap to the lowest curve, from fitted.py
"""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure

from analysis import formatting
from analysis.gap import LossGap
from analysis.report import series
from analysis.report.evidence import Evidence
from analysis.report.fitted import fitted_gaps
from analysis.report.printing import GREY, PAGE_INCHES, legend_above, legend_name, new_axes, plain
from analysis.report.style import styles
from analysis.report.traces import Figure as Specification
from analysis.report.traces import log_axis, new_axis, numbers, plotly_figure, rule, run_trace

# Curves nearly coincide where the nearest stays within this share of the range of measured losses.
_NEAR = 0.03
_SCALE = 1e3


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By group, on the grid `x` and at its points, in 10⁻³ of the loss's unit; `bars` are (x, low, high) of its gap.

    `limits` hold the curves that come near the lowest; curves of `outside` leave them where runs measured, and those of
    `beyond` are never inside.
    """

    x: np.ndarray
    curves: Mapping[str, np.ndarray]
    points: Mapping[str, np.ndarray]
    bars: Mapping[str, tuple[tuple[float, float, float], ...]]
    limits: tuple[float, float]
    outside: tuple[str, ...]
    beyond: tuple[str, ...]


@lru_cache(maxsize=1)
def difference(evidence: Evidence) -> Difference | None:
    """None where no two fitted curves nearly coincide."""
    if len(evidence.fits) < 2 or evidence.settings.inputs:
        return None
    data, settings = series.loss_series(evidence), evidence.settings
    x = next(iter(data.curves.values())).x
    inside = x <= data.x_end
    heights = np.array([curve.y for curve in data.curves.values()])
    above = _SCALE * (heights - heights.min(0))
    losses = evidence.points[settings.y].to_numpy(dtype=float)
    nearest = float(np.sort(above[:, inside], axis=0)[1].max())
    if nearest > _NEAR * _SCALE * float(np.ptp(losses)):
        return None
    curves = dict(zip(data.curves, above, strict=True))
    lowest = {name: fit.predict for name, fit in evidence.fits.items()}
    points = {}
    for name in data.curves:
        at = data.points[name][settings.x].to_numpy(dtype=float)
        best = np.min([predict(at) for predict in lowest.values()], axis=0)
        points[name] = _SCALE * (data.points[name][settings.y].to_numpy(dtype=float) - best)
    bars: dict[str, list[tuple[float, float, float]]] = {name: [] for name in curves}
    for name, gap in _gaps_to_lowest(evidence):
        sign = 1 if gap.groups[0] == name else -1
        low, high = sorted((sign * _SCALE * gap.interval.low, sign * _SCALE * gap.interval.high))
        if np.isfinite([low, high]).all():
            bars[name].append((gap.x, low, high))
    near = [name for name, own in curves.items() if float(np.median(own[inside])) <= 2 * nearest]
    ends = [0.0, nearest]
    for name in near:
        ends += [*points[name], *(end for _, *both in bars[name] for end in both)]
    low, high = max(min(ends), -3 * nearest), min(max(ends), 6 * nearest)
    pad = 0.08 * (high - low)
    limits = (low - pad, high + pad)
    return Difference(
        x=x,
        curves=curves,
        points=points,
        bars={name: tuple(own) for name, own in bars.items()},
        limits=limits,
        outside=tuple(name for name, own in curves.items() if (own[inside] > limits[1]).any()),
        beyond=tuple(name for name, own in curves.items() if (own > limits[1]).all()),
    )


def difference_caption(evidence: Evidence) -> str:
    found = difference(evidence)
    if found is None:
        return ""
    text = (
        "Each fitted curve minus the lowest fitted curve at the same place, dashed beyond the measurements; markers "
        "are the measured losses minus that lowest curve."
    )
    if any(found.bars.values()):
        text += (
            f" A bar is the {100 * evidence.settings.level:g} % interval of the gap of two curves: where it leaves out "
            "zero they are told apart."
        )
    if found.outside:
        text += f" {formatting.listed(found.outside)} {_lies(found.outside)} above the axis at some of the scales."
    return text


def difference_figure(evidence: Evidence) -> Figure | None:
    found = difference(evidence)
    if found is None:
        return None
    data, style, x_name = series.loss_series(evidence), styles(evidence.labels), evidence.settings.x
    figure, axes = new_axes(PAGE_INCHES, 2.4)
    axes.set(xscale="log", xlim=data.x_limits, ylim=found.limits)
    measured = found.x <= data.x_end
    for name, curve in found.curves.items():
        look = style[name]
        axes.plot(found.x[measured], curve[measured], color=look.color)
        axes.plot(found.x[~measured], curve[~measured], color=look.color, linestyle=look.dashes, linewidth=1)
        axes.plot(
            data.points[name][x_name],
            found.points[name],
            look.marker,
            color=look.color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label="" if name in found.beyond else legend_name(name),
        )
        for place, low, high in found.bars[name]:
            axes.plot([place, place], [low, high], color=look.color, linewidth=0.8, alpha=0.7)
    axes.axvline(data.x_end, color=GREY, linewidth=0.7, linestyle=":")
    legend_above(axes)
    axes.set_xlabel(plain(evidence.column(x_name).label))
    axes.set_ylabel(f"Above the lowest (10$^{{-3}}$ {plain(evidence.loss_unit)})".replace(" )", ")"))
    return figure


def difference_specification(evidence: Evidence) -> Specification | None:
    found = difference(evidence)
    if found is None:
        return None
    data, style, settings = series.loss_series(evidence), styles(evidence.labels), evidence.settings
    traces: list[Specification] = []
    for name, curve in found.curves.items():
        look = style[name]
        quiet = {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "legendgroup": html.escape(name)}
        for part, dash in ((found.x <= data.x_end, "solid"), (found.x >= data.x_end, look.dash)):
            line = {"color": look.color, "width": 2 if dash == "solid" else 1.5, "dash": dash}
            traces.append(quiet | {"line": line, "x": numbers(found.x[part]), "y": numbers(curve[part])})
        if bars := found.bars[name]:
            x = [end for place, _, _ in bars for end in (place, place, np.nan)]
            y = [end for _, low, high in bars for end in (low, high, np.nan)]
            line = {"color": look.color, "width": 1.2}
            traces.append(quiet | {"line": line, "opacity": 0.7, "x": numbers(x), "y": numbers(y)})
        points = data.points[name].assign(above=found.points[name])
        traces.append(run_trace(name, look, points, settings.x, "above") | {"mode": "markers"})
    x_axis = log_axis(html.escape(evidence.column(settings.x).label), *data.x_limits)
    y_axis = new_axis(html.escape(f"10⁻³ {evidence.loss_unit}".strip())) | {"range": list(found.limits)}
    return plotly_figure(traces, x_axis, y_axis, [rule(x=data.x_end)])


def _gaps_to_lowest(evidence: Evidence) -> Iterator[tuple[str, LossGap]]:
    """The upper group of each gap whose other group has the lowest of all fitted curves at that x."""
    for gaps in fitted_gaps(evidence).values():
        for gap in gaps:
            at = np.array([gap.x])
            best = min(evidence.fits, key=lambda name: float(evidence.fits[name].predict(at)[0]))
            if best in gap.groups:
                yield gap.groups[gap.groups[0] == best], gap


def _lies(names: tuple[str, ...]) -> str:
    return "lies" if len(names) == 1 else "lie"
