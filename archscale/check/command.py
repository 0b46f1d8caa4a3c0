"""`archscale check`: parses, calls, prints."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archscale.registry import UserError

check_app = typer.Typer(no_args_is_help=True, help="Prove a configuration before it is trained.")


@check_app.callback()
def check_options() -> None:
    """Keeps `coordinates` a command of its own while it is the only one."""


@check_app.command("coordinates")
def check_coordinates(
    arch: Annotated[str | None, typer.Option(metavar="A,B", help="Architectures. Default: all.")] = None,
    parametrization: Annotated[str, typer.Option(metavar="P,Q", help="As in `archscale list parametrization`.")] = (
        "mup_pp"
    ),
    axis: Annotated[str, typer.Option(metavar="AXES", help="width, depth, or both with a comma.")] = "width,depth",
    widths: Annotated[str, typer.Option(metavar="W,W", help="At the smallest depth.")] = "64,128,256",
    depths: Annotated[str, typer.Option(metavar="D,D", help="At the smallest width.")] = "8,16,32",
    steps: Annotated[int, typer.Option(help="Training steps before sizes are compared.")] = 4,
    seeds: Annotated[int, typer.Option(help="Models of each size.")] = 2,
    learning_rate: Annotated[float, typer.Option(help="Of the smallest model.")] = 2e-3,
    tolerance: Annotated[float, typer.Option(help="The largest slope that is called flat.")] = 0.25,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write figures and coordinates.json there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Do activations and their updates keep their size over width and depth? Exit status 1 where one does not."""
    from archscale.check.coordinates import CheckSettings, axis_named, check_coordinates
    from archscale.check.figure import write_check_figures
    from archscale.check.tables import check_json, parameter_table, verdict_table

    settings = CheckSettings(
        axes=tuple(axis_named(name) for name in _names("--axis", axis)),
        widths=_sizes("--widths", widths),
        depths=_sizes("--depths", depths),
        steps=steps,
        seeds=seeds,
        learning_rate=learning_rate,
        tolerance=tolerance,
    )
    if out is not None:
        _make_folder(out)
    archs = None if arch is None else _names("--arch", arch)
    console = Console(stderr=True)
    with console.status("") as status:
        report = check_coordinates(
            archs,
            _names("--parametrization", parametrization),
            settings,
            on_probe=lambda what, done, total: status.update(f"{what}, {done} of {total} done"),
        )
    written = json.dumps(check_json(report), indent=2, allow_nan=False)
    if as_json:
        typer.echo(written)
    else:
        screen = Console() if Console().is_terminal else Console(width=160)
        for table in (verdict_table(report), parameter_table(report)):
            if table is not None:
                screen.print(table)
    if out is not None:
        figures = write_check_figures(report, out)
        (out / "coordinates.json").write_text(written + "\n")
        names = ", ".join(figures)
        console.print(f"{out}: coordinates.json, {names}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if report.flat else 1)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: no folder can be made there ({error.strerror}), name another one") from None


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise UserError(f"{option} {text!r}: write names with commas between them, e.g. sambay,gdny")
    return list(dict.fromkeys(names))


def _sizes(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{option} {text!r}: write whole numbers with commas between them, e.g. 64,128,256") from None
