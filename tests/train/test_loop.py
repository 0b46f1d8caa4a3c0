import math

import numpy as np
import pytest
import torch

from archscale.registry import UserError
from archscale.runlog.progress import Progress
from archscale.train.checkpoint import Position, load_checkpoint, save_checkpoint
from archscale.train.evaluate import evaluation_steps, validation_loss
from archscale.train.loop import train, train_step
from archscale.train.optim import build_optimizer, set_learning_rate
from archscale.train.schedule import learning_rate_factor
from archscale.train.setup import choose_device, set_up
from tests.support.corpora import trainable_spec, write_corpus


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts")


def run(spec, root, checkpoint, *, stop_at=None):
    """Train until the end or until `stop_at` steps are done; returns the result and the rows that were logged."""
    rows, progress = [], Progress()
    result = train(
        set_up(spec, root),
        checkpoint,
        log=lambda row: rows.append(dict(row)),
        should_stop=lambda: progress.step == stop_at,
        progress=progress,
    )
    return result, rows


def losses(rows):
    return {row["train_step"]: (row["train_loss"], row["gradient_norm"], row.get("validation_loss")) for row in rows}


@pytest.mark.parametrize("sambay", [False, True], ids=["transformer_pp", "sambay"])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_last_bit(texts, tmp_path, sambay):
    spec = trainable_spec(texts, sambay=sambay)
    whole, all_rows = run(spec, tmp_path, tmp_path / "whole.pt")
    first, first_rows = run(spec, tmp_path, tmp_path / "parts.pt", stop_at=3)
    second, second_rows = run(spec, tmp_path, tmp_path / "parts.pt", stop_at=7)
    third, third_rows = run(spec, tmp_path, tmp_path / "parts.pt")
    assert first is None
    assert second is None
    assert losses(first_rows + second_rows + third_rows) == losses(all_rows)
    assert len(all_rows) == spec.optim.steps
    assert third.validation_loss == whole.validation_loss
    assert third.train_loss == whole.train_loss


def test_a_run_resumed_after_its_last_step_still_has_its_result(texts, tmp_path):
    spec = trainable_spec(texts)
    whole, _ = run(spec, tmp_path, tmp_path / "whole.pt")
    stopped, _ = run(spec, tmp_path, tmp_path / "late.pt", stop_at=spec.optim.steps)
    resumed, rows = run(spec, tmp_path, tmp_path / "late.pt")
    assert stopped is None
    assert rows == []
    assert resumed.validation_loss == whole.validation_loss


def test_training_learns(texts, tmp_path):
    spec = trainable_spec(texts, **{"optim.steps": 200, "optim.warmup_steps": 10})
    result, rows = run(spec, tmp_path, tmp_path / "c.pt")
    assert rows[0]["train_loss"] == pytest.approx(math.log(256), rel=0.05)
    assert result.validation_loss < 0.7 * result.unigram_entropy
    assert result.verdict == "finished"
    assert result.tokens == 200 * 128


def test_micro_batches_change_nothing_beyond_rounding(texts, tmp_path):
    whole = set_up(trainable_spec(texts), tmp_path)
    parts = set_up(trainable_spec(texts, **{"execution.micro_batch_sequences": 3}), tmp_path)
    halved = set_up(trainable_spec(texts), tmp_path, halvings=1)
    assert (whole.micro_sequences, parts.micro_sequences, halved.micro_sequences) == (4, 3, 2)
    for bench in (whole, parts, halved):
        bench.model.double()
    expected = [train_step(whole, step) for step in range(3)]
    for bench in (parts, halved):
        np.testing.assert_allclose([train_step(bench, step) for step in range(3)], expected, rtol=1e-9)


def test_a_non_finite_loss_is_the_verdict_diverged(texts, tmp_path):
    spec = trainable_spec(texts, **{"optim.learning_rate": 1e30, "optim.grad_clip": 1e30})
    result, rows = run(spec, tmp_path, tmp_path / "c.pt")
    assert result.verdict == "diverged"
    assert result.validation_loss is None
    assert not math.isfinite(rows[-1]["train_loss"]) or not math.isfinite(rows[-1]["gradient_norm"])
    assert result.steps == rows[-1]["train_step"] < spec.optim.steps


def test_two_runs_of_one_spec_are_equal_and_seeds_differ(texts, tmp_path):
    first, _ = run(trainable_spec(texts), tmp_path, tmp_path / "1.pt")
    second, _ = run(trainable_spec(texts), tmp_path, tmp_path / "2.pt")
    other, _ = run(trainable_spec(texts, seed=1), tmp_path, tmp_path / "3.pt")
    assert first.validation_loss == second.validation_loss != other.validation_loss


def test_the_validation_loss_is_the_mean_over_all_its_tokens(texts, tmp_path):
    bench = set_up(trainable_spec(texts, **{"data.validation_tokens": 32 * 7}), tmp_path)
    total = 0.0
    for inputs, targets in bench.held_out:
        log_probabilities = bench.model(torch.from_numpy(inputs)).double().log_softmax(-1)
        picked = log_probabilities.gather(-1, torch.from_numpy(targets)[..., None])
        total -= picked.sum().item()
    assert validation_loss(bench) == pytest.approx(total / (32 * 7), rel=1e-6)


