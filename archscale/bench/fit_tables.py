"""The tables of `archscale bench fits` and `archscale bench coverage`, of at most 80 columns, and their JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from archscale.bench.coverage import LEVEL, CoverageRow
from archscale.bench.designs import Design
from archscale.bench.fits import Figure, FitTime, RefitTime


def fits_table(rows: Sequence[FitTime]) -> Table:
    """A line for each published figure, and one for a fit without any."""
    total = sum(row.seconds for row in rows)
    table = _table(f"published fits and ours: {len(rows)} fits with intervals in {total:.1f} s")
    for heading in ("fit", "figure", "published", "found", "differ-\nence", "s"):
        table.add_column(heading, justify="left" if heading in ("fit", "figure") else "right", no_wrap=True)
    data = None
    for row in rows:
        if row.data != data:
            data = row.data
            table.add_row(Text(data, style="bold"))
        seconds = f"{row.seconds:.2f}"
        if not row.figures:
            table.add_row(_short(row.name), "", "", "", "", seconds)
        for place, figure in enumerate(row.figures):
            table.add_row(
                _short(row.name) if place == 0 else "",
                figure.name,
                figure.published,
                _one_digit_more(figure),
                "" if figure.agrees else _percent(figure.difference),
                seconds if place == 0 else "",
            )
    table.caption, table.caption_justify = "difference: where ours does not round to what was printed", "left"
    return table


def refits_line(row: RefitTime) -> str:
    return f"{row.refits} refits of A·x^-b + C on six points: {row.seconds:.2f} s"


def coverage_table(rows: Sequence[CoverageRow], designs: Sequence[Design]) -> Table:
    """A line for each design and method; the designs are stated below."""
    table = _table(f"what {100 * LEVEL:g} % intervals cover, in %")
    for heading in (
        "design",
        "method",
        "exponent",
        "irreducible\nloss",
        "loss at\n4 × x",
        "data sets",
        "standard\nerror",
    ):
        table.add_column(heading, justify="left" if heading in ("design", "method") else "right", no_wrap=True)
    name = None
    for row in rows:
        shares = (f"{100 * share:.1f}" for share in row.covered.values())
        table.add_row(
            row.design if row.design != name else "",
            row.method,
            *shares,
            str(row.simulations),
            f"{100 * row.error:.1f}",
        )
        name = row.design
    table.caption, table.caption_justify = "\n".join(design.said for design in designs), "left"
    return table


def fits_json(rows: Sequence[FitTime], refits: RefitTime, absent: Sequence[str]) -> dict[str, Any]:
    return {
        "fits": [
            asdict(row)
            | {
                "figures": [
                    asdict(figure) | {"agrees": figure.agrees, "difference": figure.difference}
                    for figure in row.figures
                ]
            }
            for row in rows
        ],
        "seconds": sum(row.seconds for row in rows),
        "refits": asdict(refits),
        "absent": list(absent),
    }


def coverage_json(rows: Sequence[CoverageRow], designs: Sequence[Design]) -> dict[str, Any]:
    return {
        "level": LEVEL,
        "designs": {design.name: design.said for design in designs},
        "rows": [asdict(row) | {"standard_error": row.error} for row in rows],
    }


def _short(name: str, most: int = 21) -> str:
    return f" {name}" if len(name) < most else f" {name[: most - 2]}…"


def _one_digit_more(figure: Figure) -> str:
    if "e" not in figure.published:
        return f"{figure.found:.{figure.decimals + 1}f}".removeprefix("0" if figure.published.startswith(".") else "")
    digits = len(figure.published.partition("e")[0].partition(".")[2])
    mantissa, _, power = f"{figure.found:.{digits + 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %" if abs(share) >= 0.1 else f"{100 * share:+.1g} %"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)
