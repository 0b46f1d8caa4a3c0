from math import exp, sqrt

import pytest
import torch
from torch import Tensor

from archscale.ops.causal_attention import attend_cached, causal_attention
from archscale.ops.causal_attention.narrow import NarrowAttention
from archscale.ops.causal_attention.reference import causal_attention_reference
from archscale.ops.causal_attention.sdpa import sdpa_attention
from archscale.ops.segments import Segments


def random_heads(
    batch: int, length: int, heads: int, groups: int, size: int, value_size: int | None = None
) -> list[Tensor]:
    torch.manual_seed(length)
    shapes = [(batch, length, heads, size), (batch, length, groups, size), (batch, length, groups, value_size or size)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def random_documents(batch: int, length: int) -> Tensor:
    return torch.randint(0, 3, (batch, length)).sort(-1).values


def output_and_gradients(attend, inputs: list[Tensor]) -> list[Tensor]:
    output = attend(*inputs)
    torch.manual_seed(2)
    return [output, *torch.autograd.grad(output, inputs, torch.randn(output.shape, dtype=output.dtype))]


def narrow(q, k, v, *, window, document_BT):
    return NarrowAttention.apply(q, k, v, window, document_BT, 8, True)


@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("value_size", [3, 5])
def test_the_reference_equals_explicit_loops(window, value_size):
    q, k, v = (x.detach() for x in random_heads(1, 9, 4, 2, 3, value_size))
    document = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
    output = causal_attention_reference(q, k, v, window=window, document_BT=document)
    for i in range(9):
        first = max(0 if i < 4 else 4, 0 if window is None else i - window + 1)
        for head in range(4):
            weights = [exp((q[0, i, head] @ k[0, j, head // 2]).item() / sqrt(3)) for j in range(first, i + 1)]
            values = [w * v[0, j, head // 2] for w, j in zip(weights, range(first, i + 1), strict=True)]
            torch.testing.assert_close(output[0, i, head], sum(values) / sum(weights), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", [narrow, sdpa_attention])
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1, 2), (2, 19, 4, 1, 3), (3, 33, 6, 2, 8), (1, 150, 2, 2, 4), (2, 19, 4, 2, 3, 6), (1, 150, 2, 1, 5, 3)],
)
@pytest.mark.parametrize("window", [None, 1, 5, 16, 200])
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_equals_the_reference_forward_and_backward(form, shape, window, packed):
    inputs = random_heads(*shape)
    options = {"window": window, "document_BT": random_documents(*shape[:2]) if packed else None}
    fast = output_and_gradients(lambda *x: form(*x, **options), inputs)
    slow = output_and_gradients(lambda *x: causal_attention_reference(*x, **options), inputs)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_gradcheck_of_the_narrow_form():
    inputs = random_heads(1, 7, 4, 2, 2, 3)
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    assert torch.autograd.gradcheck(lambda *x: NarrowAttention.apply(*x, 3, documents, 4, True), inputs)


def test_grouped_heads_equal_repeated_keys_and_values():
    q, k, v = random_heads(2, 40, 6, 2, 8)
    repeated = causal_attention(q, k.repeat_interleave(3, 2), v.repeat_interleave(3, 2), window=7)
    torch.testing.assert_close(causal_attention(q, k, v, window=7), repeated, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [40, 1100])
@pytest.mark.parametrize("value_size", [8, 16])
def test_float32_agrees_with_the_float64_reference_on_short_and_long_sequences(length, value_size):
    inputs = [x.detach() for x in random_heads(1, length, 2, 1, 8, value_size)]
    exact = causal_attention(*inputs, backend="reference")
    fast = causal_attention(*(x.float() for x in inputs))
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast.double(), exact, rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow():
    q, k, v = (x.detach().float() * 1e3 for x in random_heads(1, 40, 2, 1, 8))
    assert causal_attention(q, k, v).isfinite().all()


def test_packed_documents_equal_separate_ones():
    q, k, v = random_heads(1, 60, 4, 1, 8)
    together = causal_attention(q, k, v, window=9, segments=Segments.of_lengths([[1, 37, 22]]))
    parts = [slice(0, 1), slice(1, 38), slice(38, 60)]
    apart = [causal_attention(q[:, p], k[:, p], v[:, p], window=9) for p in parts]
    torch.testing.assert_close(together, torch.cat(apart, 1), rtol=1e-12, atol=1e-12)


def test_wide_values_are_attended_without_keeping_the_attention_weights():
    """The fused kernel keeps one number per query position; the other path of SDPA keeps T of them."""
    kept, length = [], 1100
    inputs = [x.detach().float().requires_grad_() for x in random_heads(1, length, 2, 1, 8, 16)]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        causal_attention(*inputs)
    assert max(kept) <= length * 2 * 16


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(("heads", "groups", "value_size"), [(6, 2, 8), (4, 4, 16), (4, 1, 5)])
def test_the_last_token_over_a_cache_in_any_order_equals_the_sequence(backend, heads, groups, value_size):
    q, k, v = (x.detach() for x in random_heads(3, 11, heads, groups, 8, value_size))
    order, lengths = torch.randperm(13), [11, 1, 6]
    valid = torch.zeros(3, 13, dtype=torch.bool)
    # Slots that are not valid hold large numbers, which must not be seen.
    k_cache = 50 * torch.randn(3, 13, groups, 8, dtype=torch.float64)
    v_cache = 50 * torch.randn(3, 13, groups, value_size, dtype=torch.float64)
    for row, length in enumerate(lengths):
        slots = order[:length]
        valid[row, slots], k_cache[row, slots], v_cache[row, slots] = True, k[row, :length], v[row, :length]
    sequence = causal_attention(q, k, v, backend="reference")
    last, expected = (torch.stack([x[row, length - 1] for row, length in enumerate(lengths)]) for x in (q, sequence))
    output = attend_cached(last, k_cache, v_cache, valid, backend=backend)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    single = attend_cached(*(x.float() for x in (last, k_cache, v_cache)), valid, backend=backend)
    torch.testing.assert_close(single, expected.float(), rtol=1e-5, atol=1e-5)
