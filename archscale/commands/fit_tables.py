"""What `archscale fit` shows in a terminal: parameters, quality of each fit, hold-out, predictions, comparisons."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis import formatting
from analysis.equality import Comparison
from analysis.gap import LossGap
from analysis.rules import Delta
from archscale.commands.fit_results import ALL, Results

# Sentences of more pairs than this are left to --json: one line a pair says it shorter.
MOST_PAIRS_IN_WORDS = 3
_VERDICT_STYLE = {"identified": "green", "weak": "yellow"}


def fit_tables(results: Results) -> Iterator[RenderableType]:
    """In the order a reader wants them; each fits a terminal of 80 columns."""
    yield Text(_heading(results), style="bold")
    yield from (Text(line) for line in _declarations(results))
    yield _parameters(results)
    yield _quality(results)
    if results.holdouts:
        yield _held_out(results)
    if any(results.predictions.values()):
        yield _predictions(results)
    if results.deltas:
        yield _deltas(results.deltas)
    if results.comparisons:
        yield _comparisons(results)
        pairs = {entry.groups for entry in results.comparisons}
        if len(pairs) <= MOST_PAIRS_IN_WORDS:
            yield from (Text(formatting.polished(entry.sentence)) for entry in results.comparisons)
    yield from (Text(f"note: {note}") for note in [*results.table.notes, *results.notes])


def _heading(results: Results) -> str:
    request, equation = results.request, formatting.equation(results.law.equation)
    title = f"{results.table.title}\n" if results.table.title else ""
    return f"{title}{request.y} = {equation}, {request.loss}, {100 * request.level:g} % {request.interval} intervals"


def _declarations(results: Results) -> Iterator[str]:
    """What the columns mean where somebody said so, and which rows are no points."""
    table, request = results.table, results.request
    inputs = results.law.inputs
    for symbol, name in [*zip(inputs, request.x, strict=True), ("loss", request.y)]:
        label = table.label(name)
        # A derived column says its own name.
        shown = label if label.startswith(f"{name} = ") or label == name else f"{name}, {label}"
        if shown != symbol:
            yield f"{symbol}: {shown}"
    if table.flops_accounting:
        yield f"compute counted as: {table.flops_accounting}"
    reasons = [*table.left_out.values(), *results.ruled.reasons.values()]
    for reason, same in groupby(sorted(reasons)):
        count = len(list(same))
        yield f"left out: {formatting.plural(count, 'row')}, {reason}"
    if results.ruled.merged:
        yield f"seeds: {formatting.plural(len(results.ruled.merged), 'point')} are means of several rows"
    yield from dict.fromkeys(f"intervals: {found.interval_note}" for found in results.fits.values())


def _parameters(results: Results) -> Table:
    several = list(results.fits) != [ALL]
    table = _table(*(["group"] if several else []), "parameter", "value", "interval", "verdict", right=("value",))
    for name, found in results.fits.items():
        for number, (parameter, value) in enumerate(found.parameters.items()):
            interval, verdict = found.intervals[parameter], found.verdicts[parameter]
            table.add_row(
                *([Text(name if number == 0 else "")] if several else []),
                parameter,
                formatting.estimate(value, interval.low, interval.high),
                formatting.interval(interval.low, interval.high),
                Text(verdict, style=_VERDICT_STYLE.get(verdict, "red")),
            )
    return table


def _quality(results: Results) -> Table:
    several = list(results.fits) != [ALL]
    headings = ("n", "objective", "starts at the optimum")
    table = _table(*(["group"] if several else []), *headings, right=headings)
    for name, found in results.fits.items():
        table.add_row(
            *([Text(name)] if several else []),
            str(found.n),
            formatting.general(found.objective, 4),
            f"{found.starts.at_optimum} of {found.starts.count}",
        )
    return table


def _held_out(results: Results) -> Table:
    request = results.request
    several = list(results.fits) != [ALL]
    numbers = (*request.x, "predicted", "actual", "error")
    table = _table(*(["group"] if several else []), *numbers, "interval", right=numbers)
    for name, held in results.holdouts.items():
        for entry in held.results:
            inside = {True: "inside", False: "outside", None: "none"}[entry.inside]
            table.add_row(
                *([Text(name)] if several else []),
                *(formatting.general(value) for value in entry.inputs),
                formatting.loss(entry.predicted),
                formatting.loss(entry.actual),
                formatting.minus(f"{100 * entry.relative_error:+.2f} %") if entry.error == entry.error else "",
                Text(inside, style="red" if entry.inside is False else ""),
            )
    table.caption = f"hold-out {request.holdout}: each predicted from the others; is the actual loss in the interval?"
    table.caption_justify = "left"
    return table


def _predictions(results: Results) -> Table:
    request = results.request
    several = list(results.fits) != [ALL]
    table = _table(
        *(["group"] if several else []), *request.x, request.y, "interval", "", right=(*request.x, request.y)
    )
    for name, entries in results.predictions.items():
        for entry in entries:
            beyond = max(entry.beyond)
            table.add_row(
                *([Text(name)] if several else []),
                *(formatting.general(value) for value in entry.x),
                formatting.loss(entry.value),
                formatting.loss_interval(entry.low, entry.high),
                f"{formatting.short(beyond)} × the largest" if beyond > 1 else "",
            )
    return table


def _deltas(deltas: Sequence[Delta]) -> Table:
    several = {delta.group for delta in deltas} != {ALL}
    table = _table(
        "without rule", "rows", *(["group"] if several else []), "parameter", "from", "to", right=("rows", "from", "to")
    )
    shown = None
    for delta in deltas:
        new, shown = delta.rule != shown, delta.rule
        table.add_row(
            delta.rule if new else "",
            str(delta.rows) if new else "",
            *([Text(delta.group)] if several else []),
            delta.parameter,
            formatting.general(delta.with_rule, 4),
            formatting.general(delta.without_rule, 4),
        )
    return table


def _comparisons(results: Results) -> Table:
    """A row a pair: p-values of equal parameters, and the gap of the curves where both were measured last."""
    pairs: dict[tuple[str, ...], list[Comparison | LossGap]] = {}
    for entry in results.comparisons:
        pairs.setdefault(entry.groups, []).append(entry)
    tested = [entry.shared for entry in next(iter(pairs.values())) if isinstance(entry, Comparison)]
    headings = [f"p {'all' if len(names) > 1 else names[0]}" for names in tested]
    gaps = any(isinstance(entry, LossGap) for entry in results.comparisons)
    table = _table("pair", *headings, *(["gap", "interval"] if gaps else []), right=(*headings, "gap"))
    for pair, entries in pairs.items():
        cells: list[str | Text] = []
        for entry in entries:
            if isinstance(entry, Comparison):
                cells.append(Text(_p(entry.p_value), style="bold" if entry.distinguishable else ""))
            else:
                cells += [formatting.signed_loss(entry.gap), formatting.loss_interval(*_ends(entry))]
        table.add_row(Text(" −\n".join(pair)), *cells)
    table.caption = "p: of the test that the parameter, or all of them, is equal in both"
    if len(pairs) > 1:
        table.caption += f"; in bold where it is small by Holm's correction for {len(pairs)} pairs"
    if gaps:
        table.caption += "; gap: fitted loss of the first minus the second at the largest x of both"
    table.caption_justify = "left"
    return table


def _p(value: float) -> str:
    if not formatting.is_number(value):
        return formatting.MISSING
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _ends(gap: LossGap) -> tuple[float, float]:
    return gap.interval.low, gap.interval.high


def _table(*headings: str, right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for heading in headings:
        folds = heading in ("group", "pair", "")
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=not folds, overflow="fold")
    return table
