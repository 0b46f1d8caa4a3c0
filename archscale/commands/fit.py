"""`archscale fit`: parses, calls, prints."""

import json
from typing import Annotated, Any

import typer

from archscale.commands.options import Data, Derive, Points, Where
from archscale.registry import UserError
from archscale.terminal import AsJson, console, print_json

HELP = """Fit a scaling law to points from anywhere: intervals, verdicts, hold-out, comparisons.

POINTS is a table (.csv, .tsv, .jsonl, .parquet; a row a point), a description of
one (.yaml, or the name of a packaged one), a folder of run directories or of
offline wandb runs, or wandb:ENTITY/PROJECT.

archscale fit points.csv --x compute --y loss --group arch
archscale fit points.csv --x tokens --y loss --predict 1e12 --json
archscale fit points.csv --x tokens --y loss --where arch=sambay
archscale fit N_D.csv --law chinchilla --x N,D --y loss --loss huber-log:1e-3
archscale fit C.csv --x N,D --y loss --law chinchilla --derive 'D=C/(6*N)'
archscale fit wandb:team/project --x config.tokens --y summary.loss
"""


def fit_command(
    points: Points,
    law: Annotated[str | None, typer.Option(help="As in `archscale list law`. Default: power_offset.")] = None,
    x: Annotated[str | None, typer.Option(metavar="COL[,COL]", help="A column for each input of the law.")] = None,
    y: Annotated[str | None, typer.Option(metavar="COL", help="The column of the loss.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COL", help="One fit for each value of this column.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="ls, log-ls, huber:δ, huber-log:δ, lad or lad-log; all are sums. Default: ls.")
    ] = None,
    weights: Annotated[str | None, typer.Option(metavar="COL", help="How much each point counts.")] = None,
    clusters: Annotated[
        str | None, typer.Option(metavar="COL", help="What was not measured independently, for bootstraps.")
    ] = None,
    interval: Annotated[str | None, typer.Option(help="How intervals are made. Default: profile.")] = None,
    level: Annotated[float | None, typer.Option(help="Confidence of the intervals. Default: 0.95.")] = None,
    holdout: Annotated[
        str, typer.Option(help="What is predicted from the rest: largest, each, last:K, COL=VALUE, COL>=VALUE or none.")
    ] = "largest",
    holdout_size: Annotated[
        str | None, typer.Option(metavar="COL", help="What makes a scale large. Default: x, or the product of all x.")
    ] = None,
    where: Where = None,
    derive: Derive = None,
    drop_highest: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Leave out the N highest losses of each group.")
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(metavar="X[,X]", help="The fitted loss there; for several inputs one value each. Repeatable."),
    ] = None,
    filters: Annotated[
        str | None, typer.Option(metavar="JSON", help="Which runs of a wandb project, as its API writes it.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    from dataclasses import replace

    from rich.table import Table

    from archscale.commands.columns import given, read_named
    from archscale.commands.fit_json import results_json
    from archscale.commands.fit_results import Request, fit_table
    from archscale.commands.fit_tables import fit_tables

    table = read_named(points, where=where, derive=derive, filters=_filters(filters), data=data)
    said = table.fit
    names = tuple(_parts("--x", x)) if x else said.x_names
    request = Request(
        law=law or said.law or "power_offset",
        x=given("--x", names, table.frame.columns),
        y=given("--y", y or said.y, table.frame.columns),
        group=group or said.group,
        loss=loss or said.loss or "ls",
        interval=interval or said.interval or "profile",
        level=level if level is not None else said.level or 0.95,
        holdout=holdout,
        holdout_size=holdout_size,
        weights=weights or said.weights,
        clusters=clusters or said.clusters,
        predict=_places(predict or [], inputs=len(names)),
    )
    if drop_highest is not None:
        table = replace(table, rules=replace(table.rules, drop_highest=drop_highest))
    results = fit_table(table, request)
    if as_json:
        print_json(results_json(results))
        return
    screen = console()
    for part in fit_tables(results):
        if isinstance(part, Table):
            screen.print()
        screen.print(part)


fit_command.__doc__ = HELP


def _parts(option: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise UserError(f"{option} {text!r}: write names with commas between them, e.g. {option} N,D")
    return parts


def _places(texts: list[str], *, inputs: int) -> tuple[tuple[float, ...], ...]:
    """One input: every number is a place. Several: the numbers of one option are one place."""
    found: list[tuple[float, ...]] = []
    for text in texts:
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            raise UserError(f"--predict {text!r}: write numbers with commas between them, e.g. 1e21,1e22") from None
        found += [(number,) for number in numbers] if inputs == 1 else [numbers]
    return tuple(found)


def _filters(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--filters {text!r} is no JSON ({error.msg}): write e.g. '{{\"config.lr\": 0.001}}'") from None
    if not isinstance(value, dict):
        raise UserError(f"--filters {text!r}: write an object, e.g. '{{\"config.lr\": 0.001}}'")
    return value
