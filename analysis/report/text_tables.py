"""The tables of a report as text cells, written once for the page and for Markdown."""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.holdout import HoldOut
from analysis.report.evidence import Evidence
from analysis.report.gathered import Gathered
from analysis.report.ranking import ranking
from analysis.solve.losses import Loss


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """`numeric` columns are set flush right. Cells are plain text, not yet escaped for any format.

    A line break in a cell separates what is said from a remark on it.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()

    def markdown(self) -> str:
        rule = ["--:" if header in self.numeric else ":--" for header in self.headers]
        lines = [[markdown_text(header) for header in self.headers], rule]
        lines += [[markdown_text(cell) for cell in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_text(text: str) -> str:
    """Text that Markdown and the HTML inside it take literally, on one line."""
    flat = html.escape(", ".join(" ".join(line.split()) for line in text.splitlines() if line.strip()), quote=False)
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)


def tables_of(evidence: Evidence) -> dict[str, TextTable]:
    """By heading, those that have a row."""
    tables = {
        "Ranking": TextTable(headers=(), rows=()) if evidence.settings.inputs else ranking_table(evidence),
        "Fits": fit_table(evidence),
        "Largest run held out": holdout_table(evidence),
    }
    return {heading: table for heading, table in tables.items() if table.rows}


def ranking_table(evidence: Evidence) -> TextTable:
    """Of groups that were measured at one scale alone; without rows for any others."""
    answers = {True: "yes", False: "no", None: formatting.MISSING}
    rows = tuple(
        (
            str(place),
            rank.label,
            evidence.number(rank.x),
            formatting.loss(rank.loss),
            "" if place == 1 else f"+{formatting.small(rank.gap)}",
            str(rank.runs),
            answers[rank.within_seeds],
        )
        for place, rank in enumerate(ranking(evidence), start=1)
    )
    scale, loss = (evidence.column(name).label for name in (evidence.settings.x, evidence.settings.y))
    headers = ("Rank", _noun(evidence), scale, loss, "Above the best", "Runs", "Within seed spread")
    return TextTable(headers=headers, rows=rows, numeric=frozenset({"Rank", scale, loss, "Above the best", "Runs"}))


def fit_table(evidence: Evidence) -> TextTable:
    names = [p.name for p in evidence.law.parameters]
    rows: list[tuple[str, ...]] = []
    for label, fit in evidence.fits.items():
        cells = [label]
        for name in names:
            value, ends = fit.parameters[name], fit.intervals[name]
            shown = (
                formatting.estimate(value, ends.low, ends.high) if fit.degrees_of_freedom else formatting.general(value)
            )
            # A fit without a degree of freedom has no interval: the range of the parameter is not one.
            span = formatting.interval(ends.low, ends.high) if fit.degrees_of_freedom else "no interval"
            cells.append(f"{shown} {span}\n{fit.verdicts[name]}")
        cells += [formatting.residual_std(fit.residual_std), str(fit.n), str(fit.degrees_of_freedom)]
        rows.append(tuple(cells))
    headers = [f"{name} [{100 * evidence.settings.level:g} %]" for name in names]
    unit = "of ln loss" if Loss.parse(evidence.settings.loss).logarithmic else evidence.loss_unit
    spread = f"Residual std ({unit})" if unit else "Residual std"
    figures = (spread, "Points", "Degrees of freedom")
    return TextTable(headers=(_noun(evidence), *headers, *figures), rows=tuple(rows), numeric=frozenset(figures))


def holdout_table(evidence: Evidence) -> TextTable:
    rows = []
    for label, item in evidence.holdouts.items():
        ends = item.interval
        rows.append(
            (
                label,
                _held_place(evidence, item),
                formatting.loss(item.predicted),
                formatting.MISSING if ends is None else formatting.loss_interval(ends.low, ends.high),
                formatting.loss(item.actual),
                formatting.signed_loss(item.error),
                {True: "inside", False: "outside", None: "no interval"}[item.inside],
            )
        )
    level = f"Interval [{100 * evidence.settings.level:g} %]"
    where = "Held out at" if evidence.settings.inputs else f"Held out at ({_unit(evidence)})"
    headers = (_noun(evidence), where, "Predicted", level, "Measured", "Predicted − measured", "Hit")
    return TextTable(headers=headers, rows=tuple(rows), numeric=frozenset(headers[1:6]))


def _held_place(evidence: Evidence, item: HoldOut) -> str:
    names = evidence.settings.inputs
    if not names:
        return evidence.number(item.x)
    places = zip(evidence.law.inputs, names, item.inputs, strict=True)
    return ", ".join(
        f"{symbol} = {formatting.place(value, evidence.column(name).unit)}" for symbol, name, value in places
    )


def run_table(found: Gathered, more: Sequence[str] = ()) -> TextTable:
    """Every run of the study in one line each, finished or not; `more` are columns of numbers beside the usual ones.

    The points of a table have its own columns instead.
    """
    records = found.table.records()
    if records and "details" in records[0]:
        labels = tuple(label for label, _ in records[0]["details"])
        return TextTable(
            headers=("Row", *labels, "In the fits"),
            rows=tuple(
                (row["run_id"], *(text for _, text in row["details"]), found.left_out.get(row["run_id"], "yes"))
                for row in records
            ),
        )

    def of_column(name: str) -> Callable[[dict[str, object]], str]:
        return lambda row: formatting.short(_float(row[name]))

    columns: dict[str, Callable[[dict[str, object]], str]] = {
        "Run": lambda row: str(row["run_id"]),
        "Depth": lambda row: str(row["depth"]),
        **{COLUMNS[name].meaning: of_column(name) for name in more},
        "Parameters": lambda row: formatting.count(_float(row["parameters"])),
        "Tokens": lambda row: formatting.count(_float(row["tokens"])),
        "Compute (FLOPs)": lambda row: formatting.scientific(_float(row["compute"])),
        "Validation loss": lambda row: formatting.loss(_float(row["validation_loss"])),
        "State": lambda row: str(row["state"]),
        "Commit": lambda row: commit_text(row),
    }
    cells = tuple(tuple(cell(row) for cell in columns.values()) for row in records)
    return TextTable(headers=tuple(columns), rows=cells, numeric=frozenset(list(columns)[1:-2]))


def commit_text(row: dict[str, object]) -> str:
    """First ten digits of the commit, with a word where the code differed from it."""
    commit = row["git_commit"]
    if not isinstance(commit, str):
        return "no commit recorded"
    return f"{commit[:10]} with local changes" if row["git_dirty"] else commit[:10]


def _noun(evidence: Evidence) -> str:
    return evidence.noun.capitalize()


def _unit(evidence: Evidence) -> str:
    column = evidence.column(evidence.settings.x)
    return formatting.unit(column.unit) or column.phrase


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
