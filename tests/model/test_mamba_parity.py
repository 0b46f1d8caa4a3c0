"""Mamba-1 and Mamba-2 against the plain torch paths of `transformers`, an implementation of its own.

Its mixers cast parts of the computation to float32 whatever they are given: A, B and the input of the scan with
`.float()`, and Mamba-2's gated norm with `.to(torch.float32)`. For the comparison in float64 these two casts become
casts to float64; everything else of it runs as it is.
"""

import pytest
import torch
from torch import Generator, Tensor, nn

from archscale.model.mixers.base import Mixer, Place
from archscale.model.mixers.mamba import Mamba, MambaConfig
from archscale.model.mixers.mamba2 import Mamba2, Mamba2Config
from tests.support.float64 import Float64Torch

mamba_peer = pytest.importorskip("transformers.models.mamba.modeling_mamba")
mamba2_peer = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")

WIDTH, LENGTH, EPS = 16, 37, 1e-5
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])


def fill(mixer: Mixer) -> None:
    generator = Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in mixer.named_parameters():
            own = parameter.own or (lambda tensor, generator: tensor.normal_(0, 0.3, generator=generator))
            own(parameter, generator)
            if name.startswith(("skip", "gain")):
                parameter.uniform_(0.5, 2.0, generator=generator)
            if name.startswith("step_bias"):
                # Steps of about one instead of 0.01, so that errors of the state reach the output.
                parameter.add_(4.0)


def mamba_pair() -> tuple[Mixer, nn.Module]:
    mixer = Mamba(MambaConfig(step_rank=3, state_size=5), Place(layer=0, width=WIDTH))
    fill(mixer)
    peer = mamba_peer.MambaMixer(
        mamba_peer.MambaConfig(
            hidden_size=WIDTH, state_size=5, time_step_rank=3, conv_kernel=4, expand=2, num_hidden_layers=1
        ),
        layer_idx=0,
    )
    peer.load_state_dict(
        {
            "in_proj.weight": torch.cat([mixer.input.weight, mixer.gate.weight]),
            "conv1d.weight": mixer.conv_weight_DK[:, None],
            "conv1d.bias": mixer.conv_bias_D,
            "x_proj.weight": mixer.select.weight,
            "dt_proj.weight": mixer.delta.weight,
            "dt_proj.bias": mixer.step_bias_D,
            "A_log": mixer.A_log_DN,
            "D": mixer.skip_D,
            "out_proj.weight": mixer.output.weight,
        }
    )
    return mixer, peer


def mamba2_pair() -> tuple[Mixer, nn.Module]:
    mixer = Mamba2(Mamba2Config(head_dim=4, state_size=5), Place(layer=0, width=WIDTH, norm_eps=EPS))
    fill(mixer)
    peer = mamba2_peer.Mamba2Mixer(
        mamba2_peer.Mamba2Config(
            hidden_size=WIDTH,
            num_heads=8,
            head_dim=4,
            state_size=5,
            n_groups=1,
            conv_kernel=4,
            expand=2,
            chunk_size=8,
            layer_norm_epsilon=EPS,
            num_hidden_layers=1,
        ),
        layer_idx=0,
    )
    peer.load_state_dict(
        {
            "in_proj.weight": torch.cat([mixer.gate.weight, mixer.input.weight, mixer.delta.weight]),
            "conv1d.weight": mixer.conv_weight_CK[:, None],
            "conv1d.bias": mixer.conv_bias_C,
            "dt_bias": mixer.step_bias_H,
            "A_log": mixer.A_log_H,
            "D": mixer.skip_H,
            "norm.weight": mixer.gain_D,
            "out_proj.weight": mixer.output.weight,
        }
    )
    return mixer, peer


@PRECISIONS
@pytest.mark.parametrize(("pair", "module"), [(mamba_pair, mamba_peer), (mamba2_pair, mamba2_peer)])
def test_outputs_and_gradients_equal_those_of_transformers(pair, module, dtype, tolerance, monkeypatch):
    mixer, peer = (model.to(dtype) for model in pair())
    x = torch.randn(2, LENGTH, WIDTH, generator=Generator().manual_seed(1), dtype=dtype).requires_grad_()
    weight = torch.randn(2, LENGTH, WIDTH, generator=Generator().manual_seed(2), dtype=dtype)

    def with_gradient(y: Tensor) -> list[Tensor]:
        return [y, *torch.autograd.grad(y, x, weight)]

    found = with_gradient(mixer(x, {}, None))
    if dtype == torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        monkeypatch.setattr(module, "torch", Float64Torch("torch"))
    for ours, theirs in zip(found, with_gradient(peer.eval()(x)), strict=True):
        assert theirs.dtype == dtype
        assert (ours - theirs).norm() <= tolerance * theirs.norm()
