from math import exp, sqrt

import pytest
import torch
from torch import Tensor

from archscale.ops.causal_attention import causal_attention
from archscale.ops.differential_attention import differential_attend_cached, differential_attention
from archscale.ops.segments import Segments


def random_heads(batch: int, length: int, heads: int, groups: int, size: int) -> list[Tensor]:
    """q, k, v and λ, to differentiate."""
    torch.manual_seed(length)
    shapes = [(batch, length, heads, size), (batch, length, groups, size), (batch, length, groups, size)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return [*inputs, torch.tensor(0.37, dtype=torch.float64, requires_grad=True)]


def random_segments(batch: int, length: int) -> Segments:
    return Segments(torch.randint(0, 3, (batch, length)).sort(-1).values)


def output_and_gradients(attend, inputs: list[Tensor]) -> list[Tensor]:
    output = attend(*inputs)
    torch.manual_seed(2)
    return [output, *torch.autograd.grad(output, inputs, torch.randn(output.shape, dtype=output.dtype))]


@pytest.mark.parametrize("window", [None, 1, 4])
def test_the_reference_equals_explicit_loops(window):
    q, k, v, mix = (x.detach() for x in random_heads(1, 9, 8, 4, 3))
    segments = Segments.of_lengths([[4, 5]])
    output = differential_attention(q, k, v, mix, window=window, segments=segments, backend="reference")
    assert output.shape == (1, 9, 4, 6)
    for i in range(9):
        first = max(0 if i < 4 else 4, 0 if window is None else i - window + 1)
        for pair in range(4):
            one, two = 2 * (pair // 2), 2 * (pair // 2) + 1
            expected = torch.zeros(6, dtype=torch.float64)
            for sign, query, key in ((1.0, 2 * pair, one), (-mix.item(), 2 * pair + 1, two)):
                weights = [exp((q[0, i, query] @ k[0, j, key]).item() / sqrt(3)) for j in range(first, i + 1)]
                for weight, j in zip(weights, range(first, i + 1), strict=True):
                    expected += sign * weight / sum(weights) * torch.cat([v[0, j, one], v[0, j, two]])
            torch.testing.assert_close(output[0, i, pair], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 2, 2, 2), (2, 19, 8, 2, 3), (2, 33, 12, 4, 8), (1, 40, 4, 4, 70)])
@pytest.mark.parametrize("window", [None, 1, 5, 200])
@pytest.mark.parametrize("packed", [False, True])
def test_auto_equals_the_reference_forward_and_backward(shape, window, packed):
    inputs, segments = random_heads(*shape), random_segments(*shape[:2]) if packed else None
    found = [
        output_and_gradients(
            lambda *x, b=backend: differential_attention(*x, window=window, segments=segments, backend=b), inputs
        )
        for backend in ("auto", "reference")
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_without_the_second_map_it_is_attention_with_the_first_heads_and_the_values_of_the_pair():
    q, k, v, _ = random_heads(2, 21, 8, 4, 4)
    pair = torch.cat([v[:, :, 0::2], v[:, :, 1::2]], -1)
    expected = causal_attention(q[:, :, 0::2], k[:, :, 0::2], pair, window=5)
    output = differential_attention(q, k, v, torch.tensor(0.0), window=5)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_equal_maps_cancel_at_a_mix_of_one():
    q, k, v, _ = random_heads(1, 30, 4, 2, 4)
    same = [x[:, :, 0::2].repeat_interleave(2, 2) for x in (q, k)]
    assert differential_attention(*same, v, torch.tensor(1.0)).abs().max() < 1e-14


@pytest.mark.parametrize("size", [8, 70])
def test_float32_agrees_with_the_float64_reference(size):
    inputs = [x.detach() for x in random_heads(1, 150, 4, 2, size)]
    exact = differential_attention(*inputs, window=60, backend="reference")
    fast = differential_attention(*(x.float() for x in inputs), window=60)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("size", [3, 32])
def test_the_last_token_over_a_cache_in_any_order_equals_the_sequence(backend, size):
    q, k, v, mix = (x.detach() for x in random_heads(3, 11, 8, 4, size))
    order, lengths = torch.randperm(13), [11, 1, 6]
    valid = torch.zeros(3, 13, dtype=torch.bool)
    k_cache, v_cache = torch.randn(2, 3, 13, 4, size, dtype=torch.float64) * 50
    for row, length in enumerate(lengths):
        slots = order[:length]
        valid[row, slots], k_cache[row, slots], v_cache[row, slots] = True, k[row, :length], v[row, :length]
    last = torch.stack([q[row, length - 1] for row, length in enumerate(lengths)])
    output = differential_attend_cached(last, k_cache, v_cache, mix, valid, backend=backend)
    sequence = differential_attention(q, k, v, mix, backend="reference")
    expected = torch.stack([sequence[row, length - 1] for row, length in enumerate(lengths)])
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
