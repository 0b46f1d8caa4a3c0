import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.report.evaluation import Cell, gap_of, gather_evaluation
from analysis.report.evaluation_report import summarise_evaluation
from analysis.report.evidence import check_settings
from analysis.report.write import read, write_report
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.spec import EvaluateSettings
from tests.analysis import fake_runs
from tests.analysis.fake_runs import spec_of, strict_json, write_run
from tests.analysis.page_reader import Page

HEADER = {"name": "ablations", "title": "T", "question": "Q"}
LOSS = {("transformer_pp", 8): 2.0, ("transformer_pp", 12): 1.9, ("sambay", 8): 1.98, ("sambay", 12): 1.91}
# Two seeds ± these around each loss: a pooled standard deviation that is known.
OFFSETS = {8: 0.01, 12: 0.02}


def table_of(root, *, seeds=(0,), extra=()):
    runs = [
        write_run(root, spec_of(name, depth, seed=seed), loss=loss + OFFSETS[depth] * (-1) ** seed * (len(seeds) > 1))
        for (name, depth), loss in LOSS.items()
        for seed in seeds
    ]
    return RunTable.from_directories([*runs, *extra])


def reading_of(table, **settings):
    return read(table=table, missing=[], settings=EvaluateSettings(**settings))


def evaluation_of(table, **settings):
    return gather_evaluation(table=table, missing=[], settings=EvaluateSettings(**settings))


def test_cells_are_means_and_gaps_are_their_differences(tmp_path):
    found = evaluation_of(table_of(tmp_path, seeds=(0, 1)), baseline="transformer_pp")
    assert found.places == (8, 12)
    for (name, depth), loss in LOSS.items():
        cell = found.cells[fake_runs.TITLES[name]][depth]
        assert (cell.mean, cell.runs) == (pytest.approx(loss), 2)
    gaps = found.gaps["SambaY"]
    assert [gaps[depth].difference for depth in (8, 12)] == pytest.approx([-0.02, 0.01])
    assert set(found.gaps) == {"SambaY"}


def test_the_spread_is_pooled_over_cells_and_gives_the_two_sample_interval(tmp_path):
    found = evaluation_of(table_of(tmp_path, seeds=(0, 1)))
    # Of two values m ± d the variance is 2d², with one degree of freedom.
    variance = np.mean([2 * OFFSETS[depth] ** 2 for depth in (8, 8, 12, 12)])
    assert found.spread == pytest.approx(math.sqrt(variance))
    assert found.spread_degrees_of_freedom == 4
    interval = found.gaps["SambaY"][8].interval
    half = stats.t.ppf(0.975, 4) * math.sqrt(variance * (1 / 2 + 1 / 2))
    assert interval.high - interval.low == pytest.approx(2 * half)
    assert found.gaps["SambaY"][8].tied


def test_a_gap_of_no_difference_is_tied_as_often_as_its_level_says():
    """Simulated through the same arithmetic: two cells of three seeds and the same mean."""
    generator, tied, trials = np.random.default_rng(0), 0, 3000
    for _ in range(trials):
        y = generator.standard_normal((2, 3))
        spread = math.sqrt(((y - y.mean(1, keepdims=True)) ** 2).sum() / 4)
        cells = [Cell(mean=float(row.mean()), runs=3, diverged=0) for row in y]
        tied += bool(gap_of(*cells, spread, 4).tied)
    assert tied / trials == pytest.approx(0.95, abs=0.015)


def test_one_seed_a_cell_gives_no_spread_and_says_so(tmp_path):
    reading = reading_of(table_of(tmp_path))
    assert reading.runs.spread is None
    assert reading.runs.gaps["SambaY"][8].tied is None
    assert any("no difference can be told from chance" in line for line in reading.summary.cannot_tell)


def test_the_first_group_of_the_study_is_the_baseline_and_a_title_names_one_too(tmp_path):
    table = table_of(tmp_path)
    assert evaluation_of(table).baseline == "Transformer++"
    assert (
        evaluation_of(table, baseline="SambaY").baseline == evaluation_of(table, baseline="sambay").baseline == "SambaY"
    )


def test_a_leader_whose_seeds_diverged_is_called_so(tmp_path):
    lost = [fake_runs.write_diverged(tmp_path, spec_of("sambay", 8, seed=seed)) for seed in (1, 2)]
    summary = summarise_evaluation(evaluation_of(table_of(tmp_path, extra=lost)))
    assert "Seeds of the leader diverged at 1 of 2." in summary.headline
    assert any("At depth 8 SambaY (2 of 3 seeds diverged) is lowest" in line for line in summary.establishes)


def test_a_gap_within_the_noise_is_not_stated_without_it(tmp_path):
    summary = summarise_evaluation(evaluation_of(table_of(tmp_path, seeds=(0, 1)), baseline="transformer_pp"))
    (line,) = [line for line in summary.establishes if line.startswith("SambaY")]
    assert line.endswith(", within the noise of seeds at 2 of 2.")


