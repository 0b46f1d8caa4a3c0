import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.intervals import Interval
from analysis.optimum import Sweep, optima
from analysis.report.evidence import check_settings
from analysis.report.transfer import gather_transfer, movement_of
from analysis.report.transfer_interactive import panels
from analysis.report.transfer_series import limits_of, optimum_bars
from analysis.report.transfer_summary import span_swept
from analysis.report.write import read, write_report
from analysis.table import RunTable
from archscale.plan import recount
from archscale.registry import UserError
from archscale.spec import TransferSettings
from archscale.study import Study, expand, load_study
from tests.analysis import fake_runs
from tests.analysis.fake_runs import strict_json
from tests.analysis.page_reader import Page
from tests.analysis.sweeps_of_rates import MUP_PP, RATES, SP, WIDTHS, best_rate, spec_at, with_rates, write_sweeps

HEADER = {"name": "lr_transfer", "title": "T", "question": "Q"}


def transfer_of(table, **settings):
    return gather_transfer(table=table, missing=[], settings=TransferSettings(**settings))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_sweeps(tmp_path_factory.mktemp("runs"), noise=0.002, diverged_above=0.2)


@pytest.fixture(scope="module")
def out(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(**HEADER, table=table, missing=[], settings=TransferSettings(), out=folder)
    return folder


def test_movement_under_sp_and_none_under_mup_pp(table):
    found = transfer_of(table)
    assert list(found.sweeps) == ["SP", "μP++"]
    assert found.movements["SP"].factor == pytest.approx(best_rate(SP, 64) / best_rate(SP, 16), rel=0.15)
    assert found.movements["SP"].moves
    assert found.movements["SP"].slope.value == pytest.approx(-1, abs=0.15)
    assert found.movements["μP++"].factor == pytest.approx(1, rel=0.15)
    assert not found.movements["μP++"].moves
    assert 1.0 in found.movements["μP++"].interval
    start, end = (found.optima["SP"][width] for width in (16.0, 64.0))
    lost = 0.05 * math.log(start.x / end.x) ** 2
    assert found.movements["SP"].cost == pytest.approx(lost, rel=0.3)


@pytest.mark.parametrize(("moved", "tolerance"), [(-0.5, 1e-9), (-2.0, 0.03)])
def test_the_cost_of_a_rate_carried_over_is_read_where_it_was_measured(moved, tolerance):
    """Off the fitted points a straight line between two measured losses takes the place of the parabola."""
    t, moves = np.log(RATES), {16: 0.0, 64: moved}
    sweeps = {k: Sweep(x=np.array(RATES), y=2 + 0.05 * (t - t[4] - 0.1 - move) ** 2) for k, move in moves.items()}
    found = movement_of(optima(sweeps, level=0.95), sweeps)
    assert found.cost == pytest.approx(0.05 * moved**2, rel=tolerance)


def test_a_cost_that_is_not_swept_or_next_to_a_diverged_run_is_not_known():
    t = np.log(RATES)
    sweeps = {k: Sweep(x=np.array(RATES), y=2 + (t - t[centre] - 0.1) ** 2) for k, centre in ((16, 4), (64, 1))}
    shorter = {16: sweeps[16], 64: Sweep(x=sweeps[64].x[:4], y=sweeps[64].y[:4])}
    assert movement_of(optima(shorter, level=0.95), shorter).cost is None
    sweeps[64].y[5:] = np.inf
    assert movement_of(optima(sweeps, level=0.95), sweeps).cost is None


def test_options_make_another_group_and_titles_name_them(tmp_path):
    directories, rates = [], {}
    scaled = replace(MUP_PP, token_exponent=0.5)
    for rules in (MUP_PP, scaled):
        for rate in RATES[:5]:
            directory = fake_runs.write_run(tmp_path, spec_at(rules, 16, rate), loss=2.0 + (math.log(rate / 8e-3)) ** 2)
            directories.append(directory)
            rates[directory.run_id] = rate
    found = transfer_of(with_rates(RunTable.from_directories(directories), rates))
    assert list(found.sweeps) == ["μP++ (μP++: mup_pp)", "μP++ (μP++: mup_pp token_exponent=0.5)"]


def test_runs_that_differ_in_more_than_their_seed_are_not_averaged(tmp_path):
    directories = [
        fake_runs.write_run(tmp_path, spec_at(SP, 16, 2e-3, depth=depth, seed=seed))
        for depth, seed in ((8, 0), (8, 1), (12, 0))
    ]
    rates = {directory.run_id: 2e-3 for directory in directories}
    with pytest.raises(UserError, match=r"width 16, base_learning_rate 0.002.* differ in more than their seed"):
        transfer_of(with_rates(RunTable.from_directories(directories), rates))
    of_seeds = with_rates(RunTable.from_directories(directories[:2]), rates)
    assert transfer_of(of_seeds).sweeps["SP"][16.0].x.size == 2


def test_the_sentences_have_the_numbers_and_their_intervals(table):
    reading = read(table=table, missing=[], settings=TransferSettings())
    move = reading.runs.movements["SP"]
    summary = reading.summary
    assert f"{move.factor:.3g} under SP and {reading.runs.movements['μP++'].factor:.3g} under μP++" in summary.headline
    (line,) = [line for line in summary.establishes if line.startswith("Under SP")]
    assert f"factor of {move.factor:.3g} [{move.interval.low:.3g}, {move.interval.high:.3g}] from width 16" in line
    (line,) = [line for line in summary.establishes if line.startswith("Under μP++")]
    assert "which these runs cannot tell from staying where it is" in line
    assert any("3 runs diverged, shown at the top edge" in line for line in summary.missing)
    assert not any("parametrizations" in line for line in summary.drift)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.02, "[0.01, 0.02]"),
        (1e-9, 0.02, "[below 0.002, 0.02]"),
        (0.01, 3.0, "[0.01, above 0.128]"),
        (0.0, math.inf, "[not bounded]"),
    ],
)
def test_an_end_beyond_the_sweep_is_no_number(low, high, said):
    assert span_swept(Interval(low=low, high=high, level=0.95), RATES) == said


