"""The command line: parses, calls, prints. Errors of the user end in one line and exit status 2."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from archscale import __version__
from archscale.bench.command import bench_app
from archscale.check.command import check_app
from archscale.commands.advise import advise_command
from archscale.commands.fit import fit_command
from archscale.commands.isoflop import isoflop_command
from archscale.commands.report import report
from archscale.paths import USER_CONF
from archscale.registry import UserError
from archscale.terminal import AsJson, console, print_json

if TYPE_CHECKING:
    from archscale.plan import Standing
    from archscale.study import Cell, StudyCell

app = typer.Typer(
    name="archscale",
    help="From a study file to a scaling-law report with honest error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Root = Annotated[
    Path, typer.Option("--root", envvar="ARCHSCALE_ROOT", help="Folder of runs, prepared data and reports.")
]
StudyName = Annotated[str, typer.Argument(help="A packaged study (`archscale list study`) or a path to your own YAML.")]
Target = Annotated[str, typer.Argument(help="A study, or a run id, or the beginning or the hash of one.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="KEY=VALUE in Hydra's grammar, e.g. arch=sambay scale.depth=12.", show_default=False),
]
DEFAULT_ROOT = Path("runs")


@app.callback(invoke_without_command=True)
def archscale_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    conf: Annotated[
        Path | None,
        typer.Option("--conf", envvar=USER_CONF, help="Folder with your own arch/, scale/, data/ … YAML files."),
    ] = None,
) -> None:
    if conf is not None:
        os.environ[USER_CONF] = str(conf)
    if version:
        print(f"archscale {__version__}")
        raise typer.Exit


@app.command()
def train(
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("-m", "--multirun", help="Commas and ranges make several runs: arch=a,b scale.depth=8,12.")
    ] = False,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Train one run here, or several with -m. A run that is already finished is not repeated."""
    from archscale.study import Study, expand, expand_multirun

    given = overrides or []
    cells = expand_multirun(given) if multirun else expand(Study(name="train"), given)
    raise typer.Exit(_launch("train", cells, given, root))


@app.command()
def sweep(study: StudyName, overrides: Overrides = None, root: Root = DEFAULT_ROOT) -> None:
    """Run what a study is still missing. Interrupt it at any moment; the next call goes on from there."""
    from analysis.report.evidence import check_settings
    from archscale.plan import check_budget
    from archscale.study import expand, load_study

    loaded = load_study(study)
    check_settings(loaded.reading)
    cells = expand(loaded, overrides or [])
    check_budget(loaded, cells, _standing(cells, root))
    raise typer.Exit(_launch(loaded.name, cells, [*loaded.overrides, *(overrides or [])], root))


@app.command()
def plan(
    study: StudyName,
    overrides: Overrides = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match-parameters",
            metavar="N|ARCH",
            help="Solve every width for N non-embedding parameters, or for as many as ARCH has at the cell's depth.",
        ),
    ] = None,
    multiple: Annotated[
        int | None, typer.Option("--width-multiple", metavar="M", help="Round solved widths to multiples of M.")
    ] = None,
    as_json: AsJson = False,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Show a study as tables before anything runs: widths, parameters, tokens, learning rates, FLOPs, memory, cost."""
    from analysis.report.evidence import check_settings
    from archscale.plan import matching, plan_json, plan_tables, speed_lines
    from archscale.plan import plan as make_plan
    from archscale.study import load_study

    loaded = load_study(study)
    check_settings(loaded.reading)
    matched = matching(match, multiple, overrides or [])
    given = [*(overrides or []), *matched]
    planned = make_plan(loaded, given, lambda cells: _standing(cells, root))
    if as_json:
        print_json(plan_json(planned))
        return
    terminal = console()
    for table in plan_tables(planned):
        print(table)
    for line in [*speed_lines(planned), *(f"note: {note}" for note in planned.notes)]:
        terminal.print(line, highlight=False, markup=False)
    if planned.over_budget:
        terminal.print(f"over budget: {planned.over_budget}", highlight=False, markup=False)
    if matched:
        trains = shlex.join(["archscale", "sweep", study, *given])
        terminal.print(f"to train these: {trains}", highlight=False, markup=False)


@app.command()
def status(
    study: StudyName,
    overrides: Overrides = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until no run is running.")] = False,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Show where every run of a study stands."""
    from rich.live import Live

    from archscale.display import status_table
    from archscale.launch.state import observe_cells, states_json
    from archscale.study import expand, load_study

    loaded = load_study(study)
    cells = expand(loaded, overrides or [])
    states = observe_cells(cells, root)
    if as_json:
        print_json(states_json(loaded.name, states))
        return
    if not watch:
        console().print(status_table(cells, states, loaded.name))
        return
    with Live(status_table(cells, states, loaded.name), console=console(), refresh_per_second=2) as live:
        while any(state.state == "running" for state in states):
            time.sleep(1)
            states = observe_cells(cells, root)
            live.update(status_table(cells, states, loaded.name))


