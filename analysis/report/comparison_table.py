"""The table of comparisons: a row a pair, with what was asked of it side by side.

pair | p of equal C | p of equal b | p of equal curve | gap, leverage at the largest x of both | crossing
"""

from collections.abc import Sequence

from analysis import formatting
from analysis.crossing import Crossing, crossing_of
from analysis.equality import Comparison
from analysis.gap import LossGap
from analysis.leverage import Leverage, at_compute
from analysis.pair import Pair
from analysis.report.evidence import Evidence
from analysis.report.series import EXTRAPOLATION
from analysis.report.text_tables import TextTable


def comparison_table(evidence: Evidence) -> TextTable:
    by_pair: dict[tuple[str, ...], list[Comparison | LossGap]] = {}
    for item in evidence.comparisons:
        by_pair.setdefault(item.groups, []).append(item)
    if not by_pair:
        return TextTable(headers=(), rows=())
    asked = [item.shared for item in next(iter(by_pair.values())) if isinstance(item, Comparison)]
    places = {item.x for item in evidence.comparisons if isinstance(item, LossGap)}
    rows = []
    for groups, items in by_pair.items():
        cells = [_p_cell(item, several=len(by_pair) > 1) for item in items if isinstance(item, Comparison)]
        for gap in (item for item in items if isinstance(item, LossGap)):
            pair = evidence.fitted_pairs[gap.groups]
            where = "" if len(places) == 1 else f"\nat {evidence.place(gap.x)}"
            cells += [
                _gap_cell(gap) + where,
                _leverage_cell(at_compute(pair, gap.x)),
                _crossing_cell(evidence, pair),
            ]
        rows.append((" – ".join(groups), *cells))
    whole = len(evidence.law.parameters)
    headers = [f"p, equal {'curve' if len(names) == whole else formatting.listed(names)}" for names in asked]
    if places:
        at = f"at {evidence.place(max(places))}" if len(places) == 1 else "at the largest scale of both"
        unit = formatting.unit(evidence.column(evidence.settings.x).unit)
        headers += [f"Gap {at}", f"Leverage {at}", f"Crossing ({unit})" if unit else "Crossing"]
    return TextTable(
        headers=(f"{evidence.noun.capitalize()}s", *headers), rows=tuple(rows), numeric=frozenset(headers[:-1])
    )


def comparison_note(evidence: Evidence) -> str:
    """What stands above the table."""
    pairs = len({item.groups for item in evidence.comparisons})
    note = "Nested F-tests that a parameter, or the whole curve, is equal in two groups"
    note += f"; below each p that by Holm over the {pairs} pairs" if pairs > 1 else ""
    if any(isinstance(item, LossGap) for item in evidence.comparisons):
        level = f"{100 * evidence.settings.level:g} %"
        note += (
            ". The gap is the fitted loss of the first minus that of the second; leverage is how many times more the "
            f"one with the higher fitted loss needs for an equal one; below both are {level} intervals. A crossing is "
            "searched as far as the figures reach"
        )
    return f"{note}."


def _p_cell(item: Comparison, *, several: bool) -> str:
    if item.distinguishable is None:
        return "no test"
    text = formatting.p_value(item.p_value)
    return f"{text}\nHolm {formatting.p_value(item.p_adjusted)}" if several else text


def _gap_cell(item: LossGap) -> str:
    ends = (item.interval.low, item.interval.high)
    shown = formatting.signed_loss(item.gap)
    if not all(formatting.is_number(end) for end in ends):
        return f"{shown}, no interval"
    return f"{shown}\n[{', '.join(formatting.signed_loss(end) for end in ends)}]"


def _leverage_cell(item: Leverage) -> str:
    low, high = item.interval.low, item.interval.high
    if not formatting.is_number(item.multiplier):
        return f"∞\n{item.groups[1]} never gets there"
    ends = ", ".join(formatting.general(end) if formatting.is_number(end) else "∞" for end in (low, high))
    bounded = low > 0 or formatting.is_number(high)
    return f"{formatting.general(item.multiplier)} ×\n{f'[{ends}]' if bounded else 'no interval'}"


def _crossing_cell(evidence: Evidence, pair: Pair) -> str:
    """Inside the range that is drawn."""
    found = crossing_of(pair, farthest=EXTRAPOLATION)
    places = [
        f"{evidence.number(point.x)}{' (beyond the data)' if point.extrapolated else ''}" for point in found.points
    ]
    return f"{formatting.listed(places) or 'none'}\n{_possible(evidence, found)}"


def _possible(evidence: Evidence, found: Crossing) -> str:
    ends: Sequence[tuple[float, float]] = [(part.low, part.high) for part in found.possible]
    if not ends:
        return "excluded everywhere"
    if any(low == 0 and not formatting.is_number(high) for low, high in ends):
        return "excluded nowhere"
    parts = [
        f"< {evidence.number(high)}"
        if low == 0
        else f"> {evidence.number(low)}"
        if not formatting.is_number(high)
        else f"{evidence.number(low)} to {evidence.number(high)}"
        for low, high in ends
    ]
    return f"possible {formatting.listed(parts, 'or')}"
