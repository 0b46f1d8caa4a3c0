"""Data rules: which rows of a table are points of a fit, as a user states them; rules.py applies them.

    rows ─▶ annealing ─▶ flagged ─▶ learning_rate ─▶ residual_mads ─▶ drop_highest ─▶ seeds ─▶ points
                │           │             │                │               │
                └───────────┴─────────────┴────────────────┴───────────────┴─▶ left out, each row with its reason

No row is deleted: it stays in the table beside the reason why it is no point.
"""

from dataclasses import fields, replace
from typing import Literal

from pydantic.dataclasses import dataclass

from archscale.spec import STRICT

ORDER = ("annealing", "flagged", "learning_rate", "residual_mads", "drop_highest", "seeds")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SeedRule:
    """Rows that differ in `column` alone repeat one measurement: their mean is one point, or each is a point."""

    column: str
    take: Literal["mean", "all"] = "mean"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RateRule:
    """Of the learning rates in `column` tried in one cell (the same x, group and `cell` columns), the best, or all.

    The best has the lowest y in the mean over its rows: the luck of one seed does not choose it. A rate that lacks a
    loss in some row is not the best.
    """

    column: str
    cell: tuple[str, ...] = ()
    take: Literal["best", "all"] = "best"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnnealingRule:
    """`column` is true where the learning rate was annealed; losses of both kinds mix where `take` says so alone."""

    column: str
    take: Literal["annealed", "unannealed", "mix"] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rules:
    """`flagged` names columns whose true rows are left out: diverged runs, outliers that somebody marked.

    `residual_mads` leaves out rows further than this many scaled median absolute deviations from a robust first fit.
    `drop_highest` leaves out that many of the highest losses of each group; Besiroglu et al. 2024 (arXiv 2404.10102)
    drop 5.
    """

    annealing: AnnealingRule | None = None
    flagged: tuple[str, ...] = ()
    learning_rate: RateRule | None = None
    residual_mads: float | None = None
    drop_highest: int = 0
    seeds: SeedRule | None = None

    def __post_init__(self) -> None:
        if self.residual_mads is not None and self.residual_mads <= 0:
            raise ValueError(f"rules.residual_mads = {self.residual_mads}: it must be positive, or null; 5 is usual")
        if self.drop_highest < 0:
            raise ValueError(f"rules.drop_highest = {self.drop_highest}: it must be 0 or more")

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the rules that say something, in the order they are applied."""
        return tuple(name for name in ORDER if getattr(self, name))

    def without(self, name: str) -> "Rules":
        """The same rules with one undone: unannealed rows mix in, every seed is a point."""
        if name == "annealing" and self.annealing:
            return replace(self, annealing=replace(self.annealing, take="mix"))
        kept = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != name}
        return Rules(**kept)
