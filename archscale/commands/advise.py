"""`archscale advise`: parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer

from archscale.commands.options import Data
from archscale.registry import UserError
from archscale.terminal import AsJson, console, print_json

HELP = """Say which next run narrows what is asked for most for its cost.

Of a study: a missing cell, a further seed, a new size, each with its command.
Of a table, or whatever else `archscale fit` reads: a further seed at an x that is
there, or a new x between and beyond these.

archscale advise flops --quantity loss@1e22 --of sambay
archscale advise points.csv --x C --y loss --group arch --cost gpu_hours
archscale advise points.csv --x C --y loss --group arch --of a,b --quantity gap@1e22 --cost-per-x 1
"""
DEFAULT = "missing;seeds;sizes"


def advise_command(
    source: Annotated[
        str, typer.Argument(metavar="STUDY|POINTS", help="A study with a fit, by name or YAML; or a table of points.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Of a study: KEY=VALUE, as it was swept with.", show_default=False)
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(help="What to know better: C, b, …, loss@X or gap@X. Default: the law's last, as C.")
    ] = None,
    of: Annotated[str | None, typer.Option(metavar="G[,G]", help="Of which groups; two for a gap.")] = None,
    candidates: Annotated[
        str, typer.Option(help="missing (of a study), seeds, sizes, or KEY=VALUE,VALUE; several with semicolons.")
    ] = DEFAULT,
    at_most: Annotated[
        float | None, typer.Option(metavar="COST", help="Leave out candidates that cost more than that each.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 10,
    x: Annotated[str | None, typer.Option(metavar="COL", help="Of a table: the input of the law.")] = None,
    y: Annotated[str | None, typer.Option(metavar="COL", help="Of a table: the loss.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COL", help="Of a table: one fit for each value of it.")] = None,
    cost: Annotated[str | None, typer.Option(metavar="COL", help="Of a table: what each run cost.")] = None,
    cost_per_x: Annotated[
        float | None, typer.Option(metavar="COST", help="Of a table: what a run costs for each unit of x.")
    ] = None,
    law: Annotated[str | None, typer.Option(help="Of a table. Default: power_offset.")] = None,
    level: Annotated[float | None, typer.Option(help="Of a table: confidence of its intervals. Default: 0.95.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="COL=VALUE", help="Of a table: only these rows.")] = None,
    derive: Annotated[list[str] | None, typer.Option(metavar="NAME=EXPR", help="Of a table: a new column.")] = None,
    data: Data = None,
    as_json: AsJson = False,
    root: Annotated[
        Path, typer.Option("--root", envvar="ARCHSCALE_ROOT", help="Folder of runs, prepared data and reports.")
    ] = Path("runs"),
) -> None:
    from archscale.commands.advise_points import Asked, answer_of_points
    from archscale.commands.advise_study import answer_of
    from archscale.commands.advise_tables import answer_json, answer_lines
    from archscale.commands.report import is_table

    asked = Asked(
        quantity=quantity, of=of, candidates=candidates, at_most=at_most, x=x, y=y, group=group, cost=cost,
        cost_per_x=cost_per_x, law=law, level=level, where=where or (), derive=derive or (), data=data,
    )  # fmt: skip
    if is_table(source):
        if overrides:
            raise UserError(f"{overrides[0]}: overrides are for studies; rows of a table are chosen with --where")
        answer = answer_of_points(source, asked)
    elif option := asked.first_of_tables:
        raise UserError(f"--{option} is for tables, and {source} is none; groups of a study are named with --of")
    else:
        answer = answer_of(source, overrides or [], quantity, of, candidates, at_most, root)
    if as_json:
        print_json(answer_json(answer))
        return
    for line in answer_lines(answer, top):
        console().print(line, highlight=False, markup=False, soft_wrap=True)


advise_command.__doc__ = HELP
