"""The reading of a study under a law: what `fit:` asks for."""

from dataclasses import asdict
from typing import Any

from analysis import formatting
from analysis.compare import Comparison
from analysis.report import interactive, plots
from analysis.report.captions import captions_of
from analysis.report.evidence import Evidence
from analysis.report.reading import Reading, shared_values
from analysis.report.sizes import compared_sizes
from analysis.report.summary import Summary, summarise
from analysis.report.text_tables import tables_of
from analysis.table import COLUMNS


def law_reading(evidence: Evidence) -> Reading:
    summary = summarise(evidence)
    return Reading(
        runs=evidence,
        summary=summary,
        facts=_facts(evidence),
        tables=tables_of(evidence),
        captions=captions_of(evidence),
        printed=plots.law_figures(evidence),
        interactive=interactive.figures(evidence),
        values=_values(evidence, summary),
        panels={},
    )


def _facts(evidence: Evidence) -> dict[str, str]:
    settings, points = evidence.settings, evidence.points
    x, column = points[settings.x], COLUMNS[settings.x]
    number = formatting.scientific if settings.x == "compute" else formatting.count
    parameters = points["parameters"]
    started = len(evidence.table.runs)
    cells = started + len(set(evidence.missing) - set(evidence.table.runs["run_id"]))
    return {
        "Runs": f"{len(points)} of {cells} in the fits",
        column.meaning: f"{number(float(x.min()))} to {number(float(x.max()))} {column.unit}".strip(),
        "Counted as": formatting.accounting(evidence.accounting),
        "Parameters": f"{formatting.count(parameters.min())} to {formatting.count(parameters.max())}",
        "Law": f"L(x) = {formatting.equation(evidence.law.equation)}",
        "Corpus": str(points["corpus_hash"].iloc[0])[:16],
    }


def _values(evidence: Evidence, summary: Summary) -> dict[str, Any]:
    settings = evidence.settings
    return {
        "settings": asdict(settings),
        "equation": evidence.law.equation,
        **shared_values(evidence, (settings.x, settings.y)),
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
