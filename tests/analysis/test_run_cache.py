"""The cached table is the table that the files give, whatever happened to the cache or to the files."""

import json
import os

import pandas as pd
import pytest

from analysis import run_cache
from analysis.run_cache import read_runs
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.runlog.metrics import MetricsFile
from tests.analysis import fake_runs
from tests.analysis.fake_runs import spec_of, write_run


@pytest.fixture
def directories(tmp_path):
    return fake_runs.write_troubled_study(tmp_path / "runs")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "study" / "runs.cache"


@pytest.fixture
def read_again(monkeypatch):
    """The run ids whose files were read."""
    seen: list[str] = []

    def counted(directory):
        seen.append(directory.run_id)
        return original(directory)

    original = run_cache.read_directory
    monkeypatch.setattr(run_cache, "read_directory", counted)
    return seen


def assert_same(one: RunTable, two: RunTable) -> None:
    pd.testing.assert_frame_equal(one.runs, two.runs, check_exact=True)
    pd.testing.assert_frame_equal(one.curves, two.curves, check_exact=True)


def test_the_first_and_the_second_reading_are_the_table_of_the_files(directories, cache, read_again):
    plain = RunTable.from_directories(directories)
    assert_same(read_runs(directories, cache=cache), plain)
    assert len(read_again) == len(directories)
    assert_same(read_runs(directories, cache=cache), plain)
    assert len(read_again) == len(directories)


def test_states_that_somebody_knows_better_are_not_cached(directories, cache):
    name = directories[-1].run_id
    read_runs(directories, {name: "running"}, cache=cache)
    assert_same(read_runs(directories, cache=cache), RunTable.from_directories(directories))
    known = {name: "interrupted"}
    assert_same(read_runs(directories, known, cache=cache), RunTable.from_directories(directories, known))


def test_only_a_run_whose_files_changed_is_read_again(directories, cache, read_again):
    read_runs(directories, cache=cache)
    read_again.clear()
    changed = directories[2]
    text = (changed.path / "result.json").read_text()
    same_size = text.replace('"validation_loss": 1', '"validation_loss": 2')
    assert same_size != text
    assert len(same_size) == len(text)
    before = (changed.path / "result.json").stat().st_mtime_ns
    (changed.path / "result.json").write_text(same_size)
    os.utime(changed.path / "result.json", ns=(before + 1, before + 1))
    assert_same(read_runs(directories, cache=cache), RunTable.from_directories(directories))
    assert read_again == [changed.run_id]


def test_a_longer_curve_and_a_new_run_are_seen(directories, cache, tmp_path):
    read_runs(directories, cache=cache)
    log = MetricsFile(directories[0].metrics_path)
    log.append({"train_step": 10**6, "tokens": 10**9, "train_loss": 1.5})
    log.close()
    more = [*directories, write_run(tmp_path / "runs", spec_of("sambay", 8, seed=5))]
    assert_same(read_runs(more, cache=cache), RunTable.from_directories(more))
    assert_same(read_runs(directories[:3], cache=cache), RunTable.from_directories(directories[:3]))


@pytest.mark.parametrize("place", [0, 40, 2000, -30])
def test_a_damaged_cache_is_as_good_as_none(directories, cache, place, read_again):
    read_runs(directories, cache=cache)
    content = bytearray(cache.read_bytes())
    content[place] ^= 1
    cache.write_bytes(bytes(content))
    read_again.clear()
    assert_same(read_runs(directories, cache=cache), RunTable.from_directories(directories))
    assert len(read_again) == len(directories)


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 500, json.dumps({"rows": []}).encode()])
def test_what_is_no_cache_is_ignored_and_replaced(directories, cache, content, read_again):
    cache.parent.mkdir()
    cache.write_bytes(content)
    read_runs(directories, cache=cache)
    read_again.clear()
    read_runs(directories, cache=cache)
    assert read_again == []


def test_a_change_of_the_reading_code_makes_the_cache_void(directories, cache, monkeypatch, read_again):
    read_runs(directories, cache=cache)
    read_again.clear()
    monkeypatch.setattr(run_cache, "_reader", lambda: "other code")
    read_runs(directories, cache=cache)
    assert len(read_again) == len(directories)


def test_no_runs_and_a_run_twice(cache, tmp_path):
    assert_same(read_runs([], cache=cache), RunTable.from_directories([]))
    one = write_run(tmp_path / "a", spec_of("sambay", 8))
    two = write_run(tmp_path / "b", spec_of("sambay", 8))
    with pytest.raises(UserError, match="listed twice"):
        read_runs([one, two], cache=cache)