def test_an_open_end_is_said_and_not_numbered(tmp_path):
    runs = write_sweeps(tmp_path)
    kept = runs.runs[~((runs.runs["width"] == 64) & (runs.runs["base_learning_rate"] < 0.006))]
    curves = runs.curves[runs.curves["run_id"].isin(kept["run_id"])]
    reading = read(table=RunTable(runs=kept, curves=curves), missing=[], settings=TransferSettings())
    (line,) = [line for line in reading.summary.cannot_tell if "not bracketed" in line]
    assert line.startswith("Under SP at width 64")
    assert line.endswith("the lowest is at the smallest value swept, 0.008. Sweep lower.")
    assert reading.runs.movements["SP"].last == 32
    assert "over different ranges" in reading.summary.headline
    cells = [row for row in reading.tables["Best values"].rows if row[2].startswith("not bracketed")]
    assert [(row[0], row[1]) for row in cells] == [("SP", "64")]


def test_a_group_without_two_optima_is_in_the_headline(tmp_path):
    runs = write_sweeps(tmp_path)
    kept = runs.runs[~((runs.runs["variant"] == "SP: sp") & (runs.runs["base_learning_rate"] < 0.02))]
    curves = runs.curves[runs.curves["run_id"].isin(kept["run_id"])]
    headline = read(table=RunTable(runs=kept, curves=curves), missing=[], settings=TransferSettings()).summary.headline
    assert headline.startswith(
        "From width 16 to width 64 the best base learning rate moves by a factor of 1 under μP++."
    )
    assert headline.endswith("Under SP it is not bracketed at two of them.")


def test_fits_json_is_strict_and_holds_the_transfer(out, table):
    values = strict_json((out / "fits.json").read_text())
    found = transfer_of(table)
    for label, of_one in values["transfer"].items():
        assert [item["width"] for item in of_one["optima"]] == list(WIDTHS)
        for item in of_one["optima"]:
            assert item["x"] == found.optima[label][item["width"]].x
        assert of_one["movement"]["factor"] == found.movements[label].factor
    assert len(values["diverged"]) == 3
    assert len(values["points"]) == 2 * 3 * 7 - 3


def test_the_page_has_a_panel_a_group_and_every_run_in_it(out, table):
    page = Page((out / "report.html").read_text())
    found = transfer_of(table)
    for name, label in panels(found).items():
        figure = json.loads(page.by_id(f"figure-{name}").text)
        anchors = {run for trace in figure["data"] for run in trace.get("customdata", [])}
        assert anchors == {f"run-{run}" for run in found.measured.loc[found.measured["label"] == label, "run_id"]}
        assert page.by_id(name).text.strip().startswith(label)
    ids = {element.attributes.get("id") for element in page.elements}
    assert {"optima", "training", "runs"} <= ids
    assert {"Best values", "How far they move"} <= {element.text for element in page.all("h2")}
    assert "loss" not in ids


