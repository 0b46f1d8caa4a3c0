import json

import pytest

from analysis.table import RunTable
from archscale.bench import report
from archscale.bench.report import ARCHITECTURES, SCALES, ReportTime, bench_report, make_study
from archscale.bench.tables import report_speed_table
from archscale.runlog.directory import RunDirectory
from archscale.terminal import console


def test_the_made_up_study_has_a_finished_run_for_every_cell(tmp_path):
    _, cells = make_study(tmp_path, 51)
    assert len(cells) == 2 * SCALES * len(ARCHITECTURES)
    table = RunTable.from_directories(RunDirectory(tmp_path / cell.run_id) for cell in cells[:: 2 * SCALES])
    assert set(table.runs["state"]) == {"finished"}
    assert set(table.runs["architecture"]) == set(ARCHITECTURES)


@pytest.mark.slow
def test_a_report_is_timed_from_files_and_from_the_table_and_writing_is_a_part_of_it(monkeypatch):
    monkeypatch.setattr(report, "ARCHITECTURES", ("samba", "sambay"))
    monkeypatch.setattr(report, "SCALES", 4)
    monkeypatch.setattr(report, "open_seconds", lambda page: float(page.exists()))
    rows = bench_report(8)
    assert [(row.read, row.runs, row.open_seconds) for row in rows] == [("files", 8, 1.0), ("cached table", 8, 1.0)]
    for row in rows:
        assert 0 < row.write_seconds < row.seconds
        assert row.page_bytes > 1e6


def test_the_table_says_each_time_and_where_no_browser_was(capsys):
    row = ReportTime(
        read="cached table", runs=1000, seconds=9.04, write_seconds=5.01, page_bytes=6_400_000, open_seconds=None
    )
    console().print(report_speed_table([row]))
    said = " ".join(capsys.readouterr().out.split())
    for part in ("1000", "9.0", "5.0", "6.4", "no browser", "writing"):
        assert part in said, (part, json.dumps(said))
