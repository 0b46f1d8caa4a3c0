"""The runs of a study that a report speaks of, sorted into groups; what it makes of them is its reading's business.

Groups go by their label (an architecture's title, say) throughout, because sentences and figures are made from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import formatting
from analysis.columns import COLUMNS, NUMERIC, Column
from analysis.table import RunTable
from archscale.registry import UserError, unknown
from archscale.spec import EvaluateSettings, FitSettings, TransferSettings

Settings = FitSettings | EvaluateSettings | TransferSettings

# A parametrization with an option is another group than without: averages over both would mean nothing.
_GROUPED_BY = {"parametrization": "variant"}


@dataclass(frozen=True, kw_only=True, eq=False)  # one object is one analysis; it can key a cache
class Gathered:
    """`points` are the rows of RunTable.fit_points() with a column `label`, the name of their group in every output.

    `names` maps the labels of the groups with points to the values of the group column, and `label_by_value` every
    value of that column to its label, in the order of the table.
    `left_out` says by run id why a run is no point, `missing` which cells of the study have no result.
    """

    table: RunTable
    settings: Settings
    points: pd.DataFrame
    names: dict[str, str]
    label_by_value: dict[str, str]
    left_out: dict[str, str]
    missing: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What one group is."""
        meaning = self.column(self.settings.group).phrase
        if self.settings.group in ("architecture", "parametrization"):
            return self.settings.group
        declared = self.settings.group not in COLUMNS and meaning.isalpha() and not meaning.endswith("s")
        return meaning if declared else "group"

    def column(self, name: str) -> Column:
        return self.table.columns[name]

    def place(self, value: float) -> str:
        """A value of the x axis with its unit, as sentences say it."""
        return formatting.place(value, self.column(self.settings.x).unit)

    def number(self, value: float, unit: str | None = None) -> str:
        """A value of the x axis, or of one with another unit, for a cell of a table whose header has the unit."""
        unit = self.column(self.settings.x).unit if unit is None else unit
        if "FLOP" in unit:
            return formatting.scientific(value)
        return formatting.count(value) if value >= 1e3 and not formatting.has_factor(unit) else formatting.short(value)

    @property
    def loss_unit(self) -> str:
        return self.column(self.settings.y).unit

    @property
    def unigram_entropy(self) -> float | None:
        """Of the corpus that all points share, in nats per token; None when no run recorded it."""
        values = self.points["unigram_entropy"]
        known = values[values > 0]
        return float(known.iloc[0]) if len(known) else None

    @property
    def accounting(self) -> str:
        """How FLOPs are counted; empty where nobody said so."""
        return str(self.points["flops_accounting"].iloc[0])

    @property
    def x_note(self) -> str:
        """What must stand beside an x axis in FLOPs: two ways of counting differ by more than two architectures do."""
        if "FLOP" not in self.column(self.settings.x).unit:
            return ""
        return f"counted as {formatting.accounting(self.accounting)}" if self.accounting else "counting not declared"

    def label_of(self, row: Mapping[str, Any]) -> str:
        """The label of any run of the table, finished or not."""
        return self.label_by_value[str(row[group_column(self.settings)])]

    def shape_of(self, row: Mapping[str, Any]) -> str:
        """What tells a run from the others of its group."""
        if isinstance(row.get("details"), tuple):
            return str(row["run_id"])
        return f"depth {row['depth']}" + (f", seed {row['seed']}" if self.several_seeds else "")

    @property
    def several_seeds(self) -> bool:
        return self.table.runs["seed"].nunique() > 1

    @property
    def labels(self) -> list[str]:
        """Of every group of the table, also of those without a finished run."""
        return sorted(set(self.label_by_value.values()))


def group_column(settings: Settings) -> str:
    return _GROUPED_BY.get(settings.group, settings.group)


def check_columns(
    settings: Settings, *numbers: str, columns: Mapping[str, Column] = COLUMNS, numeric: Sequence[str] = NUMERIC
) -> None:
    """
    Raises:
        UserError: for a column that does not exist, or one of `numbers` that does not hold numbers.
    """
    for column in numbers:
        if column not in numeric:
            raise unknown("column of numbers", column, numeric)
    if settings.group not in columns:
        raise unknown("column", settings.group, columns)


def gathered(*, table: RunTable, missing: Sequence[str], settings: Settings) -> Gathered:
    """
    Raises:
        UserError: when no run has finished, or RunTable.fit_points refuses to mix the runs.
    """
    points = table.fit_points()
    if points.empty:
        states = table.runs["state"].value_counts()
        counted = ", ".join(f"{states[state]} {state}" for state in sorted(states.index)) or "no runs at all"
        if table.noun != "runs":
            raise UserError(f"of {len(table.runs)} rows none has finite positive numbers to fit; name other columns")
        raise UserError(
            f"no run of this study has finished ({counted}): `archscale sweep STUDY` runs it, then report again"
        )
    column = group_column(settings)
    titles = table.titles(column)
    values = list(dict.fromkeys(table.runs[column].astype(str)))
    label_by_value = {value: titles.get(value, value) for value in values}
    points = points.assign(label=points[column].astype(str).map(label_by_value))
    present = set(points["label"])
    return Gathered(
        table=table,
        settings=settings,
        points=points,
        names={label: value for value, label in label_by_value.items() if label in present},
        label_by_value=label_by_value,
        left_out=table.left_out(),
        missing=tuple(missing),
    )


def check_cells(runs: pd.DataFrame, columns: Sequence[str]) -> None:
    """
    Raises:
        UserError: when two runs that share the values of `columns` differ in more than their seed.
    """
    for key, part in runs.groupby(list(columns), sort=True):
        unlike = part.drop_duplicates("recipe")
        if len(unlike) > 1:
            where = ", ".join(f"{column} {value}" for column, value in zip(columns, key, strict=True))
            first, second = sorted(unlike["run_id"])[:2]
            raise UserError(
                f"{first} and {second} stand at the same place ({where}) and differ in more than their seed: "
                "report one kind at a time with an override, as in `archscale report STUDY scale.depth=8`"
            )
