"""The reading of a study under a law: what `fit:` asks for."""

from dataclasses import asdict
from typing import Any

from analysis import formatting
from analysis.equality import Comparison
from analysis.report import interactive, plots
from analysis.report.captions import captions_of, joint_captions
from analysis.report.checks import leverages
from analysis.report.comparison_table import comparison_note, comparison_table
from analysis.report.evidence import Evidence
from analysis.report.fitted import fitted_gaps
from analysis.report.influence_table import influence_table
from analysis.report.joint_figures import joint_drawers, joint_interactive
from analysis.report.joint_report import joint_summary
from analysis.report.ranking import ranking
from analysis.report.reading import Reading, shared_values
from analysis.report.seeds import seed_spread
from analysis.report.sensitivity import influences
from analysis.report.sizes import compared_sizes
from analysis.report.summary import Summary, summarise
from analysis.report.text_tables import tables_of


def law_reading(evidence: Evidence) -> Reading:
    joint = bool(evidence.settings.inputs)
    summary = joint_summary(evidence) if joint else summarise(evidence)
    names = evidence.settings.inputs
    more = {"Comparisons": comparison_table(evidence), "Without each": influence_table(evidence)}
    over = {
        f"residuals-{place}": f"Residuals over {evidence.column(name).phrase}"
        for place, name in enumerate(names, start=1)
    }
    return Reading(
        runs=evidence,
        summary=summary,
        facts=_facts(evidence),
        tables=tables_of(evidence) | {heading: table for heading, table in more.items() if table.rows},
        captions=joint_captions(evidence) if joint else captions_of(evidence),
        printed=joint_drawers(evidence) if joint else plots.law_figures(evidence),
        interactive=joint_interactive(evidence) if joint else interactive.figures(evidence),
        values=_values(evidence, summary),
        notes={"Comparisons": comparison_note(evidence)},
        panels={"against": "Measured against fitted", **over} if joint and evidence.fits else {},
    )


def _facts(evidence: Evidence) -> dict[str, str]:
    points = evidence.points
    parameters, corpus = points["parameters"], points["corpus_hash"].iloc[0]
    rows = evidence.table.runs["run_id"]
    cells = len(rows) + len(set(evidence.missing) - set(rows))
    facts = {
        evidence.table.noun.capitalize(): f"{len(points)} of {cells} in the fits",
        **{evidence.column(name).meaning: _range(evidence, name) for name in _axes(evidence)},
        "Counted as": formatting.accounting(evidence.accounting) or ("not declared" if evidence.x_note else ""),
        "Parameters": ""
        if parameters.isna().all()
        else f"{formatting.count(parameters.min())} to {formatting.count(parameters.max())}",
        "Law": f"L({', '.join(evidence.law.inputs)}) = {formatting.equation(evidence.law.equation)}",
        "Loss of the fit": "" if evidence.settings.loss == "ls" else evidence.settings.loss,
        "Corpus": corpus[:16] if isinstance(corpus, str) else "",
    }
    return {name: text for name, text in facts.items() if text}


def _axes(evidence: Evidence) -> tuple[str, ...]:
    return evidence.settings.inputs or (evidence.settings.x,)


def _range(evidence: Evidence, name: str) -> str:
    unit, values = evidence.column(name).unit, evidence.points[name]
    ends = " to ".join(evidence.number(float(end), unit) for end in (values.min(), values.max()))
    return f"{ends} {formatting.unit(unit)}".strip()


def _values(evidence: Evidence, summary: Summary) -> dict[str, Any]:
    settings = evidence.settings
    spread, named = seed_spread(evidence, level=settings.level), evidence.table.given_name
    return {
        "settings": asdict(settings)
        | {name: named(getattr(settings, name)) for name in ("x", "y", "group")}
        | {"inputs": [named(name) for name in settings.inputs]},
        "equation": evidence.law.equation,
        **shared_values(evidence, (*_axes(evidence), settings.y)),
        "fits": {
            label: fit.to_json() | {"x_name": named(fit.x_name), "y_name": named(fit.y_name)}
            for label, fit in evidence.fits.items()
        },
        "not_fitted": evidence.not_fitted,
        "comparisons": [
            {"kind": "nested F-test" if isinstance(item, Comparison) else "loss gap"} | asdict(item)
            for item in evidence.comparisons
        ],
        "not_compared": evidence.not_compared,
        "fitted_gaps": [asdict(gap) for gaps in fitted_gaps(evidence).values() for gap in gaps],
        "ranking": [] if settings.inputs else [asdict(rank) for rank in ranking(evidence)],
        "seed_spread": asdict(spread) if spread else None,
        "size_differences": [asdict(item) for item in compared_sizes(evidence)],
        "holdouts": {label: asdict(item) for label, item in evidence.holdouts.items()},
        "leverage": [asdict(one) for one in leverages(evidence)],
        "influence": [asdict(one) for one in influences(evidence)],
        "summary": asdict(summary),
    }
