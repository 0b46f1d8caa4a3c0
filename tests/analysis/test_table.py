from dataclasses import replace

import pytest

from analysis.columns import COLUMNS, CURVE_COLUMNS
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.runlog.directory import RunDirectory
from archscale.runlog.metrics import MetricsFile
from tests.analysis import fake_runs
from tests.analysis.fake_runs import spec_of, write_run


@pytest.fixture
def troubled(tmp_path):
    return fake_runs.write_troubled_study(tmp_path)


def test_a_row_holds_what_the_spec_the_result_and_the_provenance_say(tmp_path):
    spec = spec_of("sambay", 12)
    directory = write_run(tmp_path, spec)
    (row,) = RunTable.from_directories([directory]).records()
    assert row["run_id"] == directory.run_id
    assert (row["architecture"], row["title"]) == ("sambay", "SambaY")
    assert (row["depth"], row["width"], row["seed"]) == (12, 48, 0)
    assert row["parameters"] == 12 * 12 * 48**2 + 256 * 48
    assert row["tokens"] == spec.optim.steps * 2048
    assert row["compute"] == 6.0 * row["parameters"] * row["tokens"]
    assert row["validation_loss"] == fake_runs.loss_of(spec)
    assert row["git_commit"] == fake_runs.COMMIT
    assert not row["git_dirty"]
    assert (row["archscale_version"], row["torch_version"]) == ("0.1.0", "2.13.0")
    assert (row["state"], row["attempts"], row["corpus_hash"]) == ("finished", 1, "a3f1")
    assert row["path"] == str(directory.path)


def test_the_columns_are_the_declared_ones_and_each_has_a_meaning(troubled):
    table = RunTable.from_directories(troubled)
    assert list(table.runs.columns) == list(COLUMNS)
    assert list(table.curves.columns) == list(CURVE_COLUMNS)
    assert all(column.meaning for column in COLUMNS.values())
    assert COLUMNS["validation_loss"].label == "Validation loss (nats/token)"


def test_unfinished_and_diverged_runs_stay_in_the_table_and_out_of_the_fit(troubled):
    table = RunTable.from_directories(troubled)
    assert len(table.runs) == 11
    diverged, failed, pending = (directory.run_id for directory in troubled[-3:])
    assert table.left_out() == {diverged: "diverged", failed: "failed", pending: "pending"}
    points = table.fit_points()
    assert len(points) == 8
    assert not set(points["run_id"]) & {diverged, failed, pending}
    rows = {row["run_id"]: row for row in table.records()}
    assert rows[failed]["failure"] == "bug"
    assert fake_runs.ATTACK in rows[failed]["message"]


def test_states_from_outside_win_over_the_files(tmp_path):
    directories = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12)]
    table = RunTable.from_directories(directories, {directories[0].run_id: "interrupted"})
    assert table.left_out() == {directories[0].run_id: "interrupted"}


def test_a_finished_run_without_a_finite_loss_is_no_point(tmp_path):
    spec = spec_of("sambay", 8)
    directory = fake_runs.write_spec(tmp_path, spec)
    directory.write_result(replace(fake_runs.result_of(spec, 2.0), validation_loss=None))
    table = RunTable.from_directories([directory])
    assert table.left_out() == {directory.run_id: "finished without a finite loss and compute"}


def test_two_ways_of_counting_flops_are_refused_by_name(tmp_path):
    directories = [
        write_run(tmp_path, spec_of("sambay", 8)),
        write_run(tmp_path, spec_of("sambay", 12), accounting="6·N·T, without embeddings"),
    ]
    with pytest.raises(UserError, match=r"flops_accounting = 6·N·T, all parameters \(1 runs\), 6·N·T, without emb"):
        RunTable.from_directories(directories).fit_points()


def test_two_corpora_are_refused_and_one_of_an_unfinished_run_is_not(tmp_path):
    directories = [write_run(tmp_path, spec_of("sambay", 8)), write_run(tmp_path, spec_of("sambay", 12))]
    other = spec_of("sambay", 16, corpus="b7c2")
    unfinished = fake_runs.write_spec(tmp_path, other)
    assert len(RunTable.from_directories([*directories, unfinished]).fit_points()) == 2
    with pytest.raises(UserError, match=r"corpus_hash = a3f1 \(2 runs\), b7c2 \(1 runs\)"):
        RunTable.from_directories([*directories, write_run(tmp_path, other)]).fit_points()


def test_the_same_run_from_two_places_is_refused(tmp_path):
    one = write_run(tmp_path / "here", spec_of("sambay", 8))
    two = write_run(tmp_path / "there", spec_of("sambay", 8))
    with pytest.raises(UserError, match=f"run {one.run_id} is listed twice"):
        RunTable.from_directories([one, two])


def test_titles_fall_back_to_names_and_stay_apart(tmp_path):
    directories = [
        write_run(tmp_path, spec_of("plain", 8, title="")),
        write_run(tmp_path, spec_of("one", 8, title="Same")),
        write_run(tmp_path, spec_of("two", 8, title="Same")),
    ]
    titles = RunTable.from_directories(directories).titles()
    assert titles == {"plain": "plain", "one": "Same (one)", "two": "Same (two)"}


def test_a_curve_has_each_step_once_with_the_last_value(tmp_path):
    directory = write_run(tmp_path, spec_of("sambay", 8))
    before = RunTable.from_directories([directory]).curves
    log = MetricsFile(directory.metrics_path)
    log.append({"train_step": 5, "train_loss": 1.25})
    log.close()
    after = RunTable.from_directories([directory]).curves
    assert len(after) == len(before) == spec_of("sambay", 8).optim.steps // 5
    first = after[after["train_step"] == 5].iloc[0]
    assert first["train_loss"] == 1.25
    assert first["tokens"] == 5 * 2048


def test_no_directories_give_an_empty_table_and_a_folder_without_spec_is_refused(tmp_path):
    table = RunTable.from_directories([])
    assert len(table.runs) == len(table.fit_points()) == 0
    with pytest.raises(UserError, match=r"has no spec\.json"):
        RunTable.from_directories([RunDirectory(tmp_path)])
