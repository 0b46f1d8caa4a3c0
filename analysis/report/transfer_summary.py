"""What a transfer study says in plain sentences: how far optima move, what that costs, and what is not bracketed."""

from collections.abc import Iterator, Sequence

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.intervals import Interval
from analysis.optimum import Unbracketed
from analysis.report import coverage
from analysis.report.summary import Summary
from analysis.report.transfer import Movement, Transfer

WORDS = coverage.Words(
    whole="sweeps",
    one="trained run",
    diverged="shown at the top edge, and above every loss when the lowest is looked for",
)


def summarise_transfer(found: Transfer) -> Summary:
    return Summary(
        headline=_headline(found),
        establishes=(*_movements(found), *_lowest(found)) or ("Nothing yet: see what they cannot tell.",),
        cannot_tell=tuple(_open(found)) or ("Nothing that they were asked here.",),
        missing=tuple(coverage.missing(found, WORDS)) or ("Nothing: every run of the study has finished.",),
        drift=tuple(coverage.drift(found, WORDS)),
    )


def span(interval: Interval) -> str:
    """[0.92, 1.23]; an interval of something positive that is open at an end says so."""
    if interval.low <= 0 or not formatting.is_number(interval.high):
        return "[not bounded]"
    return f"[{formatting.short(interval.low)}, {formatting.short(interval.high)}]"


def span_swept(interval: Interval, swept: Sequence[float]) -> str:
    """As `span`, with an end that lies beyond what was swept said so: no loss was measured there."""
    low, high = min(swept), max(swept)
    if interval.low < low and interval.high > high:
        return "[not bounded]"
    first = f"below {formatting.short(low)}" if interval.low < low else formatting.short(interval.low)
    last = f"above {formatting.short(high)}" if interval.high > high else formatting.short(interval.high)
    return f"[{first}, {last}]"


def under(found: Transfer, label: str) -> str:
    return f"under {label}" if found.noun == "parametrization" else f"for {label}"


def place_name(found: Transfer, place: float) -> str:
    """width 64."""
    return f"{found.settings.along.replace('_', ' ')} {formatting.short(place)}"


def swept(found: Transfer) -> str:
    return COLUMNS[found.settings.x].meaning.lower()


def _headline(found: Transfer) -> str:
    moves = found.movements
    if not moves:
        return (
            f"No {found.noun} has a bracketed best {swept(found)} at two values of "
            f"{found.settings.along.replace('_', ' ')}, so these runs do not tell whether it moves."
        )
    others = [under(found, label) for label in found.optima if label not in moves]
    unknown = f" {_capital(formatting.listed(others))} it is not bracketed at two of them." if others else ""
    ends = {(move.first, move.last) for move in moves.values()}
    factors = [f"{formatting.short(move.factor)} {under(found, label)}" for label, move in moves.items()]
    if len(ends) > 1:
        listed = formatting.listed(factors)
        return f"The best {swept(found)} moves by a factor of {listed}, over different ranges.{unknown}"
    first, last = next(iter(ends))
    return (
        f"From {place_name(found, first)} to {place_name(found, last)} the best {swept(found)} moves by a factor of "
        f"{formatting.listed(factors)}.{unknown}"
    )


def _movements(found: Transfer) -> Iterator[str]:
    for label, move in found.movements.items():
        start, end = found.found(label)[move.first], found.found(label)[move.last]
        told = "" if move.moves else ", which these runs cannot tell from staying where it is"
        yield (
            f"{_capital(under(found, label))} the best {swept(found)} moves by a factor of "
            f"{formatting.short(move.factor)} {span(move.interval)} from {place_name(found, move.first)} "
            f"({formatting.short(start.x)}) to {place_name(found, move.last)} ({formatting.short(end.x)}){told}."
            f"{_cost(found, move)}"
        )


def _cost(found: Transfer, move: Movement) -> str:
    taken = f"The best {swept(found)} of {place_name(found, move.first)} at {place_name(found, move.last)}"
    unit = COLUMNS[found.settings.y].unit
    if move.cost is None:
        return f" {taken} is not swept there, or lies next to what diverged."
    return f" {taken} would cost about {formatting.loss(move.cost)} {unit}".rstrip() + "."


def _lowest(found: Transfer) -> Iterator[str]:
    """At the largest place where two groups have an optimum."""
    for place in reversed(found.places):
        at = {label: item[place] for label in found.optima if place in (item := found.found(label))}
        if len(at) > 1:
            ordered = sorted(at, key=lambda label: at[label].y)
            shown = formatting.listed(f"{formatting.loss(at[label].y)} {under(found, label)}" for label in ordered)
            what = COLUMNS[found.settings.y].meaning.lower()
            yield f"At {place_name(found, place)} the {what} at the best {swept(found)} is {shown}."
            return


def _open(found: Transfer) -> Iterator[str]:
    advice = {"below": " Sweep lower.", "above": " Sweep higher.", "": ""}
    for label, optima in found.optima.items():
        for place, item in optima.items():
            where = f"{_capital(under(found, label))} at {place_name(found, place)}"
            if isinstance(item, Unbracketed):
                side = "" if "diverged" in item.reason else advice[item.side]
                yield f"{where} the best {swept(found)} is not bracketed: {item.reason}.{side}"
            elif not formatting.is_number(item.interval.high):
                yield (
                    f"{where} the best {swept(found)}, {formatting.short(item.x)}, has no bounded interval: the points "
                    "are too flat for their noise."
                )
    if found.movements:
        yield (
            "The intervals hold how far the losses lie from their parabolas"
            + (", seeds included." if found.several_seeds else "; how another seed would move them was not measured.")
        )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
