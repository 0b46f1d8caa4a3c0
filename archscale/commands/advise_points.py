"""What `archscale advise` computes of a table: next points at its x, between and beyond, and what they would cost.

seeds   a further run at an x that a group has
sizes   half-way between two neighbouring x, and geometric steps beyond the largest
x=1e21  an x of one's own
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.advise import Candidate, advise, quantity_of
from analysis.observations import find_law
from analysis.points import PointTable
from analysis.sources.expressions import numbers
from archscale.commands.advise_candidates import Costs, geometric
from archscale.commands.advise_tables import Answer, check_some
from archscale.commands.columns import given, read_named, ruled_points
from archscale.registry import UserError, unknown

KINDS = ("seeds", "sizes")
# Steps beyond the largest x: as many as cost too much at the latest.
_MOST_STEPS = 8
# Of more places than this, as many are offered, evenly: each costs five fits.
_MOST_PLACES = 12


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of the command; `group` is a column, `of` some of its values."""

    quantity: str | None = None
    of: str | None = None
    candidates: str = "seeds;sizes"
    at_most: float | None = None
    x: str | None = None
    y: str | None = None
    group: str | None = None
    cost: str | None = None
    cost_per_x: float | None = None
    law: str | None = None
    level: float | None = None
    where: Sequence[str] = ()
    derive: Sequence[str] = ()
    data: Path | None = None

    @property
    def first_of_tables(self) -> str:
        """The name of an option that only a table takes; empty where none is given."""
        names = ("x", "y", "group", "cost", "cost_per_x", "law", "level", "where", "derive", "data")
        return next((name.replace("_", "-") for name in names if getattr(self, name) not in (None, ())), "")


@dataclass(frozen=True, kw_only=True)
class NextPoint:
    """A measurement that a table could still get; whoever made the table knows how."""

    kind: str
    label: str
    group: str
    x: float
    run_id: None = None
    settings: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        return (self.kind,)


