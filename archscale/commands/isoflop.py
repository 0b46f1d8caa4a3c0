"""`archscale isoflop`: parses, calls, prints."""

from typing import Annotated

import typer

from archscale.commands.options import Data, Derive, Points, Where
from archscale.registry import UserError
from archscale.terminal import AsJson, console, print_json

HELP = """Find the best size and number of tokens for a budget of compute, three ways.

POINTS is whatever `archscale fit` reads; a row is a run at one of several budgets.

archscale isoflop runs.csv --budget C --params N --loss loss
archscale isoflop runs.csv --budget C --tokens D --loss loss --flagged outlier
archscale isoflop all.csv --budget C --params N --loss loss --group experiment
archscale isoflop runs.csv --budget C --params N --loss loss --predict 3.8e25
"""


def isoflop_command(
    points: Points,
    budget: Annotated[str | None, typer.Option(metavar="COL", help="The column of the budget in FLOPs.")] = None,
    params: Annotated[str | None, typer.Option(metavar="COL", help="Parameters; without it C / (k·D).")] = None,
    tokens: Annotated[str | None, typer.Option(metavar="COL", help="Tokens; without it C / (k·N).")] = None,
    loss: Annotated[str | None, typer.Option(metavar="COL", help="The column of the loss.")] = None,
    flagged: Annotated[
        str | None, typer.Option(metavar="COL", help="True where somebody marked an outlier: with and without them.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COL", help="One analysis for each value of this column.")
    ] = None,
    where: Where = None,
    derive: Derive = None,
    predict: Annotated[
        list[float] | None, typer.Option(metavar="FLOPS", help="The best size and tokens there. Repeatable.")
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    flops_per_parameter_token: Annotated[float, typer.Option("--k", help="k of C = k·N·D.")] = 6.0,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    from rich.text import Text

    from analysis.isoflop import Columns, experiments
    from archscale.commands.columns import given, read_named, ruled_points
    from archscale.commands.isoflop_json import results_json
    from archscale.commands.isoflop_tables import lines_of

    for value in [*(predict or []), flops_per_parameter_token]:
        if not 0 < value < float("inf"):
            raise UserError(f"{value:g} is no number of FLOPs: --predict and --k are positive, e.g. --predict 1e24")
    table = read_named(points, where=where, derive=derive, data=data)
    names = table.frame.columns
    if not (params or tokens):
        raise UserError(f"--params or --tokens is missing: name one of the columns {', '.join(map(str, names))}")
    columns = Columns(
        budget=given("--budget", budget, names),
        loss=given("--loss", loss, names),
        parameters=params,
        tokens=tokens,
        flagged=flagged,
        flops_per_parameter_token=flops_per_parameter_token,
    )
    sizes = [name for name in (params, tokens) if name]
    table.require(*sizes, columns.budget, columns.loss, *(name for name in (flagged, group) if name))
    kept, notes = ruled_points(table, x=(columns.budget, *sizes), y=columns.loss, group=group)
    found = experiments(kept, columns, group=group, level=level)
    notes = (*table.notes, *notes)
    if as_json:
        print_json(results_json(found, columns, source=table.source, predict=predict or [], notes=notes))
        return
    screen = console()
    for line in lines_of(found, predict=predict or [], notes=notes):
        screen.print(Text(line))


isoflop_command.__doc__ = HELP
