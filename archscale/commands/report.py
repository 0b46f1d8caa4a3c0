"""`archscale report`: of a study's runs, or of any table of points."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archscale.registry import UserError, unknown
from archscale.terminal import console

if TYPE_CHECKING:
    from analysis.points import PointTable
    from archscale.spec import FitSettings

TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

Target = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|TABLE",
        help="A study by name or YAML; a table (.csv, .jsonl, .parquet), its description in YAML, or a published one.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Of a study: KEY=VALUE in Hydra's grammar, e.g. scale.depth=12.", show_default=False),
]


def report(
    target: Target,
    overrides: Overrides = None,
    x: Annotated[str | None, typer.Option(metavar="COLUMN[,COLUMN]", help="Of a table: the inputs of the law.")] = None,
    y: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of a table: the loss.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of a table: one fit a value of it.")] = None,
    law: Annotated[str | None, typer.Option(help="Of a table, as in `archscale list law`.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="Of a table: ls, log-ls, huber:δ, huber-log:δ, lad, lad-log.")
    ] = None,
    level: Annotated[float | None, typer.Option(help="Of a table: confidence of its intervals, 0.95.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of a published table: the folder that holds its data set.")
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", envvar="ARCHSCALE_ROOT", help="Folder of runs, prepared data and reports.")
    ] = Path("runs"),
) -> None:
    """Answer a question from runs or points: write report.html, report.md, fits.json and the figures."""
    choices = {"x": x, "y": y, "group": group, "law": law, "loss": loss, "level": level}
    given = {name: value for name, value in choices.items() if value is not None}
    if is_table(target):
        if overrides:
            raise UserError(f"{overrides[0]}: overrides are for studies; a table takes --x, --y, --group and --law")
        paths = _report_tables(target, given, data, root)
    elif given or data:
        option = next(iter(given), "data")
        raise UserError(f"--{option} is for tables; what a study fits stands in its YAML, under fit:")
    else:
        paths = [_report_study(target, overrides or [], root)]
    for path in paths:
        console().print(f"report: {path.resolve()}", highlight=False, soft_wrap=True)


def is_table(target: str) -> bool:
    from analysis.report.published import is_description, published_names

    path = Path(target)
    if path.suffix in (".yaml", ".yml"):
        return is_description(path)
    ending = path.suffix.lower() in TABLE_ENDINGS
    return ending or path.is_dir() or target.startswith("wandb:") or target in published_names()


def _report_tables(target: str, given: Mapping[str, Any], data: Path | None, root: Path) -> list[Path]:
    from analysis.report.published import description, descriptions_of, published_names
    from analysis.report.write import write_table_report
    from analysis.sources import read_points
    from archscale.paths import study_folder

    folder = Path(target)
    sources: list[Path] | list[str]
    if target in published_names():
        sources = [description(target)]
    elif folder.is_dir() and (folder / "points.csv").is_file():
        sources, data = descriptions_of(folder), folder.resolve().parent
    else:
        sources = [target]
    reports = []
    for source in sources:
        points = read_points(str(source), data=data)
        reports.append(write_table_report(points, _settings(points, given), study_folder(root, points.name)))
    return reports


def _settings(points: "PointTable", given: Mapping[str, Any]) -> "FitSettings":
    """What the description says, overruled by the command line."""
    from archscale.spec import FitSettings, from_mapping

    said = {name: getattr(points.fit, name) for name in ("law", "x", "y", "group", "level", "loss", "interval")}
    chosen = {name: value for name, value in said.items() if value is not None} | dict(given)
    for name in ("x", "y"):
        if name not in chosen:
            raise UserError(f"{points.source}: no column for --{name}; there are {', '.join(map(str, points.frame))}")
    inputs = chosen["x"].split(",") if isinstance(chosen["x"], str) else list(chosen["x"])
    chosen["x"] = inputs[0]
    if len(inputs) > 1:
        chosen["inputs"] = inputs
    return from_mapping(FitSettings, {"group": "", **chosen}, where=points.source)


def _report_study(study: str, overrides: list[str], root: Path) -> Path:
    from analysis.report.published import published_names
    from analysis.report.write import write_report
    from analysis.run_cache import read_runs
    from archscale.launch.state import observe_cells
    from archscale.paths import study_folder
    from archscale.plan import recount
    from archscale.runlog.directory import RunDirectory
    from archscale.study import expand, is_study, load_study, study_names

    if not is_study(study):
        raise unknown("study or table", study, [*study_names(), *published_names()])
    loaded = load_study(study)
    cells = expand(loaded, overrides)
    states = {state.run_id: state.state for state in observe_cells(cells, root)}
    present = [RunDirectory(root / cell.run_id) for cell in cells if (root / cell.run_id / "spec.json").exists()]
    table = read_runs(present, states, cache=study_folder(root, loaded.name) / "runs.cache")
    return write_report(
        name=loaded.name,
        title=loaded.title or loaded.name,
        question=loaded.question,
        table=replace(table, runs=recount(table.runs, cells)),
        missing=[identity for identity, state in states.items() if state not in ("finished", "diverged")],
        settings=loaded.reading,
        out=study_folder(root, loaded.name),
    )
