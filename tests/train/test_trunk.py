from dataclasses import replace

import pytest
import torch

from archscale.ops.selective_scan import selective_scan_form
from archscale.runlog.directory import RunDirectory
from archscale.runlog.progress import Progress
from archscale.train.checkpoint import load_checkpoint
from archscale.train.loop import train
from archscale.train.setup import set_up
from archscale.train.trunk import TrunkStates, find_start, signature
from archscale.trunks import branch_file, branch_files, trunk_hash
from tests.support.corpora import trainable_spec, write_corpus


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts")


def wsd(texts, steps, **changes):
    """Decay over the last half, so that 20 steps have the point of 12 steps in their stable part."""
    settings = {"optim.schedule": "wsd", "optim.decay_fraction": 0.5, "optim.steps": steps, "optim.warmup_steps": 2}
    return trainable_spec(texts, **(settings | changes))


def train_in(directory, spec, *, stop_at=None):
    """Train in a run directory; returns the bench and the result."""
    directory.create(spec)
    bench, progress = set_up(spec, directory.path.parent), Progress()
    result = train(
        bench,
        directory.checkpoint_path,
        log=lambda row: None,
        should_stop=lambda: progress.step == stop_at,
        progress=progress,
        keep=TrunkStates(bench, directory).keep,
    )
    return bench, result


@pytest.fixture
def trunk(texts, tmp_path):
    """A run of 20 steps that has kept its states after 6 steps and at its own decay."""
    directory = RunDirectory(tmp_path / "trunk")
    train_in(directory, wsd(texts, 20, **{"execution.branch_steps": [6]}), stop_at=11)
    return directory


def start(directory, spec, **settings):
    directory.create(spec)
    return find_start(set_up(spec, directory.path.parent, **settings), directory)


@pytest.mark.parametrize("sambay", [False, True], ids=["transformer_pp", "sambay"])
def test_a_branch_from_a_trunk_s_state_equals_the_run_alone_to_the_last_bit(texts, tmp_path, sambay):
    short, long = (wsd(texts, steps, sambay=sambay, **{"execution.branch_steps": [6]}) for steps in (12, 20))
    alone, expected = train_in(RunDirectory(tmp_path / "alone"), short)
    train_in(RunDirectory(tmp_path / "elsewhere" / "trunk"), long)
    directory = RunDirectory(tmp_path / "elsewhere" / "branch")
    found = start(directory, short)
    assert (found.run, found.step) == ("trunk", 6)
    directory.checkpoint_path.write_bytes(found.checkpoint)
    branch, result = train_in(directory, short)
    assert (result.validation_loss, result.train_loss) == (expected.validation_loss, expected.train_loss)
    for one, two in zip(branch.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(one, two)
        for key, value in branch.optimizer.state[one].items():
            assert torch.equal(value, alone.optimizer.state[two][key])


def test_a_trunk_keeps_the_states_it_is_asked_for_and_that_at_its_own_decay(texts, tmp_path):
    directory = RunDirectory(tmp_path / "trunk")
    spec = wsd(texts, 20, **{"execution.branch_steps": [6, 3, 15]})
    train_in(directory, spec)
    kept = branch_files(tmp_path, trunk_hash(spec), at_most=100)
    assert [step for step, _ in kept] == [10, 6, 3]  # 15 lies in the decay: no other run has that state
    for step, path in kept:
        bench = set_up(spec, tmp_path)
        assert load_checkpoint(path, bench.model, bench.optimizer).step == step


@pytest.mark.parametrize("change", [{"optim.schedule": "linear"}, {"execution.share_trunk": False}], ids=str)
def test_runs_that_share_nothing_keep_nothing_and_look_for_nothing(texts, tmp_path, trunk, change):
    directory = RunDirectory(tmp_path / "other")
    assert start(directory, wsd(texts, 12, **change)) is None
    train_in(directory, wsd(texts, 12, **change), stop_at=7)
    assert not (directory.path / "branches").exists()


def test_the_latest_state_before_the_own_decay_is_taken(texts, tmp_path, trunk):
    taken = {steps: start(RunDirectory(tmp_path / str(steps)), wsd(texts, steps)) for steps in (8, 12, 18, 40)}
    assert {steps: found and found.step for steps, found in taken.items()} == {8: None, 12: 6, 18: 6, 40: 10}


def test_a_run_with_a_checkpoint_goes_on_from_it(texts, tmp_path, trunk):
    directory = RunDirectory(tmp_path / "branch")
    train_in(directory, wsd(texts, 12), stop_at=2)
    assert start(directory, wsd(texts, 12)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"optim.learning_rate": 0.02},
        {"optim.warmup_steps": 3},
        {"optim.weight_decay": 0.2},
        {"optim.batch_tokens": 256},
        {"precision": "bfloat16"},
        {"execution.threads": 2},
        {"execution.micro_batch_sequences": 2},
    ],
    ids=str,
)
def test_states_of_other_runs_are_not_taken(texts, tmp_path, trunk, change):
    assert start(RunDirectory(tmp_path / "branch"), wsd(texts, 12, **change)) is None


