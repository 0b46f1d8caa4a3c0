"""The reading of a transfer study: what `transfer:` asks for."""

from dataclasses import asdict
from typing import Any

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.optimum import FEWEST, REACH, Optimum, Unbracketed
from analysis.report import transfer_interactive, transfer_plots
from analysis.report.captions import CAPTIONS
from analysis.report.reading import Reading, shared_values
from analysis.report.summary import Summary
from analysis.report.text_tables import TextTable
from analysis.report.transfer import Transfer
from analysis.report.transfer_summary import span, span_swept, summarise_transfer, swept

NOT_BRACKETED = "not bracketed"


def transfer_reading(found: Transfer) -> Reading:
    summary = summarise_transfer(found)
    tables = {"Best values": optimum_table(found), "How far they move": movement_table(found)}
    panels = transfer_interactive.panels(found)
    return Reading(
        runs=found,
        summary=summary,
        facts=_facts(found),
        tables={heading: table for heading, table in tables.items() if table.rows},
        captions=_captions(found, list(panels)),
        printed=transfer_plots.printed(found),
        interactive=transfer_interactive.interactive(found),
        values=_values(found, summary),
        panels=panels,
        run_columns=tuple(column for column in (found.settings.along, found.settings.x) if column != "depth"),
    )


def optimum_table(found: Transfer) -> TextTable:
    settings = found.settings
    rows: list[tuple[str, ...]] = []
    for label, optima in found.optima.items():
        for place, item in optima.items():
            x, y = found.sweeps[label][place].means
            head = (label, formatting.short(place))
            tail = (formatting.short(x[y.argmin()]), f"{len(x)}, {(y == float('inf')).sum()} diverged")
            if isinstance(item, Unbracketed):
                rows.append((*head, f"{NOT_BRACKETED}\n{item.reason}", formatting.MISSING, formatting.MISSING, *tail))
                continue
            ends = item.y_interval
            lowest = f"{formatting.loss(item.y)} {formatting.loss_interval(ends.low, ends.high)}"
            used = f"{formatting.short(item.used[0])} to {formatting.short(item.used[-1])}"
            rows.append(
                (*head, f"{formatting.short(item.x)} {span_swept(item.interval, list(x))}", lowest, used, *tail)
            )
    level = f"[{100 * settings.level:g} %]"
    headers = (
        found.noun.capitalize(),
        COLUMNS[settings.along].meaning,
        f"Best {swept(found)} {level}",
        f"{COLUMNS[settings.y].meaning} there {level}",
        "Parabola from",
        "Lowest measured at",
        "Values swept",
    )
    return TextTable(headers=headers, rows=tuple(rows), numeric=frozenset({headers[1]}))


def movement_table(found: Transfer) -> TextTable:
    along = COLUMNS[found.settings.along].meaning.lower()
    rows = []
    for label, move in found.movements.items():
        slope = move.slope.interval
        rows.append(
            (
                label,
                f"{formatting.short(move.first)} to {formatting.short(move.last)}",
                f"{formatting.short(move.factor)} {span(move.interval)}",
                formatting.estimate(move.slope.value, slope.low, slope.high)
                + f" {formatting.interval(slope.low, slope.high)}",
                "not measured" if move.cost is None else formatting.loss(move.cost),
                "moves" if move.moves else "not told from staying",
            )
        )
    level = f"[{100 * found.settings.level:g} %]"
    headers = (
        found.noun.capitalize(),
        f"From {along}",
        f"Factor {level}",
        f"Slope in ln {along} {level}",
        f"Cost of the first best at the last ({COLUMNS[found.settings.y].unit})",
        "Answer",
    )
    return TextTable(headers=headers, rows=tuple(rows))


def _facts(found: Transfer) -> dict[str, str]:
    settings, measured = found.settings, found.measured
    cells = len(set(found.table.runs["run_id"]) | set(found.missing))
    diverged = int((found.table.runs["state"] == "diverged").sum())
    x = measured[settings.x]
    return {
        "Runs": f"{len(found.points)} of {cells} finished" + (f", {diverged} diverged" if diverged else ""),
        COLUMNS[settings.x].meaning: f"{formatting.short(x.min())} to {formatting.short(x.max())}",
        COLUMNS[settings.along].meaning: ", ".join(formatting.short(place) for place in found.places),
        "Parameters": f"{formatting.count(found.points['parameters'].min())} to "
        f"{formatting.count(found.points['parameters'].max())}",
        "Parabola": f"the lowest and up to {REACH} on each side, at least {FEWEST}",
        "Corpus": str(found.points["corpus_hash"].iloc[0])[:16],
    }


def _captions(found: Transfer, panels: list[str]) -> dict[str, str]:
    level = f"{100 * found.settings.level:g} %"
    y = COLUMNS[found.settings.y].meaning.lower()
    sweep = (
        "Lines join the measured losses, means over seeds where there are several. Dashed is the parabola through the "
        f"lowest and its neighbours, a star its minimum with the {level} interval. At the top edge, crosses diverged "
        "and triangles lie above the axis."
    )
    return {
        "transfer": sweep,
        "optima": f"Where the {y} is lowest, with {level} intervals. A level line is transfer without loss.",
        "training": CAPTIONS["training"],
        **dict.fromkeys(panels, sweep),
    }


def _values(found: Transfer, summary: Summary) -> dict[str, Any]:
    settings = found.settings
    return {
        "settings": asdict(settings),
        **shared_values(found, (settings.x, settings.along, settings.y)),
        "diverged": sorted(found.table.runs.loc[found.table.runs["state"] == "diverged", "run_id"]),
        "transfer": {
            label: {
                "optima": [_optimum_values(found, place, item) for place, item in optima.items()],
                "movement": asdict(found.movements[label]) | {"moves": found.movements[label].moves}
                if label in found.movements
                else None,
            }
            for label, optima in found.optima.items()
        },
        "summary": asdict(summary),
    }


def _optimum_values(found: Transfer, place: float, item: Optimum | Unbracketed) -> dict[str, Any]:
    return {found.settings.along: place, "bracketed": isinstance(item, Optimum)} | asdict(item)
