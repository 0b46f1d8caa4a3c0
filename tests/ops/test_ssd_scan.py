from itertools import accumulate

import pytest
import torch
from torch import Tensor

from archscale.ops.segments import Segments
from archscale.ops.selective_scan.reference import selective_scan_reference
from archscale.ops.ssd_scan import chunk_tokens, ssd_scan
from archscale.ops.ssd_scan.reference import ssd_scan_reference


def random_inputs(
    batch: int, length: int, heads: int, channels: int, size: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    torch.manual_seed(length)
    x, delta = torch.randn(batch, length, heads, channels), torch.rand(batch, length, heads) * 0.5 + 0.01
    A, D = -torch.rand(heads) * 4 - 0.1, torch.randn(heads)
    B, C = torch.randn(batch, length, size), torch.randn(batch, length, size)
    return [x.to(dtype).requires_grad_() for x in (x, delta, A, B, C, D)]


def outputs_and_gradients(inputs: list[Tensor], extra: list[Tensor], **options) -> list[Tensor]:
    outputs = ssd_scan(*inputs, **options)
    torch.manual_seed(1)
    weights = [torch.randn(x.shape, dtype=torch.float64).to(x.dtype) for x in outputs]
    loss = sum((x * w).sum() for x, w in zip(outputs, weights, strict=True))
    return [*outputs, *torch.autograd.grad(loss, [*inputs, *extra])]


def test_the_reference_equals_the_closed_sum_over_past_tokens():
    """y_t = Σ_s ≤ t exp(A Σ_{s < r ≤ t} Δ_r) (C_t · B_s) Δ_s x_s + D x_t, written without any recurrence."""
    x, delta, A, B, C, D = (tensor.detach() for tensor in random_inputs(2, 7, 3, 2, 4))
    y, _ = ssd_scan_reference(x, delta, A, B, C, D)
    for b in range(2):
        for h in range(3):
            total = [0.0, *accumulate(delta[b, :, h].tolist())]
            for t in range(7):
                expected = D[h] * x[b, t, h]
                for s in range(t + 1):
                    decay = torch.exp(A[h] * (total[t + 1] - total[s + 1]))
                    expected = expected + decay * (C[b, t] @ B[b, s]) * delta[b, s, h] * x[b, s, h]
                torch.testing.assert_close(y[b, t, h], expected, rtol=1e-12, atol=1e-12)


def test_it_is_a_selective_scan_whose_decay_is_shared_by_a_head():
    x, delta, A, B, C, D = random_inputs(2, 9, 3, 4, 5)
    initial = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    step, decay, skip = (tensor.repeat_interleave(4, -1) for tensor in (delta, A, D))
    expected, last = selective_scan_reference(
        x.flatten(2), step, decay[:, None].expand(-1, 5), B, C, skip, initial_BDN=initial.flatten(1, 2)
    )
    y, final = ssd_scan(x, delta, A, B, C, D, initial_BHPN=initial, chunk=4)
    torch.testing.assert_close(y.flatten(2), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final.flatten(1, 2), last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 16, 64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (1, 2, 1, 3, 2), (3, 17, 5, 2, 3), (2, 48, 2, 7, 16)])
@pytest.mark.parametrize("packed", [False, True])
def test_the_chunked_form_equals_the_reference_forward_and_backward(chunk, shape, packed):
    inputs, (batch, length, heads, channels, size) = random_inputs(*shape), shape
    initial = torch.randn(batch, heads, channels, size, dtype=torch.float64, requires_grad=True)
    document = torch.randint(0, 4, (batch, length)).sort(-1).values
    options = {"initial_BHPN": initial, "segments": Segments(document) if packed else None}
    fast = outputs_and_gradients(inputs, [initial], chunk=chunk, **options)
    slow = outputs_and_gradients(inputs, [initial], backend="reference", **options)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_gradcheck_of_the_reference():
    initial = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *x: ssd_scan_reference(*x[:6], initial_BHPN=x[6]), (*random_inputs(1, 4, 2, 3, 2), initial)
    )


