"""What `archscale isoflop` shows of an experiment: its minima, the laws side by side, predictions, sensitivity."""

from collections.abc import Iterator, Mapping, Sequence

from analysis import formatting
from analysis.intervals import Interval
from analysis.isoflop import CURVES, Experiment, Selection
from analysis.optimum import Estimate
from archscale.identity import short_count
from archscale.plan.tables import TextTable

_SHORT = {"without flagged": "unflagged"}


def lines_of(found: Mapping[str, Experiment], *, predict: Sequence[float], notes: Sequence[str]) -> Iterator[str]:
    """Tables have at most 80 characters a line; sentences are as long as they are."""
    for number, experiment in enumerate(found.values()):
        if number:
            yield ""
        yield from _experiment(experiment, predict)
    yield from (f"note: {note}" for note in notes)


def _experiment(experiment: Experiment, predict: Sequence[float]) -> Iterator[str]:
    points = experiment.points
    counts = [formatting.plural(len(points.loss), "point"), formatting.plural(len(set(points.budget)), "budget")]
    if points.flagged.any():
        counts.append(f"{int(points.flagged.sum())} flagged")
    name = f"{experiment.name}: " if experiment.name else ""
    yield f"{name}{', '.join(counts)}, {100 * experiment.level:g} % intervals"
    yield str(_minima(experiment))
    yield str(_laws(experiment))
    if predict:
        yield str(_predictions(experiment, predict))
    yield ""
    yield from _sentences(experiment)


def _minima(experiment: Experiment) -> TextTable:
    """Of all points, by parabolas. Where C = k·N·D in every row the two halves say the same."""
    everything = experiment.selections["all"]
    sizes, tokens = (everything.laws.allocations["parabola", of] for of in ("N", "D"))
    points, rows = everything.points, []
    for budget in sorted(set(points.budget)):
        cells = []
        for found in (sizes, tokens):
            lowest = found.optima.get(budget)
            cells += [short_count(lowest.x), _counts(lowest.interval)] if lowest else [formatting.MISSING, ""]
        verdicts = {
            _verdict(found.optima[budget].verdict) if budget in found.optima else "left out"
            for found in (sizes, tokens)
        }
        verdict = next((word for word in ("left out", "weak") if word in verdicts), "bracketed")
        rows.append((formatting.short(budget), str(int((points.budget == budget).sum())), *cells, verdict))
    headings = ("FLOPs", "points", "N*", "interval", "D*", "interval", "minimum")
    return TextTable(title="\nminimum of each budget, by a parabola", headings=headings, rows=tuple(rows), left=1)


def _verdict(text: str) -> str:
    return text.partition(":")[0]


def _laws(experiment: Experiment) -> TextTable:
    """Exponents of N* and D* by each curve; `budgets` is of those that have a minimum, for N* and D* the fewer."""
    rows = []
    for chosen, selection in experiment.selections.items():
        measured = len(set(selection.points.budget))
        for curve in CURVES:
            through = min(selection.budgets(curve, of) for of in ("N", "D"))
            exponents = [_exponent(selection.exponent(curve, of)) for of in ("N", "D")]
            shown = f"{_SHORT.get(chosen, chosen)} {len(selection.points.loss)}" if curve == CURVES[0] else ""
            rows.append((shown, curve, f"{through} of {measured}", *exponents))
    headings = ("points", "curve", "budgets", "exponent of N*", "exponent of D*")
    return TextTable(title="\nlaws through the minima, and one surface", headings=headings, rows=tuple(rows), left=2)


def _exponent(found: Estimate | None) -> str:
    if found is None:
        return formatting.MISSING
    return f"{found.value:.4f} {formatting.interval(found.interval.low, found.interval.high)}"


def _predictions(experiment: Experiment, budgets: Sequence[float]) -> TextTable:
    largest, rows = float(experiment.points.budget.max()), []
    for budget in budgets:
        for curve in CURVES:
            cells = [_predicted(experiment.selections["all"], curve, of, budget) for of in ("N", "D")]
            beyond = f"{formatting.short(budget / largest)} ×" if budget > largest else ""
            rows.append((formatting.short(budget), beyond, curve, *(cell for pair in cells for cell in pair)))
    headings = ("FLOPs", "of largest", "curve", "N*", "interval", "D*", "interval")
    return TextTable(title="\nbest sizes by the laws of all points", headings=headings, rows=tuple(rows), left=3)


def _predicted(selection: Selection, curve: str, of: str, budget: float) -> tuple[str, str]:
    found = selection.predict(curve, of, budget)
    if found is None:
        return formatting.MISSING, ""
    value, estimate = found
    return short_count(value), _counts(estimate.interval) if estimate else ""


def _counts(interval: Interval) -> str:
    ends = ("∞" if end == float("inf") else short_count(end) for end in (interval.low, interval.high))
    return f"[{', '.join(ends)}]"


def _sentences(experiment: Experiment) -> Iterator[str]:
    """Of D*; also of N* where it does not follow from D* by C = k·N·D."""
    independent = experiment.points.independent
    for of in ("N", "D") if independent else ("D",):
        yield from experiment.sensitivities[of].sentences
    if independent:
        total = experiment.selections["all"].laws.exponent_sum("parabola")
        if total:
            ends = formatting.interval(total.interval.low, total.interval.high)
            yield f"The exponents of N* and D* add up to {total.value:.3f} {ends}; with C = k·N·D they would to 1."
    for chosen, selection in experiment.selections.items():
        if selection.no_surface:
            yield f"No surface through the points ({chosen}): {selection.no_surface}."
