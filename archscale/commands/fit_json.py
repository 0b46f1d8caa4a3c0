"""The JSON of `archscale fit`: null for what is infinite or undefined, numbers in the units of the columns.

{"fits": [{"group", "law", "params", "intervals", "verdicts", "objective", "n", "starts", "holdout", …}],
 "comparisons": [{"groups", "shared", "p_value", "aicc", …}], …}
"""

from typing import Any

from analysis.equality import Comparison
from analysis.gap import LossGap
from analysis.holdout import HoldOuts
from archscale.commands.fit_results import ALL, Results
from archscale.commands.plain import plain


def results_json(results: Results) -> dict[str, Any]:
    """Plain JSON types; what is infinite or undefined is null."""
    table, request = results.table, results.request
    names = dict.fromkeys([*request.x, request.y])
    return plain(
        {
            "source": table.source,
            "columns": {
                name: {"meaning": table.columns[name].meaning, "unit": table.columns[name].unit} for name in names
            },
            "flops_accounting": table.flops_accounting or None,
            "fits": [_fit_json(results, name) for name in results.fits],
            "comparisons": [
                {
                    "groups": list(entry.groups),
                    "shared": list(entry.shared),
                    "p_value": entry.p_value,
                    "p_adjusted": entry.p_adjusted,
                    "aicc": entry.aicc_difference,
                    "f_statistic": entry.f_statistic,
                    "degrees_of_freedom": list(entry.degrees_of_freedom),
                    "noise": "robust" if entry.noise is None else "pooled" if entry.noise.pooled else "own",
                    "distinguishable": entry.distinguishable,
                    "sentence": entry.sentence,
                }
                for entry in results.comparisons
                if isinstance(entry, Comparison)
            ],
            "gaps": [
                {
                    "groups": list(entry.groups),
                    "x": entry.x,
                    "gap": entry.gap,
                    "interval": [entry.interval.low, entry.interval.high],
                    "distinguishable": entry.distinguishable,
                    "extrapolated": entry.extrapolated,
                    "sentence": entry.sentence,
                }
                for entry in results.comparisons
                if isinstance(entry, LossGap)
            ],
            "notes": [*table.notes, *results.notes],
            "left_out": [{"row": row, "reason": reason} for row, reason in _left_out(results).items()],
            "rules": [
                {
                    "rule": delta.rule,
                    "group": _group(delta.group),
                    "rows": delta.rows,
                    "parameter": delta.parameter,
                    "with_rule": delta.with_rule,
                    "without_rule": delta.without_rule,
                }
                for delta in results.deltas
            ],
        }
    )


def _fit_json(results: Results, name: str) -> dict[str, Any]:
    found, held = results.fits[name], results.holdouts.get(name)
    return {
        "group": _group(name),
        "law": found.law.name,
        "equation": found.law.equation,
        "params": dict(found.parameters),
        "intervals": {p: [interval.low, interval.high] for p, interval in found.intervals.items()},
        "verdicts": dict(found.verdicts),
        "objective": found.objective,
        "loss": results.request.loss,
        "level": found.level,
        "interval": found.interval_kind,
        "interval_note": found.interval_note,
        "n": found.n,
        "degrees_of_freedom": found.degrees_of_freedom,
        "starts": {
            "count": found.starts.count,
            "at_optimum": found.starts.at_optimum,
            "scaled_gradient_norm": found.starts.scaled_gradient_norm,
        },
        "holdout": None if held is None else _holdout_json(held),
        "predictions": [
            {
                "x": list(entry.x),
                "value": entry.value,
                "interval": [entry.low, entry.high],
                "beyond": list(entry.beyond),
            }
            for entry in results.predictions[name]
        ],
    }


def _holdout_json(held: HoldOuts) -> dict[str, Any]:
    return {
        "mode": held.mode,
        "hits": held.hits,
        "intervals": held.intervals,
        "mean_relative_error": held.mean_relative_error,
        "sentence": held.sentence,
        "results": [
            {
                "x": list(entry.inputs),
                "runs": entry.runs,
                "actual": entry.actual,
                "predicted": entry.predicted,
                "error": entry.error,
                "relative_error": entry.relative_error,
                "interval": None if entry.interval is None else [entry.interval.low, entry.interval.high],
                "inside": entry.inside,
                "note": entry.note,
            }
            for entry in held.results
        ],
    }


def _left_out(results: Results) -> dict[int, str]:
    """Why rows of the table are no points, by the number of the row, from 1 below the column names."""
    reasons = {**results.table.left_out, **results.ruled.reasons}
    return {row + 1: reasons[row] for row in sorted(reasons)}


def _group(name: str) -> str | None:
    return None if name == ALL else name