def test_the_first_group_stands_in_for_a_baseline_without_a_finished_run(tmp_path):
    table = table_of(tmp_path)
    found = evaluation_of(table, baseline="gdny")
    assert found.baseline == "Transformer++"
    (line,) = [line for line in summarise_evaluation(found).cannot_tell if "gdny" in line]
    assert "no run of it has finished, and Transformer++ stands in for it" in line
    named = summarise_evaluation(evaluation_of(table, baseline="sambay"))
    assert not any("stands in" in line for line in named.cannot_tell)


def test_sentences_say_who_is_lowest_where_and_by_how_much(tmp_path):
    summary = reading_of(table_of(tmp_path)).summary
    assert "of 2 values of depth, SambaY at 1 and Transformer++ at 1" in summary.headline
    assert "At depth 8 SambaY is lowest with 1.9800, 0.0200 nats/token below Transformer++." in summary.establishes
    assert "SambaY against Transformer++: −0.0200 to +0.0100, below it at 8 and not elsewhere." in summary.establishes


def test_ties_are_named(tmp_path):
    summary = reading_of(table_of(tmp_path, seeds=(0, 1))).summary
    assert summary.headline.endswith("The lead over the next is within the noise of seeds at 2 of 2.")
    assert summary.establishes[0].endswith("below Transformer++, which is within the noise of seeds.")
    assert any(line.endswith("of Transformer++: SambaY at 8 and SambaY at 12.") for line in summary.cannot_tell)


def test_a_diverged_cell_has_no_number_and_is_named(tmp_path):
    diverged = fake_runs.write_diverged(tmp_path, spec_of("transformer_pp", 16))
    other = write_run(tmp_path, spec_of("sambay", 16), loss=1.8)
    reading = reading_of(table_of(tmp_path, extra=(diverged, other)))
    assert reading.runs.cells["Transformer++"][16].mean is None
    assert 16 not in reading.runs.gaps["SambaY"]
    missing = " ".join(reading.summary.missing)
    assert "Transformer++ has no value at depth 16: every run diverged." in missing
    assert "1 run diverged, named here but in no mean" in missing
    (row,) = [row for row in reading.tables["Side by side"].rows if row[0].startswith("Transformer++")]
    assert row[3] == "1 diverged"


def test_any_column_groups_and_any_column_is_x(tmp_path):
    table = table_of(tmp_path)
    by_depth = evaluation_of(table, x="architecture", group="depth")
    assert by_depth.places == ("transformer_pp", "sambay")
    assert list(by_depth.cells) == ["8", "12"]
    settings = table.runs.assign(setting=[f"window={k}" for k in range(4)])
    found = evaluation_of(replace(table, runs=settings), group="setting", x="window")
    assert list(found.cells) == [f"window={k}" for k in range(4)]
    assert found.places == (32,)


def test_runs_that_differ_in_more_than_their_seed_are_not_averaged(tmp_path):
    with pytest.raises(UserError, match=r"window 32\) and differ in more than their seed.*archscale report STUDY"):
        evaluation_of(table_of(tmp_path), x="window")


@pytest.mark.parametrize("settings", [{}, {"x": "window", "group": "depth"}, {"x": "architecture", "group": "depth"}])
def test_a_report_is_written_whatever_the_axes(tmp_path, settings):
    table = table_of(tmp_path / "runs", seeds=(0, 1))
    if settings.get("x") == "window":
        runs = table.runs[table.runs["architecture"] == "sambay"]
        table = RunTable(runs=runs, curves=table.curves[table.curves["run_id"].isin(runs["run_id"])])
    out = tmp_path / "out"
    write_report(**HEADER, table=table, missing=["never"], settings=EvaluateSettings(**settings), out=out)
    page = Page((out / "report.html").read_text())
    figure = strict_json(page.by_id("figure-evaluation").text)
    anchors = {run for trace in figure["data"] for run in trace.get("customdata", [])}
    assert anchors == {f"run-{run}" for run in table.runs["run_id"]}
    assert (out / "figures" / "evaluation.png").stat().st_size > 5000
    values = strict_json((out / "fits.json").read_text())
    assert {cell["runs"] for cell in values["evaluation"]["cells"]} == {2}
    assert "## Side by side" in (out / "report.md").read_text()


def test_the_numbers_of_the_json_are_those_of_the_cells(tmp_path):
    table = table_of(tmp_path, seeds=(0, 1))
    values = json.loads(json.dumps(reading_of(table).values["evaluation"]))
    for cell in values["cells"]:
        name = {title: name for name, title in fake_runs.TITLES.items()}[cell["group"]]
        assert cell["mean"] == pytest.approx(LOSS[name, cell["depth"]])
    assert [cell["gap"] is None for cell in values["cells"]] == [True, True, False, False]


@pytest.mark.parametrize(("settings", "said"), [({"y": "state"}, "column of numbers"), ({"x": "dept"}, "depth")])
def test_settings_are_checked_by_name(settings, said):
    with pytest.raises(UserError, match=said):
        check_settings(EvaluateSettings(**settings))
