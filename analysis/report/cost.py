"""What the runs of a report cost: training time of all attempts a group, or compute where nobody took the time."""

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.report.gathered import Gathered
from analysis.report.printing import COLUMN_INCHES, legend_name, new_axes, plain
from analysis.report.style import styles
from analysis.report.traces import Figure as Specification
from analysis.report.traces import anchor, hover_text, new_axis, numbers, plotly_figure
from analysis.table import records_of

# A bar of more runs is drawn in one piece.
_MOST_PIECES = 24


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`rows` has a run a row with the columns `label` and `cost`, in the unit that `axis` names."""

    axis: str
    rows: pd.DataFrame

    def totals(self) -> dict[str, float]:
        """By label, the largest first."""
        sums = self.rows.groupby("label")["cost"].sum().sort_values(ascending=False)
        return {str(label): float(total) for label, total in sums.items()}


def cost_of(found: Gathered) -> Cost | None:
    """Of every run that has a result, diverged ones as well; None where neither time nor compute is known."""
    rows = found.table.runs
    rows = rows.assign(label=[found.label_of(row) for row in records_of(rows)])
    for column, what in (("train_seconds", "Training time"), ("compute", "Training compute")):
        known = rows[pd.to_numeric(rows[column], errors="coerce") > 0]
        if known.empty:
            continue
        total = float(known.groupby("label")[column].sum().max())
        unit, size = _unit(total) if column == "train_seconds" else ("FLOPs", 1.0)
        order = ["label", "compute", "run_id"]
        return Cost(axis=f"{what} ({unit})", rows=known.assign(cost=known[column] / size).sort_values(order))
    return None


def cost_figure(found: Gathered) -> Figure | None:
    cost = cost_of(found)
    if cost is None:
        return None
    look, totals = styles(found.labels), cost.totals()
    figure, axes = new_axes(COLUMN_INCHES, 0.6 + 0.24 * len(totals))
    for height, label in enumerate(totals):
        pieces = _pieces(cost.rows[cost.rows["label"] == label])
        starts = np.cumsum([0.0, *pieces[:-1]])
        axes.barh(
            [height] * len(pieces), pieces, left=starts, color=look[label].color, edgecolor="white", linewidth=0.5
        )
    axes.set_yticks(range(len(totals)), [legend_name(label) for label in totals])
    axes.set_ylim(len(totals) - 0.4, -0.6)
    axes.set_xlabel(plain(cost.axis))
    return figure


def cost_specification(found: Gathered) -> Specification | None:
    cost = cost_of(found)
    if cost is None:
        return None
    look, totals = styles(found.labels), cost.totals()
    traces: list[Specification] = []
    for height, label in enumerate(totals):
        name, rows = html.escape(label), cost.rows[cost.rows["label"] == label]
        bar: Specification = {"type": "bar", "orientation": "h", "name": name, "legendgroup": name}
        bar["marker"] = {"color": look[label].color, "symbol": look[label].symbol, "line": {"width": 1}}
        if len(rows) > _MOST_PIECES:
            bar |= {"x": numbers([totals[label]]), "y": [height]}
            bar["hovertemplate"] = f"{name}: {len(rows)} runs<br>%{{x:.3g}}<extra></extra>"
        else:
            bar |= {"x": numbers(rows["cost"]), "y": [height] * len(rows)}
            bar["text"] = [hover_text(row, label) for row in records_of(rows)]
            bar["customdata"] = [anchor(run_id) for run_id in rows["run_id"]]
            bar |= {"textposition": "none", "hovertemplate": "%{text}<br>%{x:.3g}<extra></extra>"}
        traces.append(bar)
    y_axis = new_axis("") | {
        "tickvals": list(range(len(totals))),
        "range": [len(totals) - 0.4, -0.6],
        "showgrid": False,
    }
    y_axis["ticktext"] = [html.escape(legend_name(label)) for label in totals]
    figure = plotly_figure(traces, new_axis(cost.axis), y_axis)
    figure["layout"]["barmode"] = "stack"
    share = [[html.escape(label), f"{total:.4g}"] for label, total in totals.items()]
    return figure | {"rows": len(totals), "table": {"headers": ["", cost.axis], "rows": share}}


def _pieces(rows: pd.DataFrame) -> list[float]:
    return rows["cost"].to_list() if len(rows) <= _MOST_PIECES else [float(rows["cost"].sum())]


def _unit(seconds: float) -> tuple[str, float]:
    """A unit in which the largest total is a number of one to four digits."""
    return next(
        (name, size) for name, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if seconds >= size or size == 1
    )
