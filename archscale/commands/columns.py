"""What commands on tables share: reading one, a column that has to be named, and the points that the rules leave."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from archscale.registry import UserError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.points import PointTable

T = TypeVar("T")


def read_named(
    points: str,
    *,
    where: Sequence[str] | None = None,
    derive: Sequence[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    data: Path | None = None,
) -> "PointTable":
    """`read_points`, which also knows packaged descriptions by their names.

    Raises:
        UserError: as `read_points`.
    """
    from analysis.report.published import description, published_names
    from analysis.sources import read_points

    source = str(description(points)) if points in published_names() else points
    return read_points(source, where=where or (), derive=derive or (), filters=filters, data=data)


def given(option: str, value: T | None, columns: Iterable[object]) -> T:
    """Raises: UserError for an option that is missing or empty."""
    if not value:
        raise UserError(f"{option} is missing: name one of the columns {', '.join(map(str, columns))}")
    return value


def ruled_points(
    table: "PointTable", *, x: Sequence[str], y: str, group: str | None
) -> "tuple[pd.DataFrame, tuple[str, ...]]":
    """The points after the rules of the table's description, and a sentence for each reason why rows are none.

    Raises:
        UserError: for compute counted in several ways, no point, a rule that needs a first fit, or as `apply_rules`.
    """
    from analysis import formatting
    from analysis.rules import apply_rules

    table.require_one_scale(x)
    if table.rules.residual_mads is not None:
        raise UserError(
            "rules.residual_mads needs a first fit of a law, which there is none of here; leave the rule out"
        )
    if table.points.empty:
        raise UserError("no row is a point: every run of the source is unfinished or diverged")
    ruled = apply_rules(table.rules, table.points, x=x, y=y, group=group)
    reasons = [*table.left_out.values(), *ruled.reasons.values()]
    counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return ruled.points, tuple(f"left out: {formatting.plural(n, 'row')}, {reason}" for reason, n in counts.items())
