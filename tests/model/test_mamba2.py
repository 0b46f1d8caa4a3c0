import dataclasses
from math import ceil, log

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import silu, softplus

from archscale.model.mixers.base import Place, build_mixer
from archscale.model.mixers.mamba2 import Mamba2, Mamba2Config
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, paper_scale
from tests.model.recurrent_mixers import mamba2_of, random_input


def by_token(mixer: Mamba2, x: Tensor, norm_first: bool) -> tuple[Tensor, Tensor]:
    """Output and memory of one sequence (T, W) from the equations, one token and one head at a time."""
    weights = {name: p.detach() for name, p in mixer.named_parameters()}
    size, heads = 5, len(weights["A_log_H"])
    inputs, z = x @ weights["input.weight"].t(), x @ weights["gate.weight"].t()
    states = torch.zeros(heads, 6, size, dtype=x.dtype)
    outputs, memory = [], []
    for t in range(len(x)):
        taps = [weights["conv_weight_CK"][:, 3 - k] * inputs[t - k] for k in range(4) if t >= k]
        u, B, C = silu(weights["conv_bias_C"] + sum(taps)).split([6 * heads, size, size])
        delta = softplus(weights["delta.weight"] @ x[t] + weights["step_bias_H"])
        m = []
        for h in range(heads):
            head = u[6 * h : 6 * h + 6]
            decay = torch.exp(-delta[h] * weights["A_log_H"][h].exp())
            states[h] = decay * states[h] + delta[h] * torch.outer(head, B)
            m.append(states[h] @ C + weights["skip_H"][h] * head)
        m = torch.cat(m)
        inner = m if norm_first else m * silu(z[t])
        normal = inner / (inner.square().mean() + 1e-5).sqrt() * weights["gain_D"]
        outputs.append(weights["output.weight"] @ (normal * silu(z[t]) if norm_first else normal))
        memory.append(m)
    return torch.stack(outputs), torch.stack(memory)


@pytest.mark.parametrize("norm", ["after_gate", "before_gate"])
def test_output_and_memory_equal_their_equations(norm):
    mixer, x, shared = mamba2_of(norm=norm, writes=("memory",)), random_input(19), {}
    output = mixer(x, shared, None)
    assert shared["memory"].shape[-1] == mixer.shared_width("memory") == 24
    for row in range(2):
        expected, memory = by_token(mixer, x[row], norm == "before_gate")
        torch.testing.assert_close(output[row], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(shared["memory"][row], memory, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("arch", "width"), [("mambay_2", 1920), ("sambay_2", 1984)])
def test_the_count_at_the_widths_of_the_paper(arch, width):
    """64 heads of 64 are 4096 channels: gate, x with B and C of 128, one step per head, and the way out."""
    arch = packaged(arch)
    scale = paper_scale(arch, depth=16)
    assert scale.width == width
    with torch.device("meta"):
        mixer = build_mixer(layer("mamba2"), Place(layer=0, width=width), arch, scale)
    matrices = width * 4096 + width * (4096 + 128 + 128) + width * 64 + 4096 * width
    vectors = 5 * (4096 + 128 + 128) + 3 * 64 + 4096
    assert matrices + vectors == {1920: 24_233_408, 1984: 25_040_320}[width]
    assert sum(p.numel() for p in mixer.parameters()) == matrices + vectors
    assert sum(p.numel() for p in mixer.parameters() if p.role == "hidden") == matrices


@pytest.mark.parametrize("width", [1, 31, 32, 33, 1000])
def test_heads_are_the_smallest_multiple_that_is_wide_enough(width):
    with torch.device("meta"):
        heads = mixer_on_meta(width).heads
    assert heads % 8 == 0
    assert (heads - 8) * 4 < 2 * width <= heads * 4
    assert heads == 8 * ceil(2 * width / 4 / 8)


def mixer_on_meta(width: int) -> Mamba2:
    return Mamba2(Mamba2Config(head_dim=4, state_size=8), Place(layer=0, width=width))


def test_a_small_ladder_keeps_the_proportions_of_the_paper():
    arch = architecture(("rest", [layer("mamba2")]))
    scale = paper_scale(arch, depth=8)
    assert Mamba2.defaults(arch, scale) == {"head_dim": 64, "state_size": 128}
    assert Mamba2.defaults(arch, dataclasses.replace(scale, head_dim=8)) == {"head_dim": 4, "state_size": 8}
    assert Mamba2.defaults(arch, dataclasses.replace(scale, head_dim=1)) == {"head_dim": 1, "state_size": 1}


def test_decays_and_steps_start_where_the_paper_puts_them():
    mixer, generator = Mamba2(Mamba2Config(head_dim=1, state_size=1), Place(layer=0, width=1000)), Generator()
    for parameter in (mixer.A_log_H, mixer.step_bias_H):
        parameter.own(parameter.data, generator.manual_seed(0))
    decay, step = mixer.A_log_H.detach().exp(), softplus(mixer.step_bias_H.detach())
    assert 1 <= decay.min() < 1.1
    assert 15.9 < decay.max() <= 16
    assert decay.mean().item() == pytest.approx(8.5, abs=0.3)
    assert 0.99e-3 < step.min() < 1.1e-3
    assert 0.09 < step.max() < 0.101
    assert step.log().mean().item() == pytest.approx(log(1e-2), abs=0.1)


def test_operations_are_counted_without_the_matrices():
    """Per token: 34 convolved channels, 4 taps; 4 decays; 24 channels with a state of 5."""
    assert mamba2_of().flops_per_token(512) == 34 * 8 + 4 + 24 * (1 + 3 * 5 + 2 * 5 + 2 + 1 + 4)


def test_impossible_options_are_refused_by_name():
    arch = architecture(("rest", [layer("mamba2")]))
    scale = paper_scale(arch, depth=8)
    for options, message in (
        ({"state_size": 0}, "state_size = 0: it must be at least 1"),
        ({"norm": "first"}, "after_gate"),
        ({"head_dims": 4}, "head_dim"),
    ):
        with pytest.raises(UserError, match=message):
            build_mixer(layer("mamba2", **options), Place(layer=3, width=16), arch, scale)