def answer_of_points(source: str, asked: Asked) -> Answer:
    """
    Raises:
        UserError: for columns that are missing, costs that nobody knows, or what analysis.advise refuses.
    """
    table = read_named(source, where=asked.where, derive=asked.derive, data=asked.data)
    said, names = table.fit, table.frame.columns
    x, y = given("--x", asked.x or said.x, names), given("--y", asked.y or said.y, names)
    if not isinstance(x, str):
        raise UserError(f"--x {','.join(x)}: advice is for laws of one input; name one column")
    law, column = find_law(asked.law or said.law or "power_offset"), asked.group or said.group
    table.require(x, y, *(name for name in (column, asked.cost) if name))
    kept, notes = ruled_points(table, x=(x,), y=y, group=column)
    # Points without groups are one, called by what was measured.
    group = column or "points"
    points = kept.assign(**{
        x: numbers(kept[x], "archscale advise"),
        y: numbers(kept[y], "archscale advise"),
        group: kept[column].astype(str) if column else y,
    })  # fmt: skip
    price = _Price.of(table, points, asked, x=x, group=group)
    found = _next_points(points, asked, price, x=x, group=group)
    costs = {point.label: price.at(point.group, point.x) for point in found}
    offered = [
        Candidate(label=point.label, group=point.group, x=point.x, cost=costs[point.label])
        for point in found
        if asked.at_most is None or costs[point.label] <= asked.at_most
    ]
    check_some(offered, asked.candidates, example=f"{x}={2 * float(points[x].max()):g}")
    return Answer(
        source=source,
        x_name=x,
        advised=advise(
            law,
            points,
            x=x,
            y=y,
            group=group,
            quantity=quantity_of(asked.quantity or law.parameters[-1].name, law),
            candidates=offered,
            groups=None if asked.of is None else [name.strip() for name in asked.of.split(",")],
            level=asked.level if asked.level is not None else said.level or 0.95,
        ),
        runs={point.label: point for point in found},
        headings=("",),
        costs=Costs(by_run=costs, unit=price.unit, basis=price.basis),
        notes=(*table.notes, *notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Price:
    """cost = factor · x^power of each group, in `unit`."""

    unit: str
    basis: str
    laws: Mapping[str, tuple[float, float]]

    def at(self, group: str, x: float) -> float:
        factor, power = self.laws[group]
        return factor * x**power

    @classmethod
    def of(cls, table: PointTable, points: pd.DataFrame, asked: Asked, *, x: str, group: str) -> "_Price":
        """Raises: UserError where no cost is known, or those of the column are no positive numbers."""
        names = sorted(set(points[group]))
        if asked.cost is not None:
            laws = {str(name): _power_law(rows, x, asked.cost) for name, rows in points.groupby(group)}
            powers = sorted({f"{power:.2f}" for _, power in laws.values()})
            basis = f"the power law of column {asked.cost} in {x}, exponent {' … '.join(powers[:1] + powers[1:][-1:])}"
            unit = table.columns[asked.cost].unit if asked.cost in table.columns else ""
            return cls(unit=unit or asked.cost, basis=basis, laws=laws)
        if asked.cost_per_x is not None:
            if not 0 < asked.cost_per_x < math.inf:
                raise UserError(f"--cost-per-x {asked.cost_per_x:g}: a cost is positive; 1 makes {x} itself the cost")
            basis = f"--cost-per-x: {asked.cost_per_x:g} for each unit of {x}"
            return cls(unit="cost", basis=basis, laws=dict.fromkeys(names, (asked.cost_per_x, 1.0)))
        unit = table.columns[x].unit if x in table.columns else ""
        if not unit.lower().endswith(("flop", "flops")):
            raise UserError(
                f"what a run costs is not known, as {x} is not declared in FLOPs: name a column of costs with --cost, "
                f"or give --cost-per-x (1 makes {x} itself the cost)"
            )
        return cls(unit=unit, basis=f"{x} itself, which is declared in {unit}", laws=dict.fromkeys(names, (1.0, 1.0)))


def _power_law(rows: pd.DataFrame, x: str, column: str) -> tuple[float, float]:
    cost_N = numbers(rows[column], "archscale advise").to_numpy()
    x_N = rows[x].to_numpy(dtype=float)
    if not (np.isfinite(cost_N) & (cost_N > 0)).all():
        raise UserError(f"--cost {column}: a cost is a finite positive number in every row")
    if np.unique(x_N).size < 2:
        raise UserError(f"--cost {column}: one value of {x} does not say what another costs; give --cost-per-x")
    power, intercept = np.polyfit(np.log(x_N), np.log(cost_N), 1)
    return float(np.exp(intercept)), float(power)


def _next_points(points: pd.DataFrame, asked: Asked, price: _Price, *, x: str, group: str) -> list[NextPoint]:
    """Each once, seeds before sizes; of the groups asked for, or of all."""
    every = sorted(set(points[group]))
    wanted = every if asked.of is None else [name.strip() for name in asked.of.split(",")]
    for name in wanted:
        if name not in every:
            raise unknown("group", name, every)
    found: dict[str, NextPoint] = {}
    for name in wanted:
        present = [float(value) for value in sorted(set(points.loc[points[group] == name, x]))]
        for kind in (part.strip() for part in asked.candidates.split(";")):
            for place in _places(kind, present, asked, price, group=name, x=x):
                new = "a further run" if place in present else "a new point"
                point = NextPoint(
                    kind="seed" if place in present else "size",
                    label=f"{new} of {name} at {x} = {place:g}",
                    group=name,
                    x=place,
                )
                found.setdefault(point.label, point)
    return list(found.values())


def _places(kind: str, present: Sequence[float], asked: Asked, price: _Price, *, group: str, x: str) -> Iterator[float]:
    key, equals, values = kind.partition("=")
    if equals and key.strip() == x:
        yield from _own(kind, values)
    elif kind == "seeds":
        yield from _spread(present)
    elif kind == "sizes":
        if len(present) > 1:
            gaps = len(present) - 1
            every = geometric(present, beyond=2 if asked.at_most is None else _MOST_STEPS)
            beyond = [
                place for place in every[gaps:] if asked.at_most is None or price.at(group, place) <= asked.at_most
            ]
            yield from (*_spread(every[:gaps]), *beyond)
    elif kind != "missing":
        raise unknown("kind of candidates", kind, KINDS, hint=f"{x}=VALUE,VALUE names places of your own.")


def _own(kind: str, values: str) -> list[float]:
    try:
        places = [float(value) for value in values.split(",")]
    except ValueError:
        places = []
    if not places or not all(0 < place < math.inf for place in places):
        raise UserError(f"--candidates {kind}: write positive numbers with commas between them, e.g. 1e21,1e22")
    return places


def _spread(places: Sequence[float]) -> list[float]:
    """All, or _MOST_PLACES of them at even steps, first and last among them."""
    if len(places) <= _MOST_PLACES:
        return list(places)
    return [places[i] for i in np.linspace(0, len(places) - 1, _MOST_PLACES).round().astype(int)]
