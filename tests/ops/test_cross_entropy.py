from math import exp, log

import pytest
import torch
from torch import Tensor, nn

from archscale.ops import cross_entropy as package
from archscale.ops.cross_entropy import cross_entropy
from archscale.ops.cross_entropy.chunked import ChunkedCrossEntropy

SHAPES = [(1, 1, 2), (2, 7, 5), (3, 11, 61)]
SMOOTHING = pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])


def random_logits(batch: int, length: int, vocabulary: int, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(length)
    logits = 4 * torch.randn(batch, length, vocabulary, dtype=dtype)
    return logits.requires_grad_(), torch.randint(0, vocabulary, (batch, length))


def value_and_gradient(loss: Tensor, logits: Tensor) -> list[Tensor]:
    return [loss, *torch.autograd.grad(0.37 * loss, logits)]


@pytest.fixture(params=["one pass", "chunks"])
def form(request, monkeypatch):
    """Each of the two fast forms, the chunks of three rows."""
    if request.param == "chunks":
        monkeypatch.setattr(package, "CHUNKED_FROM", 0)
        monkeypatch.setattr(package, "CHUNK_LOGITS", 200)


@SMOOTHING
def test_the_reference_equals_explicit_sums(label_smoothing):
    logits, targets = random_logits(2, 3, 5)
    total = 0.0
    for row in range(2):
        for t in range(3):
            weights = [exp(z) for z in logits[row, t].tolist()]
            for v, weight in enumerate(weights):
                wanted = label_smoothing / 5 + (1 - label_smoothing) * (v == targets[row, t].item())
                total -= wanted * log(weight / sum(weights))
    loss = cross_entropy(logits, targets, label_smoothing=label_smoothing, backend="reference")
    assert loss.item() == pytest.approx(total / 6, rel=1e-12)


@SMOOTHING
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("form")
def test_auto_equals_the_reference_forward_and_backward(shape, label_smoothing):
    logits, targets = random_logits(*shape)
    found = [
        value_and_gradient(cross_entropy(logits, targets, label_smoothing=label_smoothing, backend=backend), logits)
        for backend in ("auto", "reference")
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [*SHAPES, (4, 61, 513)])
@pytest.mark.usefixtures("form")
def test_without_smoothing_it_is_bit_for_bit_the_loss_of_torch(shape):
    logits, targets = random_logits(*shape, dtype=torch.float32)
    ours = value_and_gradient(cross_entropy(logits, targets), logits)
    torchs = value_and_gradient(nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), logits)
    assert all(torch.equal(a, b) for a, b in zip(ours, torchs, strict=True))


def test_chunks_keep_nothing_of_the_size_of_the_logits_but_the_logits():
    logits, targets = random_logits(4, 16, 61)
    rows, kept = logits.flatten(0, 1), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        ChunkedCrossEntropy.apply(rows, targets.flatten(), 0.0, 3)
    assert [x.data_ptr() for x in kept if x.numel() == rows.numel()] == [logits.data_ptr()]


@SMOOTHING
@pytest.mark.usefixtures("form")
def test_large_logits_give_finite_losses_and_gradients(label_smoothing):
    logits, targets = random_logits(2, 5, 61, dtype=torch.float32)
    huge = (1e4 * logits).detach().requires_grad_()
    values = value_and_gradient(cross_entropy(huge, targets, label_smoothing=label_smoothing), huge)
    assert all(value.isfinite().all() for value in values)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_half_precision_logits_give_a_float32_loss(backend):
    logits, targets = random_logits(2, 5, 61)
    rounded = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cross_entropy(rounded, targets, backend=backend)
    assert loss.dtype == torch.float32
    exact = cross_entropy(rounded.double(), targets, backend="reference")
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
