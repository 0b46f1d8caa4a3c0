"""PointTable: measured points from anywhere, with what each column means said by whoever made them.

    run directories, wandb files, the wandb API,
    CSV, JSONL, Parquet, a description in YAML   ──▶ PointTable ──▶ archscale fit, archscale report

Nothing is guessed from a column's name: a column without a declaration has its name as its meaning and no unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from pydantic.dataclasses import dataclass as validated

from analysis.columns import Column
from analysis.rule_choices import Rules
from archscale.registry import UserError, unknown
from archscale.spec import STRICT

# What every point of one fit must share; with two values of it, compute or losses are not on one scale.
_ONE_OF = {
    "flops_accounting": "count their compute in different ways",
    "corpus_hash": "were trained on different corpora, whose losses cannot be compared",
}


@validated(frozen=True, kw_only=True, config=STRICT)
class FitChoices:
    """What to fit, as far as a description says it; the command line adds to it and overrules it."""

    law: str | None = None
    x: str | tuple[str, ...] | None = None
    y: str | None = None
    group: str | None = None
    loss: str | None = None
    interval: str | None = None
    level: float | None = None
    weights: str | None = None
    clusters: str | None = None

    @property
    def x_names(self) -> tuple[str, ...]:
        """The names of x, one for each input of the law; empty where none is said."""
        return () if self.x is None else (self.x,) if isinstance(self.x, str) else self.x


@dataclass(frozen=True, kw_only=True, eq=False)
class PointTable:
    """`frame` has a row a point; `columns` declares what its columns mean, for every column of the frame.

    `flops_accounting` says how the compute of the rows is counted, and is empty where nobody said so. `source` is where
    the points came from, as an error or a report names it. `titles` says what a report calls a value of the group
    column; a value without one is called by itself. `left_out` says of a row, by its label, why it is no point: it
    stays in `frame`. `fit` and `rules` are what a description declares of them.
    """

    frame: pd.DataFrame
    columns: Mapping[str, Column]
    source: str
    name: str
    title: str = ""
    question: str = ""
    flops_accounting: str = ""
    notes: tuple[str, ...] = field(default=())
    titles: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[int, str] = field(default_factory=dict)
    fit: FitChoices = field(default_factory=FitChoices)
    rules: Rules = field(default_factory=Rules)

    @property
    def points(self) -> pd.DataFrame:
        """The rows that are points."""
        return self.frame[~self.frame.index.isin(list(self.left_out))]

    def label(self, column: str) -> str:
        """The meaning and the unit of a column, as an axis shows them; a factor of ten is part of the unit."""
        return self.columns[column].label if column in self.columns else column

    def require(self, *columns: str) -> None:
        """Raises: UserError for a column the table does not have."""
        for column in columns:
            if column not in self.frame.columns:
                raise unknown("column", column, [str(c) for c in self.frame.columns])

    def require_one_scale(self, x: Sequence[str]) -> None:
        """Compute counted in several ways, or losses on several corpora, are no points of one fit.

        The way of counting does not matter where the units that are declared for all of `x` are not FLOPs.

        Raises:
            UserError: for a column `flops_accounting` or `corpus_hash` with several values among the points.
        """
        units = [self.columns[name].unit if name in self.columns else "" for name in x]
        compute = any(not unit or "flop" in unit.lower() for unit in units)
        for column, what in _ONE_OF.items():
            if column not in self.frame.columns or (column == "flops_accounting" and not compute):
                continue
            counts = self.points[column].value_counts()
            if len(counts) > 1:
                listed = ", ".join(f"{value} ({counts[value]} rows)" for value in sorted(counts.index, key=str))
                raise UserError(
                    f"the points {what}: {column} = {listed}; choose one, e.g. --where '{column}={counts.index[0]}'"
                )
