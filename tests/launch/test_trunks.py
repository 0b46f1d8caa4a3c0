"""Budgets of one trunk: which runs share one, and who waits for whom; real training in test_trunk_training.py."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from archscale.identity import run_id
from archscale.launch.claim import Claim, claim
from archscale.launch.orchestrator import Orchestrator
from archscale.runlog.directory import RunDirectory
from archscale.study import Cell, Study, expand
from archscale.trunks import (
    branch_file,
    branch_files,
    first_steps,
    kept_steps,
    sharing_notes,
    steps_to_keep,
    trunk_hash,
)
from tests.launch.test_orchestrator import die, fail, finish
from tests.support.corpora import write_corpus
from tests.support.specs import small_spec

BUDGETS = (14, 28, 42)  # steps; the last 2/7 of them decay
STARTS = (10, 20, 30)


def wsd(steps, **changes):
    settings = {"optim.schedule": "wsd", "optim.steps": steps, "optim.warmup_steps": 2}
    return small_spec(**(settings | changes))


def named(*specs):
    return {run_id(spec): spec for spec in specs}


def cells_of(*specs):
    """As a study makes them: trunks know where others branch off."""
    keep = steps_to_keep(named(*specs))
    asked = {
        identity: replace(spec, execution=replace(spec.execution, branch_steps=keep.get(identity, ())))
        for identity, spec in named(*specs).items()
    }
    return [Cell(run_id=identity, overrides=(), spec=spec) for identity, spec in asked.items()]


def test_the_run_whose_decay_starts_last_is_the_trunk():
    short, middle, long = (wsd(steps) for steps in BUDGETS)
    first = first_steps(named(middle, long, short))
    assert first == {run_id(short): 10, run_id(middle): 20, run_id(long): 0}
    assert steps_to_keep(named(middle, long, short)) == {run_id(long): (10, 20), run_id(middle): (10,)}


def test_decays_of_several_lengths_share_a_trunk_as_well():
    sharp, slow = wsd(28, **{"optim.decay_fraction": 0.1}), wsd(28, **{"optim.decay_fraction": 0.5})
    assert first_steps(named(slow, sharp)) == {run_id(slow): 14, run_id(sharp): 0}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"optim.warmup_steps": 3},
        {"optim.learning_rate": 0.02},
        {"optim.weight_decay": 0.2},
        {"optim.batch_tokens": 256},
        {"scale.width": 32},
        {"arch.window": 8},
        {"data.content_hash": "fedcba9876543210"},
        {"optim.schedule": "linear"},
        {"execution.share_trunk": False},
        {"execution.threads": 2},
        {"execution.backend": "reference"},
    ],
    ids=str,
)
def test_runs_that_differ_in_more_than_their_decay_share_nothing(change):
    assert not any(first_steps(named(wsd(14), wsd(28, **change))).values())


def test_a_warm_up_that_follows_the_length_is_named_with_its_remedy():
    apart = named(*(wsd(steps, **{"optim.warmup_steps": steps // 7}) for steps in BUDGETS))
    (note,) = sharing_notes(apart)
    assert note.startswith("3 wsd runs share no trunk, since optim.warmup_steps changes with their length: ")
    assert "optim.warmup_tokens" in note


def test_a_learning_rate_that_follows_the_length_is_named_and_a_grid_of_rates_is_not():
    follows = named(*(wsd(steps, **{"optim.learning_rate": 1 / steps}) for steps in BUDGETS))
    assert "optim.learning_rate changes with their length" in sharing_notes(follows)[0]
    rates = (0.01, 0.02)
    grid = named(*(wsd(steps, **{"optim.learning_rate": rate}) for steps in BUDGETS for rate in rates))
    assert sorted(first_steps(grid).values()) == [0, 0, 10, 10, 20, 20]
    assert sharing_notes(grid) == []
    assert sharing_notes(named(*map(wsd, BUDGETS))) == []


def test_a_study_of_budgets_tells_its_trunk_where_to_keep_states(tmp_path):
    fixed = ["data=text_files", f"data.path={write_corpus(tmp_path / 'texts')}", "optim=wsd", "scale.batch_tokens=1024"]
    fixed += ["optim.warmup_tokens=4096", "scale.tokens_per_param=null"]
    study = Study(name="budgets", overrides=tuple(fixed), product={"scale.tokens": [1024 * steps for steps in BUDGETS]})
    assert [cell.spec.execution.branch_steps for cell in expand(study)] == [(), STARTS[:1], STARTS[:2]]
    assert [cell.spec.optim.decay_start for cell in expand(study)] == list(STARTS)
    asked = expand(study, ["execution.branch_steps=[25,10]"])[-1]
    assert asked.spec.execution.branch_steps == (10, 20, 25)
    assert asked.run_id == expand(study)[-1].run_id
    apart = expand(study, ["execution.share_trunk=false"])
    assert [cell.spec.execution.branch_steps for cell in apart] == [(), (), ()]
    assert [cell.run_id for cell in apart] == [cell.run_id for cell in expand(study)]


@dataclass(kw_only=True)
class Simulated:
    """A run of the timeline: a step a tick, from where its state or checkpoint stands, until `ends_at`."""

    directory: RunDirectory
    taken: Claim
    step: int
    ends_at: int
    outcome: Callable[[RunDirectory, int], None]
    over: bool = False

    def exit_status(self) -> int | None:
        return 0 if self.over else None

    def stop(self) -> None:
        self.end()

    def end(self) -> None:
        self.outcome(self.directory, self.taken.attempt)
        self.taken.release()
        self.over = True


@dataclass
class Timeline:
    """An executor whose runs advance at every sleep of the orchestrator.

    `script`: for the attempts of the run with so many steps, in turn, where it ends early and with which outcome.
    `forgetful`: the run with so many steps keeps no state.
    `started`: of every start, the run's steps, the step it begins at, and the tick.
    """

    slot_count: int = 3
    script: dict[int, list[tuple[int, Callable[[RunDirectory, int], None]]]] = field(default_factory=dict)
    forgetful: int = 0
    ticks: int = 0
    started: list[tuple[int, int, int]] = field(default_factory=list)
    runs: list[Simulated] = field(default_factory=list)

    def slots(self, threads: int) -> int:
        return self.slot_count

    def submit(self, run: Path, *, threads: int) -> Simulated:
        directory = RunDirectory(run)
        taken, spec = claim(directory), directory.spec()
        assert taken is not None
        states = branch_files(run.parent, trunk_hash(spec), at_most=spec.optim.decay_start)
        checkpoint = directory.checkpoint_path
        step = int(checkpoint.read_text()) if checkpoint.exists() else max((step for step, _ in states), default=0)
        scripted = self.script.get(spec.optim.steps, [])
        ends_at, outcome = scripted.pop(0) if scripted else (spec.optim.steps, finish)
        self.started.append((spec.optim.steps, step, self.ticks))
        self.runs.append(Simulated(directory=directory, taken=taken, step=step, ends_at=ends_at, outcome=outcome))
        return self.runs[-1]

    def tick(self, _: float) -> None:
        self.ticks += 1
        for run in self.runs:
            if run.over:
                continue
            run.step += 1
            spec = run.directory.spec()
            if run.step in spec.execution.branch_steps and spec.optim.steps != self.forgetful:
                path = branch_file(run.directory.path, trunk_hash(spec), run.step)
                path.parent.mkdir(exist_ok=True)
                path.touch()
            run.directory.checkpoint_path.write_text(str(run.step))
            run.taken.beat({"step": run.step})
            if run.step >= run.ends_at:
                run.end()


@pytest.fixture
def orchestrate(tmp_path, monkeypatch):
    """Run cells on a timeline; returns the final states."""
    monkeypatch.setattr("archscale.launch.orchestrator.open_corpus", lambda data, root: None)

    def run(cells, timeline, **settings):
        monkeypatch.setattr("archscale.launch.orchestrator.time.sleep", timeline.tick)
        orchestrator = Orchestrator(root=tmp_path, cells=cells, executor=timeline, poll_seconds=0.0, **settings)
        return [state.state for state in orchestrator.run(lambda states: None)]

    return run


@pytest.fixture
def budgets():
    return cells_of(*map(wsd, BUDGETS))


def test_a_branch_starts_when_the_trunk_has_kept_its_state(orchestrate, budgets):
    timeline = Timeline()
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    assert timeline.started == [(42, 0, 0), (14, 10, 10), (28, 20, 20)]
    assert timeline.ticks <= 44


def test_with_one_slot_the_trunk_goes_first(orchestrate, budgets):
    timeline = Timeline(slot_count=1)
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    assert [(steps, begin) for steps, begin, _ in timeline.started] == [(42, 0), (28, 20), (14, 10)]


def test_without_sharing_all_start_at_once(orchestrate):
    timeline = Timeline()
    cells = cells_of(*(wsd(steps, **{"execution.share_trunk": False}) for steps in BUDGETS))
    assert orchestrate(cells, timeline) == ["finished"] * 3
    assert sorted(timeline.started) == [(14, 0, 0), (28, 0, 0), (42, 0, 0)]


def test_branches_wait_for_a_trunk_that_was_killed(orchestrate, budgets):
    timeline = Timeline(script={42: [(5, die), (15, fail("infrastructure"))]})
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    assert [(steps, begin) for steps, begin, _ in timeline.started] == [(42, 0), (42, 5), (14, 10), (42, 15), (28, 20)]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (fail("bug"), "failed"),
        (lambda directory, number: finish(directory, number, "diverged"), "diverged"),
        (lambda directory, number: directory.cancel(), "interrupted"),
    ],
    ids=["failed", "diverged", "cancelled"],
)
def test_branches_wait_no_longer_than_their_trunk_lives(orchestrate, budgets, outcome, state):
    """The branch at 10 has its state by then, the one at 20 trains on from the latest there is, that at 10."""
    timeline = Timeline(script={42: [(15, outcome)]})
    assert orchestrate(budgets, timeline) == ["finished", "finished", state]
    assert [(steps, begin) for steps, begin, _ in timeline.started] == [(42, 0), (14, 10), (28, 10)]
    assert timeline.started[-1][2] in (15, 16)


def test_a_trunk_given_up_is_not_waited_for(orchestrate, budgets):
    timeline = Timeline(script={42: [(5, die)] * 2})
    assert orchestrate(budgets, timeline, restarts=1) == ["finished", "finished", "interrupted"]
    assert [(steps, begin) for steps, begin, _ in timeline.started] == [(42, 0), (42, 5), (28, 0), (14, 10)]


def test_a_trunk_that_passed_the_step_without_keeping_its_state_is_not_waited_for(orchestrate, budgets):
    """The next longest budget then carries the others."""
    timeline = Timeline(forgetful=42)
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    assert timeline.started == [(42, 0, 0), (28, 0, 21), (14, 10, 31)]


def test_a_branch_under_way_waits_for_nobody(orchestrate, budgets, tmp_path):
    directory = RunDirectory(tmp_path / budgets[1].run_id)
    directory.create(budgets[1].spec)
    directory.checkpoint_path.write_text("7")
    timeline = Timeline()
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    assert timeline.started == [(42, 0, 0), (28, 7, 0), (14, 10, 3)]


@pytest.mark.parametrize("before", [(), (14,), (28,), (42,), (14, 42), (28, 42)], ids=str)
@pytest.mark.parametrize("lost", [(), (10,), (20,), (10, 20), (10, 20, 30)], ids=str)
def test_runs_begin_where_a_plan_counts_from(orchestrate, budgets, tmp_path, before, lost):
    """Budgets that were done before, with the states that others left of them; those of `lost` are gone."""
    done = [cell for cell in budgets if cell.spec.optim.steps in before]
    if done:
        orchestrate(done, Timeline())
    trunk = trunk_hash(budgets[0].spec)
    for step, path in branch_files(tmp_path, trunk, at_most=100):
        if step in lost:
            path.unlink()
    specs = {cell.run_id: cell.spec for cell in budgets}
    first = first_steps(specs, left={cell.run_id: 0.0 for cell in done}, kept=kept_steps(tmp_path))
    timeline = Timeline()
    assert orchestrate(budgets, timeline) == ["finished"] * 3
    counted = {(cell.spec.optim.steps, first[cell.run_id]) for cell in budgets if cell not in done}
    assert {(steps, begin) for steps, begin, _ in timeline.started} == counted