@pytest.mark.parametrize("change", [{"execution.log_steps": 3}, {"execution.checkpoint_seconds": 1.0}], ids=str)
def test_logging_and_checkpoints_keep_no_runs_apart(texts, tmp_path, trunk, change):
    assert start(RunDirectory(tmp_path / "branch"), wsd(texts, 12, **change)).step == 6


def test_a_state_that_was_computed_in_another_way_is_refused(texts, tmp_path, trunk, monkeypatch, capsys):
    directory, spec = RunDirectory(tmp_path / "branch"), wsd(texts, 12)
    assert start(directory, spec, halvings=1) is None
    assert "micro_batch_sequences is 4, and this run needs 2" in capsys.readouterr().err
    monkeypatch.setattr("archscale.train.trunk.torch.__version__", "2.99")
    assert start(directory, spec) is None
    assert "and this run needs 2.99" in capsys.readouterr().err


def test_a_state_of_another_form_of_the_scan_or_of_another_gpu_is_refused(texts, tmp_path, trunk, monkeypatch, capsys):
    directory, spec = RunDirectory(tmp_path / "branch"), wsd(texts, 12)
    here = selective_scan_form()
    form = "chunked (no C++ compiler found)" if here == "compiled" else "compiled"
    monkeypatch.setattr("archscale.train.trunk.selective_scan_form", lambda: form)
    assert start(directory, spec) is None
    needed = form == "compiled"
    assert f"its compiled_scan is {not needed}, and this run needs {needed}" in capsys.readouterr().err
    bench = set_up(spec, tmp_path)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Abacus 3")
    assert signature(replace(bench, device=torch.device("cuda")))["device"] == "Abacus 3"


def resume(directory, spec, *, stop_at=None, **settings):
    """In the way that the spec and the settings say now, as after a sweep with other options."""
    directory.refreeze(spec)
    bench, progress = set_up(spec, directory.path.parent, **settings), Progress()
    train(
        bench,
        directory.checkpoint_path,
        log=lambda row: None,
        should_stop=lambda: progress.step == stop_at,
        progress=progress,
        keep=TrunkStates(bench, directory).keep,
    )


def kept_by(directory):
    return sorted(int(path.stem.rpartition("-")[2]) for path in directory.path.glob("branches/*.pt"))


@pytest.mark.parametrize(
    ("change", "settings"),
    [({"execution.threads": 2}, {}), ({"execution.micro_batch_sequences": 1}, {}), ({}, {"halvings": 1})],
    ids=str,
)
def test_a_run_that_goes_on_in_another_way_keeps_no_states(texts, tmp_path, capsys, change, settings):
    """Not even when it comes back to the first way: some of its steps are not those of a run alone."""
    directory, points = RunDirectory(tmp_path / "trunk"), {"execution.branch_steps": [3, 6, 8]}
    train_in(directory, wsd(texts, 20, **points), stop_at=4)
    resume(directory, wsd(texts, 20, **points, **change), stop_at=7, **settings)
    assert "keeps no states for other runs" in capsys.readouterr().err
    resume(directory, wsd(texts, 20, **points), stop_at=11)
    assert kept_by(directory) == [3]


def test_a_run_that_goes_on_in_the_same_way_or_starts_over_keeps_its_states(texts, tmp_path):
    directory, points = RunDirectory(tmp_path / "trunk"), {"execution.branch_steps": [3, 6]}
    train_in(directory, wsd(texts, 20, **points), stop_at=4)
    resume(directory, wsd(texts, 20, **points), stop_at=7)
    assert kept_by(directory) == [3, 6]
    directory.checkpoint_path.unlink()
    resume(directory, wsd(texts, 20, **points), stop_at=4, halvings=1)
    state = torch.load(branch_file(directory.path, trunk_hash(directory.spec()), 3), weights_only=True)
    assert state["trunk"]["micro_batch_sequences"] == 2


def test_a_file_that_is_not_what_its_name_says_is_refused_and_an_earlier_one_taken(texts, tmp_path, trunk, capsys):
    spec = wsd(texts, 40)
    latest, earlier = (branch_file(trunk.path, trunk_hash(spec), step) for step in (10, 6))
    state = latest.read_bytes()
    latest.write_bytes(earlier.read_bytes())
    assert start(RunDirectory(tmp_path / "branch"), spec).step == 6
    assert "its step is 6, and this run needs 10" in capsys.readouterr().err
    latest.write_bytes(state[: len(state) // 2])
    assert start(RunDirectory(tmp_path / "branch"), spec).step == 6
    other = wsd(texts, 40, seed=3)
    branch_file(trunk.path, trunk_hash(other), 10).write_bytes(state)
    assert start(RunDirectory(tmp_path / "other"), other) is None
    assert "its hash is" in capsys.readouterr().err


def test_a_state_of_another_version_of_the_model_is_refused(texts, tmp_path, trunk, capsys):
    spec = wsd(texts, 12)
    path = branch_file(trunk.path, trunk_hash(spec), 6)
    state = torch.load(path, weights_only=True)
    state["model"]["renamed"] = state["model"].pop(next(iter(state["model"])))
    torch.save(state, path)
    assert start(RunDirectory(tmp_path / "branch"), spec) is None
    assert "another version of the code" in capsys.readouterr().err
