"""The report of a study: one self-contained page, its Markdown twin, the numbers as JSON and CSV, figures for print.

    report.html  report.md  fits.json  runs.csv  figures/*.{png,svg,pdf}

No file holds the time at which it was written: the same runs give the same bytes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis import plots, text_tables
from analysis.captions import captions_of
from analysis.compare import Comparison
from analysis.evidence import Evidence, gather
from analysis.page import html_document
from analysis.sizes import compared_sizes
from analysis.summary import Summary, summarise
from analysis.table import RunTable
from archscale.runlog.files import write_atomically
from archscale.spec import FitSettings


def write_report(
    *,
    name: str,
    title: str,
    question: str,
    table: RunTable,
    missing: Sequence[str],
    fit_settings: FitSettings,
    out: Path,
) -> Path:
    """Write everything named in the module docstring into `out` and return the path of report.html.

    Args:
        name: of the study; title and question are what the page opens with.
        missing: run ids of the study's cells that have no result.

    Raises:
        UserError: when no run has finished, or the finished runs mix ways of counting FLOPs or corpora.
    """
    evidence = gather(table=table, missing=missing, settings=fit_settings)
    summary = summarise(evidence)
    out.mkdir(parents=True, exist_ok=True)
    header = {"name": name, "title": title or name, "question": question}
    drawn = plots.write_figures(evidence, out / "figures")
    table.runs.to_csv(out / "runs.csv", index=False)
    write_atomically(out / "fits.json", json_document(header, evidence, summary))
    write_atomically(out / "report.md", markdown_document(header, evidence, summary, list(drawn)))
    path = out / "report.html"
    write_atomically(path, html_document(header, evidence, summary))
    return path


def json_document(header: dict[str, str], evidence: Evidence, summary: Summary) -> str:
    """Strict JSON: what is infinite or undefined is null, and a verdict or note beside it says why."""
    settings, points = evidence.settings, evidence.points
    columns = ["run_id", "label", settings.x, settings.y]
    values = {
        **header,
        "settings": asdict(settings),
        "equation": evidence.law.equation,
        "flops_accounting": evidence.accounting,
        "corpus_hash": str(points["corpus_hash"].iloc[0]),
        "unigram_entropy": evidence.unigram_entropy,
        "groups": evidence.names,
        "points": points[columns].to_dict("records"),
        "left_out": evidence.left_out,
        "missing": list(evidence.missing),
        "fits": {label: fit.to_json() for label, fit in evidence.fits.items()},
        "not_fitted": evidence.not_fitted,
        "comparisons": [
            {"kind": "nested F-test" if isinstance(item, Comparison) else "loss gap"} | asdict(item)
            for item in evidence.comparisons
        ],
        "not_compared": evidence.not_compared,
        "size_differences": [asdict(item) for item in compared_sizes(evidence)],
        "holdouts": {label: asdict(item) for label, item in evidence.holdouts.items()},
        "summary": asdict(summary),
    }
    return json.dumps(_strict(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def markdown_document(header: dict[str, str], evidence: Evidence, summary: Summary, figures: Sequence[str]) -> str:
    text = text_tables.markdown_text
    parts = [f"# {text(header['title'])}", text(header["question"]), f"**{text(summary.headline)}**"]
    for heading, sentences in summary.headed():
        parts += [f"## {heading}", "\n".join(f"- {text(sentence)}" for sentence in sentences)]
    captions = captions_of(evidence)
    parts.append("## Figures")
    for figure in figures:
        parts += [f"![{figure}](figures/{figure}.png)", text(captions[figure])]
    for heading, table in text_tables.tables_of(evidence).items():
        parts += [f"## {heading}", table.markdown()]
    parts += ["## Runs", text_tables.run_table(evidence).markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
