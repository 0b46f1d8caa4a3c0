"""The report of a study: one self-contained page, its Markdown twin, the numbers as JSON and CSV, figures for print.

    report.html  report.md  fits.json  runs.csv (of a table: points.csv)  figures/*.{png,svg,pdf}

No file holds the time at which it was written: the same runs give the same bytes.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.points import PointTable
from analysis.report import text_tables
from analysis.report.drawing import Drawing
from analysis.report.evaluation import gather_evaluation
from analysis.report.evaluation_report import evaluation_reading
from analysis.report.evidence import gather
from analysis.report.gathered import Settings
from analysis.report.law_report import law_reading
from analysis.report.page import html_document
from analysis.report.point_rows import PointRows
from analysis.report.reading import Reading
from analysis.report.transfer import gather_transfer
from analysis.report.transfer_report import transfer_reading
from analysis.table import RunTable
from archscale.runlog.files import write_atomically
from archscale.spec import EvaluateSettings, FitSettings, TransferSettings


def write_report(
    *,
    name: str,
    title: str,
    question: str,
    table: RunTable,
    missing: Sequence[str],
    settings: Settings,
    out: Path,
) -> Path:
    """Write everything named in the module docstring into `out` and return the path of report.html.

    Args:
        name: of the study; title and question are what the page opens with.
        missing: run ids of the study's cells that have no result.
        settings: what the report is asked: a law, a comparison or a transfer.

    Raises:
        UserError: when no run has finished, or the finished runs mix ways of counting FLOPs or corpora.
    """
    reading = read(table=table, missing=missing, settings=settings)
    out.mkdir(parents=True, exist_ok=True)
    header = {"name": name, "title": title or name, "question": question}
    drawing = Drawing.start(reading.printed, out / "figures")
    table.listing.to_csv(out / f"{table.noun}.csv", index=False)
    write_atomically(out / "fits.json", json_document(header, reading))
    path = out / "report.html"
    write_atomically(path, html_document(header, reading))
    write_atomically(out / "report.md", markdown_document(header, reading, list(drawing.finish())))
    return path


def write_table_report(points: PointTable, settings: FitSettings, out: Path) -> Path:
    """The report of any table: as `write_report`, with its points for runs; `settings` name its columns.

    Raises:
        UserError: for a column that the table does not have or that holds no numbers.
    """
    rows, inside = PointRows.of(points, settings)
    return write_report(
        name=points.name,
        title=points.title or points.name,
        question=points.question,
        table=rows,
        missing=[],
        settings=inside,
        out=out,
    )


def read(*, table: RunTable, missing: Sequence[str], settings: Settings) -> Reading:
    match settings:
        case FitSettings():
            return law_reading(gather(table=table, missing=missing, settings=settings))
        case TransferSettings():
            return transfer_reading(gather_transfer(table=table, missing=missing, settings=settings))
        case EvaluateSettings():
            return evaluation_reading(gather_evaluation(table=table, missing=missing, settings=settings))


def json_document(header: dict[str, str], reading: Reading) -> str:
    """Strict JSON: what is infinite or undefined is null, and a verdict or note beside it says why."""
    return json.dumps(_strict({**header, **reading.values}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def markdown_document(header: dict[str, str], reading: Reading, figures: Sequence[str]) -> str:
    text = text_tables.markdown_text
    parts = [f"# {text(header['title'])}", text(header["question"]), f"**{text(reading.summary.headline)}**"]
    for heading, sentences in reading.summary.headed():
        parts += [f"## {heading}", "\n".join(f"- {text(sentence)}" for sentence in sentences)]
    parts.append("## Figures")
    for figure in figures:
        parts += [f"![{figure}](figures/{figure}.png)", text(reading.captions[figure])]
    for heading, table in reading.tables.items():
        parts += [f"## {heading}", table.markdown()]
    listed = text_tables.run_table(reading.runs, reading.run_columns)
    parts += [f"## {reading.runs.table.noun.capitalize()}", listed.markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
