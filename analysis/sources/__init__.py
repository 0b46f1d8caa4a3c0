"""Points from anywhere: one function that reads a table, filters it, derives columns, and declares what they mean.

points.csv  .tsv  .jsonl  .parquet        a file: one row a point
table.yaml                                a description of any of the others: sources/description.py
FOLDER                                    run directories, or offline wandb runs
wandb:ENTITY/PROJECT                      runs on a wandb server
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.columns import Column
from analysis.points import PointTable
from analysis.sources.description import Description, read_description
from analysis.sources.expressions import derive as derived_column
from analysis.sources.files import read_table_file
from analysis.sources.filters import Condition, conditions_of, matching_rows, parse_conditions
from analysis.sources.runs import read_runs_below, read_wandb_points
from archscale.registry import UserError

PUBLISHED_DATA = "ARCHSCALE_PUBLISHED_DATA"

__all__ = ["PUBLISHED_DATA", "Description", "read_description", "read_points"]


def read_points(
    source: str,
    *,
    where: Sequence[str] = (),
    derive: Sequence[str] = (),
    filters: Mapping[str, Any] | None = None,
    data: Path | None = None,
) -> PointTable:
    """The points of a source, after the derivations and conditions of its description and then those given here.

    Args:
        where: conditions as sources/filters.py has them; rows that fail one are no part of the table.
        derive: NAME=EXPRESSION each, as sources/expressions.py has them.
        filters: of a wandb project.
        data: where a description's points are looked for after its own folder; ARCHSCALE_PUBLISHED_DATA without it.

    Raises:
        UserError: for a source that cannot be read, a condition or an expression that does not fit it, or no rows.
    """
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml"):
        described = read_description(path)
        points = _located(described.points, path.parent, data)
        table = _declared(_read(points, described.filters | dict(filters or {})), described, path)
        table = _narrowed(table, described.derive, conditions_of(described.where))
        table = replace(table, columns=_columns(table, described))
    else:
        table = _read(source, filters)
    table = _narrowed(table, dict(_named(text) for text in derive), parse_conditions(where))
    if table.frame.empty:
        raise UserError(f"{source}: the table has no rows; a point is a row below the line of column names")
    return table


def _read(source: str, filters: Mapping[str, Any] | None) -> PointTable:
    scheme, _, project = source.partition(":")
    if scheme == "wandb":
        return read_wandb_points(project, filters)
    if filters:
        raise UserError(f"--filters is for wandb:ENTITY/PROJECT; the rows of {source} are chosen with --where")
    path = Path(source)
    if path.is_dir():
        return read_runs_below(path)
    frame = read_table_file(path)
    return PointTable(
        frame=frame, columns={str(c): Column(meaning=str(c)) for c in frame.columns}, source=source, name=path.stem
    )


def _located(points: str, beside: Path, data: Path | None) -> str:
    if points.startswith("wandb:"):
        return points
    set_folder = data or (Path(os.environ[PUBLISHED_DATA]) if os.environ.get(PUBLISHED_DATA) else None)
    tried = [beside / points, *([set_folder / points] if set_folder else [])]
    for path in tried:
        if path.exists():
            return str(path)
    listed = " or ".join(str(path) for path in tried)
    step = "" if set_folder else f"; name the folder that holds it with --data, or in {PUBLISHED_DATA}"
    raise UserError(f"points: {points}: no file {listed}{step}")


def _declared(table: PointTable, described: Description, path: Path) -> PointTable:
    return replace(
        table,
        source=str(path),
        name=path.stem,
        title=described.title,
        question=described.question,
        flops_accounting=described.flops_accounting,
        notes=(*table.notes, *described.notes),
        titles=described.titles,
        fit=described.fit,
        rules=described.rules,
    )


def _columns(table: PointTable, described: Description) -> Mapping[str, Column]:
    """Raises: UserError when a column is declared that the table does not have."""
    table.require(*described.columns)
    said = {name: Column(meaning=c.meaning, unit=c.unit) for name, c in described.columns.items()}
    return {**table.columns, **said}


def _narrowed(table: PointTable, derive: Mapping[str, str], where: Sequence[Condition]) -> PointTable:
    frame, columns = table.frame, dict(table.columns)
    for name, expression in derive.items():
        frame = frame.assign(**{name: derived_column(frame, name, expression)})
        columns[name] = Column(meaning=f"{name} = {expression}")
    frame = frame[matching_rows(frame, where)]
    left_out = {row: reason for row, reason in table.left_out.items() if row in frame.index}
    return replace(table, frame=frame, columns=columns, left_out=left_out)


def _named(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition("=")
    if not (equals and name.strip() and expression.strip()):
        raise UserError(f"derive {text!r}: write NAME=EXPRESSION, e.g. 'D=FLOP / (6 * N)'")
    return name.strip(), expression.strip()
