import torch

from archscale.model.layers import LayerNorm, RMSNorm, SwiGLU


def test_norm_equals_its_equation():
    norm, x = RMSNorm(7, 1e-5).double(), torch.randn(3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        norm.gain.uniform_(0.5, 2.0)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.gain
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)


def test_norm_of_half_precision_is_computed_in_float32():
    norm, x = RMSNorm(64, 1e-5), torch.randn(4, 64).bfloat16()
    with torch.no_grad():
        norm.gain.fill_(1.0)
    assert torch.equal(norm(x), norm(x.float()))


def test_layer_norm_equals_its_equation():
    norm, x = LayerNorm(7, 1e-5).double(), torch.randn(3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        norm.gain.uniform_(0.5, 2.0)
        norm.shift.normal_()
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.gain + norm.shift
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)


def test_swiglu_equals_its_equation():
    mlp, x = SwiGLU(6, 11).double(), torch.randn(4, 6, dtype=torch.float64)
    with torch.no_grad():
        for p in mlp.parameters():
            p.normal_()
    gate, up = x @ mlp.gate.weight.t(), x @ mlp.up.weight.t()
    expected = (up * gate / (1 + torch.exp(-gate))) @ mlp.down.weight.t()
    y, linear = mlp(x)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(linear, up, rtol=1e-12, atol=1e-12)
