"""The tables and the JSON of benchmark reports."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from archscale.bench.memory import MemoryRow
from archscale.bench.plan import PlanTime
from archscale.bench.report import ReportTime
from archscale.bench.train import TrainReport
from archscale.identity import short_count


def train_table(report: TrainReport) -> Table:
    """Fits 80 columns; "× loop by token" is empty without recurrences, or without such a measurement."""
    s = report.settings
    table = _table(
        f"training steps at {short_count(s.parameters)} non-embedding parameters\n"
        f"{s.sequences} × {s.sequence_length} tokens, window {s.window}, {report.machine}"
    )
    headings = ["arch", "width", "ms a\nstep", "tokens/s", "×\nfirst", "× loop\nby token"]
    for heading in [*headings, "kB a\ntoken", f"at {2 * s.sequence_length}\ntokens"]:
        table.add_column(heading, justify="left" if heading == "arch" else "right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            row.arch,
            str(row.width),
            f"{row.step_seconds * 1e3:.0f}",
            f"{row.tokens_per_second:,.0f}",
            f"{row.over_first:.2f}",
            "" if row.over_by_token is None else f"{row.over_by_token:.1f}",
            f"{row.saved_bytes_per_token / 1e3:.1f}",
            f"{row.saved_bytes_per_token_at_double / 1e3:.1f}",
        )
    return table


def operator_table(report: TrainReport) -> Table:
    s = report.settings
    table = _table(f"operators forward and backward, {s.sequences} × {s.sequence_length} tokens")
    for heading in ("operator", "shape", "ms", "definition\nms", "×"):
        table.add_column(heading, justify="left" if heading in ("operator", "shape") else "right", no_wrap=True)
    for row in report.operators:
        milliseconds = (f"{seconds * 1e3:.1f}" for seconds in (row.seconds, row.reference_seconds))
        table.add_row(row.operator, row.shape, *milliseconds, f"{row.ratio:.1f}")
    return table


def plan_speed_table(rows: Sequence[PlanTime]) -> Table:
    table = _table("planning a study; memory is the peak of the whole process so far")
    for heading in ("study", "cells", "seconds", "of a\nprocessor", "MB"):
        table.add_column(heading, justify="left" if heading == "study" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.study,
            str(row.cells),
            f"{row.seconds:.1f}",
            f"{row.processor_seconds:.1f}",
            f"{row.peak_bytes / 1e6:.0f}",
        )
    return table


def report_speed_table(rows: Sequence[ReportTime]) -> Table:
    table = _table("the report of a large study, of made-up runs; the page in headless Chromium")
    for heading in ("read from", "runs", "whole\ncommand s", "of it\nwriting s", "page\nMB", "page\nopens s"):
        table.add_column(heading, justify="left" if heading == "read from" else "right", no_wrap=True)
    for row in rows:
        opens = "no browser" if row.open_seconds is None else f"{row.open_seconds:.1f}"
        times = f"{row.seconds:.1f}", f"{row.write_seconds:.1f}"
        table.add_row(row.read, str(row.runs), *times, f"{row.page_bytes / 1e6:.1f}", opens)
    return table


def memory_table(rows: Sequence[MemoryRow]) -> Table:
    """Fits 80 columns, with resident memory too."""
    table = _table("peak of a training step in MB: held by torch, and predicted")
    resident = any(row.resident_bytes is not None for row in rows)
    headings = ["arch", "size", "params", "re-\ncompute", "measured", "predicted", "error"]
    for heading in [*headings, *(["resident"] if resident else [])]:
        table.add_column(heading, justify="left" if heading in ("arch", "size") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.arch,
            row.size,
            short_count(row.parameters),
            "yes" if row.recompute else "no",
            f"{row.measured_bytes / 1e6:,.0f}",
            f"{row.predicted_bytes / 1e6:,.0f}",
            f"{100 * row.error:+.1f}%",
            *([f"{row.resident_bytes / 1e6:,.0f}"] if row.resident_bytes is not None else []),
        )
    return table


def memory_json(rows: Sequence[MemoryRow]) -> list[dict[str, Any]]:
    return [asdict(row) | {"error": row.error} for row in rows]


def bench_json(report: TrainReport) -> dict[str, Any]:
    operators = [asdict(row) | {"ratio": row.ratio} for row in report.operators]
    return asdict(report) | {"operators": operators, "torch": torch.__version__}


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)
