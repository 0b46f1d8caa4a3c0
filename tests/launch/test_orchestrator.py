"""The orchestrator's decisions, with an executor whose jobs end as a script says; real processes in test_kill.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archscale.identity import run_id
from archscale.launch.claim import HELD_BY_ANOTHER, claim
from archscale.launch.control import cancel_runs
from archscale.launch.orchestrator import Orchestrator
from archscale.launch.state import observe
from archscale.runlog.directory import Failure, Result, RunDirectory, State, Status
from archscale.study import Cell
from tests.support.specs import small_spec

STEPS = small_spec().optim.steps


def finished_result(verdict="finished") -> Result:
    return Result(
        verdict=verdict,
        validation_loss=2.0 if verdict == "finished" else None,
        train_loss=2.0,
        steps=STEPS,
        tokens=1280,
        parameters=10,
        non_embedding_parameters=5,
        train_flops=1.0,
        flops_accounting="6nd_non_embedding",
        unigram_entropy=3.0,
        train_seconds=1.0,
        tokens_per_second=1280.0,
    )


def finish(directory: RunDirectory, attempt: int, verdict="finished") -> None:
    directory.write_result(finished_result(verdict))
    directory.write_status(Status(state=verdict, attempt=attempt))


def fail(failure: Failure) -> Callable[[RunDirectory, int], None]:
    def outcome(directory: RunDirectory, attempt: int) -> None:
        directory.write_status(Status(state="failed", failure=failure, message=f"a {failure}", attempt=attempt))

    return outcome


def die(directory: RunDirectory, attempt: int) -> None:
    """Killed: no verdict."""


@dataclass
class ScriptedJob:
    polls: int = 2

    def exit_status(self) -> int | None:
        self.polls -= 1
        return 0 if self.polls < 0 else None

    def stop(self) -> None:
        self.polls = 0


@dataclass
class ScriptedExecutor:
    """Outcome k of a run ends its k-th attempt; the last one repeats."""

    outcomes: list[Callable[[RunDirectory, int], None]]
    slot_count: int = 2
    started: list[str] = field(default_factory=list)
    most_at_once: int = 0
    jobs: list[ScriptedJob] = field(default_factory=list)

    def slots(self, threads: int) -> int:
        return self.slot_count

    def submit(self, run: Path, *, threads: int) -> ScriptedJob:
        directory = RunDirectory(run)
        taken = claim(directory)
        assert taken is not None
        self.outcomes[min(taken.attempt, len(self.outcomes)) - 1](directory, taken.attempt)
        taken.release()
        self.started.append(run.name)
        self.jobs.append(ScriptedJob())
        self.most_at_once = max(self.most_at_once, sum(job.polls >= 0 for job in self.jobs))
        return self.jobs[-1]


@pytest.fixture
def cells() -> list[Cell]:
    specs = [small_spec(seed=seed) for seed in range(5)]
    return [Cell(run_id=run_id(spec), overrides=(), spec=spec) for spec in specs]


@pytest.fixture
def orchestrate(tmp_path, cells, monkeypatch):
    monkeypatch.setattr("archscale.launch.orchestrator.open_corpus", lambda data, root: None)

    def run(executor: ScriptedExecutor, **settings) -> list[State]:
        orchestrator = Orchestrator(root=tmp_path, cells=cells, executor=executor, poll_seconds=0.0, **settings)
        return [state.state for state in orchestrator.run(lambda states: None)]

    return run


def test_every_run_is_started_once_and_never_more_than_the_slots_at_once(orchestrate, cells):
    executor = ScriptedExecutor([finish])
    assert orchestrate(executor) == ["finished"] * 5
    assert sorted(executor.started) == sorted(cell.run_id for cell in cells)
    assert executor.most_at_once == 2


def test_a_second_sweep_starts_nothing(orchestrate):
    orchestrate(ScriptedExecutor([finish]))
    again = ScriptedExecutor([finish])
    assert orchestrate(again) == ["finished"] * 5
    assert again.started == []


def test_a_killed_run_is_started_again(orchestrate):
    executor = ScriptedExecutor([die, die, finish])
    assert orchestrate(executor) == ["finished"] * 5
    assert len(executor.started) == 15


def test_a_run_that_keeps_dying_is_given_up_for_this_sweep(orchestrate):
    executor = ScriptedExecutor([die])
    assert orchestrate(executor, restarts=2) == ["interrupted"] * 5
    assert len(executor.started) == 15


@pytest.mark.parametrize("failure", ["out_of_memory", "infrastructure"])
def test_what_is_not_the_program_s_fault_is_tried_again(orchestrate, failure):
    executor = ScriptedExecutor([fail(failure), finish])
    assert orchestrate(executor) == ["finished"] * 5
    assert len(executor.started) == 10


def test_a_bug_stops_its_run_alone_until_a_retry(orchestrate, tmp_path, cells):
    def first_has_a_bug(directory: RunDirectory, attempt: int) -> None:
        (fail("bug") if directory.run_id == cells[0].run_id else finish)(directory, attempt)

    executor = ScriptedExecutor([first_has_a_bug, finish])
    assert orchestrate(executor) == ["failed"] + ["finished"] * 4
    again = ScriptedExecutor([finish])
    assert orchestrate(again) == ["failed"] + ["finished"] * 4
    assert again.started == []
    RunDirectory(tmp_path / cells[0].run_id).reopen()
    assert orchestrate(again) == ["finished"] * 5
    assert again.started == [cells[0].run_id]


def test_a_diverged_run_is_a_datum(orchestrate):
    executor = ScriptedExecutor([lambda directory, attempt: finish(directory, attempt, "diverged")])
    assert orchestrate(executor) == ["diverged"] * 5
    assert len(executor.started) == 5


def test_a_run_held_by_a_living_process_is_watched_and_takes_a_slot(orchestrate, tmp_path, cells, monkeypatch):
    directory = RunDirectory(tmp_path / cells[0].run_id)
    directory.create(cells[0].spec)
    held = claim(directory)
    assert held is not None
    looks = iter(range(100))

    def sleep(_: float) -> None:
        if next(looks) == 20:
            finish(directory, held.attempt)
            held.release()

    monkeypatch.setattr("archscale.launch.orchestrator.time.sleep", sleep)
    executor = ScriptedExecutor([finish])
    assert orchestrate(executor) == ["finished"] * 5
    assert cells[0].run_id not in executor.started
    assert executor.most_at_once == 1


def test_a_run_on_another_machine_takes_no_slot_here(orchestrate, tmp_path, cells, monkeypatch):
    directory = RunDirectory(tmp_path / cells[0].run_id)
    directory.create(cells[0].spec)
    monkeypatch.setenv("SLURM_JOB_ID", "another allocation")
    held = claim(directory)
    monkeypatch.delenv("SLURM_JOB_ID")
    assert held is not None
    assert not held.lock.shares_our_resources()
    executor = ScriptedExecutor([finish])

    def sleep(_: float) -> None:
        if len(executor.started) == 4 and directory.result() is None:
            finish(directory, held.attempt)
            held.release()

    monkeypatch.setattr("archscale.launch.orchestrator.time.sleep", sleep)
    assert orchestrate(executor) == ["finished"] * 5
    assert executor.most_at_once == 2


def test_the_spec_of_a_finished_run_stays_as_it_was(orchestrate, tmp_path, cells):
    orchestrate(ScriptedExecutor([finish]))
    directory = RunDirectory(tmp_path / cells[0].run_id)
    frozen = directory.spec()
    cells[0] = Cell(run_id=cells[0].run_id, overrides=(), spec=small_spec(**{"execution.threads": 5}))
    orchestrate(ScriptedExecutor([finish]))
    assert directory.spec() == frozen != cells[0].spec


def test_an_unfinished_run_is_carried_out_as_the_new_sweep_says(orchestrate, tmp_path, cells):
    orchestrate(ScriptedExecutor([fail("bug")]))
    directory = RunDirectory(tmp_path / cells[0].run_id)
    cells[0] = Cell(run_id=cells[0].run_id, overrides=(), spec=small_spec(**{"execution.threads": 5}))
    orchestrate(ScriptedExecutor([finish]))
    assert directory.spec().execution.threads == 5


def test_a_cancelled_run_is_not_started_again_by_a_sweep_under_way(orchestrate, tmp_path, cells, monkeypatch):
    monkeypatch.setattr("archscale.launch.control.os.kill", lambda pid, number: None)

    def cancelled_while_running(directory: RunDirectory, attempt: int) -> None:
        cancel_runs([cells[0]], tmp_path)

    executor = ScriptedExecutor([cancelled_while_running, finish])
    states = orchestrate(executor)
    assert states[0] == "interrupted"
    assert executor.started.count(cells[0].run_id) == 1
    assert orchestrate(ScriptedExecutor([finish])) == ["finished"] * 5


def test_finding_a_run_taken_is_no_start(orchestrate, cells):
    @dataclass
    class Taken(ScriptedJob):
        def exit_status(self) -> int | None:
            return HELD_BY_ANOTHER

    class Late(ScriptedExecutor):
        """Another sweep is faster ten times."""

        def submit(self, run: Path, *, threads: int) -> ScriptedJob:
            self.started.append(run.name)
            return Taken() if len(self.started) <= 10 else super().submit(run, threads=threads)

    assert orchestrate(Late([finish]), restarts=0) == ["finished"] * 5


def test_a_verdict_without_its_result_is_done_again(orchestrate, tmp_path, cells):
    orchestrate(ScriptedExecutor([finish]))
    (tmp_path / cells[0].run_id / "result.json").unlink()
    again = ScriptedExecutor([finish])
    assert orchestrate(again) == ["finished"] * 5
    assert again.started == [cells[0].run_id]


def test_an_empty_heartbeat_is_no_obstacle(tmp_path, cells):
    directory = RunDirectory(tmp_path / cells[0].run_id)
    directory.create(cells[0].spec)
    taken = claim(directory)
    assert taken is not None
    (taken.path / "heartbeat.json").write_text("")
    assert observe(directory, STEPS).state == "running"


def test_the_state_of_a_run_follows_its_files(tmp_path, cells):
    directory = RunDirectory(tmp_path / cells[0].run_id)
    assert observe(directory, STEPS).state == "pending"
    directory.create(cells[0].spec)
    assert observe(directory, STEPS).state == "pending"
    first = claim(directory)
    assert first is not None
    first.beat({"step": 4, "train_loss": 3.5, "tokens_per_second": 10.0})
    running = observe(directory, STEPS)
    assert (running.state, running.step, running.train_loss) == ("running", 4, 3.5)
    first.release()
    assert observe(directory, STEPS).state == "interrupted"  # over, without a verdict: killed
    fail("bug")(directory, 1)
    failed = observe(directory, STEPS)
    assert (failed.state, failed.failure, failed.message) == ("failed", "bug", "a bug")
    second = claim(directory)
    assert second is not None
    assert observe(directory, STEPS).state == "running"
    second.release()
    assert observe(directory, STEPS).state == "interrupted"  # the old verdict is not the new attempt's
    finish(directory, 2)
    assert observe(directory, STEPS).state == "finished"
