"""`archscale bench fits` and `archscale bench coverage`."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from analysis.fit import fit
from archscale.bench.coverage import LEVEL, Simulated, coverage
from archscale.bench.designs import DESIGNS, find_design
from archscale.bench.fit_tables import fits_json, fits_table
from archscale.bench.fits import Figure, bench_fits, bench_refits
from archscale.bench.published import Held, PublishedFit, published_fits
from archscale.cli import app
from archscale.registry import UserError
from tests.analysis.published_data import published_folder
from tests.support.terminal import lines_at_80


@pytest.mark.parametrize("name", list(DESIGNS))
def test_profile_intervals_cover_as_often_as_they_say(name):
    """300 data sets of each design; a coverage of 87 to 93 % is refused in one of 1000 runs at most."""
    design = DESIGNS[name]
    (row,) = coverage(design, {"profile": 300})
    low, high = stats.binom.ppf([5e-4, 1 - 5e-4], 300, [0.87, 0.93]) / 300
    assert list(row.covered) == list(design.quantities)
    for quantity, share in row.covered.items():
        assert low <= share <= high, quantity


@pytest.mark.parametrize(("name", "count"), [("noisy", 30), ("outliers", 12), ("grid", 8)])
def test_what_a_profile_interval_holds_is_known_without_its_ends(name, count):
    design = DESIGNS[name]
    simulated = Simulated(design=design, y=design.simulate(count))
    held = simulated.profile_holds()
    for y, one in zip(simulated.y, held, strict=True):
        found = fit(design.law, design.x, y, loss=design.loss, level=LEVEL)
        low, high = found.band(4 * design.x.max(axis=0))
        truths = [design.truth[asked] in found.intervals[asked] for asked in design.asked]
        assert [*truths, bool(low[0] <= simulated.truths[2] <= high[0])] == one.tolist()
    assert held.any()
    assert count < 30 or not held.all()


def test_intervals_that_are_too_narrow_are_found_out():
    """A level of 50 % in place of 90 %: what the benchmark is for."""
    design = DESIGNS["noisy"]
    simulated = Simulated(design=design, y=design.simulate(400))
    limits = [curve.limit(0.5) for curve in map(simulated.curve, range(400))]
    covered = (simulated.pinned_objectives() <= np.array(limits)[:, None]).mean(axis=0)
    assert (np.abs(covered - 0.5) < 3 * math.sqrt(0.25 / 400)).all()


def test_wald_and_bootstraps_are_measured_on_the_same_data():
    rows = coverage(DESIGNS["quiet"], {"profile": 40, "wald": 40, "pairs": 3, "wild": 0})
    assert [(row.method, row.simulations) for row in rows] == [("profile", 40), ("wald", 40), ("pairs", 3)]
    # With little noise the law is nearly linear, where profile and Wald intervals are the same.
    assert rows[0].covered == rows[1].covered
    assert rows[0].error == pytest.approx(math.sqrt(0.09 / 40))


def test_designs_simulate_what_they_state():
    design = DESIGNS["outliers"]
    y = design.simulate(2000)
    np.testing.assert_array_equal(design.simulate(3), y[:3])
    noise = (y - design.heights(design.x)).ravel()
    assert np.var(noise) == pytest.approx(design.noise**2 * (0.9 + 0.1 * 100), rel=0.1)
    assert "16 points" in design.said
    assert "10 % of points 10 ×" in design.said
    with pytest.raises(UserError, match="unknown design 'nosy'.*noisy"):
        find_design("nosy")
    assert replace(design, outliers=0.0).simulate(500).std(axis=0).mean() == pytest.approx(0.01, rel=0.1)


def test_a_figure_agrees_when_it_rounds_to_what_was_printed():
    assert Figure(name="b", published="0.44", found=0.4449).agrees
    assert not Figure(name="b", published="0.44", found=0.4451).agrees
    assert Figure(name="objective", published="1.018274e-3", found=1.0182740178e-3).agrees
    assert not Figure(name="objective", published="1.018274e-3", found=1.018275e-3).agrees
    assert Figure(name="b", published="2.0", found=2.1).difference == pytest.approx(0.05)


def test_a_published_fit_says_its_figures_of_ours():
    x = np.geomspace(1, 64, 6)
    goal = Held(name="far", x=np.array(1000.0), actual=1.8, predicted="1.752", error_percent="2.7")
    printed = PublishedFit(
        data="d", name="n", law="power_offset", loss="ls", x=x, y=2 * x**-0.3 + 1.5, figures={"b": "0.30"}, held=(goal,)
    )
    found = list(printed.found(fit("power_offset", x, printed.y)))
    value = 2 * 1000**-0.3 + 1.5
    assert [(name, text) for name, text, _ in found] == [("b", "0.30"), ("far", "1.752"), ("far, %", "2.7")]
    np.testing.assert_allclose([ours for *_, ours in found], [0.3, value, 100 * abs(value / 1.8 - 1)], rtol=1e-9)


def test_thousands_of_refits_are_counted_and_timed():
    row = bench_refits(50)
    assert row.refits == 50
    assert row.seconds > 0


@pytest.fixture(scope="module")
def published():
    if not published_folder().is_dir():
        pytest.skip(f"no published data at {published_folder()}: set ARCHSCALE_PUBLISHED_DATA")
    found, absent = published_fits(published_folder())
    assert not absent
    return found


def test_published_figures_are_ours_but_for_those_whose_reason_is_known(published):
    """One run of the μP series diverged; least deviations were published from a δ of their own, good to 2e-5."""
    few = [one for one in published if one.data in ("archscale_sambay", "besiroglu2024", "openlm_gadre2024")]
    rows = bench_fits(few)
    differ = {(row.name, figure.name) for row in rows for figure in row.figures if not figure.agrees}
    assert differ == {("tie/muP", name) for name in "AbC"} | {
        ("least deviations", name) for name in ("A", "B", "E", "alpha", "beta")
    }
    lines = _lines(fits_table(rows))
    assert max(map(len, lines)) <= 80
    assert sum("%" in line for line in lines) == len(differ) + 2
    json.dumps(fits_json(rows, bench_refits(5), ["x: no x.csv"]), allow_nan=False)


@pytest.mark.slow
def test_every_file_of_published_data_is_fitted(published):
    rows = bench_fits(published)
    assert {row.data for row in rows} == {path.name for path in published_folder().iterdir() if path.is_dir()}
    assert max(map(len, _lines(fits_table(rows)))) <= 80
    # Rounded in the README from 22.837, which no optimum within half a unit of its last digit reaches.
    assert ("marin_202603 dclm llama_2", "mean · 1e6") in {
        (row.name, figure.name) for row in rows for figure in row.figures if not figure.agrees
    }


def test_files_that_are_absent_are_named(tmp_path):
    found, absent = published_fits(tmp_path)
    assert found == []
    assert len(absent) == 5
    assert absent[1].startswith("besiroglu2024: no ")


def _lines(table):
    screen = Console(width=80, file=io.StringIO())
    screen.print(table)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def test_the_json_of_coverage_names_designs_and_shares():
    done = CliRunner().invoke(
        app,
        ["bench", "coverage", "quiet", "--simulations", "20", "--bootstraps", "0", "--json"],
        catch_exceptions=False,
    )
    found = json.loads(done.stdout)
    assert found["level"] == LEVEL
    assert list(found["designs"]) == ["quiet"]
    assert {row["method"] for row in found["rows"]} == {"profile", "wald"}
    assert set(found["rows"][0]["covered"]) == {"b", "C", "4×"}


def test_the_table_of_coverage_fits_80_columns():
    lines = lines_at_80("bench", "coverage", "quiet", "outliers", "--simulations", "20", "--bootstraps", "0")
    assert any(line.startswith("outliers  profile") for line in lines)
    assert any("huber:0.0134" in line for line in lines)


def test_a_folder_without_published_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("ARCHSCALE_PUBLISHED_DATA", raising=False)
    for arguments in ([], ["--data", str(tmp_path / "none")]):
        done = CliRunner().invoke(app, ["bench", "fits", *arguments])
        assert isinstance(done.exception, UserError) or "published data" in done.output
