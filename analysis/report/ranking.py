"""Many groups at one scale: a ranking, in a sentence and a table, in place of a list of pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis import formatting
from analysis.report.evidence import Evidence
from analysis.report.seeds import seed_spread

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A group's mean measured loss and what it lies above the lowest; `within_seeds` None where seeds are not known."""

    label: str
    x: float
    loss: float
    gap: float
    runs: int
    within_seeds: bool | None


def ranking(evidence: Evidence) -> tuple[Rank, ...]:
    """From the lowest loss up; empty unless every one of two or more groups was measured at one scale alone."""
    x, y = evidence.settings.x, evidence.settings.y
    groups = evidence.points.groupby("label")
    if len(groups) < 2 or (groups[x].agg(lambda values: values.max() / values.min()) > 1.005).any():
        return ()
    spread = seed_spread(evidence, level=evidence.settings.level)
    table = groups.agg(x=(x, "mean"), loss=(y, "mean"), runs=(y, "size")).sort_values("loss", kind="stable")
    first, ranks = table.iloc[0], []
    for label, row in table.iterrows():
        gap = float(row["loss"] - first["loss"])
        within = None if spread is None else gap <= spread.limit(int(first["runs"]), int(row["runs"]))
        ranks.append(
            Rank(
                label=str(label),
                x=float(row["x"]),
                loss=float(row["loss"]),
                gap=gap,
                runs=int(row["runs"]),
                within_seeds=within,
            )
        )
    return tuple(ranks)


def ranked(evidence: Evidence) -> Iterator[str]:
    ranks = ranking(evidence)
    if not ranks:
        return
    best, *others = ranks
    next_ones = formatting.listed(f"{rank.label} (+{formatting.small(rank.gap)})" for rank in others[:_NAMED])
    last = others[-1]
    tail = f"; the last of {len(ranks)} is {last.label} (+{formatting.small(last.gap)})" if len(others) > _NAMED else ""
    yield f"The lowest measured loss is that of {best.label}, {formatting.loss(best.loss)}, then {next_ones}{tail}."
    close = [rank.label for rank in others if rank.within_seeds]
    if close:
        yield f"Within seed spread of the best: {formatting.listed(close)}."
    scales = [rank.x for rank in ranks]
    if max(scales) / min(scales) > 1.005:
        what = evidence.column(evidence.settings.x).phrase
        yield (
            f"They were not measured at one {what}: from {evidence.place(min(scales))} to "
            f"{evidence.place(max(scales))}, a factor of {max(scales) / min(scales):.2f}."
        )