@app.command()
def logs(
    run: Annotated[str, typer.Argument(help="A run id, or the beginning or the hash at the end of one.")],
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 40,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Print the log of a run's newest attempt; the traceback of a failed run is at its end."""
    from archscale.runlog.directory import find_run

    directory = find_run(root, run)
    path = directory.log_path()
    if path is None:
        raise UserError(f"run {directory.run_id} has no log yet: it has not been started")
    console().print(f"[dim]{path}[/]")
    print("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))


@app.command()
def cancel(target: Target, overrides: Overrides = None, root: Root = DEFAULT_ROOT) -> None:
    """Ask running runs to save a checkpoint and stop. A later sweep goes on from there."""
    from archscale.launch.control import cancel_runs, cells_of

    for line in cancel_runs(cells_of(target, overrides or [], root), root):
        console().print(line, highlight=False)


@app.command()
def retry(target: Target, overrides: Overrides = None, root: Root = DEFAULT_ROOT) -> None:
    """Run failed runs again, from their checkpoints. Diverged runs stay: they are data."""
    from archscale.launch.control import cells_of, reopen_failed
    from archscale.plan import check_budget
    from archscale.study import expand, is_study, load_study

    cells: Sequence[Cell]
    if is_study(target):
        cells = expand(load_study(target), overrides or [])
        check_budget(load_study(target), cells, _standing(cells, root))
    else:
        cells = cells_of(target, [], root)
    if not reopen_failed(cells, root):
        console().print(f"{target} has no failed runs")
        return
    fixed = load_study(target).overrides if is_study(target) else ()
    raise typer.Exit(_launch(target, cells, [*fixed, *(overrides or [])], root))


app.command()(report)
app.command("fit")(fit_command)
app.command("isoflop")(isoflop_command)
app.command("advise")(advise_command)
app.add_typer(bench_app, name="bench")
app.add_typer(check_app, name="check")


@app.command(name="list")
def list_choices(
    kind: Annotated[str, typer.Argument(help="arch, study, law, parametrization, scale, data, mixer, …")],
    overrides: Overrides = None,
    as_table: Annotated[
        bool, typer.Option("--table", help="Of parametrization: what its rules give in the cell of the overrides.")
    ] = False,
) -> None:
    """List what can be chosen by name."""
    from archscale.choices import choices_of, rules_table

    if as_table or overrides:
        console().print(rules_table(kind, overrides or [], as_table=as_table))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    for row in choices_of(kind):
        table.add_row(*row)
    console().print(table)


def _standing(cells: "Sequence[StudyCell]", root: Path) -> "Standing":
    """What runs under `root` have done of these cells, and how many go on at once."""
    from archscale.launch import local  # noqa: F401  # registers the executor
    from archscale.launch.executor import EXECUTORS
    from archscale.launch.state import observe_cells
    from archscale.plan import Standing
    from archscale.runlog.directory import RunDirectory
    from archscale.trunks import kept_steps

    cluster, threads = cells[0].config.cluster, cells[0].spec.execution.threads
    slots = EXECUTORS[cluster.name](cluster).slots(threads)
    states = observe_cells(cells, root) if root.is_dir() else []
    left, began = {}, {}
    for state in states:
        directory, over = RunDirectory(root / state.run_id), state.state in ("finished", "diverged")
        # A process that was killed before its first checkpoint has left nothing to go on from.
        if over or state.holder is not None or directory.checkpoint_path.exists():
            left[state.run_id] = 0.0 if over else 1 - state.step / state.steps
            began[state.run_id] = directory.provenance().get("trunk", {}).get("step", 0)
    return Standing(left=left, began=began, kept=kept_steps(root), parallel_runs=slots)


def _launch(name: str, cells: "Sequence[Cell]", overrides: list[str], root: Path) -> int:
    """Run cells through the orchestrator under a live display; the exit status of the command."""
    from archscale.compose import load_config
    from archscale.display import LiveDisplay, failures, status_table
    from archscale.launch import local  # noqa: F401  # registers the executor
    from archscale.launch.executor import EXECUTORS
    from archscale.launch.orchestrator import Orchestrator
    from archscale.study import StudyCell, plain_overrides

    # Without what the cells add, a study's overrides need not be a configuration.
    clusters = [cell.config.cluster for cell in cells if isinstance(cell, StudyCell)]
    cluster = clusters[0] if clusters else load_config(plain_overrides(overrides)).cluster
    executor = EXECUTORS[cluster.name](cluster)
    terminal = console()
    orchestrator = Orchestrator(root=root, cells=cells, executor=executor, restarts=cluster.restarts)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, _interrupt)
    with LiveDisplay(cells, terminal) as display:
        stopped = False
        try:
            states = orchestrator.run(display.watch)
        except KeyboardInterrupt:
            stopped = True
            terminal.print("stopping: every run saves a checkpoint; the same command goes on from there")
            states = orchestrator.stop(display.watch)
            if any(state.state == "running" for state in states):
                terminal.print("runs that another sweep started go on: `archscale cancel` stops them too")
    terminal.print(status_table(cells, states, name))
    if not stopped:
        for line in failures(states, root):
            terminal.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0 if all(state.state in ("finished", "diverged") for state in states) else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except (UserError, OSError) as error:
        # An OSError that gets here names the file that could not be read or written: --root, --conf, a study.
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
