from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from archscale.ops import gated_delta_rule as module
from archscale.ops.gated_delta_rule import gated_delta_rule
from archscale.ops.segments import Segments


def random_inputs(
    batch: int, length: int, heads: int, key: int, value: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Queries and keys of length one, log decays from about −5 to 0, β in (0, 2)."""
    torch.manual_seed(length)
    q, k = (normalize(torch.randn(batch, length, heads, key), dim=-1) for _ in range(2))
    v, log_decay = torch.randn(batch, length, heads, value), logsigmoid(2 * torch.randn(batch, length, heads))
    beta = 2 * torch.rand(batch, length, heads)
    return [x.to(dtype).requires_grad_() for x in (q, k, v, log_decay, beta)]


def random_state(batch: int, heads: int, key: int, value: int) -> Tensor:
    return torch.randn(batch, heads, key, value, dtype=torch.float64, requires_grad=True)


def outputs_and_gradients(inputs: list[Tensor], *extra: Tensor, **options) -> list[Tensor]:
    outputs = gated_delta_rule(*inputs, **options)
    torch.manual_seed(1)
    weights = [torch.randn(x.shape, dtype=torch.float64).to(x.dtype) for x in outputs]
    loss = sum((x * w).sum() for x, w in zip(outputs, weights, strict=True))
    return [*outputs, *torch.autograd.grad(loss, [*inputs, *extra])]


def test_the_reference_equals_sums_over_past_tokens_of_explicit_matrix_products():
    """S_t = Σ_s ≤ t (Π_{s < r ≤ t} α_r (I − β_r k_r k_rᵀ)) β_s k_s v_sᵀ, the factors of later tokens to the left."""
    q, k, v, log_decay, beta = (x.detach() for x in random_inputs(2, 6, 2, 3, 4))
    output, final = gated_delta_rule(q, k, v, log_decay, beta, backend="reference")
    for b in range(2):
        for h in range(2):
            keys = k[b, :, h]
            steps = [
                log_decay[b, r, h].exp() * (torch.eye(3, dtype=k.dtype) - beta[b, r, h] * torch.outer(keys[r], keys[r]))
                for r in range(6)
            ]
            for t in range(6):
                state = torch.zeros(3, 4, dtype=k.dtype)
                for s in range(t + 1):
                    written = beta[b, s, h] * torch.outer(keys[s], v[b, s, h])
                    for r in range(s + 1, t + 1):
                        written = steps[r] @ written
                    state += written
                expected = state.t() @ q[b, t, h] / sqrt(3)
                torch.testing.assert_close(output[b, t, h], expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(final[b, h], state, rtol=1e-12, atol=1e-12)


def test_gradcheck_of_the_reference_and_of_the_chunked_form():
    inputs, initial = random_inputs(1, 5, 2, 3, 2), random_state(1, 2, 3, 2)
    for options in ({"backend": "reference"}, {"chunk": 2}):
        run = lambda *x, options=options: gated_delta_rule(*x[:5], initial_BHKV=x[5], **options)  # noqa: E731
        assert torch.autograd.gradcheck(run, (*inputs, initial))


@pytest.mark.parametrize("chunk", [1, 3, 16, 64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 2, 1, 4, 3), (2, 17, 3, 5, 7), (1, 48, 2, 8, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_the_chunked_form_equals_the_reference_forward_and_backward(chunk, shape, packed):
    inputs, (batch, length, heads, key, value) = random_inputs(*shape), shape
    initial = random_state(batch, heads, key, value)
    document = torch.randint(0, 4, (batch, length)).sort(-1).values
    options = {"initial_BHKV": initial, "segments": Segments(document) if packed else None}
    fast = outputs_and_gradients(inputs, initial, chunk=chunk, **options)
    slow = outputs_and_gradients(inputs, initial, backend="reference", **options)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_reference_backend_and_a_single_token_run_the_definition(monkeypatch):
    monkeypatch.setattr(module, "ChunkedDelta", None)
    inputs = random_inputs(1, 3, 1, 2, 2)
    gated_delta_rule(*inputs, backend="reference")
    gated_delta_rule(*(x[:, :1] for x in inputs))
    with pytest.raises(AttributeError):
        gated_delta_rule(*inputs)


def test_without_an_initial_state_it_is_zero():
    inputs, zeros = random_inputs(2, 21, 2, 4, 3), torch.zeros(2, 2, 4, 3, dtype=torch.float64)
    for options in ({"chunk": 8}, {"backend": "reference"}):
        without, given = gated_delta_rule(*inputs, **options), gated_delta_rule(*inputs, initial_BHKV=zeros, **options)
        assert all(torch.equal(a, b) for a, b in zip(without, given, strict=True))


@pytest.mark.parametrize("key", [8, 160])
def test_float32_agrees_with_the_float64_reference_for_beta_up_to_two(key):
    exact = outputs_and_gradients(random_inputs(1, 200, 2, key, 8), backend="reference")
    fast = outputs_and_gradients(random_inputs(1, 200, 2, key, 8, torch.float32))
    for a, b in zip(fast, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 2e-6 * b.norm()


def test_float32_stays_exact_over_a_long_memory_of_similar_keys_that_never_fades():
    """β near two turns the state over and over without shrinking it: rounding must not be amplified."""
    q, k, v, log_decay, beta = (x.detach() for x in random_inputs(1, 1000, 1, 16, 16))
    k = normalize(k + k[:, :1], dim=-1)
    inputs = [q, k, v, torch.zeros_like(log_decay), 1.9 + 0.05 * beta]
    exact = outputs_and_gradients([x.clone().requires_grad_() for x in inputs], backend="reference")
    fast = outputs_and_gradients([x.float().requires_grad_() for x in inputs])
    for a, b in zip(fast, exact, strict=True):
        assert (a - b).norm() < 1e-5 * b.norm()


@pytest.mark.parametrize("strong", [-50.0, -1e4, -1e30, -torch.inf])
def test_strong_decays_are_finite_and_leave_the_weak_ones_after_them_exact(strong):
    q, k, v, log_decay, beta = (x.detach() for x in random_inputs(2, 70, 2, 4, 3))
    log_decay = torch.where(log_decay < log_decay.quantile(0.3), strong, log_decay * 0.1)
    results = []
    for dtype, options in ((torch.float32, {"chunk": 32}), (torch.float64, {"backend": "reference"})):
        inputs = [x.to(dtype).requires_grad_() for x in (q, k, v, log_decay, beta)]
        results.append(outputs_and_gradients(inputs, **options))
    for a, b in zip(*results, strict=True):
        assert a.isfinite().all()
        assert (a - b).norm() < 2e-6 * b.norm()


def test_a_written_value_is_recalled_exactly_by_its_key_and_replaced_by_the_next_one():
    """With orthogonal keys, β = 1 and no decay the state is an associative memory; additive memories would sum up."""
    keys = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    k = torch.cat([keys, keys[:2], keys])[None, :, None]
    v = torch.randn(1, 10, 1, 3, dtype=torch.float64)
    beta = torch.tensor([1.0] * 6 + [0.0] * 4, dtype=torch.float64)[None, :, None]
    output, _ = gated_delta_rule(k, k, v, torch.zeros_like(beta), beta, chunk=4)
    expected = torch.cat([v[0, 4:6, 0], v[0, 2:4, 0]]) / 2
    torch.testing.assert_close(output[0, 6:, 0], expected, rtol=1e-12, atol=1e-12)


def test_a_token_with_beta_zero_and_no_decay_leaves_the_state_as_it_is():
    q, k, v, log_decay, beta = random_inputs(1, 20, 2, 4, 3)
    keep = (torch.arange(20) < 13).to(beta.dtype)[None, :, None]
    _, padded = gated_delta_rule(q, k, v, log_decay * keep, beta * keep, chunk=8)
    _, short = gated_delta_rule(*(x[:, :13] for x in (q, k, v, log_decay, beta)), chunk=8)
    torch.testing.assert_close(padded, short, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_two_parts_joined_by_the_state_equal_the_whole(cut):
    inputs = random_inputs(2, 21, 2, 4, 3)
    whole, final = gated_delta_rule(*inputs, chunk=8)
    first, state = gated_delta_rule(*(x[:, :cut] for x in inputs), chunk=8)
    second, last = gated_delta_rule(*(x[:, cut:] for x in inputs), chunk=8, initial_BHKV=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final, rtol=1e-12, atol=1e-12)


def test_documents_start_from_an_empty_state():
    inputs = random_inputs(1, 24, 2, 4, 3)
    options = {"chunk": 8, "segments": Segments.of_lengths([[5, 1, 12, 6]])}
    together, final = gated_delta_rule(*inputs, initial_BHKV=random_state(1, 2, 4, 3), **options)
    parts = [slice(0, 5), slice(5, 6), slice(6, 18), slice(18, 24)]
    apart = [gated_delta_rule(*(x[:, part] for x in inputs), chunk=8) for part in parts]
    torch.testing.assert_close(together, torch.cat([o for o, _ in apart], 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final, apart[-1][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("packed", [False, True])
def test_reading_without_gradients_in_pieces_gives_the_same(packed, monkeypatch):
    monkeypatch.setattr(module, "PIECE_CHUNKS", 2)
    inputs, initial = random_inputs(2, 37, 2, 4, 3), random_state(2, 2, 4, 3)
    segments = Segments(torch.randint(0, 3, (2, 37)).sort(-1).values) if packed else None
    whole = gated_delta_rule(*inputs, segments=segments, initial_BHKV=initial, chunk=4)
    with torch.no_grad():
        pieces = gated_delta_rule(*inputs, segments=segments, initial_BHKV=initial, chunk=4)
    for a, b in zip(pieces, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_inputs_are_left_as_they_are_and_low_precision_is_computed_in_float32():
    inputs = [x.detach().bfloat16() for x in random_inputs(1, 32, 1, 4, 4)]
    kept = [x.clone() for x in inputs]
    with torch.autocast("cpu"):
        output, final = gated_delta_rule(*inputs, chunk=32)
    assert output.dtype == final.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))
    exact, _ = gated_delta_rule(*(x.float() for x in inputs), backend="reference")
    torch.testing.assert_close(output, exact, rtol=1e-5, atol=1e-6)


def test_what_is_kept_for_the_way_back_grows_linearly_and_has_one_state_per_chunk():
    rows, length, key, value, chunk = 2 * 3, 256, 8, 16, 16
    saved: list[int] = []

    def keep(x: Tensor) -> Tensor:
        saved.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        output, _ = gated_delta_rule(*random_inputs(2, length, 3, key, value), chunk=chunk)
    output.sum().backward()
    matrices = rows * length * 4 * chunk
    vectors = rows * length * (5 * key + value + 6)
    assert sum(saved) <= vectors + matrices + rows * (length // chunk + 1) * key * value
