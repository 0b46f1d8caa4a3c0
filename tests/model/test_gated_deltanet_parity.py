"""Gated DeltaNet against the plain torch path of Qwen3-Next in `transformers`, an implementation of its own.

It differs by design in three places, where this comparison changes the peer and nothing else of it: β lies in (0, 1),
so the β handed to its rule is doubled; its norm takes each head for itself and stands before the gate, so it is
exchanged for the norm of the same library's Mamba-2, or compared at one head, where both are one group; and it casts to
float32 whatever it is given, so for the comparison in float64 these casts become casts to float64.
"""

from inspect import unwrap

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from archscale.model.mixers.base import Place
from archscale.model.mixers.gated_deltanet import GatedDeltaNet, GatedDeltaNetConfig
from archscale.ops.gated_delta_rule import gated_delta_rule
from tests.support.float64 import Float64Torch

peer = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
mamba2 = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")

WIDTH, KEY, VALUE, EPS = 16, 6, 12, 1e-5
RULES = ["torch_recurrent_gated_delta_rule", "torch_chunk_gated_delta_rule"]
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])


@pytest.fixture(autouse=True)
def plain_torch(monkeypatch):
    """Where flash-linear-attention or causal-conv1d are installed, the peer would call their GPU kernels instead."""
    for name in [*RULES, "causal_conv1d_fn"]:
        monkeypatch.setattr(peer, name, unwrap(getattr(peer, name)))


@pytest.fixture
def widen(monkeypatch):
    def widened(dtype: torch.dtype) -> None:
        if dtype == torch.float64:
            monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
            for module in (peer, mamba2):
                monkeypatch.setattr(module, "torch", Float64Torch("torch"))

    return widened


def random(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64).to(dtype).requires_grad_()


def with_gradients(outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    weights = [torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y).sin() for y in outputs]
    loss = sum((y * weight).sum() for y, weight in zip(outputs, weights, strict=True))
    return [*outputs, *torch.autograd.grad(loss, inputs)]


def assert_close(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype, tolerance: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.dtype == ours.dtype == dtype
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


@PRECISIONS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_rule_with_doubled_beta_equals_that_of_transformers(rule, backend, dtype, tolerance, widen):
    shape = (2, 150, 3)
    q, k, v, decay, beta = (
        random(*shape, *size, seed=i, dtype=dtype) for i, size in enumerate([(KEY,), (KEY,), (VALUE,), (), ()])
    )
    initial = random(2, 3, KEY, VALUE, seed=9, dtype=dtype)
    leaves = [q, k, v, decay, beta, initial]

    def inputs() -> list[Tensor]:
        return [normalize(q, dim=-1), normalize(k, dim=-1), v, logsigmoid(2 * decay), 2 * torch.sigmoid(beta)]

    found = with_gradients(list(gated_delta_rule(*inputs(), initial_BHKV=initial, backend=backend)), leaves)
    widen(dtype)
    expected = getattr(peer, rule)(*inputs(), initial_state=initial, output_final_state=True)
    assert_close(found, with_gradients(list(expected), leaves), dtype, tolerance)


def pair(heads: int, dtype: torch.dtype, **options) -> tuple[GatedDeltaNet, nn.Module]:
    """Our mixer, and theirs with the same weights: it stacks (q, k, v, z) and (β, decay) head by head."""
    config = GatedDeltaNetConfig(num_heads=heads, key_head_dim=KEY, value_ratio=VALUE // KEY, **options)
    ours = GatedDeltaNet(config, Place(layer=0, width=WIDTH, norm_eps=EPS))
    generator = Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours.parameters():
            own = parameter.own or (lambda tensor, generator: tensor.normal_(0, 0.5, generator=generator))
            own(parameter, generator)
        ours.gain_M.uniform_(0.5, 2.0, generator=generator)
        # Decays of about one half, so that errors of them and of the state both reach the output.
        ours.step_bias_H.add_(2.0)
        ours.A_log_H.clamp_(max=1.0)
    theirs = peer.Qwen3NextGatedDeltaNet(
        peer.Qwen3NextConfig(
            hidden_size=WIDTH,
            linear_num_key_heads=heads,
            linear_num_value_heads=heads,
            linear_key_head_dim=KEY,
            linear_value_head_dim=VALUE,
            linear_conv_kernel_dim=4,
            rms_norm_eps=EPS,
            layer_types=["linear_attention"],
            num_hidden_layers=1,
        ),
        layer_idx=0,
    )
    q, k, v = ours.query_key_value.weight.split([heads * KEY, heads * KEY, heads * VALUE])
    by_head = [weight.unflatten(0, (heads, -1)) for weight in (q, k, v, ours.gate.weight)]
    weights = {
        "in_proj_qkvz.weight": torch.cat(by_head, 1).flatten(0, 1),
        "in_proj_ba.weight": torch.stack([ours.beta.weight, ours.decay.weight], 1).flatten(0, 1),
        "conv1d.weight": ours.conv_weight_CK[:, None],
        "dt_bias": ours.step_bias_H,
        "A_log": ours.A_log_H,
        "norm.weight": ours.gain_M[:VALUE],
        "out_proj.weight": ours.output.weight,
    }
    theirs.load_state_dict(weights)
    return ours.to(dtype), theirs.to(dtype).eval()


class WholeWidthNorm(nn.Module):
    """The norm of Mamba-2, after the gate and over all heads of a token at once."""

    def __init__(self, gain_M: Tensor) -> None:
        super().__init__()
        self.norm = mamba2.MambaRMSNormGated(len(gain_M), group_size=len(gain_M), eps=EPS).to(gain_M.dtype)
        self.norm.weight.data.copy_(gain_M)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        whole = (-1, len(self.norm.weight))
        return self.norm(x.reshape(whole), gate.reshape(whole)).view_as(x)


@PRECISIONS
@pytest.mark.parametrize("length", [1, 3, 70])
def test_the_mixer_with_doubled_beta_equals_that_of_transformers(length, dtype, tolerance, widen, monkeypatch):
    ours, theirs = pair(3, dtype)
    theirs.norm = WholeWidthNorm(ours.gain_M.detach())
    rule = peer.torch_chunk_gated_delta_rule
    monkeypatch.setattr(peer, "torch_chunk_gated_delta_rule", lambda *x, beta, **rest: rule(*x, beta=2 * beta, **rest))
    x = random(2, length, WIDTH, seed=length, dtype=dtype)
    found = with_gradients([ours(x, {}, None)], [x, ours.A_log_H, ours.step_bias_H, ours.output.weight])
    widen(dtype)
    expected = with_gradients([theirs(x)], [x, theirs.A_log, theirs.dt_bias, theirs.out_proj.weight])
    assert_close(found, expected, dtype, tolerance)


@PRECISIONS
def test_the_mixer_without_negative_eigenvalues_and_with_the_norm_before_the_gate_equals_it_as_it_is(
    dtype, tolerance, widen
):
    ours, theirs = pair(1, dtype, norm="before_gate", negative_eigenvalues=False)
    x = random(2, 70, WIDTH, seed=1, dtype=dtype)
    found = with_gradients([ours(x, {}, None)], [x, ours.A_log_H, ours.gain_M])
    widen(dtype)
    assert_close(found, with_gradients([theirs(x)], [x, theirs.A_log, theirs.norm.weight]), dtype, tolerance)
