"""`archscale bench`: parses, calls, prints."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from archscale.terminal import AsJson, console, print_json

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed and memory on this machine.")


@bench_app.command("train")
def bench_train(
    architectures: Annotated[
        list[str] | None, typer.Argument(help="Which, the first being what others are compared with. Default: all.")
    ] = None,
    parameters: Annotated[
        str, typer.Option(help="Non-embedding parameters; widths are solved for it. Several: 1e6,4e6.")
    ] = "1e6",
    depth: Annotated[int, typer.Option(help="Layers.")] = 8,
    heads: Annotated[int, typer.Option(help="Query heads.")] = 8,
    head_dim: Annotated[int, typer.Option(help="Size of a head.")] = 16,
    length: Annotated[int, typer.Option(help="Tokens a sequence.")] = 512,
    sequences: Annotated[int, typer.Option(help="Sequences a step.")] = 4,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    rounds: Annotated[int, typer.Option(help="Steps each is timed for.")] = 5,
    window: Annotated[int, typer.Option(help="Tokens that windowed attention sees, in every architecture.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add the speeds to this file, for cluster.calibration=FILE.")
    ] = None,
    by_token: Annotated[
        bool, typer.Option(help="Also time recurrences run token by token, and every operator's definition.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Time training steps of architectures of equal size, and the operators they are made of."""
    from archscale.bench.calibrate import bench_sizes
    from archscale.bench.tables import bench_json, operator_table, train_table
    from archscale.bench.train import TrainSettings, sizes

    settings = [
        TrainSettings(
            parameters=size,
            depth=depth,
            heads=heads,
            head_dim=head_dim,
            sequence_length=length,
            sequences=sequences,
            threads=threads,
            rounds=rounds,
            window=window,
            device=device,
            precision=precision,
            by_token=by_token,
        )
        for size in sizes(parameters)
    ]
    reports = bench_sizes(architectures, settings, calibration)
    if as_json:
        found = [bench_json(report) for report in reports]
        print_json(found[0] if len(found) == 1 else found)
        return
    for report in reports:
        console().print(train_table(report))
        if report.operators:
            console().print(operator_table(report))


@bench_app.command("plan")
def bench_plan_speed(
    cells: Annotated[int, typer.Option(min=1, help="Cells of the study that is planned.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Time the planning of a large study, of few shapes and of as many widths as cells, and its memory."""
    from archscale.bench.plan import bench_plan
    from archscale.bench.tables import plan_speed_table

    found = bench_plan(cells)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    console().print(plan_speed_table(found))


@bench_app.command("memory")
def bench_memory(
    architectures: Annotated[list[str] | None, typer.Argument(help="Which; all packaged ones without.")] = None,
    resident: Annotated[bool, typer.Option(help="Also what a process of its own takes; Linux only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the peak memory of training steps on this CPU, against what `plan` predicts."""
    from archscale.bench.memory import bench_memory
    from archscale.bench.tables import memory_json, memory_table

    rows = bench_memory(architectures, resident=resident)
    if as_json:
        print_json(memory_json(rows))
        return
    console().print(memory_table(rows))


@bench_app.command("report")
def bench_report_speed(
    runs: Annotated[int, typer.Option(min=5, help="Runs of the study that is reported.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Time the report of a large study: reading its runs, reading the cached table, and opening the page."""
    from archscale.bench.report import bench_report
    from archscale.bench.tables import report_speed_table

    found = bench_report(runs)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    console().print(report_speed_table(found))


@bench_app.command("tools")
def bench_tools(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="Which cases; all without.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Published data. Default: $ARCHSCALE_PUBLISHED_DATA.")
    ] = None,
    starts: Annotated[
        int, typer.Option(min=1, help="Starts of chinchilla for each of its parameters; its documentation has 5.")
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Fit the same points with the public fitting tools that are installed here, and with ours."""
    from archscale.bench.tool_cases import cases
    from archscale.bench.tool_tables import numbers_table, parameters_table, remarks, tools_json
    from archscale.bench.tools import compare_tools, tools

    found, absent = cases(data, names)
    rows, missing = compare_tools(found, tools(starts))
    if as_json:
        print_json(tools_json(rows, [*absent, *missing]))
        return
    for case in found:
        of_case = [row for row in rows if row.case == case.name]
        console().print(numbers_table(case, of_case))
        console().print(parameters_table(case, of_case))
        for line in [*remarks(of_case), ""]:
            console().print(line, markup=False, highlight=False)
    for line in [*absent, *missing]:
        console().print(line, markup=False, highlight=False)


@bench_app.command("fits")
def bench_fits_speed(
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Published data. Default: $ARCHSCALE_PUBLISHED_DATA.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Repeat published fits: their figures and ours side by side, and the seconds each fit takes."""
    from archscale.bench.fit_tables import fits_json, fits_table, refits_line
    from archscale.bench.fits import bench_fits, bench_refits
    from archscale.bench.published import data_folder, published_fits

    published, absent = published_fits(data_folder(data))
    rows, refits = bench_fits(published), bench_refits()
    if as_json:
        print_json(fits_json(rows, refits, absent))
        return
    console().print(fits_table(rows))
    for line in [refits_line(refits), *absent]:
        console().print(line, markup=False, highlight=False)


@bench_app.command("coverage")
def bench_coverage(
    names: Annotated[list[str] | None, typer.Argument(metavar="[DESIGN]...", help="Which; all without.")] = None,
    simulations: Annotated[int, typer.Option(min=0, help="Data sets of each design, for profile and wald.")] = 1000,
    bootstraps: Annotated[
        int, typer.Option(min=0, help="Of them, for the bootstraps, whose every interval is 1000 refits.")
    ] = 200,
    as_json: AsJson = False,
) -> None:
    """Measure how often intervals hold the truth, on made-up data of stated designs."""
    from archscale.bench.coverage import coverage
    from archscale.bench.designs import DESIGNS, find_design
    from archscale.bench.fit_tables import coverage_json, coverage_table

    designs = [find_design(name) for name in names or DESIGNS]
    counts = {"profile": simulations, "wald": simulations, "pairs": bootstraps, "wild": bootstraps}
    rows = [row for design in designs for row in coverage(design, counts)]
    if as_json:
        print_json(coverage_json(rows, designs))
        return
    console().print(coverage_table(rows, designs))