def test_float32_agrees_with_the_float64_reference():
    exact = outputs_and_gradients(random_inputs(2, 100, 3, 4, 16), [], backend="reference")
    fast = outputs_and_gradients(random_inputs(2, 100, 3, 4, 16, torch.float32), [])
    for a, b in zip(fast, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 3e-6 * b.norm()


def test_autocast_does_not_lower_the_precision_of_the_scan():
    inputs = [x.detach().bfloat16() for x in random_inputs(2, 40, 3, 4, 5)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, final = ssd_scan(*inputs)
    expected, last = ssd_scan(*(x.float() for x in inputs))
    assert torch.equal(low, expected)
    assert torch.equal(final, last)


@pytest.mark.parametrize("packed", [False, True])
def test_strong_decay_neither_overflows_nor_makes_nan(packed):
    inputs = random_inputs(1, 40, 3, 2, 4, torch.float32)
    with torch.no_grad():
        inputs[1][:, ::7] += 1e30
        inputs[1][:, 1::7] += 500
    segments = Segments.of_lengths([[13, 1, 26]]) if packed else None
    fast = outputs_and_gradients(inputs, [], segments=segments)
    assert all(x.isfinite().all() for x in fast)


def test_tokens_after_a_forgotten_past_keep_their_precision():
    """exp(s_i − s_j) is a difference of sums: a step of 1000 in the chunk must not blur the short ones after it."""
    inputs = random_inputs(1, 32, 2, 3, 4, torch.float32)
    with torch.no_grad():
        inputs[1] *= 0.1
        inputs[1][:, [3, 4, 9]] = 1000.0
    exact, _ = ssd_scan(*(x.double() for x in inputs), backend="reference")
    fast, _ = ssd_scan(*inputs, chunk=32)
    after = slice(10, None)
    assert (fast - exact)[:, after].norm() < 4e-5 * exact[:, after].norm()


def test_two_halves_joined_by_the_state_equal_the_whole():
    x, delta, A, B, C, D = random_inputs(2, 21, 3, 4, 5)
    whole, final = ssd_scan(x, delta, A, B, C, D, chunk=6)
    first, state = ssd_scan(x[:, :8], delta[:, :8], A, B[:, :8], C[:, :8], D, chunk=6)
    second, last = ssd_scan(x[:, 8:], delta[:, 8:], A, B[:, 8:], C[:, 8:], D, initial_BHPN=state, chunk=6)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final, rtol=1e-12, atol=1e-12)


def test_documents_start_from_an_empty_state():
    x, delta, A, B, C, D = random_inputs(1, 12, 3, 4, 5)
    together, final = ssd_scan(x, delta, A, B, C, D, segments=Segments.of_lengths([[5, 1, 6]]), chunk=4)
    parts = [slice(0, 5), slice(5, 6), slice(6, 12)]
    apart = [ssd_scan(x[:, p], delta[:, p], A, B[:, p], C[:, p], D) for p in parts]
    torch.testing.assert_close(together, torch.cat([y for y, _ in apart], 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final, apart[-1][1], rtol=1e-12, atol=1e-12)


def kept_bytes(length: int) -> int:
    saved: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        saved[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        results = ssd_scan(*random_inputs(2, length, 3, 4, 8))
    del results
    return sum(saved.values())


def test_memory_is_linear_in_the_sequence():
    assert kept_bytes(1024) < 2.1 * kept_bytes(512)


def test_the_chunk_grows_with_the_state_and_changes_only_rounding():
    assert [chunk_tokens(*shape) for shape in ((1, 1), (4, 8), (32, 32), (64, 128))] == [16, 16, 32, 64]
    inputs = random_inputs(2, 130, 2, 3, 4)
    for chunk in (5, 32, 200):
        torch.testing.assert_close(ssd_scan(*inputs, chunk=chunk), ssd_scan(*inputs), rtol=1e-11, atol=1e-11)
