"""How the conclusions of a report move without each point, and without each odd kind of run (analysis/influence.py).

up to three groups      every point and every odd value of a column, with all tests between the groups
more                    every group by itself, and the leader together with the group that promises most
"""

from collections.abc import Iterator
from functools import lru_cache

from analysis import formatting
from analysis.influence import Influence, Shift, influence
from analysis.report.coverage import DRIFT
from analysis.report.evidence import Evidence
from analysis.report.pairs import FEW, leader, promise
from analysis.report.text_tables import TextTable

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
    ends = {leader(evidence), promise(evidence) or ""} & set(able)
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


def influence_table(evidence: Evidence) -> TextTable:
    """Every figure without every point; an amplitude moves with its exponent and is left to fits.json."""
    amplitudes = {p.label for p in evidence.law.linear if not p.unit}
    rows = []
    for row in (row for one in influences(evidence) for row in one.rows):
        if row.what.split(" of ")[0] in amplitudes or (row.what.startswith("leader") and not row.conclusion_changes):
            continue
        rows.append(
            (
                formatting.polished(row.left_out),
                formatting.polished(row.what),
                *_values(row),
                row.conclusion if row.conclusion_changes else "stays",
            )
        )
    headers = ("Left out", "Figure", "With it", "Without it", "Interval without it", "Conclusion")
    return TextTable(headers=headers, rows=tuple(rows), numeric=frozenset(headers[2:5]))


def _of_most(one: Influence) -> list[Shift]:
    return [row for row in one.rows if row.left_out == one.most_influential and row.conclusion_changes]


def _values(row: Shift) -> tuple[str, str, str]:
    if isinstance(row.before, str) or isinstance(row.after, str):
        return str(row.before), str(row.after), formatting.MISSING
    if row.what.startswith("gap"):
        return (
            formatting.signed_loss(row.before),
            formatting.signed_loss(row.after),
            formatting.loss_interval(row.low, row.high),
        )
    known = formatting.is_number(row.low) and formatting.is_number(row.high)
    span = formatting.interval(row.low, row.high) if known else formatting.MISSING
    return formatting.general(row.before), formatting.general(row.after), span
