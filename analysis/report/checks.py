"""What tries a fit: predictions without the largest run, conclusions without each point, and compute leverage.

holdout     predicted − measured of every group's largest run, with the interval of the prediction
leverage    how many times more compute the worse of two groups needs for the same fitted loss
influence   the irreducible loss of a group, or the law's last parameter, without each of its points
"""

import math
from functools import lru_cache

from analysis import formatting
from analysis.conclusions import Shift
from analysis.influence import Place
from analysis.leverage import Leverage, at_compute, default_places
from analysis.report import series
from analysis.report.evidence import Evidence
from analysis.report.forest import Estimate, Forest
from analysis.report.pairs import leader, pairs
from analysis.report.sensitivity import influences

# Beyond so many rows those that move most are shown.
_MOST_ROWS = 15


@lru_cache(maxsize=1)
def forests(evidence: Evidence) -> dict[str, Forest]:
    """By figure name, those that there is something to draw for."""
    if evidence.settings.inputs or not evidence.fits:
        return {}
    made = {"holdout": _holdouts(evidence), "leverage": _leverages(evidence), "influence": _influence(evidence)}
    return {name: forest for name, forest in made.items() if forest.rows}


def captions(evidence: Evidence) -> dict[str, str]:
    level = f"{100 * evidence.settings.level:g} %"
    texts = {
        "holdout": "The law fitted without the largest scale of a group, then asked for it: predicted minus measured "
        f"loss with the {level} prediction interval. An interval that holds zero holds what was measured.",
        "leverage": "How many times the compute that the better of two groups needs, the worse one needs for the same "
        f"fitted loss, with {level} intervals; 1 is no difference. Open markers are extrapolations: there at least "
        "one of the two was not measured.",
        "influence": f"{_main_label(evidence)} fitted again without each point, with {level} intervals. The upright "
        "bar is the value with all points.",
    }
    texts = {name: text for name, text in texts.items() if name in forests(evidence)}
    if "influence" in texts and len(_shifts(evidence)) > _MOST_ROWS:
        texts["influence"] += f" Shown are the {_MOST_ROWS} points that move it most."
    return texts


def _holdouts(evidence: Evidence) -> Forest:
    rows = []
    for label, item in evidence.holdouts.items():
        if math.isnan(item.error):
            continue
        low, high = (item.interval.low, item.interval.high) if item.interval else (math.nan, math.nan)
        rows.append(
            Estimate(
                name=f"{label} at {evidence.place(item.x)}",
                group=label,
                value=1e3 * item.error,
                low=1e3 * (low - item.actual),
                high=1e3 * (high - item.actual),
                said=item.note,
            )
        )
    axis = f"Predicted − measured (10⁻³ {evidence.loss_unit})".replace(" )", ")")
    return Forest(axis=axis, rows=tuple(rows), neutral=0.0)


@lru_cache(maxsize=1)
def leverages(evidence: Evidence) -> tuple[Leverage, ...]:
    """Of each pair that a summary speaks of, at the largest scale of both and ten times beyond."""
    found = [evidence.fitted_pairs[both] for both in pairs(evidence) if set(both) <= evidence.fits.keys()]
    every = (at_compute(pair, place) for pair in found if pair.has_heights for place in default_places(pair))
    return tuple(item for item in every if math.isfinite(item.multiplier))


def _leverages(evidence: Evidence) -> Forest:
    rows = [
        Estimate(
            name=f"{item.groups[0]} over {item.groups[1]} at {evidence.place(item.x_worse)}",
            group=item.groups[0],
            value=item.multiplier,
            low=item.interval.low,
            high=item.interval.high,
            open=item.extrapolated,
            said=formatting.polished(item.sentence),
        )
        for item in sorted(leverages(evidence), key=lambda item: item.extrapolated)
    ]
    what = evidence.column(evidence.settings.x).phrase
    return Forest(axis=f"Times the {what} for equal loss", rows=tuple(rows), neutral=1.0, logarithmic=True)


def _influence(evidence: Evidence) -> Forest:
    shifts = _shifts(evidence)
    strongest = sorted((shift.shift for _, shift in shifts), reverse=True)[:_MOST_ROWS]
    order = {label: place for place, label in enumerate(dict.fromkeys([leader(evidence), *sorted(evidence.fits)]))}
    rows = [
        Estimate(
            name=f"without {what}",
            group=shift.groups[0],
            value=float(shift.after),
            low=shift.low,
            high=shift.high,
            against=float(shift.before),
            said=shift.conclusion if shift.conclusion_changes else "",
        )
        for what, shift in sorted(shifts, key=lambda found: order[found[1].groups[0]])
        if shift.shift in strongest
    ]
    unit = evidence.loss_unit if series.main_parameter(evidence) == "C" else ""
    label = _main_label(evidence)
    return Forest(axis=f"{label} ({unit})" if unit else label, rows=tuple(rows))


def _main_label(evidence: Evidence) -> str:
    label = next(p.label for p in evidence.law.parameters if p.name == series.main_parameter(evidence))
    return label[:1].upper() + label[1:]


def _shifts(evidence: Evidence) -> list[tuple[str, Shift]]:
    """What is left out, and the main parameter of the one group that it moves."""
    main = series.main_parameter(evidence)
    return [
        (_left_out(evidence, row.left_out, one.places.get(row.left_out)), row)
        for one in influences(evidence)
        for row in one.rows
        if row.kind in ("loss", "parameter") and row.name == main and row.groups[0] in evidence.fits and _moved(row)
    ]


def _left_out(evidence: Evidence, name: str, place: Place | None) -> str:
    """A point by its group and its place, anything else by its name."""
    if place is None:
        return formatting.polished(name)
    return f"{place.group} at {evidence.place(place.inputs[0])}"


def _moved(row: Shift) -> bool:
    return row.after != row.before and math.isfinite(float(row.after))
