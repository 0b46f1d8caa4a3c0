"""The tables of a plan, each readable in 80 columns: sizes and training, counts and memory, cost, totals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archscale.identity import short_count
from archscale.plan.cells import totals
from archscale.plan.rows import Plan, PlannedRun

Column = tuple[str, Callable[[PlannedRun], str]]

MOST_SENTENCES, TERMINAL = 4, 80


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Columns as wide as their longest text, one blank apart: 80 characters are just enough for the paper's sizes.

    A heading may have two lines; the first `left` columns are flush left, the others right.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """Headings and rows, as cells."""
        top, bottom = zip(*(heading.rpartition("\n")[::2] for heading in self.headings), strict=True)
        return [row for row in (top, bottom, *self.rows) if any(row)]

    @property
    def widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(*self.lines, strict=True)]

    @property
    def width(self) -> int:
        return sum(self.widths) + len(self.widths) - 1

    def __str__(self) -> str:
        # Not rich's table: that takes milliseconds a row, and studies have thousands.
        sides = ["<"] * self.left + [">"] * (len(self.headings) - self.left)
        form = " ".join(f"{{:{side}{width}}}" for side, width in zip(sides, self.widths, strict=True))
        return "\n".join([self.title, *(form.format(*row).rstrip() for row in self.lines)])


def plan_tables(planned: Plan) -> Iterator[TextTable]:
    yield plan_table(planned)
    yield counts_table(planned)
    if any(run.device_hours is not None or run.saved_flops for run in planned.runs):
        yield cost_table(planned)
    yield totals_table(planned)


def plan_table(planned: Plan) -> TextTable:
    accountings = ", ".join(sorted({run.flops_accounting for run in planned.runs}))
    total = sum(run.flops for run in planned.runs)
    columns: list[Column] = [
        ("params", lambda run: short_count(run.parameters)),
        ("non-\nembed", lambda run: short_count(run.non_embedding_parameters)),
        ("tokens", lambda run: short_count(run.tokens)),
        ("steps", lambda run: str(run.steps) if run.steps < 10_000_000 else short_count(run.steps)),
        ("lr", lambda run: short_scientific(run.learning_rate)),
        ("hidden\nlr", lambda run: short_scientific(run.hidden_learning_rate)),
        ("FLOPs", lambda run: short_scientific(run.flops)),
    ]
    if any(run.target_parameters is not None for run in planned.runs):
        columns.insert(2, ("mis-\nmatch", lambda run: "" if run.mismatch is None else f"{100 * run.mismatch:+.2f}%"))
    title = f"{planned.study}: {len(planned.runs)} runs, {total:.2e} training FLOPs ({accountings})"
    return _of_runs(title, planned, columns, least="params")


def counts_table(planned: Plan) -> TextTable:
    """What the counts of weights are made of, what they would each make of the tokens, and what a step needs."""
    columns: list[Column] = [
        ("mixers", lambda run: short_count(run.mixer_parameters)),
        ("MLPs", lambda run: short_count(run.mlp_parameters)),
        ("N by\npaper", lambda run: _optional(run.paper_parameters)),
        ("tokens\nby it", lambda run: _optional(run.paper_tokens)),
        ("by mod-\nules", lambda run: short_count(run.module_tokens)),
        ("batch", lambda run: short_count(run.batch_tokens)),
        ("warm-\nup", lambda run: str(run.warmup_steps)),
        ("memory", lambda run: "unknown" if run.memory_bytes is None else short_bytes(run.memory_bytes)),
    ]
    return _of_runs("parameters by kind, and by the paper's formulas", planned, columns, least="batch")


def cost_table(planned: Plan) -> TextTable:
    columns: list[Column] = [
        ("device-\nhours", lambda run: short_amount(run.device_hours)),
        ("hours", lambda run: short_amount(run.wall_clock_hours)),
        (planned.currency, lambda run: short_amount(run.cost)),
    ]
    if any(run.saved_flops for run in planned.runs):
        columns.append(("saved\nFLOPs", lambda run: short_scientific(run.saved_flops) if run.saved_flops else ""))
    return _of_runs("what each run takes", planned, columns, least="hours")


def totals_table(planned: Plan) -> TextTable:
    clock = planned.wall_clock_hours
    title = "totals"
    if clock is not None:
        title += f": {short_amount(clock)} hours on the clock, {planned.parallel_runs} at once"
    headings = ("arch", "runs", "tokens", "FLOPs", "saved", "device-hours", planned.currency)
    rows = tuple(
        (
            row.arch,
            str(row.runs),
            short_count(row.tokens),
            short_scientific(row.flops),
            short_scientific(row.saved_flops) if row.saved_flops else "",
            short_amount(row.device_hours) or "unknown",
            short_amount(row.cost),
        )
        for row in totals(planned.runs)
    )
    return TextTable(title=title, headings=headings, rows=rows, left=1)


def speed_lines(planned: Plan) -> list[str]:
    """Where the hours are from: one line a source, the first few of many."""
    found = list(dict.fromkeys(run.cost_basis for run in planned.runs))
    lines = [f"speed: {basis}" for basis in found[:MOST_SENTENCES]]
    more = len(found) - len(lines)
    return [*lines, f"speed: {more} more sources, cost_basis in --json"] if more else lines


def short_scientific(number: float) -> str:
    """Two significant digits: 7.1e10, 4.0e-3."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def short_bytes(number: float) -> str:
    """Three significant digits in powers of 1000: 3.1GB, 845kB."""
    for limit, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit * 0.9995:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:.0f}B"


def short_amount(number: float | None) -> str:
    """Hours or money: three significant digits, whole from a hundred on."""
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _optional(number: float | None) -> str:
    return "" if number is None else short_count(number)


def _of_runs(title: str, planned: Plan, columns: Sequence[Column], *, least: str) -> TextTable:
    """Columns without any text are left out, and the one named `least` where the table is too wide with it."""
    runs, given = planned.runs, [column for column in columns if any(column[1](run) for run in planned.runs)]
    for shown in (given, [column for column in given if column[0] != least]):
        table = TextTable(
            title=title,
            headings=(planned.label_heading, "shape", *(heading for heading, _ in shown)),
            rows=tuple((run.label, f"d{run.depth} w{run.width}", *(text(run) for _, text in shown)) for run in runs),
            left=2,
        )
        if table.width <= TERMINAL:
            break
    return table