def test_the_optimizer_obeys_the_rules_of_each_role(texts, tmp_path):
    spec = trainable_spec(texts, sambay=True, **{"scale.base_width": 4.0})
    bench = set_up(spec, tmp_path)
    where = {id(p): group for group in bench.optimizer.param_groups for p in group["params"]}
    assert len(where) == len(list(bench.model.parameters()))
    set_learning_rate(bench.optimizer, spec, spec.optim.warmup_steps)
    for name, parameter in bench.model.named_parameters():
        group = where[id(parameter)]
        hidden = parameter.ndim == 2 and "conv" not in name and "A_log" not in name and "embedding" not in name
        assert group["lr"] == pytest.approx(spec.optim.learning_rate * (0.25 if hidden else 1.0)), name
        assert group["weight_decay"] == (spec.optim.weight_decay if hidden else 0.0), name


def test_one_step_of_the_optimizer_is_adamw(texts, tmp_path):
    """Against the update of Loshchilov & Hutter 2019 (arXiv 1711.05101), Algorithm 2, written out in float64."""
    spec = trainable_spec(texts, **{"optim.grad_clip": 1e9, "optim.warmup_steps": 0})
    bench = set_up(spec, tmp_path)
    bench.model.double()
    optimizer = build_optimizer(bench.model, spec)
    set_learning_rate(optimizer, spec, 0)
    before = {name: p.detach().clone() for name, p in bench.model.named_parameters()}
    inputs, targets = (torch.from_numpy(part) for part in bench.sampler.batch(0))
    bench.model.loss(inputs, targets).backward()
    optimizer.step()
    where = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, p in bench.model.named_parameters():
        group = where[id(p)]
        decayed = before[name] * (1 - group["lr"] * group["weight_decay"])
        expected = decayed - group["lr"] * p.grad / (p.grad.abs() + spec.optim.eps)
        torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-12)


def test_warm_up_then_linear_decay_to_zero():
    from tests.support.specs import small_spec

    optim = small_spec(**{"optim.steps": 10, "optim.warmup_steps": 4}).optim
    factors = [learning_rate_factor(optim, step) for step in range(10)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    np.testing.assert_allclose(np.diff(factors[4:]), -1 / 6)
    assert factors[-1] == pytest.approx(1 / 6)  # the step after the last would be at 0
    constant = small_spec(**{"optim.schedule": "constant", "optim.warmup_steps": 0}).optim
    assert {learning_rate_factor(constant, step) for step in range(10)} == {1.0}


@pytest.mark.parametrize(("steps", "evaluations"), [(10, 3), (3, 10), (1, 1), (1000, 7)])
def test_the_last_step_is_always_evaluated(steps, evaluations):
    after = evaluation_steps(steps, evaluations)
    assert max(after) == steps
    assert len(after) == min(steps, evaluations)
    assert min(after) >= 1


def test_a_checkpoint_brings_back_every_bit(texts, tmp_path):
    spec = trainable_spec(texts, sambay=True)
    bench, other = set_up(spec, tmp_path), set_up(trainable_spec(texts, sambay=True, seed=5), tmp_path)
    for step in range(2):
        set_learning_rate(bench.optimizer, spec, step)
        train_step(bench, step)
    position = Position(step=2, train_seconds=1.25, train_loss=1 / 3)
    save_checkpoint(tmp_path / "c.pt", bench.model, bench.optimizer, position)
    assert load_checkpoint(tmp_path / "c.pt", other.model, other.optimizer) == position
    for one, two in zip(bench.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)
        for key, value in bench.optimizer.state[one].items():
            assert torch.equal(value, other.optimizer.state[two][key])


def test_a_gpu_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="execution.device = cuda"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named(texts, tmp_path, content):
    bench = set_up(trainable_spec(texts), tmp_path)
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"c\.pt is no checkpoint of this run .*delete it") as error:
        load_checkpoint(tmp_path / "c.pt", bench.model, bench.optimizer)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_model_is_refused(texts, tmp_path):
    one, other = (set_up(trainable_spec(texts, sambay=sambay), tmp_path) for sambay in (False, True))
    save_checkpoint(tmp_path / "c.pt", one.model, one.optimizer, Position(step=1))
    with pytest.raises(UserError, match="no checkpoint of this run"):
        load_checkpoint(tmp_path / "c.pt", other.model, other.optimizer)


def test_separate_documents_are_read_one_by_one(texts, tmp_path):
    """The batch's loss is the mean over its tokens of the losses of its documents, each read alone."""
    joined = set_up(trainable_spec(texts, sambay=True), tmp_path)
    apart = set_up(trainable_spec(texts, sambay=True, **{"data.separate_documents": True}), tmp_path)
    ends = np.flatnonzero(apart.corpus.train[:2000] == 0)
    start = ends[1] - 20
    window = apart.corpus.train[start : start + 33].astype(np.int64)
    inputs, targets = window[None, :-1], window[None, 1:]
    parts = [slice(0, 21), slice(21, 32)]
    total = sum(joined.loss(inputs[:, part], targets[:, part]) * (part.stop - part.start) for part in parts)
    torch.testing.assert_close(apart.loss(inputs, targets), total / 32, rtol=1e-5, atol=0)
    assert abs(joined.loss(inputs, targets) - total / 32) > 1e-6


def test_label_smoothing_is_trained_on_and_not_validated_with(texts, tmp_path):
    plain = set_up(trainable_spec(texts), tmp_path)
    smooth = set_up(trainable_spec(texts, **{"optim.label_smoothing": 0.1}), tmp_path)
    assert validation_loss(smooth) == validation_loss(plain)
    inputs, targets = plain.sampler.batch(0)
    logits = plain.model(torch.from_numpy(inputs)).log_softmax(-1).detach()
    target_loss = -logits.gather(-1, torch.from_numpy(targets)[..., None]).mean()
    expected = 0.9 * target_loss + 0.1 * -logits.mean()
    assert train_step(smooth, 0)[0] == pytest.approx(expected.item(), rel=1e-5)
