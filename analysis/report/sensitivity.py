"""How the conclusions of a report move without each point, and without each odd kind of run (analysis/influence.py).

up to three groups      every point and every odd value of a column, with all tests between the groups
more                    every group by itself, and the leading pair of pairs.py together
"""

from collections.abc import Iterator
from functools import lru_cache

from analysis import formatting
from analysis.conclusions import Shift
from analysis.influence import Influence, influence
from analysis.report.coverage import DRIFT
from analysis.report.evidence import Evidence
from analysis.report.pairs import FEW, leader, leading_pair, promise

# A refit without each of so many points takes seconds; of more points, none decides alone.
_MOST_POINTS = 60
# Leaving out each of more values than this is leaving out a run at a time.
_MOST_VALUES = 6


@lru_cache(maxsize=2)
def influences(evidence: Evidence) -> tuple[Influence, ...]:
    """One for all groups, or one a group; empty where no group can spare a point, or there are too many points."""
    settings = evidence.settings
    able = [label for label, fit in evidence.fits.items() if fit.degrees_of_freedom > 1]
    points = evidence.points[evidence.points["label"].isin(able)]
    if not able or settings.inputs or settings.loss != "ls" or len(points) > _MOST_POINTS:
        return ()
    names = {name: evidence.column(name).phrase for name in (settings.x, settings.y)}
    odd = {column: word for column, word in DRIFT.items() if 1 < points[column].nunique() <= _MOST_VALUES}
    rows = points[["label", *names, *odd]].rename(columns=names | odd)
    ends = set(leading_pair(evidence) or [leader(evidence)]) & set(able)
    alone = [[label] for label in able if label not in ends]
    together = [able] if len(able) <= FEW else [sorted(ends), *alone]
    return tuple(
        influence(
            settings.law,
            rows[rows["label"].isin(groups)],
            x=names[settings.x],
            y=names[settings.y],
            group="label",
            without=list(odd.values()) if len(together) == 1 else [],
            level=settings.level,
        )
        for groups in together
        if groups
    )


def hinges(evidence: Evidence) -> Iterator[str]:
    """What decides most, and every point without which a limit above a measured loss would not be claimed."""
    found = influences(evidence)
    if not found:
        return
    strongest = max(found, key=lambda one: max((row.shift for row in _of_most(one)), default=0.0))
    ruined = [one for one in found if any("above the lowest" in row.conclusion for row in _of_most(one))]
    ends = [found[0]] if len(found) > 1 and promise(evidence) not in (None, leader(evidence)) else []
    yield from dict.fromkeys(formatting.polished(one.sentence) for one in [*ends, *ruined, strongest])
    for label, reason in {label: why for one in found for label, why in one.not_possible.items()}.items():
        yield f"What would be without {formatting.polished(label)}: {reason}."


def _of_most(one: Influence) -> list[Shift]:
    return [row for row in one.rows if row.left_out == one.most_influential and row.conclusion_changes]
