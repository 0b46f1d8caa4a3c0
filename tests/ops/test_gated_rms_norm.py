import pytest
import torch

from archscale.ops.gated_rms_norm import gated_rms_norm

BOTH = pytest.mark.parametrize("norm_first", [False, True])


def random_inputs(*shape: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(shape[0])
    x, gate, gain = torch.randn(shape), torch.randn(shape) * 3, torch.rand(shape[-1]) + 0.5
    return [tensor.to(dtype).requires_grad_() for tensor in (x, gate, gain)]


def with_gradients(inputs: list[torch.Tensor], **options) -> list[torch.Tensor]:
    y = gated_rms_norm(*inputs, eps=1e-5, **options)
    torch.manual_seed(1)
    weight = torch.randn(y.shape, dtype=torch.float64).to(y.dtype)
    return [y, *torch.autograd.grad(y, inputs, weight)]


@BOTH
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 3), (2, 7, 11), (2, 1, 3, 4)])
def test_the_fast_form_equals_the_reference_forward_and_backward(shape, norm_first):
    inputs = random_inputs(*shape)
    fast = with_gradients(inputs, norm_first=norm_first)
    for a, b in zip(fast, with_gradients(inputs, norm_first=norm_first, backend="reference"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@BOTH
def test_both_placements_equal_torch_rms_norm(norm_first):
    x, gate, gain = random_inputs(3, 5, 8)
    opened = gate * torch.sigmoid(gate)
    inner = x if norm_first else x * opened
    expected = torch.nn.functional.rms_norm(inner, (8,), gain, 1e-5) * (opened if norm_first else 1.0)
    torch.testing.assert_close(gated_rms_norm(x, gate, gain, eps=1e-5, norm_first=norm_first), expected)


def test_after_the_gate_the_size_is_fixed_and_before_the_gate_it_follows_the_gate():
    x, gate, gain = random_inputs(4, 64)
    gain = torch.ones_like(gain)
    after = gated_rms_norm(x, gate, gain, eps=0.0)
    torch.testing.assert_close(after.square().mean(-1), torch.ones(4, dtype=torch.float64))
    shut = gated_rms_norm(x, torch.zeros_like(gate), gain, eps=0.0, norm_first=True)
    assert not shut.any()


@BOTH
def test_float32_agrees_with_float64_and_lower_precision_is_computed_in_float32(norm_first):
    exact = with_gradients(random_inputs(4, 9, 33), norm_first=norm_first, backend="reference")
    fast = with_gradients(random_inputs(4, 9, 33, dtype=torch.float32), norm_first=norm_first)
    for a, b in zip(fast, exact, strict=True):
        assert (a - b).norm() < 1e-6 * b.norm()
    rounded = [x.detach().bfloat16() for x in random_inputs(4, 9, 33)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = gated_rms_norm(*rounded, eps=1e-5, norm_first=norm_first)
    assert torch.equal(low, gated_rms_norm(*(x.float() for x in rounded), eps=1e-5, norm_first=norm_first))


@BOTH
def test_a_readout_of_zeros_has_finite_gradients(norm_first):
    x, gate, gain = random_inputs(2, 3, 5)
    assert all(value.isfinite().all() for value in with_gradients([x * 0, gate, gain], norm_first=norm_first))
