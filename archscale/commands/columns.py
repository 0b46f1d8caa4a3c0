"""What commands that read tables share: a column that has to be named, and the points that are left by the rules."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from archscale.registry import UserError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.points import PointTable

T = TypeVar("T")


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
