"""The reading of a comparison without a law: what `evaluate:` asks for."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from analysis import formatting
from analysis.columns import COLUMNS
from analysis.report import coverage, evaluation_figures, sizes
from analysis.report.captions import CAPTIONS
from analysis.report.evaluation import LEVEL, Cell, Evaluation, Gap
from analysis.report.reading import Reading, shared_values
from analysis.report.summary import Summary
from analysis.report.text_tables import TextTable

WORDS = coverage.Words(whole="comparison", one="compared run", diverged="named here but in no mean")
# Up to so many values of x each gets a sentence of its own.
_FEW = 6


def evaluation_reading(found: Evaluation) -> Reading:
    summary = summarise_evaluation(found)
    y, x = COLUMNS[found.settings.y], COLUMNS[found.settings.x]
    spread = "" if found.spread is None else " Small dots are single runs, large ones their means."
    return Reading(
        runs=found,
        summary=summary,
        facts=_facts(found),
        tables={"Side by side": side_by_side(found)},
        captions={
            "evaluation": f"{y.meaning} against {x.meaning.lower()}, as measured; lines only lead the eye.{spread}",
            "training": CAPTIONS["training"],
            "throughput": CAPTIONS["throughput"],
        },
        printed=evaluation_figures.printed(found),
        interactive=evaluation_figures.interactive(found),
        values=_values(found, summary),
        panels={},
    )


def summarise_evaluation(found: Evaluation) -> Summary:
    return Summary(
        headline=_headline(found),
        establishes=(*_leaders(found), *_against_baseline(found)) or ("Nothing yet: there is nothing to compare.",),
        cannot_tell=tuple(_open(found)),
        missing=(*coverage.missing(found, WORDS), *_holes(found)) or ("Nothing: every run of the study has finished.",),
        drift=tuple(coverage.drift(found, WORDS)),
    )


def value_text(found: Evaluation, value: float | None) -> str:
    if value is None:
        return formatting.MISSING
    return formatting.loss(value) if found.settings.y.endswith("_loss") else formatting.general(value)


def place_text(found: Evaluation, place: Any) -> str:
    """depth 12."""
    return f"{found.settings.x.replace('_', ' ')} {evaluation_figures.tick(found, place)}"


def side_by_side(found: Evaluation) -> TextTable:
    """A row a group; in each cell the mean, below it the difference from the baseline."""
    rows = []
    for label, of_one in found.cells.items():
        name = f"{label}\nbaseline" if label == found.baseline else label
        rows.append((name, *(_cell_text(found, label, of_one.get(place), place) for place in found.places)))
    headers = (found.noun.capitalize(), *(place_text(found, place).capitalize() for place in found.places))
    return TextTable(headers=headers, rows=tuple(rows), numeric=frozenset(headers[1:]))


def _cell_text(found: Evaluation, label: str, cell: Cell | None, place: Any) -> str:
    if cell is None:
        return formatting.MISSING
    lost = f"{cell.diverged} diverged" if cell.diverged else ""
    if cell.mean is None:
        return lost
    gap = found.gaps.get(label, {}).get(place)
    remarks = [_gap_text(found, gap)] if gap is not None else []
    remarks += [f"{cell.runs} seeds"] if cell.runs > 1 else []
    remarks += [lost] if lost else []
    return value_text(found, cell.mean) + ("\n" + ", ".join(remarks) if remarks else "")


def _gap_text(found: Evaluation, gap: Gap) -> str:
    signed = _signed(found, gap.difference)
    if gap.interval is None:
        return signed
    half = value_text(found, gap.interval.high - gap.difference)
    return f"{signed} ± {half}" + (", tied" if gap.tied else "")


def _signed(found: Evaluation, value: float) -> str:
    if found.settings.y.endswith("_loss"):
        return formatting.signed_loss(value)
    return ("+" if value > 0 else "") + formatting.general(value)


def _lowest(found: Evaluation, place: Any) -> list[tuple[str, float]]:
    """Labels and means at one x, the lowest first."""
    at = [(label, of_one[place]) for label in found.cells if place in (of_one := found.measured(label))]
    return sorted(at, key=lambda item: item[1])


def _headline(found: Evaluation) -> str:
    what = COLUMNS[found.settings.y].meaning.lower()
    compared = [order for place in found.places if len(order := _lowest(found, place)) > 1]
    if not compared:
        return f"No two {found.noun}s have a finished run at the same {found.settings.x.replace('_', ' ')}."
    first = [order[0][0] for order in compared]
    places = [place for place in found.places if len(_lowest(found, place)) > 1]
    ties = sum(
        bool(found.between(order[0][0], order[1][0], place).tied) for order, place in zip(compared, places, strict=True)
    )
    noise = f" The lead over the next is within the noise of seeds at {ties} of {len(compared)}." if ties else ""
    shaky = sum(found.cells[label][place].diverged > 0 for label, place in zip(first, places, strict=True))
    noise += f" Seeds of the leader diverged at {shaky} of {len(compared)}." if shaky else ""
    where = f"{found.settings.x.replace('_', ' ')}" if len(compared) > 1 else place_text(found, places[0])
    if len(set(first)) == 1:
        at = f"every {where} compared ({len(compared)})" if len(compared) > 1 else where
        return f"{first[0]} has the lowest measured {what} at {at}.{noise}"
    wins = sorted({label: first.count(label) for label in first}.items(), key=lambda item: (-item[1], item[0]))
    listed = formatting.listed(f"{label} at {number}" for label, number in wins)
    throughout = f"No {found.noun} has the lowest measured {what} throughout"
    return f"{throughout}: of {len(compared)} values of {where}, {listed}.{noise}"


def _leaders(found: Evaluation) -> Iterator[str]:
    unit = COLUMNS[found.settings.y].unit
    for place in found.places if len(found.places) <= _FEW else ():
        order = _lowest(found, place)
        if len(order) > 1:
            (best, low), (next_best, second) = order[:2]
            distance = f"{value_text(found, second - low)} {unit}".rstrip()
            chance = ", which is within the noise of seeds" if found.between(best, next_best, place).tied else ""
            leader = _with_losses(found, best, place)
            yield (
                f"At {place_text(found, place)} {leader} is lowest with {value_text(found, low)}, "
                f"{distance} below {next_best}{chance}."
            )


def _with_losses(found: Evaluation, label: str, place: Any) -> str:
    """The label, and how many of its seeds the mean leaves out."""
    cell = found.cells[label][place]
    total = formatting.plural(cell.runs + cell.diverged, "seed")
    return f"{label} ({cell.diverged} of {total} diverged)" if cell.diverged else label


def _against_baseline(found: Evaluation) -> Iterator[str]:
    for label, gaps in found.gaps.items():
        if not gaps:
            continue
        differences = {place: gap.difference for place, gap in gaps.items()}
        low, high = min(differences.values()), max(differences.values())
        at = f"at all {len(gaps)}" if len(gaps) > 1 else f"at {place_text(found, next(iter(gaps)))}"
        if high < 0 or low > 0:
            ends = sorted({value_text(found, abs(low)), value_text(found, abs(high))})
            side = "below" if high < 0 else "above"
            yield f"{label} lies {side} {found.baseline} {at}, by {' to '.join(ends)}{_chance(gaps)}."
        else:
            below = [evaluation_figures.tick(found, place) for place, value in differences.items() if value < 0]
            said = f"below it at {formatting.listed(below)} and not elsewhere" if below else "nowhere below it"
            span = f"{_signed(found, low)} to {_signed(found, high)}"
            yield f"{label} against {found.baseline}: {span}, {said}{_chance(gaps)}."


def _chance(gaps: dict[Any, Gap]) -> str:
    ties = sum(bool(gap.tied) for gap in gaps.values())
    if not ties:
        return ""
    return ", within the noise of seeds" + (f" at {ties} of {len(gaps)}" if len(gaps) > 1 else "")


def _open(found: Evaluation) -> Iterator[str]:
    if found.spread is None:
        yield "Each cell is one seed, so no difference can be told from chance: give the study `seed: [0, 1, 2]`."
    else:
        tied = [
            f"{label} at {evaluation_figures.tick(found, place)}"
            for label, gaps in found.gaps.items()
            for place, gap in gaps.items()
            if gap.tied
        ]
        if tied:
            yield f"Within the noise of seeds ({100 * LEVEL:g} %) of {found.baseline}: {formatting.listed(tied)}."
        yield (
            f"Runs that differ in their seed alone spread by {formatting.residual_std(found.spread)} (standard "
            f"deviation, {formatting.plural(found.spread_degrees_of_freedom, 'degree')} of freedom)."
        )
    if not found.baseline_measured:
        yield (
            f"How the groups compare with {found.settings.baseline}, the baseline that was asked for: no run of it has "
            f"finished, and {found.baseline} stands in for it."
        )
    yield from sizes.unequal(found)


def _holes(found: Evaluation) -> Iterator[str]:
    for label, of_one in found.cells.items():
        empty = [evaluation_figures.tick(found, p) for p in found.places if p not in found.measured(label)]
        if empty:
            diverged = all(p in of_one for p in found.places if p not in found.measured(label))
            why = "every run diverged" if diverged else "nothing finished"
            yield f"{label} has no value at {found.settings.x.replace('_', ' ')} {formatting.listed(empty)}: {why}."


def _facts(found: Evaluation) -> dict[str, str]:
    points, settings = found.points, found.settings
    fewest, most = (formatting.count(end) for end in (points["parameters"].min(), points["parameters"].max()))
    cells = len(set(found.table.runs["run_id"]) | set(found.missing))
    return {
        "Runs": f"{len(points)} of {cells} compared",
        COLUMNS[settings.x].meaning: ", ".join(evaluation_figures.tick(found, place) for place in found.places),
        "Baseline": found.baseline,
        "Parameters": f"{fewest} to {most}",
        "Spread of seeds": "one seed a cell" if found.spread is None else formatting.residual_std(found.spread),
        "Corpus": str(points["corpus_hash"].iloc[0])[:16],
    }


def _values(found: Evaluation, summary: Summary) -> dict[str, Any]:
    settings = found.settings
    return {
        "settings": asdict(settings),
        **shared_values(found, tuple(dict.fromkeys((settings.x, settings.y, "seed")))),
        "evaluation": {
            "baseline": found.baseline,
            "spread": found.spread,
            "spread_degrees_of_freedom": found.spread_degrees_of_freedom,
            "cells": [
                {"group": label, settings.x: place} | asdict(cell) | _gap_values(found.gaps.get(label, {}).get(place))
                for label, of_one in found.cells.items()
                for place, cell in of_one.items()
            ],
        },
        "size_differences": [asdict(item) for item in sizes.compared_sizes(found)],
        "summary": asdict(summary),
    }


def _gap_values(gap: Gap | None) -> dict[str, Any]:
    return {"gap": None} if gap is None else {"gap": asdict(gap) | {"tied": gap.tied}}
