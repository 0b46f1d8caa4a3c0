import json
import os
import signal
import subprocess
import sys
import time

import pytest

from archscale.registry import UserError
from archscale.runlog.directory import RunDirectory, Status, find_run
from archscale.runlog.files import read_json, write_json
from archscale.runlog.metrics import MetricsFile, read_metrics


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "value.json"
    code = (
        "import sys; from pathlib import Path; from archscale.runlog.files import write_json\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; write_json(Path(sys.argv[1]), {'n': n, 'again': n, 'padding': 'x' * 200_000})\n"
    )
    write_json(path, {"n": 0, "again": 0})
    for delay in (0.02, 0.05, 0.1):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while read_json(path) == {"n": 0, "again": 0}:
            time.sleep(0.005)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        value = json.loads(path.read_text())
        assert value["n"] == value["again"] > 0
        write_json(path, {"n": 0, "again": 0})


def test_reading_what_is_not_there_gives_none(tmp_path):
    assert read_json(tmp_path / "absent.json") is None


def test_a_resumed_run_overwrites_the_steps_it_repeats(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    for step in (1, 2, 3):
        first.append({"train_step": step, "train_loss": float(step)})
    first.close()
    second = MetricsFile(path)
    second.append({"train_step": 2, "train_loss": 20.0})
    second.append({"train_step": 3, "validation_loss": 30.0})
    second.close()
    assert read_metrics(path) == [
        {"train_step": 1, "train_loss": 1.0},
        {"train_step": 2, "train_loss": 20.0},
        {"train_step": 3, "train_loss": 3.0, "validation_loss": 30.0},
    ]


def test_a_torn_last_line_costs_that_row_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"train_step": 1, "train_loss": 4.0}\n{"train_step": 2, "train_l')
    assert [row["train_step"] for row in read_metrics(path)] == [1]
    resumed = MetricsFile(path)
    resumed.append({"train_step": 2, "train_loss": 3.5})
    resumed.close()
    assert read_metrics(path)[1] == {"train_step": 2, "train_loss": 3.5}


def test_losses_come_back_to_the_last_bit(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.append({"train_step": 1, "train_loss": 1 / 3, "gradient_norm": 1e-310})
    metrics.close()
    assert read_metrics(path) == [{"train_step": 1, "train_loss": 1 / 3, "gradient_norm": 1e-310}]


def test_reopening_a_failed_run_keeps_the_verdict_of_its_attempt(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.attempt_path(1).mkdir(parents=True)
    directory.write_status(Status(state="failed", failure="bug", message="ValueError: x", attempt=1, step=3))
    directory.reopen()
    status = directory.status()
    assert status is not None
    assert (status.state, status.failure) == ("interrupted", None)
    assert [verdict.message for verdict in directory.verdicts()] == ["ValueError: x"]


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path):
    for name in ("sambay-d8-1", "sambay-d8-2", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.json").write_text("{}")
    assert find_run(tmp_path, "oth").run_id == "other"
    assert find_run(tmp_path, "-2").run_id == "sambay-d8-2"
    assert find_run(tmp_path, "sambay-d8-1").run_id == "sambay-d8-1"
    with pytest.raises(UserError, match="not unique: it could be sambay-d8-1, sambay-d8-2"):
        find_run(tmp_path, "samb")
    with pytest.raises(UserError, match="unknown run 'othr'. Did you mean 'other'"):
        find_run(tmp_path, "othr")


@pytest.mark.parametrize("name", ["spec.json", "status.json", "result.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": 3}', "\x00\x00"])
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    directory = RunDirectory(tmp_path)
    with pytest.raises(UserError, match=name.replace(".", r"\.")) as error:
        {"spec.json": directory.spec, "status.json": directory.status, "result.json": directory.result}[name]()
    assert "\n" not in str(error.value)
