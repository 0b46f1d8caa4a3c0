"""Whatever is shared, killed, missing or added later, every budget ends with the bits of its run trained alone."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from archscale.launch.claim import claim
from archscale.launch.job import attempt
from archscale.launch.orchestrator import Orchestrator
from archscale.runlog.directory import RunDirectory
from archscale.train.loop import train_step
from archscale.trunks import branch_files, trunk_hash
from tests.launch.test_trunks import cells_of
from tests.support.corpora import trainable_spec, write_corpus

BUDGETS = (7, 14, 21)  # steps; the last 2/7 of them decay
STARTS = (5, 10, 15)


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Ended:
    def exit_status(self) -> int:
        return 0

    def stop(self) -> None:
        pass


@dataclass
class InThisProcess:
    """Attempts, one after the other, as `launch.job.main` makes them."""

    started: list[int] = field(default_factory=list)

    def slots(self, threads: int) -> int:
        return 1

    def submit(self, run: Path, *, threads: int) -> Ended:
        taken = claim(RunDirectory(run))
        assert taken is not None
        self.started.append(taken.directory.spec().optim.steps)
        try:
            taken.directory.write_status(attempt(taken, lambda: False))
        except KilledError:
            pass
        finally:
            taken.release()
        return Ended()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts")


@pytest.fixture(scope="module")
def wsd(texts):
    def spec(steps, **changes):
        settings = {"optim.schedule": "wsd", "optim.steps": steps, "optim.warmup_steps": 2}
        return trainable_spec(texts, **(settings | {"execution.checkpoint_seconds": 0.0} | changes))

    return spec


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    """Its processes take longer than the training here."""
    state = {"git_commit": "c0ffee", "git_dirty": False, "diff": ""}
    monkeypatch.setattr("archscale.runlog.provenance.git_state", lambda folder: dict(state))


@pytest.fixture
def steps_done(monkeypatch):
    """The steps that were trained, whichever run they were for."""
    done = []

    def counted(bench, step):
        done.append(step)
        return train_step(bench, step)

    monkeypatch.setattr("archscale.train.loop.train_step", counted)
    return done


def sweep(root, cells):
    executor = InThisProcess()
    states = Orchestrator(root=root, cells=cells, executor=executor, poll_seconds=0.0).run(lambda states: None)
    assert {state.state for state in states} == {"finished"}
    return executor.started


def outcome(root, cells):
    """Of every run, the losses of every step, the final ones, and the last weights."""
    found = {}
    for cell in cells:
        directory = RunDirectory(root / cell.run_id)
        result = directory.result()
        curve = [(row["train_step"], row["tokens"], row["train_loss"], row["gradient_norm"], row["learning_rate"])
                 for row in directory.metrics()]  # fmt: skip
        assert [row[0] for row in curve] == list(range(1, cell.spec.optim.steps + 1))
        weights = torch.load(directory.checkpoint_path, weights_only=True)
        assert weights["position"]["step"] == cell.spec.optim.steps
        found[cell.spec.optim.steps] = (
            curve,
            (result.validation_loss, result.train_loss, result.steps, result.tokens),
            {name: tensor.numpy().tobytes() for name, tensor in weights["model"].items()},
        )
    return found


@pytest.fixture(scope="module")
def alone(wsd, tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    cells = cells_of(*(wsd(steps, **{"execution.share_trunk": False}) for steps in BUDGETS))
    sweep(root, cells)
    return outcome(root, cells)


@pytest.fixture
def budgets(wsd):
    return cells_of(*map(wsd, BUDGETS))


def test_a_study_costs_its_trunk_and_a_decay_a_budget(tmp_path, budgets, alone, steps_done):
    sweep(tmp_path, budgets)
    assert len(steps_done) == 21 + 4 + 2
    assert outcome(tmp_path, budgets) == alone


def test_without_sharing_every_run_trains_all_of_its_steps(tmp_path, wsd, alone, steps_done):
    cells = cells_of(*(wsd(steps, **{"execution.share_trunk": False}) for steps in BUDGETS))
    sweep(tmp_path, cells)
    assert len(steps_done) == sum(BUDGETS)
    assert outcome(tmp_path, cells) == alone
    assert list(tmp_path.glob("*/branches")) == []


def test_a_sweep_of_one_budget_alone(tmp_path, budgets, alone, steps_done):
    assert sweep(tmp_path, budgets[:1]) == [7]
    assert len(steps_done) == 7
    assert outcome(tmp_path, budgets[:1]) == {7: alone[7]}


def test_a_longer_budget_goes_on_where_the_longest_began_to_decay(tmp_path, wsd, alone, steps_done):
    sweep(tmp_path, cells_of(*map(wsd, BUDGETS[:2])))
    before = len(steps_done)
    cells = cells_of(*map(wsd, BUDGETS))
    assert sweep(tmp_path, cells) == [21]
    assert steps_done[before:] == list(range(STARTS[1], BUDGETS[2]))
    assert outcome(tmp_path, cells) == alone


def test_a_budget_in_between_goes_on_from_the_latest_state_before_its_decay(tmp_path, wsd, alone, steps_done):
    sweep(tmp_path, cells_of(wsd(7), wsd(21)))
    before = len(steps_done)
    cells = cells_of(*map(wsd, BUDGETS))
    assert sweep(tmp_path, cells) == [14]
    assert steps_done[before:] == list(range(STARTS[0], BUDGETS[1]))
    assert outcome(tmp_path, cells) == alone


def test_lost_states_cost_time_and_nothing_else(tmp_path, budgets, alone, steps_done):
    sweep(tmp_path, budgets[2:])
    for _, path in branch_files(tmp_path, trunk_hash(budgets[0].spec), at_most=100):
        path.unlink()
    sweep(tmp_path, budgets)
    assert len(steps_done) == sum(BUDGETS) - STARTS[0]  # the second branch starts from what the first one kept
    assert outcome(tmp_path, budgets) == alone


def test_where_a_branch_started_and_the_seconds_up_to_there_are_recorded(tmp_path, budgets, monkeypatch):
    kill_at(monkeypatch, "archscale.train.loop.train_step", "before", call=23)  # in the decay of the second branch
    sweep(tmp_path, budgets)
    short, middle, long = (RunDirectory(tmp_path / cell.run_id) for cell in budgets)
    assert len(middle.attempts()) + len(short.attempts()) == 3
    assert "trunk" not in long.provenance()
    for directory, step in ((short, 5), (middle, 10)):
        ((_, path),) = branch_files(tmp_path, trunk_hash(directory.spec()), at_most=step)[:1]
        seconds = torch.load(path, weights_only=True)["position"]["train_seconds"]
        origin = {"run": long.run_id, "step": step, "train_seconds": seconds, "git_commit": "c0ffee"}
        assert directory.provenance()["trunk"] == origin
        result = directory.result()
        assert result.train_seconds > seconds > 0
        assert result.tokens_per_second == pytest.approx(result.tokens / result.train_seconds)


def kill_at(monkeypatch, name, moment, *, call):
    """Die before or after the given call of a function, once."""
    module, _, function = name.rpartition(".")
    original = __import__(module, fromlist=[function]).__dict__[function]
    calls = iter(range(1, 10_000))

    def deadly(*arguments, **named):
        number = next(calls)
        if number == call and moment == "before":
            raise KilledError
        result = original(*arguments, **named)
        if number == call:
            raise KilledError
        return result

    monkeypatch.setattr(name, deadly)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("archscale.train.loop.train_step", 4),
        ("archscale.train.loop.train_step", 12),
        ("archscale.train.loop.train_step", 23),
        ("archscale.train.trunk.save_checkpoint", 1),
        ("archscale.launch.job.write_provenance", 3),
        ("archscale.launch.job.write_atomically", 1),
    ],
)
def test_killed_at_any_moment(tmp_path, budgets, alone, steps_done, monkeypatch, name, call, moment):
    """Checkpoints follow every step here, so that a kill costs one step at most, and no state for a branch."""
    kill_at(monkeypatch, name, moment, call=call)
    assert len(sweep(tmp_path, budgets)) == len(BUDGETS) + 1  # one of them twice
    assert len(steps_done) <= 21 + 4 + 2 + 1
    assert outcome(tmp_path, budgets) == alone
