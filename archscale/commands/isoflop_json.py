"""The JSON of `archscale isoflop`: null for what is infinite or undefined; FLOPs, parameters and tokens as they are.

{"experiments": [{"group", "n", "flagged", "selections": [{"points", "n", "curves": [{"curve", "N", "D"}],
  "surface"}], "sensitivity": {"D": {…}}, "predictions": […]}], …}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.isoflop import CURVES, DEGREES, Allocation, Columns, Experiment, Selection, Sensitivity
from analysis.optimum import Estimate
from archscale.commands.plain import plain


def results_json(
    found: Mapping[str, Experiment],
    columns: Columns,
    *,
    source: str,
    predict: Sequence[float],
    notes: Sequence[str],
) -> dict[str, Any]:
    return plain(
        {
            "source": source,
            "columns": {
                "budget": columns.budget,
                "parameters": columns.parameters,
                "tokens": columns.tokens,
                "loss": columns.loss,
                "flagged": columns.flagged,
            },
            "flops_per_parameter_token": columns.flops_per_parameter_token,
            "experiments": [_experiment(experiment, predict) for experiment in found.values()],
            "notes": list(notes),
        }
    )


def _experiment(experiment: Experiment, predict: Sequence[float]) -> dict[str, Any]:
    points = experiment.points
    return {
        "group": experiment.name or None,
        "level": experiment.level,
        "n": len(points.loss),
        "budgets": len(set(points.budget)),
        "flagged": int(points.flagged.sum()),
        "independent": points.independent,
        "selections": [_selection(name, found) for name, found in experiment.selections.items()],
        "sensitivity": {of: _sensitivity(found) for of, found in experiment.sensitivities.items()},
        "predictions": [
            {"budget": budget, "curve": curve}
            | {of: _predicted(experiment.selections["all"], curve, of, budget) for of in ("N", "D")}
            for budget in predict
            for curve in CURVES
        ],
    }


def _selection(name: str, found: Selection) -> dict[str, Any]:
    surface = found.surface
    return {
        "points": name,
        "n": len(found.points.loss),
        "curves": [
            {"curve": curve} | {of: _allocation(found.laws.allocations[curve, of]) for of in ("N", "D")}
            for curve in DEGREES
        ],
        "surface": None
        if surface is None
        else {
            "params": surface.parameters,
            "objective": surface.fit.objective,
            "verdicts": surface.fit.verdicts,
            "N": _estimate(surface.exponents["N"], "exponent"),
            "D": _estimate(surface.exponents["D"], "exponent"),
        },
        "no_surface": found.no_surface or None,
    }


def _allocation(found: Allocation) -> dict[str, Any]:
    law, noise = found.law, found.noise
    return {
        "coefficient": law.coefficient.value if law else None,
        "exponent": found.exponent,
        "interval": _ends(law.exponents["C"]) if law else None,
        "noise_interval": [noise.low, noise.high] if noise else None,
        "optima": [
            {
                "budget": budget,
                "value": lowest.x,
                "interval": [lowest.interval.low, lowest.interval.high],
                "loss": lowest.y,
                "below": lowest.below,
                "above": lowest.above,
                "verdict": lowest.verdict,
            }
            for budget, lowest in found.optima.items()
        ],
        "left_out": [{"budget": budget, "reason": reason} for budget, reason in found.left_out.items()],
    }


def _sensitivity(found: Sensitivity) -> dict[str, Any]:
    return {
        "exponent": found.everything.exponent,
        "without_flagged": found.without_flagged.exponent if found.without_flagged else None,
        "shift": found.shift,
        "same_budgets": found.same_budgets,
        "lost_budgets": list(found.lost),
        "without_weak": found.bracketed,
        "without_each": list(found.each),
        "sentences": list(found.sentences),
    }


def _predicted(selection: Selection, curve: str, of: str, budget: float) -> dict[str, Any] | None:
    found = selection.predict(curve, of, budget)
    if found is None:
        return None
    value, estimate = found
    return {"value": value, "interval": _ends(estimate) if estimate else None}


def _estimate(found: Estimate, name: str) -> dict[str, Any]:
    return {name: found.value, "interval": _ends(found)}


def _ends(found: Estimate) -> list[float]:
    return [found.interval.low, found.interval.high]
