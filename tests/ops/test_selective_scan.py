from functools import partial
from itertools import accumulate

import pytest
import torch
from torch import Tensor

from archscale.ops.segments import Segments
from archscale.ops.selective_scan import selective_scan, selective_scan_form

NO_COMPILER = "chunked (no C++ compiler found)"


@pytest.fixture(params=["reference", "torch", "compiled"])
def scan(request):
    """`selective_scan` in each of its forms."""
    if request.param == "compiled":
        if selective_scan_form() == NO_COMPILER:
            pytest.skip("no C++ compiler found")
        assert selective_scan_form() == "compiled"
        return selective_scan
    return partial(selective_scan, backend=request.param)


def random_inputs(
    batch: int, length: int, channels: int, size: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    torch.manual_seed(length)
    u, delta = torch.randn(batch, length, channels), torch.rand(batch, length, channels) * 0.5 + 0.01
    A = -torch.rand(channels, size) * 4 - 0.1
    B, C, D = torch.randn(batch, length, size), torch.randn(batch, length, size), torch.randn(channels)
    return [x.to(dtype).requires_grad_() for x in (u, delta, A, B, C, D)]


def outputs_and_gradients(scan, inputs: list[Tensor], extra: list[Tensor], **options) -> list[Tensor]:
    y, final = scan(*inputs, **options)
    torch.manual_seed(1)
    weights = [torch.randn(x.shape, dtype=torch.float64).to(x.dtype) for x in (y, final)]
    loss = sum((x * w).sum() for x, w in zip((y, final), weights, strict=True))
    return [y, final, *torch.autograd.grad(loss, [*inputs, *extra])]


def test_every_form_equals_the_closed_sum_over_past_tokens(scan):
    """y_t = Σ_s ≤ t C_t · exp(A Σ_{s < r ≤ t} Δ_r) B_s Δ_s u_s + D u_t, written without any recurrence."""
    u, delta, A, B, C, D = (x.detach() for x in random_inputs(2, 7, 3, 4))
    y, _ = scan(u, delta, A, B, C, D)
    for b in range(2):
        for d in range(3):
            total = [0.0, *accumulate(delta[b, :, d].tolist())]
            for t in range(7):
                expected = (D[d] * u[b, t, d]).item()
                for s in range(t + 1):
                    decay = torch.exp(A[d] * (total[t + 1] - total[s + 1]))
                    expected += (C[b, t] * decay * B[b, s]).sum().item() * (delta[b, s, d] * u[b, s, d]).item()
                assert y[b, t, d].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_gradcheck_of_every_form(scan):
    inputs = random_inputs(1, 5, 2, 3)
    initial = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: scan(*x[:6], initial_BDN=x[6], chunk=2), (*inputs, initial))


@pytest.mark.parametrize("chunk", [1, 3, 16, 64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 17, 5, 2), (2, 48, 7, 16)])
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_equals_the_reference_forward_and_backward(scan, chunk, shape, packed):
    inputs, (batch, length, channels, size) = random_inputs(*shape), shape
    initial = torch.randn(batch, channels, size, dtype=torch.float64, requires_grad=True)
    document = torch.randint(0, 4, (batch, length)).sort(-1).values
    options = {"initial_BDN": initial, "segments": Segments(document) if packed else None}
    fast = outputs_and_gradients(scan, inputs, [initial], chunk=chunk, **options)
    slow = outputs_and_gradients(selective_scan, inputs, [initial], backend="reference", **options)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_float32_agrees_with_the_float64_reference(scan):
    exact = outputs_and_gradients(selective_scan, random_inputs(2, 100, 9, 16), [], backend="reference")
    fast = outputs_and_gradients(scan, random_inputs(2, 100, 9, 16, torch.float32), [])
    for a, b in zip(fast, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 2e-6 * b.norm()


def test_strong_decay_neither_overflows_nor_makes_nan(scan):
    inputs = random_inputs(1, 40, 3, 16, torch.float32)
    with torch.no_grad():
        inputs[1] += 50
    assert all(x.isfinite().all() for x in outputs_and_gradients(scan, inputs, []))


def test_a_step_of_length_zero_keeps_the_state_to_the_last_bit(scan):
    u, delta, A, B, C, D = random_inputs(2, 6, 5, 4, torch.float32)
    state = torch.randn(2, 5, 4)
    assert torch.equal(scan(u, delta * 0, A, B, C, D, initial_BDN=state)[1], state)


def test_two_halves_joined_by_the_state_equal_the_whole(scan):
    u, delta, A, B, C, D = random_inputs(2, 21, 5, 4)
    whole, final = scan(u, delta, A, B, C, D)
    first, state = scan(u[:, :8], delta[:, :8], A, B[:, :8], C[:, :8], D)
    second, last = scan(u[:, 8:], delta[:, 8:], A, B[:, 8:], C[:, 8:], D, initial_BDN=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final, rtol=1e-12, atol=1e-12)


def test_documents_start_from_an_empty_state(scan):
    u, delta, A, B, C, D = random_inputs(1, 12, 5, 4)
    together, _ = scan(u, delta, A, B, C, D, segments=Segments.of_lengths([[5, 1, 6]]))
    parts = [slice(0, 5), slice(5, 6), slice(6, 12)]
    apart = [scan(u[:, p], delta[:, p], A, B[:, p], C[:, p], D)[0] for p in parts]
    torch.testing.assert_close(together, torch.cat(apart, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_input_that_is_not_finite_shows_in_the_output_and_in_the_gradient(scan, place, value):
    inputs = random_inputs(2, 9, 5, 4, torch.float32)
    with torch.no_grad():
        inputs[place].view(-1)[0] = value
    y, _, *gradients = outputs_and_gradients(scan, inputs, [])
    assert not y.isfinite().all()
    assert not all(x.isfinite().all() for x in gradients)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_only_one_state_per_chunk_is_kept_for_the_way_back(backend):
    batch, length, channels, size = 2, 512, 6, 16
    saved: list[int] = []

    def keep(x: Tensor) -> Tensor:
        saved.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        y, _ = selective_scan(*random_inputs(batch, length, channels, size), chunk=16, backend=backend)
    y.sum().backward()
    inputs = batch * length * (2 * channels + 2 * size) + channels * (size + 1)
    assert sum(saved) <= inputs + batch * length // 16 * channels * size
