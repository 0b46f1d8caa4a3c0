"""Real processes: whatever is killed at whatever moment, doing it again gives the uninterrupted result, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis.table import RunTable
from archscale.launch.claim import holder
from archscale.launch.state import observe_cells
from archscale.runlog.directory import RunDirectory
from archscale.runlog.wandb_file import find_wandb_files, merge_attempts, read_wandb_file
from archscale.study import Cell, expand, load_study
from tests.support.corpora import write_corpus

# What a run directory knows of a run beyond what wandb is told.
BESIDE_THE_RUN = {"failure", "message", "attempts", "git_commit", "git_dirty", "archscale_version", "torch_version"} | {
    "started",
    "path",
}

STEPS = 400
STUDY = """
overrides:
  - data=text_files
  - data.path={texts}
  - data.sequence_length=32
  - data.validation_tokens=512
  - arch.window=16
  - scale.batch_tokens=256
  - scale.base.batch_tokens=256
  - scale.tokens={tokens}
  - scale.tokens_per_param=null
  - execution.checkpoint_seconds=0.2
  - execution.log_steps=1
  - cluster.max_parallel_runs=2
product:
  arch: [transformer_pp, sambay]
"""


class Sweep:
    """The command line on a small study of two runs, under a root of its own."""

    def __init__(self, folder: Path, study: Path) -> None:
        self.root = folder / "runs"
        self.study = study
        self.cells: list[Cell] = expand(load_study(str(study)))
        self.directories = [RunDirectory(self.root / cell.run_id) for cell in self.cells]

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "archscale", "sweep", str(self.study), "--root", str(self.root)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Shells start background jobs, and so perhaps this test, with SIGINT ignored, which children inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self) -> str:
        process = self.start()
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        return output

    def wait_for_progress(self, process: "subprocess.Popen[str]") -> None:
        """Until every run is somewhere in the middle, with a checkpoint behind it."""
        deadline = time.monotonic() + 120
        while not all(self._in_the_middle(directory) for directory in self.directories):
            assert time.monotonic() < deadline, "no progress"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)

    def _in_the_middle(self, directory: RunDirectory) -> bool:
        return len(directory.metrics()) > 10 and directory.checkpoint_path.exists()

    def kill_runs(self) -> None:
        for directory in self.directories:
            lock = holder(directory)
            assert lock is not None, "the run ended before it could be killed: give it more steps"
            os.kill(lock.pid, signal.SIGKILL)

    def losses(self) -> list[list[tuple[object, ...]]]:
        """Every logged loss of every run, and its final ones."""
        columns = ("train_step", "train_loss", "gradient_norm", "validation_loss")
        found = []
        for directory in self.directories:
            result = directory.result()
            assert result is not None
            rows = [tuple(row.get(column) for column in columns) for row in directory.metrics()]
            found.append([*rows, (result.validation_loss, result.train_loss, result.steps)])
        return found

    def attempts(self) -> list[int]:
        return [len(directory.attempts()) for directory in self.directories]

    def states(self) -> list[str]:
        return [state.state for state in observe_cells(self.cells, self.root)]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    path = folder / "small.yaml"
    path.write_text(STUDY.format(texts=write_corpus(folder / "texts"), tokens=256 * STEPS))
    return path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, study) -> Sweep:
    sweep = Sweep(tmp_path_factory.mktemp("uninterrupted"), study)
    sweep.finish()
    return sweep


@pytest.fixture
def sweep(tmp_path, study) -> Sweep:
    return Sweep(tmp_path, study)


@pytest.mark.parametrize("killed", ["orchestrator", "runs", "both"])
def test_after_kill_9_the_same_command_gives_the_same_losses(sweep, uninterrupted, killed):
    process = sweep.start()
    sweep.wait_for_progress(process)
    if killed in ("orchestrator", "both"):
        process.kill()
        process.wait()
    if killed in ("runs", "both"):
        sweep.kill_runs()
    if killed == "runs":
        output, _ = process.communicate(timeout=240)  # the orchestrator starts them again by itself
        assert process.returncode == 0, output
    else:
        sweep.finish()
    assert sweep.attempts() == ([1, 1] if killed == "orchestrator" else [2, 2])
    assert sweep.losses() == uninterrupted.losses()
    assert len(sweep.losses()[0]) == STEPS + 1


def test_an_interrupt_saves_checkpoints_and_the_next_sweep_goes_on(sweep, uninterrupted):
    process = sweep.start()
    sweep.wait_for_progress(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the same command goes on from there" in output
    assert sweep.states() == ["interrupted", "interrupted"]
    sweep.finish()
    assert sweep.losses() == uninterrupted.losses()
    first_rows = [directory.verdicts()[0].step for directory in sweep.directories]
    assert all(step > 10 for step in first_rows)


def test_two_orchestrators_at_once_start_every_run_once(sweep, uninterrupted):
    processes = [sweep.start() for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    assert sweep.attempts() == [1, 1]
    assert sweep.losses() == uninterrupted.losses()


def tables(sweep: Sweep) -> list[pd.DataFrame]:
    """The same runs read from their directories and from their offline wandb files."""
    wandb = merge_attempts([read_wandb_file(path) for path in find_wandb_files(sweep.root)])
    both = [RunTable.from_directories(sweep.directories), RunTable.from_wandb(wandb.values())]
    columns = [name for name in both[0].runs.columns if name not in BESIDE_THE_RUN]
    keys = ["run_id", "train_step"]
    runs = [table.runs[columns].sort_values("run_id", ignore_index=True) for table in both]
    return runs + [table.curves.sort_values(keys, ignore_index=True) for table in both]


def test_wandb_files_give_the_same_table_as_the_run_directories(uninterrupted):
    runs, from_wandb, curves, curves_from_wandb = tables(uninterrupted)
    pd.testing.assert_frame_equal(runs, from_wandb)
    pd.testing.assert_frame_equal(curves, curves_from_wandb)
    assert len(curves) == 2 * STEPS


def test_a_finished_sweep_starts_nothing(uninterrupted):
    before = uninterrupted.attempts()
    output = uninterrupted.finish()
    assert uninterrupted.attempts() == before
    assert "2 finished" in output


def test_a_multirun_takes_the_runs_a_study_has_finished(uninterrupted):
    overrides = load_study(str(uninterrupted.study)).overrides
    command = [sys.executable, "-m", "archscale", "train", "-m", "arch=transformer_pp,sambay", *overrides]
    done = subprocess.run(
        [*command, "--root", str(uninterrupted.root)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert uninterrupted.attempts() == [1, 1]


def test_a_yaml_edited_under_a_queued_run_does_not_change_it(tmp_path, study, uninterrupted):
    mine = tmp_path / "mine.yaml"
    mine.write_text(study.read_text())
    queued = Sweep(tmp_path, mine)
    for cell, directory in zip(queued.cells, queued.directories, strict=True):
        directory.create(cell.spec)
    mine.write_text(study.read_text().replace("scale.batch_tokens=256", "scale.batch_tokens=512"))
    directory = queued.directories[0]
    subprocess.run([sys.executable, "-m", "archscale.launch.job", str(directory.path)], timeout=240, check=True)
    assert directory.spec() == queued.cells[0].spec
    result, expected = directory.result(), uninterrupted.directories[0].result()
    assert result is not None
    assert expected is not None
    assert (result.steps, result.validation_loss) == (expected.steps, expected.validation_loss)


def test_a_crash_of_one_run_is_shown_and_stops_no_other(tmp_path, sweep):
    broken = sweep.directories[0]
    broken.create(sweep.cells[0].spec)
    broken.metrics_path.mkdir()
    process = sweep.start()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert sweep.states() == ["failed", "finished"]
    assert f"{broken.run_id} failed (bug)" in output
    assert "archscale logs RUN" in output
    log = broken.log_path()
    assert log is not None
    assert "Traceback" in log.read_text()
    assert log.read_text().splitlines()[-1] in output
