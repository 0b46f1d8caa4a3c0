"""Convolution, rotation and segments against independent formulas."""

import pytest
import torch

from archscale.ops.causal_conv import causal_conv
from archscale.ops.rotary import rotate
from archscale.ops.segments import Segments


def double(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def assert_same_with_gradients(fast, slow, inputs):
    torch.manual_seed(3)
    weight = torch.randn(fast.shape, dtype=fast.dtype)
    results = [[x, *torch.autograd.grad(x, inputs, weight)] for x in (fast, slow)]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 23])
@pytest.mark.parametrize("packed", [False, True])
def test_shifted_convolution_equals_the_reference(length, packed):
    x, weight, bias = double(2, length, 5), double(5, 4), double(5)
    segments = Segments(torch.randint(0, 4, (2, length)).sort(-1).values) if packed else None
    fast = causal_conv(x, weight, bias, segments=segments)
    slow = causal_conv(x, weight, bias, segments=segments, backend="reference")
    assert_same_with_gradients(fast, slow, (x, weight, bias))


def test_convolution_equals_torch_conv1d_with_left_padding():
    x, weight, bias = double(2, 11, 5), double(5, 4), double(5)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (3, 0))
    expected = torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=5).transpose(1, 2)
    assert_same_with_gradients(causal_conv(x, weight, bias), expected, (x, weight, bias))


def test_convolution_of_packed_documents_equals_separate_ones():
    x, weight, bias = double(1, 12, 5), double(5, 4), double(5)
    together = causal_conv(x, weight, bias, segments=Segments.of_lengths([[2, 1, 9]]))
    apart = [causal_conv(part, weight, bias) for part in (x[:, :2], x[:, 2:3], x[:, 3:])]
    torch.testing.assert_close(together, torch.cat(apart, 1), rtol=1e-12, atol=1e-12)


def test_rotation_equals_the_reference_and_complex_multiplication():
    x = double(2, 9, 3, 8)
    assert_same_with_gradients(rotate(x, 100.0), rotate(x, 100.0, backend="reference"), (x,))
    position, pair = torch.arange(9.0, dtype=torch.float64), torch.arange(4.0, dtype=torch.float64)
    turn = torch.polar(torch.ones(9, 4, dtype=torch.float64), position[:, None] * 100.0 ** -(2 * pair / 8))
    turned = torch.complex(x[..., :4], x[..., 4:]) * turn[:, None]
    torch.testing.assert_close(rotate(x, 100.0), torch.cat([turned.real, turned.imag], -1), rtol=1e-12, atol=1e-12)


def test_rotated_scores_depend_only_on_the_distance():
    q, k = torch.randn(2, 8, dtype=torch.float64)
    turned_q, turned_k = (rotate(x.expand(1, 30, 1, 8), 10_000.0)[0, :, 0] for x in (q, k))
    scores = turned_q @ turned_k.t()
    for distance in range(-5, 6):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-11, atol=1e-11)
    assert not torch.allclose(scores[0, 0], scores[5, 0])


def test_segments_from_lengths_and_from_end_of_text_agree():
    segments = Segments.of_lengths([[3, 2, 3]])
    assert segments.document_BT.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]
    assert segments.starts().long().tolist() == [[1, 0, 0, 1, 0, 1, 0, 0]]
    assert segments.same_document(2).long().tolist() == [[0, 0, 1, 0, 0, 0, 0, 1]]
    assert segments.same_document(9).sum() == 0
    tokens = torch.tensor([[5, 6, 0, 7, 0, 8, 9, 0]])
    assert torch.equal(Segments.after(tokens, end_of_text=0).document_BT, segments.document_BT)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        Segments.of_lengths([[3], [2, 2]])