def test_figures_and_markdown_are_there(out):
    assert {path.stem for path in (out / "figures").iterdir()} == {"transfer", "optima", "training"}
    text = (out / "report.md").read_text()
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert all((out / image).is_file() for image in images)
    assert "| Base learning rate |" in text
    assert "## How far they move" in text


def test_every_optimum_lies_inside_the_axes_and_diverged_runs_at_their_top(table, out):
    found = transfer_of(table)
    limits = limits_of(found)
    for label in found.optima:
        for item in found.found(label).values():
            assert limits.x[0] < item.x < limits.x[1]
            assert limits.y[0] < item.y < limits.y[1]
    page = Page((out / "report.html").read_text())
    figure = json.loads(page.by_id("figure-transfer-1").text)
    heights = [
        y
        for trace in figure["data"]
        if isinstance(trace.get("marker", {}).get("symbol"), list)
        for y, symbol in zip(trace["y"], trace["marker"]["symbol"], strict=True)
        if symbol == "x-thin-open"
    ]
    assert heights == [pytest.approx(limits.y[1])] * 3


def test_bars_end_where_the_sweep_does(table):
    found = transfer_of(table)
    item = replace(found.optima["SP"][16.0], interval=Interval(low=0.0, high=math.inf, level=0.95))
    limits = limits_of(found)
    (x,), (down,), (up,) = optimum_bars([item], limits)
    assert (x - down, x + up) == pytest.approx(limits.x)


def test_a_study_along_depth_reads_its_column(tmp_path):
    directories, rates = [], {}
    for depth in (8, 12):
        for rate in RATES[:5]:
            spec = spec_at(MUP_PP, 16, rate, depth=depth)
            directory = fake_runs.write_run(tmp_path, spec, loss=2.0 + math.log(rate / (0.008 * 8 / depth)) ** 2)
            directories.append(directory)
            rates[directory.run_id] = rate
    found = transfer_of(with_rates(RunTable.from_directories(directories), rates), along="depth")
    assert found.movements["μP++"].factor == pytest.approx(8 / 12, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"x": "base_learning_rat"}, "base_learning_rate"),
        ({"along": "title"}, "column of numbers"),
        ({"group": "g"}, "column"),
    ],
)
def test_settings_are_checked_by_name(settings, said):
    with pytest.raises(UserError, match=said):
        check_settings(TransferSettings(**settings))


def test_without_base_learning_rates_the_next_step_is_named(table):
    blind = replace(table, runs=table.runs.assign(base_learning_rate=np.nan))
    with pytest.raises(UserError, match=r"positive base_learning_rate and width: transfer\.x"):
        transfer_of(blind)


@pytest.mark.parametrize("name", ["lr_transfer", "lr_transfer-tiny"])
def test_the_packaged_studies_widen_around_a_fixed_base(name):
    cells = expand(load_study(name), ["scale.base.learning_rate=4e-4", "seed=0"])
    scales = [cell.spec.scale for cell in cells]
    assert len({(scale.base_width, scale.base_depth, scale.depth) for scale in scales}) == 1
    assert len({(scale.num_heads / scale.width, scale.num_kv_heads / scale.width) for scale in scales}) == 1
    assert len({cell.spec.tokens for cell in cells}) == 1
    assert {cell.spec.parametrization.name for cell in cells} == {"sp", "mup", "mup_pp"}
    assert len(cells) == 3 * len({scale.width for scale in scales}) == 9


def test_a_report_gets_the_base_learning_rate_of_each_run_from_its_cell(tmp_path):
    small = ["scale=cpu", "data=python_stdlib", "scale.depth=12", "parametrization=mup_pp"]
    cells = expand(Study(name="s", overrides=tuple(small), product={"scale.base.learning_rate": [1e-3, 4e-3]}))
    table = RunTable.from_directories([fake_runs.write_spec(tmp_path, cell.spec) for cell in cells])
    assert table.runs["base_learning_rate"].isna().all()
    assert list(recount(table.runs, cells)["base_learning_rate"]) == [1e-3, 4e-3]
    assert not set(table.runs["learning_rate"]) & {1e-3, 4e-3}
