"""What a report shows, whatever it was asked: sentences, facts, tables, figures and numbers of one set of runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.report.gathered import Gathered
from analysis.report.printing import Drawers
from analysis.report.summary import Summary
from analysis.report.text_tables import TextTable
from analysis.report.traces import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """`facts` stand below the headline of the page; `tables` go by heading, `captions` and figures by figure name.

    `panels` are the figures of the page that go by a heading of their own, such as one a group.
    `notes` stand above a table, by its heading. `values` is what fits.json holds; `run_columns` are columns that the
    list of runs needs beside the usual ones.
    """

    runs: Gathered
    summary: Summary
    facts: Mapping[str, str]
    tables: Mapping[str, TextTable]
    captions: Mapping[str, str]
    printed: Drawers
    interactive: Mapping[str, Figure]
    values: Mapping[str, Any]
    panels: Mapping[str, str]
    run_columns: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def shared_values(found: Gathered, columns: tuple[str, ...]) -> dict[str, Any]:
    """What fits.json says of the runs of any reading; `columns` are those of its points."""
    return {
        "flops_accounting": found.accounting,
        "corpus_hash": corpus if isinstance(corpus := found.points["corpus_hash"].iloc[0], str) else None,
        "unigram_entropy": found.unigram_entropy,
        "groups": found.names,
        "points": [
            {"run_id": row["run_id"], "label": row["label"]} | {found.table.given_name(c): row[c] for c in columns}
            for row in found.points.to_dict("records")
        ],
        "left_out": found.left_out,
        "missing": list(found.missing),
    }
